"""Assigns entities from urns to studies, and exchanges what does not fit together."""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from data_gen.entities.rules import Rules
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.fields import Count, Seed

#: Studies that are looked at together when all are checked.
_CHUNK = 1 << 17


@dataclasses.dataclass(frozen=True)
class SamplerConfig:
    """What is drawn for a study.

    Attributes:
      k: entities that are no anatomy.
      m: places.
      cap: most studies that use one entity.
      mode: ``pooled`` draws the k from all four types together; ``stratified`` a quarter of them
        from each, what is left over by turns.
      seed: another seed gives another plan.
      max_positive: most entities that are present in a study; 0 for no bound.
      rounds: of exchange, after which what still contradicts is an error.
    """

    k: Count = 9
    m: Count = 3
    cap: Count = 15
    mode: Literal["pooled", "stratified"] = "pooled"
    seed: Seed = 0
    max_positive: Count = 0
    rounds: Count = 2000

    def __post_init__(self) -> None:
        if self.k < 1 or self.m < 0 or self.cap < 1 or self.rounds < 1:
            raise ValueError(
                f"k={self.k}, cap={self.cap} and rounds={self.rounds} must be positive, and "
                f"m={self.m} not negative"
            )
        if self.seed < 0 or self.max_positive < 0:
            raise ValueError("seed and max_positive must not be negative")


@dataclasses.dataclass(frozen=True)
class Pool:
    """Entities from which some slots of all studies are filled."""

    name: str
    entities: Int[np.ndarray, " e"]
    slots: Int[np.ndarray, " s"]  # flat positions in [count, k + m]


class Assignment:
    """Entities assigned to the places of every study.

    Attributes:
      table: int32 [count, k + m], indices of entities.
    """

    def __init__(
        self,
        rules: Rules,
        pools: list[Pool],
        count: int,
        config: SamplerConfig,
        rng: np.random.Generator,
    ) -> None:
        self.rules, self.pools, self.config, self.rng = rules, pools, config, rng
        self.width = config.k + config.m
        self.table = np.empty((count, self.width), np.int32)
        self.left: list[Int[np.ndarray, " l"]] = []
        self.pool_of = np.empty((count, self.width), np.int8)
        for number, pool in enumerate(pools):
            urn = np.repeat(pool.entities.astype(np.int32), config.cap)
            rng.shuffle(urn)
            self.table.ravel()[pool.slots] = urn[: len(pool.slots)]
            self.pool_of.ravel()[pool.slots] = number
            self.left.append(urn[len(pool.slots) :])

    def resolve(self) -> int:
        """Exchanges until every study keeps the rules; returns how often it exchanged."""
        count = len(self.table)
        starts = range(0, count, _CHUNK)
        bad = np.concatenate([self._bad(np.arange(s, min(s + _CHUNK, count))) for s in starts])
        dirty = np.flatnonzero(bad.any(axis=1))
        bad = bad[dirty]
        exchanged = 0
        for _ in range(self.config.rounds):
            if not len(dirty):
                return exchanged
            # One misfit per study and round, a random one.
            columns = (bad * self.rng.random(bad.shape)).argmax(axis=1)
            moved = self._exchange(dirty, columns)
            exchanged += int(moved.sum())
            bad[moved] = self._bad(dirty[moved])
            stay = bad.any(axis=1)
            dirty, bad = dirty[stay], bad[stay]
        if len(dirty):
            raise UserError(
                f"{len(dirty)} of {count} studies still hold entities that exclude each other "
                f"after {self.config.rounds} rounds of exchange: lower k={self.config.k}, raise "
                f"cap={self.config.cap}, or enlarge the bank (many concepts matter, not many "
                "wordings of a few)"
            )
        return exchanged

    def _bad(self, rows: Int[np.ndarray, " r"]) -> Bool[np.ndarray, "r w"]:
        """Slots that exclude another of their study, or are present in one with too many such."""
        drawn = self.table[rows]
        bad = np.zeros(drawn.shape, bool)
        for j in range(1, self.width):
            for i in range(j):
                both = self.rules.conflict(drawn[:, i], drawn[:, j])
                bad[:, i] |= both
                bad[:, j] |= both
        if self.config.max_positive:
            positive = self.rules.positive[drawn]
            bad |= positive & (positive.sum(axis=1) > self.config.max_positive)[:, None]
        return bad

    def _clashes(
        self,
        rows: Int[np.ndarray, " r"],
        columns: Int[np.ndarray, " r"],
        new: Int[np.ndarray, " r"],
    ) -> Int[np.ndarray, " r"]:
        """With how many others of its study ``new`` clashes in slot ``columns`` of each row."""
        drawn = self.table[rows]
        others = np.arange(self.width) != columns[:, None]
        clashes = (self.rules.conflict(drawn, new[:, None]) & others).sum(axis=1)
        if self.config.max_positive:
            positive = (self.rules.positive[drawn] & others).sum(axis=1)
            clashes += self.rules.positive[new] & (positive >= self.config.max_positive)
        return clashes

    def _better(
        self,
        rows: Int[np.ndarray, " r"],
        columns: Int[np.ndarray, " r"],
        new: Int[np.ndarray, " r"],
    ) -> Bool[np.ndarray, " r"]:
        """Whether ``new`` clashes no more than what is there: on a plateau, chance finds a way."""
        old = self.table[rows, columns]
        return self._clashes(rows, columns, new) <= self._clashes(rows, columns, old)

    def _exchange(
        self, rows: Int[np.ndarray, " r"], columns: Int[np.ndarray, " r"]
    ) -> Bool[np.ndarray, " r"]:
        """Tries one partner for each slot: another study's, or one left in the urn."""
        moved = np.zeros(len(rows), bool)
        dirty = np.zeros(len(self.table), bool)
        dirty[rows] = True
        pool_of = self.pool_of[rows, columns]
        for number, pool in enumerate(self.pools):
            mine = np.flatnonzero(pool_of == number)
            slots, left = len(pool.slots), self.left[number]
            pick = self.rng.integers(0, slots + len(left), len(mine))
            outside = pick >= slots
            at = mine[outside]
            spot, first = np.unique(pick[outside] - slots, return_index=True)
            moved[self._from_urn(rows, columns, at[first], left, spot)] = True
            at = mine[~outside]
            flat = pool.slots[pick[~outside]]
            other, first = np.unique(flat // self.width, return_index=True)
            keep = ~dirty[other]
            at, flat, other = at[first[keep]], flat[first[keep]], other[keep]
            if not len(at):
                continue
            ours, theirs = self.table[rows[at], columns[at]], self.table.ravel()[flat]
            good = self._better(rows[at], columns[at], theirs)
            good &= self._clashes(other, flat % self.width, ours) == 0
            self.table[rows[at[good]], columns[at[good]]] = theirs[good]
            self.table.ravel()[flat[good]] = ours[good]
            # A study takes part once a round.
            dirty[other[good]] = True
            moved[at[good]] = True
        return moved

    def _from_urn(
        self,
        rows: Int[np.ndarray, " r"],
        columns: Int[np.ndarray, " r"],
        at: Int[np.ndarray, " a"],
        left: Int[np.ndarray, " l"],
        spot: Int[np.ndarray, " a"],
    ) -> Int[np.ndarray, " g"]:
        if not len(at):
            return at
        good = self._better(rows[at], columns[at], left[spot])
        at, spot = at[good], spot[good]
        ours = self.table[rows[at], columns[at]]
        self.table[rows[at], columns[at]] = left[spot]
        left[spot] = ours
        return at
