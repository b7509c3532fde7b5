"""ViT: stems, pools, patch dropout, other image sizes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from model_toys import filled

from medvlp_jax.models.vit import PRESETS, ViT, ViTConfig, drop_patches

TINY = ViTConfig(image_size=32, patch=8, channels=1, width=16, depth=2, heads=2, mlp_width=24)
IMAGE = jax.random.normal(jax.random.key(7), (2, 32, 32, 1))


def build(**changes):
    return filled(ViT, dataclasses.replace(TINY, **changes))


@jax.jit
def run(model, image, rng=None):
    return model(image, rng=rng)


@pytest.mark.parametrize("stem", ["patch", "conv"])
@pytest.mark.parametrize("pool", ["class", "mean", "map"])
def test_shapes(stem, pool):
    out = run(build(stem=stem, pool=pool), IMAGE)
    assert out.pooled.shape == (2, 16)
    assert out.patches.shape == (2, 4, 4, 16)
    assert out.middle is None


def test_presets_have_the_published_sizes():
    sizes = {n: (c.patch, c.width, c.depth, c.heads, c.mlp_width) for n, c in PRESETS.items()}
    assert sizes["vit_b16"] == (16, 768, 12, 12, 3072)
    assert sizes["vit_l14"] == (14, 1024, 24, 16, 4096)
    shapes = nnx.eval_shape(lambda: ViT(PRESETS["vit_b16"], rngs=nnx.Rngs(0)))
    # 86.6 M is Dosovitskiy et al.'s ViT-B/16 with its 768 x 1000 head; 85.8 M is without.
    assert sum(x.size for x in jax.tree.leaves(shapes)) == 85_798_656


def test_a_patch_sees_its_own_pixels_first():
    """Grid cell (row, column) is the patch at those pixels, not at their transpose."""
    model = build()
    image = jnp.zeros((1, 32, 32, 1)).at[0, 8:16, 24:32].set(1.0)
    changed = np.abs(model.embed(image) - model.embed(jnp.zeros_like(image)))[0].max(-1) > 0
    assert changed.sum() == 1
    assert changed[1, 3]


def test_mean_pool_is_the_mean_of_the_patches():
    out = run(build(pool="mean"), IMAGE)
    np.testing.assert_allclose(out.pooled, out.patches.mean((1, 2)), rtol=0, atol=1e-6)


def test_map_pool_of_equal_tokens_is_each_of_them():
    pool = build(pool="map").pool
    token = jax.random.normal(jax.random.key(1), (3, 1, 16))
    pooled = pool(jnp.broadcast_to(token, (3, 5, 16)))
    np.testing.assert_allclose(pooled, pool.each(token)[:, 0], rtol=0, atol=1e-6)


def test_patch_dropout_keeps_a_random_subset():
    x = jnp.arange(64.0)[None, :, None] + 100 * jnp.arange(3.0)[:, None, None]
    kept = np.asarray(drop_patches(x, 16, jax.random.key(0)))[..., 0]
    assert kept.shape == (3, 16)
    for row, values in enumerate(kept):
        assert len(set(values)) == 16
        assert set(values) <= set(range(100 * row, 100 * row + 64))
    assert set(kept[0]) != set(kept[1] - 100)
    # Every patch is kept with the same probability: 16/64 of 400 draws, five deviations wide.
    draws = jax.vmap(lambda k: drop_patches(x[:1], 16, k))(jax.random.split(jax.random.key(1), 400))
    counts = np.bincount(np.asarray(draws, int).ravel(), minlength=64)
    assert np.abs(counts - 100).max() < 5 * np.sqrt(400 * 0.25 * 0.75)


def test_patch_dropout_needs_a_key():
    model = build(patch_dropout=0.5)
    full, dropped = run(model, IMAGE), run(model, IMAGE, jax.random.key(0))
    np.testing.assert_array_equal(full.pooled, run(build(), IMAGE).pooled)
    assert full.patches is not None
    assert dropped.patches is None
    assert np.abs(full.pooled - dropped.pooled).max() > 1e-4
    with pytest.raises(ValueError, match="no patch map under patch dropout"):
        model.local(dropped)


def test_patch_dropout_shortens_the_sequence():
    """Half of 16 patches and the class token are 9 tokens in every block."""
    model = build(patch_dropout=0.5)
    text = str(jax.make_jaxpr(lambda x, k: model(x, rng=k).pooled)(IMAGE, jax.random.key(0)))
    assert "f32[2,2,9,9]" in text
    assert "f32[2,2,17,17]" not in text


def test_another_image_size_resizes_the_positions():
    out = jax.eval_shape(run, build(), jax.ShapeDtypeStruct((2, 48, 24, 1), jnp.float32))
    assert out.patches.shape == (2, 6, 3, 16)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((2, 30, 32, 1), "multiples of 8"), ((2, 32, 32, 3), "channels 1")],
)
def test_bad_images(shape, message):
    with pytest.raises(ValueError, match=message):
        build()(jnp.zeros(shape))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 30}, "image_size 30 is not a multiple of patch 8"),
        ({"class_token": False}, "needs class_token=True"),
        ({"patch_dropout": 1.0}, r"not in \[0, 1\)"),
        ({"stem": "conv", "patch": 6, "image_size": 36}, "power of two, not 6"),
    ],
)
def test_bad_configs(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **change)
