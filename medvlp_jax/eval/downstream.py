"""What a pre-trained tower is worth on a labelled set: sets, towers, and one training run.

The protocols (``probe``, ``finetune``, ``segmentation``, ``detection``) differ in what stands
behind the tower; what they share is here. Beside a trained tower stands the same network from
random initialisation, treated alike in all else.
"""

import dataclasses
import hashlib
import logging
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Int

from medvlp_jax.core import distributed, pretrained, sharding
from medvlp_jax.core.checkpoint import CheckpointConfig, Checkpointer
from medvlp_jax.core.config import dumps, to_plain
from medvlp_jax.core.loop import LoopConfig, fit
from medvlp_jax.core.metrics import LogConfig, MetricWriter
from medvlp_jax.core.optim import OptimConfig, make_optimizer
from medvlp_jax.core.predict import Predictor
from medvlp_jax.core.profiling import ProfileConfig, Profiler
from medvlp_jax.core.state import ModelDef, TrainState, combine, flatten, unflatten
from medvlp_jax.core.step import abstract_model, init_state, make_train_step
from medvlp_jax.data.config import DataConfig, SourceConfig
from medvlp_jax.data.dataset import open_dataset
from medvlp_jax.data.device import prefetch_to_device, to_device
from medvlp_jax.data.labelled import (
    NO_TEXT,
    LabelIndex,
    NoTokenizer,
    label_index,
    labelled_iterator,
)
from medvlp_jax.data.pipeline import eval_batches
from medvlp_jax.eval.embedded import Embedded
from medvlp_jax.eval.protocol import EvalError, EvalResult, PredictFn
from medvlp_jax.models.heads import TowerOnly, VisionConfig
from medvlp_jax.tasks.base import Task, make_task
from medvlp_jax.tasks.images import PixelConfig

_log = logging.getLogger(__name__)
#: May change between two starts of one run.
_MAY_DIFFER = ("loop.log_every", "loop.save_every", "data.workers", "data.threads",
               "data.prefetch", "data.cache_dir", "data.max_bad_fraction", "data.sources")  # fmt: skip
#: Batches from which a random tower takes its batch statistics.
_CALIBRATION = 8
Start = Literal["pretrained", "random"]
STARTS: tuple[Start, ...] = ("pretrained", "random")


@dataclasses.dataclass(frozen=True)
class Tower:
    """A vision tower with its parameters, on the host.

    Attributes:
      params, buffers: nested dicts of numpy arrays, named as below ``vision`` in a model.
    """

    config: VisionConfig
    pixels: PixelConfig
    params: dict[str, Any]
    buffers: dict[str, Any]

    @staticmethod
    def of(predict: PredictFn, config: VisionConfig, pixels: PixelConfig) -> "Tower":
        """The tower of the model behind a predict function.

        Raises:
          EvalError: it is no ``core.predict.Predictor``, or its model has no ``vision``.
        """
        if not isinstance(predict, Predictor):
            raise EvalError("this evaluator trains on the tower: it needs a Predictor")
        params, buffers = predict.arrays
        if "vision" not in params:
            raise EvalError(f"the model has no vision tower, only {', '.join(params)}")
        params, buffers = jax.device_get((params["vision"], buffers.get("vision", {})))
        return Tower(config, pixels, params, buffers)

    def digest(self) -> str:
        """16 hex digits of configuration and parameters."""
        h = hashlib.sha256(dumps({"vision": self.config, "pixels": self.pixels}).encode())
        for tree in (self.params, self.buffers):
            for path, leaf in sorted(flatten(tree).items()):
                h.update("/".join(path).encode())
                h.update(np.ascontiguousarray(leaf).tobytes())
        return h.hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Sets:
    """Three splits of labelled data and how their images become batches.

    Attributes:
      name: of the test set, for results.
      data: image options, labels, masks, boxes; its sources are the training data.
      validation, test: other splits; validation chooses, test is read once a run.
      eval_batch: rows of an evaluation batch.
    """

    name: str
    data: DataConfig
    validation: SourceConfig
    test: SourceConfig
    eval_batch: int
    mesh: Mesh

    def embedded(self, which: Literal["validation", "test"], **changes: Any) -> Embedded:
        """One of the two sets, with fields of ``data`` replaced."""
        source = getattr(self, which)
        config = dataclasses.replace(
            self.data, sources=(source,), text=NO_TEXT, workers=0, **changes
        )
        opened = open_dataset(source.path, source.split)
        index, count = distributed.data_slice(self.mesh)

        def batches() -> Any:
            return eval_batches(
                config, opened, self.eval_batch, index, count,
                with_boxes=config.with_boxes, with_masks=config.with_masks,
                tokenizer=NoTokenizer(),  # type: ignore[arg-type]
            )  # fmt: skip

        return Embedded(self.name, batches, config.labels, split=source.split)

    def describe(self) -> dict[str, Any]:
        """The sets by name, for a result."""
        return {
            "set": self.name,
            "split": self.test.split,
            "validation": f"{self.validation.path}, split {self.validation.split}",
            "training": [f"{s.path}, split {s.split}" for s in self.data.sources],
        }

    def indices(self, labels: Sequence[str]) -> list[LabelIndex]:
        """The label index of every training source; one process reads, the others find it."""

        def read() -> list[LabelIndex]:
            return [
                label_index(open_dataset(s.path, s.split), labels, self.data.image,
                            self.data.cache_dir)
                for s in self.data.sources
            ]  # fmt: skip

        if distributed.is_main():
            read()
        distributed.barrier("label index")
        return read()


