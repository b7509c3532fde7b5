"""One device equals eight: gathered and ring losses on meshes against the dense ones."""

import functools

import jax
import jax.numpy as jnp
import loss_oracle as oracle
import numpy as np
import pytest

from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.sharding import MeshConfig, batch_sharding, make_mesh
from medvlp_jax.losses import embeddings as losses
from medvlp_jax.losses.gathered import gathered_sigmoid_pairs, gathered_softmax_pairs
from medvlp_jax.losses.pairs import (
    PairKeys,
    dense_sigmoid_pairs,
    dense_softmax_pairs,
    either,
    equality,
)
from medvlp_jax.losses.ring import Ring
from medvlp_jax.losses.ring_sigmoid import ring_sigmoid_pairs
from medvlp_jax.losses.ring_softmax import ring_softmax_pairs

pytestmark = pytest.mark.multidevice

RECORDS, WIDTH = 32, 12
VALID = np.arange(RECORDS) % 9 != 5
GROUPS = np.random.default_rng(0).integers(0, 9, (RECORDS, 1)).astype(np.uint32)
SHOWN, STATED = np.random.default_rng(0).integers(0, 64, (2, RECORDS, 1)).astype(np.uint32)
KEYS = {
    "own pair": None,
    "groups": equality(jnp.asarray(GROUPS)),
    "either": either(
        equality(jnp.asarray(GROUPS)),
        equality(jnp.asarray(np.c_[GROUPS[::-1] % 4, np.arange(RECORDS) % 3].astype(np.uint32))),
    ),
    "stated": PairKeys(jnp.asarray(SHOWN | STATED), jnp.asarray(STATED)),
}
CASES = [
    ("gathered", MeshConfig(8, 1, 1), None),
    ("gathered", MeshConfig(2, 2, 2), None),
    ("ring", MeshConfig(8, 1, 1), 2),
    ("ring", MeshConfig(2, 2, 2), 4),
    ("ring", MeshConfig(1, 1, 8), 8),
]


def pairs_of(how, loss, mesh, block=None):
    if how == "dense":
        return dense_softmax_pairs if loss == "infonce" else dense_sigmoid_pairs
    if how == "gathered":
        return (gathered_softmax_pairs if loss == "infonce" else gathered_sigmoid_pairs)(mesh)
    return (ring_softmax_pairs if loss == "infonce" else ring_sigmoid_pairs)(Ring(mesh, block))


def run(loss, pairs, key, valid, image, text, scale, bias):
    if loss == "infonce":
        return losses.infonce(
            image, text, scale, image_weight=0.7, keys=key, valid=valid, pairs=pairs
        )
    return losses.sigmoid(image, text, scale, bias, keys=key, valid=valid, pairs=pairs)


def differentiate(function, *arguments):
    wrt = tuple(range(len(arguments)))
    return jax.jit(jax.value_and_grad(function, argnums=wrt, has_aux=True))(*arguments)


@functools.cache
def dense(loss, grouped):
    rng = np.random.default_rng(1)
    arguments = (
        oracle.unit(rng, RECORDS, WIDTH),
        oracle.unit(rng, RECORDS, WIDTH),
        np.float64(8.0),
        np.float64(-2.0),
    )
    key = KEYS[grouped]
    function = functools.partial(run, loss, pairs_of("dense", loss, None), key, jnp.asarray(VALID))
    return arguments, key, jax.tree.map(np.asarray, differentiate(function, *arguments))


@pytest.mark.parametrize("grouped", KEYS)
@pytest.mark.parametrize("loss", ["infonce", "sigmoid"])
@pytest.mark.parametrize(
    ("how", "mesh", "block"),
    CASES,
    ids=[f"{h}-{m.data}x{m.fsdp}x{m.tensor}-{b}" for h, m, b in CASES],
)
def test_value_gradient_and_metrics_on_a_mesh(how, mesh, block, loss, grouped, devices):
    mesh = make_mesh(mesh, devices)
    with jax.enable_x64(True):
        (image, text, scale, bias), key, expected = dense(loss, grouped)
        place = batch_sharding(mesh)
        image, text = jax.device_put((image, text), place)
        function = functools.partial(
            run, loss, pairs_of(how, loss, mesh, block), key, jnp.asarray(VALID)
        )
        got = differentiate(function, image, text, scale, bias)
        assert got[1][0].sharding.is_equivalent_to(place, 2)  # the gradient is at home again
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13), got, expected
        )


@pytest.mark.parametrize("loss", ["infonce", "sigmoid"])
def test_float32_on_a_mesh(loss, devices):
    """Sums in another order: equal up to rounding."""
    rng = np.random.default_rng(2)
    image, text = (jnp.float32(oracle.unit(rng, 64, 16)) for _ in range(2))
    mesh, valid = make_mesh(MeshConfig(2, 4, 1), devices), jnp.ones(64, bool)
    results = [
        differentiate(
            functools.partial(run, loss, pairs_of(how, loss, mesh), None, valid),
            *(image, text, jnp.float32(14.0), jnp.float32(-5.0)),
        )
        for how in ("dense", "gathered", "ring")
    ]
    for result in results[1:]:
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6, atol=5e-7),
            result,
            results[0],
        )


@pytest.mark.parametrize("how", ["gathered", "ring"])
@pytest.mark.parametrize("loss", ["infonce", "sigmoid"])
def test_a_batch_that_does_not_divide_is_an_error(loss, how, devices):
    mesh = make_mesh(MeshConfig(2, 2, 2), devices)
    image, valid = jnp.ones((6, 3)), jnp.ones(6, bool)
    with pytest.raises(ConfigError, match="batch of 6 records does not divide into the 4 shards"):
        run(loss, pairs_of(how, loss, mesh), None, valid, image, image, 1.0, 0.0)


def test_a_block_that_does_not_divide_is_an_error(devices):
    mesh = make_mesh(MeshConfig(8, 1, 1), devices)
    with pytest.raises(ConfigError, match="block=3 does not divide the 4 records of a device"):
        Ring(mesh, 3).tile(32)
    with pytest.raises(ConfigError, match="block=0 must be positive"):
        Ring(mesh, 0).tile(32)


def test_the_block_is_chosen_to_divide(devices):
    mesh = make_mesh(MeshConfig(8, 1, 1), devices)
    sides = {batch: Ring(mesh).tile(8 * batch) for batch in (1, 100, 512, 1024, 768, 1000, 1021)}
    assert sides == {1: 1, 100: 100, 512: 512, 1024: 512, 768: 384, 1000: 500, 1021: 1021}
    assert Ring(mesh, 64).tile(8 * 32) == 32
    assert Ring(None, 64).tile(256) == 64
