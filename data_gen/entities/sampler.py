"""Balanced draws of entities for studies, none used more often than a cap.

An entity is put into an urn as often as the cap allows, the urn is shuffled and dealt out; what
does not fit together in a study is then exchanged with other studies or with what is left in the
urn. So the cap holds exactly, every study keeps the rules, and the plan is a function of its seed.
The scheme is that of SynCXR (Liu et al. 2025, ACL Findings): k entities of the four types that are
no anatomy and m places per study, none more than tau times; rules are an addition.
"""

import dataclasses
import functools
import json
import os
import pathlib
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int

import medvlp_jax
from data_gen.entities.balance import entropy, gini, plot_balance
from data_gen.entities.bank import EntityBank, check_types
from data_gen.entities.entity import NON_ANATOMY, Entity
from data_gen.entities.rules import Rules, rules_of
from medvlp_jax.core.config import to_plain
from medvlp_jax.core.errors import UserError
from medvlp_jax.data.manifest import fingerprint

PLAN, META = "plan.npy", "plan.json"
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

    k: int = 9
    m: int = 3
    cap: int = 15
    mode: Literal["pooled", "stratified"] = "pooled"
    seed: int = 0
    max_positive: int = 0
    rounds: int = 2000

    def __post_init__(self) -> None:
        if self.k < 1 or self.m < 0 or self.cap < 1 or self.rounds < 1:
            raise ValueError(
                f"k={self.k}, cap={self.cap} and rounds={self.rounds} must be positive, and "
                f"m={self.m} not negative"
            )
        if self.seed < 0 or self.max_positive < 0:
            raise ValueError("seed and max_positive must not be negative")