@dataclasses.dataclass(frozen=True)
class TuneConfig:
    """The length of one training run and what may end it early.

    Attributes:
      eval_every: steps between evaluations on validation data; the best checkpoint is tested.
      patience: evaluations without improvement after which a run ends; 0 = never.
    """

    steps: int = 3000
    batch_size: int = 64
    eval_every: int = 100
    patience: int = 10
    optim: OptimConfig = dataclasses.field(
        default_factory=lambda: OptimConfig(lr=1e-4, warmup_steps=50, weight_decay=1e-6)
    )


class Interrupted(Exception):
    """The run was asked to stop and has saved; the same command goes on from there."""


class Tuner:
    """Trains one kind of model on one data configuration, as often as asked; compiles once.

    Args:
      build: factory of a model that calls its tower ``vision``.
      task: ``config.task`` of :func:`medvlp_jax.tasks.base.make_task`.
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
            raise Interrupted(f"stopped at step {result.step} of {folder}")
        params, buffers = pretrained.load_model(
            folder, *abstract_model(self.model_def, mesh), step=_best(folder)
        )
        return predictor.with_arrays(params, buffers)


def _best(folder: pathlib.Path) -> pretrained.Which:
    try:
        pretrained.resolve(folder, "best")
    except pretrained.CheckpointError:
        # No evaluation was defined, for instance a validation set of one class.
        _log.warning("%s: validation never gave a number, the last state is tested", folder)
        return "latest"
    return "best"


def graft(state: TrainState, tower: Tower) -> TrainState:
    """A fresh state whose ``vision`` is that tower.

    Raises:
      EvalError: a tensor is missing, left over or of another shape, by name.
    """

    def replace(tree: Any, part: Mapping[str, Any], kind: str) -> Any:
        flat = flatten(tree)
        given = {("vision", *path): leaf for path, leaf in flatten(part).items()}
        wanted = {path for path in flat if path[0] == "vision"}
        for path in sorted(wanted ^ set(given)):
            raise EvalError(f"the tower does not fit the model: {kind} {'/'.join(path)}")
        for path, leaf in given.items():
            if flat[path].shape != np.shape(leaf):
                raise EvalError(
                    f"the tower does not fit the model: {kind} {'/'.join(path)} has shape "
                    f"{np.shape(leaf)}, not {flat[path].shape}"
                )
            flat[path] = jax.device_put(np.array(leaf, flat[path].dtype), flat[path].sharding)
        return unflatten(flat)

    everything = flatten(replace(combine(state.params, state.frozen), tower.params, "parameter"))
    params, frozen = (
        unflatten({path: everything[path] for path in flatten(tree)})
        for tree in (state.params, state.frozen)
    )
    buffers = replace(state.buffers, tower.buffers, "buffer")
    ema = jax.tree.map(lambda x: x.copy(), params) if state.ema else state.ema
    return dataclasses.replace(state, params=params, frozen=frozen, buffers=buffers, ema=ema)


def random_tower(
    like: Tower,
    seed: int,
    sets: Sets,
    indices: Sequence[LabelIndex],
    rows: Sequence[Int[np.ndarray, "m"]],
) -> Tower:
    """The same network from random initialisation.

    Its batch statistics are the means over a few batches of the training images: a frozen tower
    with those it starts with (mean 0, variance 1) would lose for a reason that is none.
    """
    model_def = ModelDef.of(lambda rngs: TowerOnly(like.config, rngs=rngs))
    params, buffers = jax.jit(model_def.init)(jax.random.key(seed))
    if flatten(buffers):
        data = dataclasses.replace(sets.data, with_masks=False, with_boxes=False, seed=seed,
                                   batch_size=sets.eval_batch)  # fmt: skip
        iterator = labelled_iterator(
            data, _CALIBRATION, [open_dataset(s.path, s.split) for s in data.sources],
            indices, rows, *distributed.data_slice(sets.mesh),
        )  # fmt: skip

        @jax.jit
        def look(params: Any, buffers: Any, image: jax.Array) -> Any:
            model = model_def.merge(params, buffers)
            with sharding.use_mesh(sets.mesh):
                model.vision(like.pixels.prepare(image), train=True)
            return model_def.buffers_of(model)

        # From the untouched start, each batch adds momentum times its own statistics, so the mean
        # of what it added, divided by the momentum, is their mean.
        momentum = getattr(like.config, "momentum", 0.1)
        seen = []
        with iterator:
            for batch in iterator:
                image = to_device({"image": batch["image"]}, sets.mesh)[0]["image"]
                seen.append(jax.device_get(look(params, buffers, image)))
        start = jax.device_get(buffers)
        buffers = jax.tree.map(
            lambda old, *new: old + (np.mean(new, axis=0) - old) / momentum, start, *seen
        )
    params, buffers = jax.device_get((params, buffers))
    return Tower(like.config, like.pixels, params["vision"], buffers.get("vision", {}))


class Towers:
    """The two starting points of an evaluator and the rows it may train on.

    Args:
      trained: what is measured.
      labels: what subsets are stratified by.
    """

    def __init__(self, trained: Tower, sets: Sets, labels: Sequence[str]):
        self.indices = sets.indices(labels)
        self._trained, self._sets = trained, sets
        self._random: dict[int, Tower] = {}

    def start(self, which: Start, seed: int = 0) -> Tower:
        """The trained tower, or a random one of this seed."""
        if which == "pretrained":
            return self._trained
        if seed not in self._random:
            self._random[seed] = random_tower(
                self._trained, seed, self._sets, self.indices, self.rows(1.0, 0)
            )
        return self._random[seed]

    def rows(self, fraction: float, seed: int) -> list[np.ndarray]:
        """Positions in each source's index."""
        return [np.asarray(i.subset(fraction, seed)) for i in self.indices]
