"""One training run from a tower, on chosen records, judged on validation data."""

import dataclasses
import logging
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Int

from medvlp_jax.core import sharding
from medvlp_jax.core.checkpoints import pretrained
from medvlp_jax.core.checkpoints.checkpoint import CheckpointConfig, Checkpointer
from medvlp_jax.core.config import to_plain
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.fields import Count, Size
from medvlp_jax.core.loop import LoopConfig, fit
from medvlp_jax.core.metrics import LogConfig, MetricWriter
from medvlp_jax.core.optim import OptimConfig, make_optimizer
from medvlp_jax.core.predict import Predictor
from medvlp_jax.core.processes import distributed
from medvlp_jax.core.profiling import ProfileConfig, Profiler
from medvlp_jax.core.state import ModelDef
from medvlp_jax.core.step import abstract_model, init_state, make_train_step
from medvlp_jax.core.task import Task
from medvlp_jax.data.config import DataConfig
from medvlp_jax.data.device import prefetch_to_device
from medvlp_jax.data.labelled import LabelIndex, labelled_iterator
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.eval.downstream.sets import Sets
from medvlp_jax.eval.downstream.tower import Tower, graft
from medvlp_jax.eval.protocol import EvalError, EvalResult
from medvlp_jax.tasks.registry import make_task

_log = logging.getLogger(__name__)
#: May change between two starts of one run.
_MAY_DIFFER = (
    "loop.log_every", "loop.save_every", "data.workers", "data.threads", "data.prefetch",
    "data.cache_dir", "data.max_bad_fraction", "data.sources",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class TuneConfig:
    """The length of one training run and what may end it early.

    Attributes:
      steps: of one training run.
      batch_size: rows of a batch.
      eval_every: steps between evaluations on validation data; the best checkpoint is tested.
      patience: evaluations without improvement after which a run ends; 0 = never.
      optim: see :class:`medvlp_jax.core.optim.OptimConfig`.
    """

    steps: Size = 3000
    batch_size: Size = 64
    eval_every: Count = 100
    patience: Count = 10
    optim: OptimConfig = dataclasses.field(
        default_factory=lambda: OptimConfig(lr=1e-4, warmup_steps=50, weight_decay=1e-6)
    )


class Interrupted(UserError):
    """The run was asked to stop and has saved; with a folder the same command goes on there."""


class Tuner:
    """Trains one kind of model on one data configuration, as often as asked; compiles once.

    Args:
      build: factory of a model that calls its tower ``vision``.
      task: ``config.task`` of :func:`medvlp_jax.tasks.registry.make_task`.
      data: labels, masks, boxes and image options; batch size from ``config``.
      score: validation metric of a bound predictor, the larger the better.
    """

    def __init__(
        self,
        build: Callable[[nnx.Rngs], nnx.Module],
        task: Mapping[str, Any],
        config: TuneConfig,
        sets: Sets,
        data: DataConfig,
        score: Callable[[Predictor], float],
    ):
        self.config, self.sets = config, sets
        self.data = dataclasses.replace(data, batch_size=config.batch_size)
        shards = sharding.batch_shards(sets.mesh)
        if config.batch_size % shards:
            raise EvalError(f"batch_size={config.batch_size} must be a multiple of {shards}")
        self.task_config = dict(task)
        self.model_def = ModelDef.of(build)
        self.task: Task = make_task(self.model_def, task)
        optim = config.optim
        if task.get("frozen"):
            optim = dataclasses.replace(optim, freeze=(*optim.freeze, "vision/"))
        self.optimizer = make_optimizer(
            optim, self.model_def.abstract_params, self.model_def.logical_axes, config.steps
        )
        self.step = make_train_step(self.model_def, self.task, self.optimizer, sets.mesh)
        self.score = score

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
        if folder is None:
            if jax.process_count() > 1:
                raise EvalError("several processes need a folder that all of them can reach")
            with tempfile.TemporaryDirectory(prefix="medvlp-tune-") as temporary:
                return self._run(tower, indices, rows, seed, pathlib.Path(temporary), about or {})
        return self._run(tower, indices, rows, seed, folder, about or {})

    def _run(
        self,
        tower: Tower,
        indices: Sequence[LabelIndex],
        rows: Sequence[Int[np.ndarray, "m"]],
        seed: int,
        folder: pathlib.Path,
        about: Mapping[str, Any],
    ) -> Predictor:
        c, mesh = self.config, self.sets.mesh
        data = dataclasses.replace(self.data, seed=seed)
        every = min(c.eval_every, c.steps)
        loop = LoopConfig(
            c.steps, log_every=every, eval_every=every, save_every=c.steps, patience=c.patience
        )
        resolved = to_plain(
            {"task": self.task_config, "tower": tower.digest(), "vision": tower.config,
             "loop": loop, "optim": self.optimizer.config, "data": data, "about": dict(about)}
        )  # fmt: skip
        if distributed.is_main():
            folder.mkdir(parents=True, exist_ok=True)
        distributed.barrier("tuning folder")
        checkpointer = Checkpointer(
            folder,
            CheckpointConfig(keep_last=1, keep_best=1, best_metric="validation/score"),
            resolved,
        )
        restored = checkpointer.restore_latest(self.step.abstract, _MAY_DIFFER)
        key = jax.random.key(seed)
        if restored is not None:
            state = restored.state
        else:
            state = graft(init_state(self.model_def, self.optimizer, key, mesh), tower)
        iterator = labelled_iterator(
            data, c.steps, [open_dataset(s.path, s.split) for s in data.sources],
            indices, rows, *distributed.data_slice(mesh),
        )  # fmt: skip
        if restored is not None:
            iterator.set_state(restored.data)

        def judge(predictor: Predictor) -> EvalResult:
            return EvalResult({"score": self.score(predictor)}, {})

        predictor = Predictor(self.model_def, self.task.predict, mesh)
        if distributed.is_main():
            records = sum(map(len, rows))
            print(f"{self.task_config['name']}: {records} records {_told(about)}", flush=True)
        with (
            iterator,
            prefetch_to_device(iterator, mesh, data.prefetch) as batches,
            MetricWriter(
                folder, LogConfig(), start_step=restored.step if restored else 0,
                run_config=resolved,
            ) as writer,
        ):  # fmt: skip
            result = fit(
                state, train_step=self.step, batches=batches, key=key, config=loop,
                checkpointer=checkpointer, writer=writer,
                profiler=Profiler(folder, ProfileConfig()), predictor=predictor,
                evaluators={"validation": judge}, restored=restored,
            )  # fmt: skip
        checkpointer.close()
        if result.preempted:
            raise Interrupted(f"asked to stop: training on the tower ended at step {result.step}")
        params, buffers = pretrained.load_model(
            folder, *abstract_model(self.model_def, mesh), step=_best(folder)
        )
        return predictor.with_arrays(params, buffers)


def _told(about: Mapping[str, Any]) -> str:
    """``(fraction 0.1, start random)``."""
    return "(" + ", ".join(f"{key} {value}" for key, value in about.items()) + ")" if about else ""


def _best(folder: pathlib.Path) -> pretrained.Which:
    try:
        pretrained.resolve(folder, "best")
    except pretrained.NoScoreError:
        # No evaluation was defined, for instance a validation set of one class.
        _log.warning("%s: validation never gave a number, the last state is tested", folder)
        return "latest"
    return "best"
