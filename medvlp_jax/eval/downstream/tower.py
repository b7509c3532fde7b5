"""The two starting points of the evaluators that train: a trained tower, and a random one.

What a pre-trained tower is worth on a labelled set is measured beside the same network from random
initialisation, treated alike in all else.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int, Shaped

from medvlp_jax.core import sharding
from medvlp_jax.core.config import dumps
from medvlp_jax.core.predict import Predictor
from medvlp_jax.core.processes import distributed
from medvlp_jax.core.state import ModelDef, TrainState, combine, flatten, unflatten
from medvlp_jax.data.device import to_device
from medvlp_jax.data.labelled import LabelIndex, labelled_iterator
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.eval.base import EvalError, PredictFn
from medvlp_jax.eval.downstream.config import Start
from medvlp_jax.eval.downstream.sets import Sets
from medvlp_jax.models.heads import TowerOnly
from medvlp_jax.models.towers import VisionConfig
from medvlp_jax.tasks.images import PixelConfig

#: Batches from which a random tower takes its batch statistics.
CALIBRATION = 8
#: Pixels of a batch, uint8 or float32.
Image = Shaped[np.ndarray, "b y x c"]


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


def settled(tower: Tower, images: Iterable[Image], mesh: Mesh) -> Tower:
    """A tower whose batch statistics are the means over the batches of ``images``.

    That is for a random tower: frozen with the statistics it starts with (mean 0, variance 1) it
    would lose for a reason that is none.

    Args:
      images: this process's rows [b, y, x, c] of a few batches, as a pipeline gives them.
    """
    if not flatten(tower.buffers):
        return tower
    model_def = ModelDef.of(lambda rngs: TowerOnly(tower.config, rngs=rngs))

    @jax.jit
    def look(params: Any, buffers: Any, image: jax.Array) -> Any:
        model = model_def.merge({"vision": params}, {"vision": buffers})
        with sharding.use_mesh(mesh):
            model.vision(tower.pixels.prepare(image), train=True)
        return model_def.buffers_of(model)["vision"]

    # From the untouched start, each batch adds momentum times its own statistics, so the mean of
    # what it added, divided by the momentum, is their mean.
    seen = [
        jax.device_get(look(tower.params, tower.buffers, to_device({"image": i}, mesh)[0]["image"]))
        for i in images
    ]
    momentum = getattr(tower.config, "momentum", 0.1)
    buffers = jax.tree.map(
        lambda old, *new: old + (np.mean(new, axis=0) - old) / momentum, tower.buffers, *seen
    )
    return dataclasses.replace(tower, buffers=buffers)


@functools.lru_cache(maxsize=1)
def _untrained(config: VisionConfig, seed: int) -> tuple[Any, Any]:
    """Arrays of a tower on the host; every evaluator of a run asks for the same ones."""
    model_def = ModelDef.of(lambda rngs: TowerOnly(config, rngs=rngs))
    return jax.device_get(jax.jit(model_def.init)(jax.random.key(seed)))


def random_tower(
    like: Tower,
    seed: int,
    sets: Sets,
    indices: Sequence[LabelIndex],
    rows: Sequence[Int[np.ndarray, "m"]],
) -> Tower:
    """The same network from random initialisation, with the batch statistics of training images."""
    params, buffers = _untrained(like.config, seed)
    fresh = dataclasses.replace(like, params=params["vision"], buffers=buffers.get("vision", {}))
    data = dataclasses.replace(sets.data, seed=seed, batch_size=sets.eval_batch)
    with labelled_iterator(
        data, CALIBRATION, [open_dataset(s.path, s.split) for s in data.sources],
        indices, rows, *distributed.data_slice(sets.mesh), columns=("image",),
    ) as batches:  # fmt: skip
        return settled(fresh, (batch["image"] for batch in batches), sets.mesh)


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