@dataclasses.dataclass(frozen=True)
class SamplePlan:
    """Which entities every study has.

    Attributes:
      bank: what the indices refer to.
      indices: of entities, the k first, then the m places.
      config: how they were drawn.
      meta: fingerprint, and what the drawing took.
    """

    bank: EntityBank
    indices: Int[np.ndarray, "n w"]
    config: SamplerConfig
    meta: dict[str, Any]

    def __len__(self) -> int:
        return len(self.indices)

    def entities(self, index: int) -> tuple[Entity, ...]:
        """The entities of study ``index``."""
        return tuple(self.bank[int(i)] for i in self.indices[index])

    @functools.cached_property
    def uses(self) -> Int[np.ndarray, " e"]:
        """How many studies use each entity of the bank."""
        return np.bincount(self.indices.ravel(), minlength=len(self.bank))

    @functools.cached_property
    def balance(self) -> dict[str, float]:
        """Entropy (bits) and Gini coefficient of the bank's counts and of the plan's."""
        before = np.array([e.count for e in self.bank])
        return {
            "entropy_before": entropy(before),
            "entropy_after": entropy(self.uses),
            "gini_before": gini(before),
            "gini_after": gini(self.uses),
        }

    def __str__(self) -> str:
        b = self.balance
        return (
            f"{len(self)} studies x ({self.config.k} + {self.config.m}) entities from a bank of "
            f"{len(self.bank)}; none is used more than {int(self.uses.max(initial=0))} times\n"
            f"entropy {b['entropy_before']:.2f} bits in the bank, {b['entropy_after']:.2f} in the "
            f"plan (at most {np.log2(len(self.bank)):.2f}); Gini {b['gini_before']:.3f} and "
            f"{b['gini_after']:.3f}"
        )

    def histogram(self, path: str | os.PathLike[str]) -> None:
        """Draws the balance before and after as a PNG."""
        plot_balance(np.array([e.count for e in self.bank]), self.uses, self.config.cap, path)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes ``plan.npy``, then ``plan.json``; each appears whole, the second completes it."""
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / (PLAN + ".part")
        with part.open("wb") as stream:
            np.save(stream, self.indices)
        part.replace(folder / PLAN)
        part = folder / (META + ".part")
        part.write_text(json.dumps({**self.meta, **self.balance}, indent=1))
        part.replace(folder / META)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], bank: EntityBank) -> "SamplePlan":
        """Reads what :meth:`save` wrote.

        Raises:
          UserError: there is no plan, or it was drawn from another bank.
        """
        folder = pathlib.Path(folder)
        try:
            meta = json.loads((folder / META).read_text())
            indices = np.load(folder / PLAN)
        except (OSError, ValueError) as error:
            raise UserError(f"{folder} holds no plan: {error}") from error
        if meta["bank"] != bank.fingerprint:
            raise UserError(
                f"{folder / META} was drawn from another entity bank: give that one, or delete it"
            )
        return cls(bank, indices, SamplerConfig(**meta["config"]), meta)


def plan(bank: EntityBank, count: int, config: SamplerConfig) -> SamplePlan:
    """Draws the entities of ``count`` studies.

    Raises:
      UserError: the bank is too small for the cap, or the rules leave no room; the message has the
        numbers and what can be done.
    """
    if count < 1:
        raise UserError(f"count={count}: draw at least one study")
    check_types(bank.entities)
    pools = _pools(bank, count, config)
    rules = rules_of(bank)
    rng = np.random.Generator(np.random.Philox(key=np.array([config.seed, 8], np.uint64)))
    dealer = _Dealer(rules, pools, count, config, rng)
    exchanged = dealer.settle()
    meta = {
        "fingerprint": plan_fingerprint(bank, count, config),
        "bank": bank.fingerprint,
        "bank_name": bank.name,
        "count": count,
        "config": to_plain(config),
        "exchanged": exchanged,
    }
    return SamplePlan(bank, dealer.dealt, config, meta)


def plan_fingerprint(bank: EntityBank, count: int, config: SamplerConfig) -> str:
    """Equal for equal plans."""
    return fingerprint(medvlp_jax.__version__, bank.fingerprint, count, to_plain(config))


def plan_in(
    folder: str | os.PathLike[str], bank: EntityBank, count: int, config: SamplerConfig
) -> SamplePlan:
    """The plan of a folder, drawn and saved if it is not there yet.

    Raises:
      UserError: see :func:`plan`; or the folder holds a plan of other settings.
    """
    folder = pathlib.Path(folder)
    if not (folder / META).exists():
        drawn = plan(bank, count, config)
        drawn.save(folder)
        return drawn
    found = SamplePlan.load(folder, bank)
    if found.meta["fingerprint"] != plan_fingerprint(bank, count, config):
        raise UserError(
            f"{folder / META} is the plan of other settings (count={found.meta['count']}, "
            f"{found.meta['config']}): choose another folder, or delete it"
        )
    return found


@dataclasses.dataclass(frozen=True)
class _Pool:
    """Entities from which some slots of all studies are filled."""

    name: str
    entities: Int[np.ndarray, " e"]
    slots: Int[np.ndarray, " s"]  # flat positions in [count, k + m]


def _pools(bank: EntityBank, count: int, config: SamplerConfig) -> list[_Pool]:
    """The pools and their slots, once each is known to be large enough."""
    kinds = np.array([e.type for e in bank])
    k, m, width = config.k, config.m, config.k + config.m
    flat = np.arange(count * width).reshape(count, width)
    things = ("entities that are no anatomy", kinds != "ANATOMY", flat[:, :k].ravel())
    groups = [things]
    if config.mode == "stratified":
        groups: list[tuple[str, np.ndarray, np.ndarray]] = []
        # Slot j of study i has type (i + j) mod 4 beyond the whole rounds, so that all come alike.
        turn = np.arange(k) % 4
        whole = np.arange(k) < k - k % 4
        types = np.where(whole, turn, (turn + np.arange(count)[:, None]) % 4)
        for number, name in enumerate(NON_ANATOMY):
            groups.append((name, kinds == name, flat[:, :k][types == number]))
    if m:
        groups.append(("ANATOMY", kinds == "ANATOMY", flat[:, k:].ravel()))
    pools = [_Pool(name, np.flatnonzero(mask), slots) for name, mask, slots in groups]
    for pool in pools:
        room, wanted = config.cap * len(pool.entities), len(pool.slots)
        if wanted > room:
            needed = -(-wanted // max(len(pool.entities), 1))
            raise UserError(
                f"{count} studies want {wanted} draws of {pool.name}, but {len(pool.entities)} "
                f"entities with cap={config.cap} allow {room}: raise cap to {needed}, draw at "
                f"most {count * room // wanted} studies, or enlarge the bank"
            )
    return pools


class _Dealer:
    """Deals entities to studies, and exchanges what does not fit."""

    def __init__(
        self,
        rules: Rules,
        pools: list[_Pool],
        count: int,
        config: SamplerConfig,
        rng: np.random.Generator,
    ) -> None:
        self.rules, self.pools, self.config, self.rng = rules, pools, config, rng
        self.width = config.k + config.m
        self.dealt = np.empty((count, self.width), np.int32)
        self.left: list[Int[np.ndarray, " l"]] = []
        self.pool_of = np.empty((count, self.width), np.int8)
        for number, pool in enumerate(pools):
            urn = np.repeat(pool.entities.astype(np.int32), config.cap)
            rng.shuffle(urn)
            self.dealt.ravel()[pool.slots] = urn[: len(pool.slots)]
            self.pool_of.ravel()[pool.slots] = number
            self.left.append(urn[len(pool.slots) :])

    def settle(self) -> int:
        """Exchanges until every study keeps the rules; returns how often it exchanged."""
        count = len(self.dealt)
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
        drawn = self.dealt[rows]
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
        drawn = self.dealt[rows]
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
        old = self.dealt[rows, columns]
        return self._clashes(rows, columns, new) <= self._clashes(rows, columns, old)

    def _exchange(
        self, rows: Int[np.ndarray, " r"], columns: Int[np.ndarray, " r"]
    ) -> Bool[np.ndarray, " r"]:
        """Tries one partner for each slot: another study's, or one left in the urn."""
        moved = np.zeros(len(rows), bool)
        dirty = np.zeros(len(self.dealt), bool)
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
            ours, theirs = self.dealt[rows[at], columns[at]], self.dealt.ravel()[flat]
            good = self._better(rows[at], columns[at], theirs)
            good &= self._clashes(other, flat % self.width, ours) == 0
            self.dealt[rows[at[good]], columns[at[good]]] = theirs[good]
            self.dealt.ravel()[flat[good]] = ours[good]
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
        ours = self.dealt[rows[at], columns[at]]
        self.dealt[rows[at], columns[at]] = left[spot]
        left[spot] = ours
        return at
