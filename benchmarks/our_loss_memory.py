"""Temporary bytes per device of the contrastive loss, read from compiled programs; nothing runs."""

from typing import Any, Literal

import jax
import jax.numpy as jnp

from medvlp_jax.core import sharding
from medvlp_jax.core.sharding import MeshConfig, batch_sharding, make_mesh
from medvlp_jax.losses.embeddings import infonce
from medvlp_jax.losses.gathered import gathered_softmax_pairs
from medvlp_jax.losses.ring import Ring
from medvlp_jax.losses.ring_softmax import ring_softmax_pairs

_WIDTH = 512


class LossMemory:
    """InfoNCE of ``batch`` pairs, forward and backward, fp32, over all devices."""

    def temporary_bytes(self, impl: Literal["gathered", "ring"], batch: int) -> int:
        mesh = make_mesh(MeshConfig(data=-1))
        place = batch_sharding(mesh)
        side = jax.ShapeDtypeStruct((batch, _WIDTH), jnp.float32, sharding=place)
        scale = jax.ShapeDtypeStruct((), jnp.float32)
        pairs = (
            ring_softmax_pairs(Ring(mesh, None)) if impl == "ring" else gathered_softmax_pairs(mesh)
        )

        def loss(image: jax.Array, text: jax.Array, scale: jax.Array) -> jax.Array:
            return infonce(image, text, scale, pairs=pairs)[0]

        step = jax.jit(
            jax.value_and_grad(loss, argnums=(0, 1, 2)), out_shardings=(None, (place, place, None))
        )
        with sharding.use_mesh(mesh):
            memory: Any = step.lower(side, side, scale).compile().memory_analysis()
        return memory.temp_size_in_bytes


def make() -> LossMemory:
    return LossMemory()
