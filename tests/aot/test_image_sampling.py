"""Image sampling compiled for a TPU slice that is not here."""

import dataclasses

import pytest

from medvlp_jax.aot import image_sampling
from medvlp_jax.core.errors import UserError
from medvlp_jax.diffusion.sampler import SamplerConfig
from medvlp_jax.generation.images.text_to_image import PRESETS, TextToImage, TextToImageConfig
from medvlp_jax.models.stable_diffusion.unet import UNetConfig
from medvlp_jax.models.stable_diffusion.vae import VAEConfig
from medvlp_jax.models.text_encoder import TextConfig

pytestmark = pytest.mark.usefixtures("quick_compiles")

TINY = TextToImageConfig(
    name="tiny",
    text=dataclasses.replace(
        PRESETS["sd1.5"].text, vocab=512, width=64, depth=2, heads=2, mlp_width=128
    ),
    unet=UNetConfig(
        latent_size=16,
        widths=(32, 64),
        layers=1,
        heads=(2, 4),
        attends=(True, False),
        context_width=64,
        groups=8,
    ),
    vae=VAEConfig(image_size=32, widths=(16, 32), layers=1, groups=8),
    schedule=PRESETS["sd1.5"].schedule,
)


@pytest.mark.aot
def test_no_chip_talks_to_another(tpu_devices):
    report = image_sampling.compile_images(
        TINY, "v5e:2x2", batch_size=8, sampler=SamplerConfig(steps=4)
    )
    assert report.fits
    assert report.compiled.collectives == {}
    assert "8 images of 32 x 32" in str(report)
    assert "no chip talks to another" in str(report)
    assert "FITS" in str(report)


@pytest.mark.slow
def test_flops_of_the_published_networks():
    """803 and 2,515 GFLOP at 512 px were counted on the PyTorch networks, multiply-adds twice."""
    model = TextToImage(PRESETS["sd1.5"])
    one = image_sampling.image_flops(model, (512, 512), SamplerConfig(steps=1, guidance=1))
    two = image_sampling.image_flops(model, (512, 512), SamplerConfig(steps=1, guidance=2))
    assert two - one == pytest.approx(803e9, rel=0.05)
    assert 2 * one - two == pytest.approx(2515e9, rel=0.05)


def test_config():
    from configs.diffusion.sample import get_config

    config = get_config("sd1.5").to_dict()
    del config["program"]
    config["batch_size"] = 3
    with pytest.raises(UserError, match=r"batch_size=3|libtpu"):
        image_sampling.compile_config(config, "v5e:4x4")
    with pytest.raises(UserError, match="preset"):
        image_sampling.compile_config({**config, "preset": "sdxl"}, "v5e:4x4")


def test_parts_must_fit_each_other():
    text = TextConfig(width=32, heads=2)
    with pytest.raises(ValueError, match="not of one checkpoint"):
        dataclasses.replace(TINY, text=text)
