"""Balanced draws of entities for studies, none used more often than a cap.

An entity is put into an urn as often as the cap allows, the urn is shuffled and handed out; what
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
from typing import Any

import numpy as np
from jaxtyping import Int

import medvlp_jax
from data_gen.entities.assignment import Assignment, Pool, SamplerConfig
from data_gen.entities.balance import entropy, gini, plot_balance
from data_gen.entities.bank import EntityBank, check_types
from data_gen.entities.entity import NON_ANATOMY, Entity
from data_gen.entities.rules import rules_of
from medvlp_jax.core.config import to_plain
from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.core.files.replacing import replace, replacing
from medvlp_jax.data.store.manifest import fingerprint

PLAN, META = "plan.npy", "plan.json"


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
        with replacing(folder / PLAN) as temporary, temporary.open("wb") as stream:
            np.save(stream, self.indices)
        replace(folder / META, json.dumps({**self.meta, **self.balance}, indent=1))

    @classmethod
    def load(cls, folder: str | os.PathLike[str], bank: EntityBank) -> "SamplePlan":
        """Reads what :meth:`save` wrote.

        Raises:
          UserError: there is no plan, or it was drawn from another bank.
        """
        folder = pathlib.Path(folder)
        mend = "delete this folder, and the same plan is drawn again"
        with one_net(folder, mend, verb="holds no plan"):
            meta = json.loads((folder / META).read_text(encoding="utf-8"))
            indices = np.load(folder / PLAN)
            config = SamplerConfig(**meta["config"])
            width = config.k + config.m
            if indices.shape != (meta["count"], width) or indices.min(initial=0) < 0:
                raise ValueError(f"{indices.shape} entities for {meta['count']} x {width}")
            if not isinstance(meta["fingerprint"], str) or not isinstance(meta["bank"], str):
                raise TypeError("no fingerprint")
        if meta["bank"] != bank.fingerprint:
            raise UserError(
                f"{folder / META} was drawn from another entity bank: give that one, or delete it"
            )
        return cls(bank, indices, config, meta)


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
    assignment = Assignment(rules, pools, count, config, rng)
    exchanged = assignment.resolve()
    meta = {
        "fingerprint": plan_fingerprint(bank, count, config),
        "bank": bank.fingerprint,
        "bank_name": bank.name,
        "count": count,
        "config": to_plain(config),
        "exchanged": exchanged,
    }
    return SamplePlan(bank, assignment.table, config, meta)


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


def _pools(bank: EntityBank, count: int, config: SamplerConfig) -> list[Pool]:
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
    pools = [Pool(name, np.flatnonzero(mask), slots) for name, mask, slots in groups]
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
