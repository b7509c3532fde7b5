"""ResNet: the pool, the maps, batch statistics over a mesh."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from model_toys import arrays, filled

from medvlp_jax.core.sharding import MeshConfig, batch_sharding, make_mesh, use_mesh
from medvlp_jax.core.state import ModelDef, flatten
from medvlp_jax.models.layers import largest
from medvlp_jax.models.resnet import PRESETS, ResNet, ResNetConfig, max_pool

TINY = ResNetConfig(channels=1, width=4, stage_sizes=(1, 2), block="basic")


@pytest.mark.parametrize("side", [(8, 8), (7, 10), (1, 5)])
def test_max_pool_equals_reduce_window(side):
    x = jax.random.normal(jax.random.key(0), (2, *side, 3))

    def reference(x):
        border = ((0, 0), (1, 1), (1, 1), (0, 0))
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), border)

    np.testing.assert_array_equal(jax.jit(max_pool)(x), reference(x))
    gradients = [
        jax.jit(jax.grad(lambda x, f=f: jnp.sin(f(x)).sum()))(x) for f in (max_pool, reference)
    ]
    np.testing.assert_allclose(*gradients, rtol=0, atol=1e-6)


def test_the_maximum_has_a_finite_gradient_of_one_entry():
    """Also in bfloat16, with equal entries, and where the backward pass computes them anew."""
    x = jnp.array([[[1.0, 5.0], [3.0, 5.0], [3.0, 2.0]]])
    np.testing.assert_array_equal(largest(x), x.max(axis=1))
    slope = jax.grad(lambda x: (largest(x) * jnp.array([2.0, 7.0])).sum())(x)
    np.testing.assert_array_equal(slope, [[[0, 7], [2, 0], [0, 0]]])

    w = jax.random.normal(jax.random.key(0), (8, 8))
    x = jax.random.normal(jax.random.key(1), (4, 50, 8))

    @jax.checkpoint
    def pooled(x, w):
        return largest(jnp.tanh(x.astype(jnp.bfloat16) @ w.astype(jnp.bfloat16)))

    slope = jax.jit(jax.grad(lambda w: pooled(x, w).astype(jnp.float32).sum()))(w)
    assert np.isfinite(slope).all()


def test_maps():
    """The middle map has twice the resolution and half the channels of the last."""
    model = filled(ResNet, dataclasses.replace(TINY, block="bottleneck"))
    out = jax.jit(lambda m, x: m(x))(model, jax.random.normal(jax.random.key(0), (2, 32, 32, 1)))
    assert out.middle.shape == (2, 8, 8, 16)
    assert out.patches.shape == (2, 4, 4, 32)
    np.testing.assert_allclose(out.pooled, out.patches.mean((1, 2)), rtol=0, atol=1e-6)


def test_resnet50_has_the_published_size():
    shapes = nnx.eval_shape(lambda: ResNet(PRESETS["resnet50"], rngs=nnx.Rngs(0)))
    params = jax.tree.leaves(nnx.state(shapes, nnx.Param))
    # torchvision's 25,557,032 less its head of 2048 x 1000 + 1000.
    assert sum(x.size for x in params) == 25_557_032 - 2_049_000


def test_residual_branches_start_at_zero():
    def run(key):
        x = jnp.abs(jax.random.normal(key, (2, 8, 8, 4)))
        return x, ResNet(TINY, rngs=nnx.Rngs(params=key)).stages[0][0](x, train=False)

    np.testing.assert_array_equal(*jax.jit(run)(jax.random.key(0)))


def test_evaluation_leaves_the_statistics_alone():
    model = ModelDef.of(lambda rngs: ResNet(TINY, rngs=rngs))
    params, buffers = arrays(model)
    image = jax.random.normal(jax.random.key(0), (2, 16, 16, 1))

    def after(train):
        module = model.merge(params, buffers)
        module(image, train=train)
        return flatten(model.buffers_of(module))

    for path, value in flatten(buffers).items():
        np.testing.assert_array_equal(jax.jit(after, static_argnums=0)(False)[path], value)
    trained = jax.jit(after, static_argnums=0)(True)
    assert all(np.abs(trained[p] - v).max() > 1e-3 for p, v in flatten(buffers).items())


@pytest.mark.multidevice
def test_batch_statistics_are_those_of_the_global_batch(devices):
    model = ModelDef.of(lambda rngs: ResNet(TINY, rngs=rngs))
    params, buffers = arrays(model)
    # Each device's rows differ in brightness, so that local statistics would be far off.
    image = jax.random.normal(jax.random.key(1), (8, 16, 16, 1))
    image = image + jnp.arange(8.0)[:, None, None, None]

    def step(params, buffers, image):
        module = model.merge(params, buffers)
        return module(image, train=True).pooled, model.buffers_of(module)

    pooled, after = jax.jit(step)(params, buffers, image)
    mesh = make_mesh(MeshConfig(data=4, fsdp=2), devices)
    with use_mesh(mesh):
        rows = jax.device_put(image, batch_sharding(mesh))
        pooled8, after8 = jax.jit(step)(params, buffers, rows)
    np.testing.assert_allclose(pooled8, pooled, rtol=0, atol=1e-5)
    for path, value in flatten(after).items():
        np.testing.assert_allclose(flatten(after8)[path], value, rtol=1e-5, atol=1e-5)


def test_errors():
    with pytest.raises(ValueError, match="channels 1"):
        filled(ResNet, TINY)(jnp.ones((1, 16, 16, 3)))
    with pytest.raises(ValueError, match="two stages or more"):
        ResNetConfig(stage_sizes=(3,))
