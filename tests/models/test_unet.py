"""UNet and autoencoder: shapes, gradients, meshes, errors; parity stands in tests/parity."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from medvlp_jax.core.sharding import (
    MeshConfig,
    batch_sharding,
    bytes_per_device,
    make_mesh,
    replicated,
    tree_shardings,
    use_mesh,
)
from medvlp_jax.core.state import ModelDef, param_count
from medvlp_jax.models.stable_diffusion import unet as unets
from medvlp_jax.models.stable_diffusion import vae as vaes
from medvlp_jax.models.stable_diffusion.unet import UNet, UNetConfig
from medvlp_jax.models.stable_diffusion.vae import AutoencoderKL, VAEConfig

CONFIG = UNetConfig(
    latent_size=8,
    widths=(8, 16),
    layers=1,
    heads=(2, 2),
    attends=(True, False),
    context_width=12,
    groups=4,
)
VAE = VAEConfig(image_size=16, widths=(8, 16), layers=1, groups=4)


def model_of(config):
    kind = UNet if isinstance(config, UNetConfig) else AutoencoderKL
    return ModelDef.of(lambda rngs: kind(config, rngs=rngs))


def draw(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def drawn(model):
    """Parameters of order 1/sqrt(fan-in), off every default."""
    leaves, tree = jax.tree.flatten(model.abstract_params)
    values = [
        draw(n, *x.shape) * (np.prod(x.shape[:-1]) ** -0.5 if len(x.shape) > 1 else 0.3)
        for n, x in enumerate(leaves)
    ]
    return jax.tree.unflatten(tree, values)


@pytest.fixture(scope="module")
def unet():
    model = model_of(CONFIG)
    return model, drawn(model)


def test_context_of_one_token_is_a_bias(unet):
    """With one key the weights are 1 whatever the query: every place receives the same vector."""
    model, params = unet
    x = draw(0, 2, 8, 12, 8)
    context = draw(1, 2, 1, 12)

    def cross(params, x, context):
        module = model.merge(params, {})
        return module.down_blocks[0].attentions[0].attn2(x.reshape(2, 96, 8), context)

    out = jax.jit(cross)(params, x, context)
    np.testing.assert_allclose(out, jnp.broadcast_to(out[:, :1], out.shape), atol=1e-6)


def test_one_time_for_all_and_rows_apart(unet):
    model, params = unet
    run = jax.jit(lambda p, *args: model.merge(p, {})(*args))
    latents, context = draw(0, 3, 6, 10, 4), draw(1, 3, 5, 12)
    together = run(params, latents, jnp.full((3,), 7.0), context)
    assert together.shape == latents.shape
    np.testing.assert_allclose(run(params, latents, jnp.float32(7.0), context), together, atol=1e-6)
    turned = run(params, latents[::-1], jnp.full((3,), 7.0), context[::-1])
    np.testing.assert_allclose(turned[::-1], together, atol=1e-5)
    later = run(params, latents, jnp.full((3,), 700.0), context)
    assert float(jnp.abs(later - together).max()) > 0.01


@pytest.mark.slow
def test_remat_has_the_same_gradient(unet):
    model, params = unet
    again = model_of(dataclasses.replace(CONFIG, remat=True))
    latents, context, t = draw(0, 1, 4, 4, 4), draw(1, 1, 3, 12), jnp.array([500.0])

    def loss(params, model):
        return jnp.sum(model.merge(params, {})(latents, t, context) ** 2)

    plain, remat = (jax.jit(jax.grad(lambda p, m=m: loss(p, m)))(params) for m in (model, again))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), plain, remat)


@pytest.mark.multidevice
@pytest.mark.parametrize(
    "shape", [{"data": 8}, {"data": 2, "fsdp": 2, "tensor": 2}], ids=["data", "all"]
)
def test_mesh(unet, shape, devices):
    """Same numbers, and each device holds and computes its own rows only."""
    model, params = unet
    mesh = make_mesh(MeshConfig(**shape), devices)
    latents, context, t = draw(0, 8, 4, 4, 4), draw(1, 8, 3, 12), jnp.linspace(0, 999, 8)
    call = lambda p, *args: model.merge(p, {})(*args)  # noqa: E731
    wanted = jax.jit(call)(params, latents, t, context)
    places = tree_shardings(model.abstract_params, model.logical_axes, mesh)
    rows = batch_sharding(mesh)
    with use_mesh(mesh):
        run = jax.jit(call, in_shardings=(places, rows, rows, rows), out_shardings=rows)
        compiled = run.lower(params, latents, t, context).compile()
    np.testing.assert_allclose(
        compiled(
            jax.device_put(params, places),
            *(jax.device_put(x, rows) for x in (latents, t, context)),
        ),
        wanted,
        atol=2e-5,
    )
    whole = jax.tree.map(lambda _: replicated(mesh), places)
    held = bytes_per_device(model.abstract_params, places)
    everything = bytes_per_device(model.abstract_params, whole)
    if shape == {"data": 8}:
        assert held == everything
        # All devices' maps have one row: none computes what another does, none needs to talk.
        text = compiled.as_text()
        assert "f32[1,4,4,8]" in text
        assert "f32[8,4,4,8]" not in text
        assert "all-reduce" not in text
        assert "all-gather" not in text
    else:
        assert held < 0.6 * everything


@pytest.mark.slow  # the parity with diffusers covers the sizes that are run
def test_published_sizes():
    assert param_count(model_of(unets.PRESETS["sd2"]).abstract_params) == 865_910_724
    assert param_count(model_of(vaes.PRESETS["kl_f8"]).abstract_params) == 83_653_863


def test_autoencoder_scales_both_ways():
    model = model_of(VAE)
    params = drawn(model)
    doubled = model_of(dataclasses.replace(VAE, scaling=2 * VAE.scaling))
    image = draw(0, 2, 8, 12, 3)

    def both(model, params):
        module = model.merge(params, {})
        moments = module.encode(image)
        return moments, module.decode(moments.mean)

    once, twice = (jax.jit(lambda p, m=m: both(m, p))(params) for m in (model, doubled))
    assert once[0].mean.shape == (2, 4, 6, 4)
    np.testing.assert_allclose(twice[0].mean, 2 * once[0].mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(twice[0].std, 2 * once[0].std, rtol=1e-5)
    np.testing.assert_allclose(twice[1], once[1], atol=1e-5)
    assert once[1].shape == image.shape
    key = jax.random.key(1)
    spread = (once[0].sample(key) - once[0].mean) / once[0].std
    np.testing.assert_allclose(spread, jax.random.normal(key, spread.shape), rtol=1e-3, atol=1e-3)


class TestErrors:
    def test_sizes(self, unet):
        model, params = unet
        module = model.merge(params, {})
        t = jnp.zeros(1)
        with pytest.raises(ValueError, match="multiples of 2"):
            module(draw(0, 1, 5, 4, 4), t, draw(0, 1, 1, 12))
        with pytest.raises(ValueError, match="its width is 12"):
            module(draw(0, 1, 4, 4, 4), t, draw(0, 1, 1, 16))
        with pytest.raises(ValueError, match="one entry per level"):
            dataclasses.replace(CONFIG, heads=(2,))

    def test_autoencoder(self):
        model = model_of(VAE)
        module = model.merge(drawn(model), {})
        with pytest.raises(ValueError, match="multiples of 2"):
            module.encode(draw(0, 1, 7, 8, 3))
        with pytest.raises(ValueError, match="has 4"):
            module.decode(draw(0, 1, 4, 4, 3))

    def test_groups(self):
        with pytest.raises(ValueError, match="8 channels do not fall into 3 groups"):
            model_of(dataclasses.replace(CONFIG, groups=3))
