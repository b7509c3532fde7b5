"""What BLIP remembers while it is trained: averaged copies of its towers, and earlier vectors.

Both are part of the model's state that no gradient moves (as batch statistics are): they are
checkpointed and sharded with it. He et al. 2020, arXiv:1911.05722; Li et al. 2021,
arXiv:2107.07651.
"""

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float, Int, UInt32

from medvlp_jax.core.state import TrainState, flatten, unflatten
from medvlp_jax.core.vectors import l2_normalize
from medvlp_jax.models.blip.text import BlipText
from medvlp_jax.models.layers import Linear, unit_rows
from medvlp_jax.models.vit import ViT

#: Where the copies lie: ``momentum/vision/...`` is that of ``vision/...``.
NAME = "momentum"
QUEUE = "queue"


class Average(nnx.Variable):
    """The moving average of a parameter."""


class Memory(nnx.Variable):
    """Something remembered of earlier batches."""


class Momentum(nnx.Module):
    """Averages of all that makes the vectors of whole images and texts.

    ``batches`` counts the updates, which are the steps of training but for those that were skipped.
    """

    def __init__(
        self, vision: ViT, text: BlipText, vision_proj: Linear | None, text_proj: Linear | None
    ):
        if vision_proj is None or text_proj is None:
            raise ValueError("there is no momentum encoder without projections")
        alone = copy.copy(text)
        alone.decoder = alone.cross = None
        self.vision = _averages(vision)
        self.text = _averages(alone)
        self.vision_proj = _averages(vision_proj)
        self.text_proj = _averages(text_proj)
        self.batches = Memory(jnp.zeros((), jnp.int32), logical_axes=())

    def image_embed(self, image: Float[Array, "b y x c"]) -> Float[Array, "b e"]:
        """Unit vectors of whole images."""
        return project(self.vision_proj, tokens_of(self.vision, image)[:, 0])

    def text_embed(self, ids: Int[Array, "b t"], mask: Bool[Array, "b t"]) -> Float[Array, "b e"]:
        """Unit vectors of whole texts."""
        return project(self.text_proj, self.text(ids, mask)[:, 0])

    def follow(self, model: nnx.Module, decay: float) -> None:
        """Moves every average towards its parameter: ``decay * average + (1 - decay) * it``."""
        for average, own in _pairs(self, model):
            new = decay * average[...] + (1 - decay) * lax.stop_gradient(own[...])
            average.set_value(new.astype(average[...].dtype))
        self.batches.set_value(self.batches[...] + 1)


class Queue(nnx.Module):
    """A ring of the last vectors of the momentum encoder, oldest overwritten first.

    It starts with random directions, which belong to no record.
    """

    def __init__(self, size: int, width: int, *, rngs: nnx.Rngs):
        def vectors() -> Memory:
            drawn = unit_rows(rngs.params(), (size, width), jnp.dtype("float32"))
            return Memory(drawn, logical_axes=("queue", None))

        def numbers() -> Memory:
            return Memory(jnp.zeros((size,), jnp.uint32), logical_axes=("queue",))

        self.size = size
        self.image = vectors()
        self.text = vectors()
        self.record = numbers()
        self.text_key = numbers()
        self.group = numbers()
        self.valid = Memory(jnp.ones((size,), jnp.bool_), logical_axes=("queue",))
        self.place = Memory(jnp.zeros((), jnp.int32), logical_axes=())

    def push(
        self,
        image: Float[Array, "b e"],
        text: Float[Array, "b e"],
        keys: Sequence[UInt32[Array, " b"]],
        valid: Bool[Array, " b"],
    ) -> None:
        """Overwrites the oldest vectors with those of a batch.

        Args:
          keys: of the records, of their texts, and of the groups they belong to.
          valid: rows that are no padding.

        Raises:
          ValueError: the size of the queue is no multiple of the batch.
        """
        rows = len(valid)
        if self.size % rows:
            raise ValueError(f"a queue of {self.size} cannot take batches of {rows}")
        place = self.place[...]
        for memory, new in (
            (self.image, image),
            (self.text, text),
            (self.record, keys[0]),
            (self.text_key, keys[1]),
            (self.group, keys[2]),
            (self.valid, valid),
        ):
            new = lax.stop_gradient(new).astype(memory[...].dtype)
            memory.set_value(lax.dynamic_update_slice_in_dim(memory[...], new, place, 0))
        self.place.set_value((place + rows) % self.size)


def tokens_of(
    vision: ViT, image: Float[Array, "b y x c"], rng: jax.Array | None = None
) -> Float[Array, "b n d"]:
    """All tokens of an image after the last LayerNorm, the class token first."""
    found = vision(image, rng=rng)
    assert found.patches is not None  # patch dropout is refused by the config
    b, _, _, d = found.patches.shape
    return jnp.concatenate([found.pooled[:, None], found.patches.reshape(b, -1, d)], axis=1)


def project(map_: Linear | None, x: Float[Array, "... d"]) -> Float[Array, "... e"]:
    """Unit vectors in the joint space, in float32.

    Raises:
      ValueError: the model has no projections.
    """
    if map_ is None:
        raise ValueError("this BLIP makes no vectors; see config.model.branches")
    return l2_normalize(map_(x, out_dtype=jnp.dtype("float32")))


def begin(state: TrainState) -> TrainState:
    """A fresh state whose averages are its parameters, wherever these came from."""
    if NAME not in state.buffers:
        return state
    params, buffers = flatten(state.model_params()), flatten(state.buffers)
    for path, own in buffers.items():
        if path[0] == NAME and path[1:] in params:
            buffers[path] = jax.device_put(jnp.copy(params[path[1:]]), own.sharding)
        elif path[0] == NAME:
            buffers[path] = jax.device_put(jnp.zeros_like(own), own.sharding)
    return dataclasses.replace(state, buffers=unflatten(buffers))


def _averages(module: Any) -> Any:
    """A copy of a module with averages in place of its parameters."""
    found = copy.copy(module)
    for name, value in _parts(module):
        if isinstance(value, nnx.Param):
            axes = value.get_metadata().get("logical_axes", ())
            setattr(found, name, Average(value[...], logical_axes=axes))
        elif isinstance(value, nnx.List):
            setattr(found, name, nnx.List([_averages(one) for one in value]))
        elif isinstance(value, nnx.Module):
            setattr(found, name, _averages(value))
    return found


def _pairs(copies: Any, model: Any) -> Iterator[tuple[nnx.Variable, nnx.Variable]]:
    """(average, parameter) of all that is averaged."""
    for name, value in _parts(copies):
        if isinstance(value, Average):
            yield value, getattr(model, name)
        elif isinstance(value, nnx.List):
            for one, own in zip(value, getattr(model, name), strict=True):
                yield from _pairs(one, own)
        elif isinstance(value, nnx.Module):
            yield from _pairs(value, getattr(model, name))


def _parts(module: Any) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in vars(module).items() if not name.startswith("_")]
