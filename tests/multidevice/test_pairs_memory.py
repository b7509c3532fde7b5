"""Temporary bytes per device of the losses, read from the compiled programs; nothing is run."""

import functools

import jax
import jax.numpy as jnp
import pytest

from medvlp_jax.core.sharding import MeshConfig, batch_sharding, make_mesh
from medvlp_jax.losses import embeddings as losses
from medvlp_jax.losses.gathered import gathered_sigmoid_pairs, gathered_softmax_pairs
from medvlp_jax.losses.pairs import PairKeys, dense_sigmoid_pairs, dense_softmax_pairs
from medvlp_jax.losses.ring import Ring
from medvlp_jax.losses.ring_sigmoid import ring_sigmoid_pairs
from medvlp_jax.losses.ring_softmax import ring_softmax_pairs

pytestmark = pytest.mark.multidevice

WIDTH = 512


def temporary_bytes(loss, pairs, batch, mesh, grouped=False):
    """Of value and gradient; without the metrics, which would favour the ring."""
    place = batch_sharding(mesh)
    side = jax.ShapeDtypeStruct((batch, WIDTH), jnp.float32, sharding=place)
    key = jax.ShapeDtypeStruct((batch, 1), jnp.uint32, sharding=place)
    scalar = jax.ShapeDtypeStruct((), jnp.float32)

    def run(image, text, scale, bias, key):
        shared = {"keys": PairKeys(key, key) if grouped else None, "pairs": pairs}
        if loss == "infonce":
            return losses.infonce(image, text, scale, **shared)[0]
        return losses.sigmoid(image, text, scale, bias, **shared)[0]

    compiled = (
        jax.jit(
            jax.value_and_grad(run, argnums=(0, 1, 2, 3)),
            out_shardings=(None, (place, place, None, None)),
        )
        .lower(side, side, scalar, scalar, key)
        .compile()
    )
    return compiled.memory_analysis().temp_size_in_bytes


def ring_pairs(loss, mesh, block=None):
    return (ring_softmax_pairs if loss == "infonce" else ring_sigmoid_pairs)(Ring(mesh, block))


@pytest.mark.parametrize("loss", ["infonce", "sigmoid"])
def test_ring_needs_a_fraction_of_gathered_and_stays_flat(loss, devices):
    per_device = 1024
    meshes = {n: make_mesh(MeshConfig(n, 1, 1), devices[:n]) for n in (2, 4, 8)}
    gather = gathered_softmax_pairs if loss == "infonce" else gathered_sigmoid_pairs
    gathered = temporary_bytes(loss, gather(meshes[8]), 8 * per_device, meshes[8])
    ring = functools.partial(temporary_bytes, loss)
    default = ring(ring_pairs(loss, meshes[8]), 8 * per_device, meshes[8])
    assert default <= gathered / 4
    small = {
        n: ring(ring_pairs(loss, mesh, 256), n * per_device, mesh) for n, mesh in meshes.items()
    }
    assert small[8] <= gathered / 10
    assert small[8] < 8 * 2**20  # four copies of one side's embeddings are 8 MiB
    assert max(small.values()) <= 1.01 * min(small.values())
    grouped = ring(ring_pairs(loss, meshes[8], 256), 8 * per_device, meshes[8], grouped=True)
    assert grouped < 8 * 2**20


@pytest.mark.parametrize("loss", ["infonce", "sigmoid"])
def test_tiles_on_one_device(loss, devices):
    """Without a mesh: what is left are copies of the embeddings, 16 MiB here."""
    mesh, batch = make_mesh(MeshConfig(1, 1, 1), devices[:1]), 4096
    dense = dense_softmax_pairs if loss == "infonce" else dense_sigmoid_pairs
    whole = temporary_bytes(loss, dense, batch, mesh)
    tiles = temporary_bytes(loss, ring_pairs(loss, mesh, 256), batch, mesh)
    assert tiles < whole / 7
    assert tiles < 16 * 2**20
