"""One of several runs of a config."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from medvlp_jax.core.state import TrainState
from medvlp_jax.eval.base import Evaluator
from medvlp_jax.run.batches import Rows


@dataclasses.dataclass(frozen=True)
class Variant:
    """How one of several runs of a config differs from what it says.

    Attributes:
      seed: of initialisation, data order and augmentation.
      rows: the records that it learns from.
      begin: makes its first state of a fresh one.
      evaluators: in place of those of ``config.eval``.
      facts: what makes it this run, as plain values: stored beside the config, and the same at
        every start.
    """

    seed: int
    rows: Rows
    begin: Callable[[TrainState], TrainState]
    evaluators: Mapping[str, Evaluator]
    facts: Mapping[str, Any]
