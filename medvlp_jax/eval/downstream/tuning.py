"""Training runs from a tower, as the evaluators that train ask for them.

The runs themselves are made by ``run.tune``, the floor above, in the one way to train; it comes to
the evaluators through their context.
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import Int

from medvlp_jax.core.errors import UserError
from medvlp_jax.core.predict import Predictor
from medvlp_jax.data.config import DataConfig
from medvlp_jax.data.labelled import LabelIndex
from medvlp_jax.eval.downstream.config import TuneConfig
from medvlp_jax.eval.downstream.sets import Sets
from medvlp_jax.eval.downstream.tower import Tower
from medvlp_jax.models.base import ModelConfig


class Interrupted(UserError):
    """The run was asked to stop and has saved; with a folder the same command goes on there."""


class Tuner(Protocol):
    """Trains one kind of model on one data configuration, as often as asked; compiles once."""

    def run(
        self,
        tower: Tower,
        indices: Sequence[LabelIndex],
        rows: Sequence[Int[np.ndarray, "m"]],
        *,
        seed: int,
        folder: pathlib.Path | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> Predictor:
        """Trains from ``tower`` on chosen records; the best state by validation, bound.

        Args:
          seed: of the head's initialisation, the order of the data and the augmentation.
          folder: for checkpoints, from which a run goes on; None: a temporary one.
          about: told in the stored config (fraction, which start).

        Raises:
          Interrupted: asked to stop.
        """
        ...


class MakeTuner(Protocol):
    """Makes a :class:`Tuner`."""

    def __call__(
        self,
        model: ModelConfig,
        task: Mapping[str, Any],
        config: TuneConfig,
        sets: Sets,
        data: DataConfig,
        score: Callable[[Predictor], float],
    ) -> Tuner:
        """A tuner.

        Args:
          model: calls its tower ``vision``.
          task: ``config.task`` of the runs.
          data: labels, masks, boxes and image options; batch size from ``config``.
          score: validation metric of a bound predictor, the larger the better.
        """
        ...
