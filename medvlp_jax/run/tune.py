"""Runs from a tower on labelled records, judged on validation data, by the one way to train."""

import dataclasses
import logging
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from medvlp_jax.core import sharding
from medvlp_jax.core.checkpoints import pretrained
from medvlp_jax.core.checkpoints.checkpoint import CheckpointConfig
from medvlp_jax.core.config import to_plain
from medvlp_jax.core.loop import FitResult, LoopConfig
from medvlp_jax.core.predict import Predictor
from medvlp_jax.core.step import abstract_model
from medvlp_jax.data.config import DataConfig
from medvlp_jax.data.labelled import LabelIndex
from medvlp_jax.eval.base import EvalError, EvalResult
from medvlp_jax.eval.downstream.config import TuneConfig
from medvlp_jax.eval.downstream.sets import Sets
from medvlp_jax.eval.downstream.tower import Tower, graft
from medvlp_jax.eval.downstream.tuning import Interrupted
from medvlp_jax.models.base import ModelConfig
from medvlp_jax.run.batches import Rows
from medvlp_jax.run.build import Run
from medvlp_jax.run.config import RunConfig
from medvlp_jax.run.variant import Variant

_log = logging.getLogger(__name__)


class Tuner:
    """Trains one kind of model on one data configuration, as often as asked; compiles once.

    See :class:`medvlp_jax.eval.downstream.tuning.MakeTuner` for the arguments.

    Args:
      train: ``run.train.train``, which knows the evaluators, which know this.
    """

    def __init__(
        self,
        train: Callable[..., FitResult],
        model: ModelConfig,
        task: Mapping[str, Any],
        config: TuneConfig,
        sets: Sets,
        data: DataConfig,
        score: Callable[[Predictor], float],
    ):
        c, optim = config, config.optim
        shards = sharding.batch_shards(sets.mesh)
        if c.batch_size % shards:
            raise EvalError(f"batch_size={c.batch_size} must be a multiple of {shards}")
        if task.get("frozen"):
            optim = dataclasses.replace(optim, freeze=(*optim.freeze, "vision/"))
        every = min(c.eval_every, c.steps)
        whole = RunConfig(
            name=str(task["name"]),
            model=to_plain(model),
            task=dict(task),
            data=dataclasses.replace(data, batch_size=c.batch_size),
            loop=LoopConfig(
                c.steps,
                log_every=every,
                eval_every=every,
                save_every=c.steps,
                patience=c.patience,
            ),
            optim=optim,
            checkpoint=CheckpointConfig(keep_last=1, keep_best=1, best_metric="validation/score"),
        )
        self._built = Run(whole, model=model, mesh=sets.mesh)
        self._train, self._score = train, score

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
        """See :meth:`medvlp_jax.eval.downstream.tuning.Tuner.run`."""

        def judge(predict: Any) -> EvalResult:
            return EvalResult({"score": self._score(predict)}, {})

        variant = Variant(
            seed,
            Rows(indices, rows),
            begin=lambda state: graft(state, tower),
            evaluators={"validation": judge},
            facts={"tower": tower.digest(), "about": dict(about or {})},
        )
        if folder is not None:
            return self._run(folder, variant)
        if jax.process_count() > 1:
            raise EvalError("several processes need a folder that all of them can reach")
        with tempfile.TemporaryDirectory(prefix="medvlp-tune-") as temporary:
            return self._run(pathlib.Path(temporary), variant)

    def _run(self, folder: pathlib.Path, variant: Variant) -> Predictor:
        built = self._built
        result = self._train(built, folder, variant=variant)
        if result.preempted:
            raise Interrupted(f"asked to stop: training on the tower ended at step {result.step}")
        params, buffers = pretrained.load_model(
            folder, *abstract_model(built.model_def, built.mesh), step=_best(folder)
        )
        return built.predictor().with_arrays(params, buffers)


def _best(folder: pathlib.Path) -> pretrained.Which:
    try:
        pretrained.resolve(folder, "best")
    except pretrained.NoScoreError:
        # No evaluation was defined, for instance a validation set of one class.
        _log.warning("%s: validation never gave a number, the last state is tested", folder)
        return "latest"
    return "best"
