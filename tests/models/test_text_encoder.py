"""Text tower: pools, padding, hidden states."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from model_toys import filled

from medvlp_jax.models.text_encoder import PRESETS, TextConfig, TextEncoder, pool_tokens

TINY = TextConfig(vocab=30, max_length=12, width=16, depth=3, heads=2, mlp_width=24)
IDS = np.array([[5, 6, 7, 8], [9, 3, 0, 0]])
MASK = IDS > 0


def build(**changes):
    return filled(TextEncoder, dataclasses.replace(TINY, **changes))


@functools.partial(jax.jit, static_argnames="hidden")
def run(model, ids, mask, hidden=0):
    return model(ids, mask, hidden=hidden)


def test_pools():
    x = jax.random.normal(jax.random.key(0), (2, 4, 3))
    mask = np.array([[True, True, True, True], [True, False, True, False]])
    y = np.asarray(x)
    expected = {
        "class": y[:, 0],
        "last": np.stack([y[0, 3], y[1, 2]]),
        "mean": np.stack([y[0].mean(0), y[1, [0, 2]].mean(0)]),
        "max": np.stack([y[0].max(0), y[1, [0, 2]].max(0)]),
    }
    for how, value in expected.items():
        np.testing.assert_allclose(pool_tokens(x, mask, how), value, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("pool", "norm"),
    [("class", "post"), ("mean", "post"), ("last", "pre"), ("max", "pre")],
)
def test_padding_does_not_matter(pool, norm):
    model = build(pool=pool, norm=norm)
    short = run(model, IDS, MASK).pooled
    # What stands behind the mask is arbitrary.
    padded = np.concatenate([np.where(MASK, IDS, 11), np.full((2, 5), 13)], axis=1)
    mask = np.concatenate([MASK, np.zeros((2, 5), bool)], axis=1)
    np.testing.assert_allclose(run(model, padded, mask).pooled, short, rtol=0, atol=2e-6)


@pytest.mark.parametrize("pool", ["class", "mean", "max"])
def test_an_empty_text_is_finite(pool):
    model = build(pool=pool)
    mask = np.array(MASK)
    mask[1] = False
    value, gradient = jax.jit(jax.value_and_grad(lambda m: m(IDS, mask).pooled.sum()))(model)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))


def test_causal_tokens_do_not_see_the_future():
    model = build(causal=True)
    other = IDS.copy()
    other[0, 3] = 1
    one, two = run(model, IDS, MASK).tokens, run(model, other, MASK).tokens
    np.testing.assert_array_equal(one[0, :3], two[0, :3])
    assert np.abs(one[0, 3] - two[0, 3]).max() > 1e-3


def test_hidden_states():
    model = build()
    out = run(model, IDS, MASK, hidden=3)
    assert out.hidden.shape == (3, 2, 4, 16)
    np.testing.assert_array_equal(out.hidden[-1], out.tokens)
    np.testing.assert_array_equal(run(model, IDS, MASK, hidden=2).hidden, out.hidden[1:])
    assert run(model, IDS, MASK).hidden is None
    with pytest.raises(ValueError, match="hidden=4 states of 3 blocks"):
        model(IDS, MASK, hidden=4)


def test_too_long_a_text_is_an_error():
    ids = jnp.ones((1, 13), jnp.int32)
    with pytest.raises(ValueError, match="13 tokens; bert has 12 positions"):
        build()(ids, ids > 0)


def test_bert_base_has_the_published_size():
    shapes = nnx.eval_shape(lambda: TextEncoder(PRESETS["bert_base"], rngs=nnx.Rngs(0)))
    # transformers' BertModel has 109,482,240 with its pooling layer of 768 x 768 + 768.
    assert sum(x.size for x in jax.tree.leaves(shapes)) == 109_482_240 - 768 * 769
