"""Stacked blocks: the scan, remat policies, dropout, precision."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from model_toys import filled

from medvlp_jax.core.sharding import (
    MeshConfig,
    batch_sharding,
    make_mesh,
    replicated,
    use_mesh,
)
from medvlp_jax.core.state import ModelDef
from medvlp_jax.models.blocks import REMAT, BlockConfig, apply_blocks, stack_blocks

CONFIG = BlockConfig(width=16, depth=3, heads=2, mlp_width=24, layer_scale=0.5)
MASK = np.arange(5) < np.array([[5], [3]])


X = jax.random.normal(jax.random.key(2), (2, 5, 16))


def made(config=CONFIG):
    """Blocks with random parameters, the same for configs of the same shapes."""
    return filled(lambda config, rngs: stack_blocks(config, rngs=rngs), config)


def value_and_grads(config, **kwargs):
    def loss(blocks, x):
        return jnp.sin(apply_blocks(blocks, x, mask=MASK, **kwargs)[0]).sum()

    value, grads = jax.jit(jax.value_and_grad(loss, (0, 1)))(made(config), X)
    return [value, *jax.tree.leaves(grads)]


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_scan_equals_a_loop(norm):
    blocks = made(dataclasses.replace(CONFIG, norm=norm))

    @jax.jit
    def both(blocks, x):
        out, states = apply_blocks(blocks, x, mask=MASK, collect=True)
        loop = []
        for i in range(CONFIG.depth):
            x = jax.tree.map(lambda a, i=i: a[i], blocks)(x, mask=MASK)
            loop.append(x)
        return out, states, jnp.stack(loop)

    out, states, loop = both(blocks, X)
    np.testing.assert_allclose(states, loop, rtol=0, atol=2e-6)
    np.testing.assert_array_equal(out, states[-1])


@pytest.fixture(scope="module")
def plain():
    """Value and gradients of the scanned blocks without remat, with dropout."""
    config = dataclasses.replace(CONFIG, dropout=0.3)
    return config, value_and_grads(config, rng=jax.random.key(3))


@pytest.mark.parametrize(
    ("remat", "unroll"), [("none", 2), ("none", 8), *((r, 1) for r in REMAT), ("full", 3)]
)
def test_remat_and_unrolling_change_nothing(plain, remat, unroll):
    config, reference = plain
    config = dataclasses.replace(config, remat=remat, unroll=unroll)
    ours = value_and_grads(config, rng=jax.random.key(3))
    for one, other in zip(ours, reference, strict=True):
        # Of the largest entry: gradients are sums whose terms are of that size.
        assert np.abs(one - other).max() <= 1e-5 * max(1.0, np.abs(other).max())


def test_remat_saves_memory():
    """Residuals that leave the forward pass: none > dots > dots_no_batch > one tensor > inputs."""
    sizes = {}
    for remat in ("none", *REMAT):
        blocks = made(dataclasses.replace(CONFIG, remat=remat))
        saved = jax.eval_shape(
            lambda b, x: jax.vjp(lambda b, x: apply_blocks(b, x)[0], b, x)[1], blocks, X
        )
        sizes[remat] = sum(leaf.size for leaf in jax.tree.leaves(saved))
    order = ["none", "dots", "dots_no_batch", "save_attention", "full"]
    assert [*sorted(sizes, key=sizes.__getitem__, reverse=True)] == order
    assert sizes["save_attention"] - sizes["full"] == 3 * 2 * 5 * 16


def test_dropout_follows_its_key():
    blocks = made(dataclasses.replace(CONFIG, dropout=0.5))
    run = jax.jit(lambda key: apply_blocks(blocks, X, rng=key)[0])
    off = jax.jit(lambda: apply_blocks(blocks, X)[0])()
    one, two = run(jax.random.key(0)), run(jax.random.key(1))
    np.testing.assert_array_equal(one, run(jax.random.key(0)))
    assert np.abs(one - two).max() > 0.1
    assert np.abs(one - off).max() > 0.1


def test_masked_tokens_do_not_reach_the_others():
    blocks = made()
    run = jax.jit(lambda x: apply_blocks(blocks, x, mask=MASK)[0])
    out = run(X), run(X.at[1, 3:].add(7.0))
    np.testing.assert_array_equal(out[0][1, :3], out[1][1, :3])
    assert np.abs(out[0][1, 3:] - out[1][1, 3:]).max() > 0.1


def test_bfloat16_keeps_parameters_and_gradients_in_float32():
    blocks = made(dataclasses.replace(CONFIG, dtype="bfloat16"))
    assert {leaf.dtype for leaf in jax.tree.leaves(blocks)} == {jnp.dtype("float32")}
    assert jax.eval_shape(lambda b, x: apply_blocks(b, x)[0], blocks, X).dtype == jnp.bfloat16

    def loss(blocks):
        return apply_blocks(blocks, X)[0].astype(jnp.float32).sum()

    grads = jax.eval_shape(jax.grad(loss), blocks)
    assert {leaf.dtype for leaf in jax.tree.leaves(grads)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 3}, "width 16 is not a multiple of heads 3"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"remat": "most"}, "'most' is not one of none, full, dots"),
    ],
)
def test_bad_sizes(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **change)


@pytest.mark.aot
@pytest.mark.parametrize(("remat", "kernels"), [("save_attention", 3), ("full", 4)])
def test_save_attention_spares_the_tpu_kernel(tpu_devices, remat, kernels):
    """Forward, dq and dkv; recomputing everything runs the forward kernel a second time."""
    config = BlockConfig(width=128, depth=2, heads=2, mlp_width=128, dtype="bfloat16", remat=remat)
    model = ModelDef.of(lambda rngs: stack_blocks(config, rngs=rngs))
    mesh = make_mesh(MeshConfig(data=2, tensor=2), tpu_devices)
    params = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated(mesh)),
        model.abstract_params,
    )
    x = jax.ShapeDtypeStruct((4, 512, 128), jnp.bfloat16, sharding=batch_sharding(mesh))

    def loss(params, x):
        return apply_blocks(model.merge(params, {}), x)[0].astype(jnp.float32).sum()

    with use_mesh(mesh):
        compiled = jax.jit(jax.grad(loss)).lower(params, x).compile()
    assert compiled.as_text().count('custom_call_target="tpu_custom_call"') == kernels
