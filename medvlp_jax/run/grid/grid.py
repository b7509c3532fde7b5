"""Which runs an experiment consists of, and the config of each."""

import copy
import dataclasses
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from medvlp_jax.core.config import ConfigError, group, parse, to_plain, unknown_key, unknown_word
from medvlp_jax.core.fields import Count, NonNegative, Seed
from medvlp_jax.core.loop import LoopConfig
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.eval.config import EvalSetConfig
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.run.config import RunConfig


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long a run trains: so many optimizer ``steps``, or ``epochs`` over its own data.

    Attributes:
      steps: optimizer steps; 0 = ``epochs`` says it.
      epochs: passes over the run's own data; 0 = ``steps`` says it.
    """

    steps: Count = 0
    epochs: NonNegative = 0.0

    def __post_init__(self) -> None:
        if (self.steps > 0) == (self.epochs > 0):
            raise ValueError(f"a budget is steps or epochs, one of them positive, not {self}")


@dataclasses.dataclass(frozen=True)
class GridConfig:
    """``configs/cxr/synthetic_vs_real.py`` and its like.

    Attributes:
      name: of the experiment.
      methods: name -> the whole config of a training run; its data, steps, seed and evaluation
        sets are replaced.
      data: name -> data folder.
      conditions: name -> the folders of ``data`` it trains on together; each record is seen
        equally often.
      budgets: name -> how long.
      seeds: of initialisation, order and augmentation; three or more.
      sets: what every run is measured on; a ``path`` that is a name in ``data`` means that folder.
      splits: condition -> the splits of its folders that it trains on; "train" where none is named.
      reference: the condition that the others are compared with.
      against: condition -> another one that it is compared with instead.
      compared: method -> the method that it is compared with, on the reference condition.
      bootstrap: of the intervals.
    """

    name: str
    methods: dict[str, dict[str, Any]]
    data: dict[str, str]
    conditions: dict[str, tuple[str, ...]]
    sets: dict[str, EvalSetConfig]
    budgets: dict[str, Budget]
    seeds: tuple[Seed, ...] = (0, 1, 2)
    splits: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    reference: str = "real"
    against: dict[str, str] = dataclasses.field(default_factory=dict)
    compared: dict[str, str] = dataclasses.field(default_factory=dict)
    bootstrap: Bootstrap = dataclasses.field(default_factory=Bootstrap)

    def __post_init__(self) -> None:
        if self.reference not in self.conditions:
            raise ValueError(unknown_key("reference", self.reference, self.conditions))
        for method, other in self.compared.items():
            for name in (method, other):
                if name not in self.methods:
                    raise ValueError(unknown_key(f"compared.{method}", name, self.methods))
            if method == other:
                raise ValueError(f"compared.{method} is the method itself")
        for key in ("splits", "against"):
            for condition in getattr(self, key):
                if condition not in self.conditions:
                    raise ValueError(unknown_key(key, condition, self.conditions))
        for condition, other in self.against.items():
            if other not in self.conditions:
                raise ValueError(unknown_key(f"against.{condition}", other, self.conditions))
        for condition, names in self.conditions.items():
            for name in names:
                if name not in self.data:
                    raise ValueError(unknown_key(f"conditions.{condition}", name, self.data))
        if len(set(self.seeds)) < len(self.seeds) or not self.seeds:
            raise ValueError(f"seeds={self.seeds} must be different numbers, at least one")
        for key in ("methods", "conditions", "budgets"):
            if not getattr(self, key):
                raise ValueError(f"{key} is empty; name at least one")
            for name in getattr(self, key):
                if not re.fullmatch(r"[a-z0-9_]+", name):
                    raise ValueError(f"{key}.{name}: use small letters, digits and _")


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run of the grid."""

    method: str
    condition: str
    budget: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.method}-{self.condition}-{self.budget}-{self.seed}"


def conditions(grid: GridConfig) -> list[str]:
    """The reference first, as the others are read against it."""
    return [grid.reference, *(c for c in grid.conditions if c != grid.reference)]


def sources(grid: GridConfig, condition: str) -> list[tuple[str, str]]:
    """(folder, split) of all that a condition trains on."""
    return [
        (grid.data[name], split)
        for name in grid.conditions[condition]
        for split in grid.splits.get(condition, ("train",))
    ]


def parse_grid(config: Mapping[str, Any]) -> GridConfig:
    """Validates a config file's values.

    Raises:
      ConfigError: names the key.
    """
    grid = parse(GridConfig, to_plain(config))
    for name, method in grid.methods.items():
        where = f"config.methods.{name}"
        # The grid says these two, whatever the method says.
        data = group(method, "data", where) | {"sources": [{"path": "replaced"}]}
        loop = group(method, "loop", where) | {"steps": 1}
        parse(RunConfig, method | {"data": data, "loop": loop}, where)
    return grid


def trials(grid: GridConfig) -> list[Trial]:
    """All runs; those of one seed stand together, so that an unfinished experiment is balanced."""
    order = itertools.product(grid.seeds, grid.budgets, grid.methods, conditions(grid))
    return [Trial(method, condition, budget, seed) for seed, budget, method, condition in order]


def find(grid: GridConfig, name: str) -> Trial:
    """The trial of a name, or of its number in :func:`trials`.

    Raises:
      ConfigError: there is none.
    """
    every = trials(grid)
    if re.fullmatch(r"[0-9]{1,9}", name):
        if int(name) >= len(every):
            raise ConfigError(f"trial {name}: they are numbered 0 to {len(every) - 1}")
        return every[int(name)]
    known = {t.name: t for t in every}
    if name not in known:
        raise ConfigError(unknown_word("trial", name, known, "trial"))
    return known[name]


def training_config(grid: GridConfig, trial: Trial) -> dict[str, Any]:
    """The config of one run, as ``run.build.Run`` takes it.

    Raises:
      DatasetError: a data folder is missing or has no such split.
    """
    config = copy.deepcopy(grid.methods[trial.method])
    trained_on = sources(grid, trial.condition)
    config["name"] = trial.name
    config["seed"] = trial.seed
    config["data"]["sources"] = [{"path": path, "split": split} for path, split in trained_on]
    steps = steps_of(grid.budgets[trial.budget], trained_on, config["data"]["batch_size"])
    loop, optim = config.setdefault("loop", {}), config.setdefault("optim", {})
    loop["steps"] = steps
    loop["eval_every"] = steps
    loop["save_every"] = min(loop.get("save_every", LoopConfig.save_every), steps)
    optim["warmup_steps"] = min(optim.get("warmup_steps", 0), steps // 10)
    evaluation = config.setdefault("eval", {})
    evaluation["sets"] = {
        name: dataclasses.asdict(one) | {"path": grid.data.get(one.path, one.path)}
        for name, one in grid.sets.items()
    }
    evaluation["bootstrap"] = dataclasses.asdict(grid.bootstrap)
    return config


def steps_of(budget: Budget, data: Sequence[tuple[str, str]], batch_size: int) -> int:
    """Optimizer steps of a budget on these (folder, split)."""
    if budget.steps:
        return budget.steps
    records = sum(len(open_dataset(folder, split)) for folder, split in data)
    return max(1, math.ceil(budget.epochs * records / batch_size))
