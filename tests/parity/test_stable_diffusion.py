"""Stable Diffusion 1.x and 2.1 against diffusers, from ``fixtures/`` (tiny_stable_diffusion.py).

Folders saved by diffusers in half precision are loaded, and every part and the whole of them is
compared in float32 with what diffusers computed.
"""

import dataclasses
import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from medvlp_jax.core.sharding import MeshConfig, make_mesh
from medvlp_jax.generation.images import stable_diffusion
from medvlp_jax.generation.images.stable_diffusion import (
    Folder,
    load_params,
    read_config,
    read_sampler,
)
from medvlp_jax.generation.images.text_to_image import TextToImage, image_keys

pytestmark = pytest.mark.usefixtures("quick_compiles")

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
TOLERANCE = 2e-5
PROMPTS = ("a large right effusion", "no acute disease", "pneumothorax")
STEPS = {"ddim": 50, "dpmpp_2m": 20, "euler": 20}


@functools.cache
def loaded(version):
    folder = Folder.of(FIXTURES / version)
    model = TextToImage(read_config(folder))
    mesh = make_mesh(MeshConfig(), jax.devices()[:1])
    with np.load(FIXTURES / f"{version}.npz") as file:
        case = {name: file[name] for name in file.files}
    return folder, model, load_params(folder, model, mesh), case


def check(ours, theirs):
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert np.abs(theirs).max() > 0.3  # the bound below would say nothing otherwise
    np.testing.assert_allclose(ours, theirs, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("version", ["sd1", "sd2"])
class TestParts:
    def test_unet(self, version):
        _, model, params, case = loaded(version)
        run = jax.jit(lambda p, *args: model.unet.merge(p, {})(*args))
        t = case["in/t"].astype(np.float32)
        check(run(params["unet"], case["in/latents"], t, case["in/context"]), case["out/unet"])

    def test_tokens_and_text(self, version):
        folder, model, params, case = loaded(version)
        tokenizer = stable_diffusion.load_tokenizer(folder.tokenizer)
        length = model.config.text.max_length
        texts = [*PROMPTS, ""]
        ids = tokenizer(texts, padding="max_length", max_length=length)["input_ids"]
        np.testing.assert_array_equal(ids, case["out/ids"])
        run = jax.jit(lambda p, ids: model.text.merge(p, {})(ids, jnp.ones_like(ids, bool)).tokens)
        check(run(params["text"], np.asarray(ids)), case["out/text"])

    def test_autoencoder(self, version):
        if version == "sd2":
            pytest.skip("the two versions have the same autoencoder")
        _, model, params, case = loaded(version)
        encode = jax.jit(lambda p, x: model.vae.merge(p, {}).encode(x))
        decode = jax.jit(lambda p, x: model.vae.merge(p, {}).decode(x))
        scaling = model.config.vae.scaling
        moments = encode(params["vae"], case["in/image"])
        check(moments.mean / scaling, case["out/mean"])
        check(moments.std / scaling, case["out/std"])
        check(decode(params["vae"], case["in/latents"] * scaling), case["out/decoded"])


@pytest.mark.parametrize("method", STEPS)
@pytest.mark.parametrize("version", ["sd1", "sd2"])
def test_same_images(version, method):
    folder, model, params, case = loaded(version)
    sampler = read_sampler(folder, method, steps=STEPS[method], guidance=4.0)
    noise, ids = case["in/noise"], case["out/ids"]
    keys = image_keys(jnp.arange(3, dtype=jnp.uint32))
    run = jax.jit(functools.partial(model.images, sampler=sampler))
    ours = run(params, ids[:3], ids[3:], noise, keys)
    theirs = case[f"out/{method}"]
    assert ours.dtype == np.uint8
    assert np.asarray(ours).shape == theirs.shape
    # Neither flat nor clipped to black and white, or equality would be cheap.
    assert np.std(theirs) > 40
    assert np.mean((theirs > 5) & (theirs < 250)) > 0.8
    difference = np.abs(np.asarray(ours).astype(int) - theirs)
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 0.01


@pytest.mark.slow
def test_other_numbers_give_other_images():
    """The comparison above notices a wrong guidance, spacing or time step."""
    folder, model, params, case = loaded("sd1")
    right = read_sampler(folder, "dpmpp_2m", steps=20, guidance=4.0)
    ids = case["out/ids"]
    for wrong in ({"guidance": 3.9}, {"spacing": "linspace"}, {"offset": 0}):
        sampler = dataclasses.replace(right, **wrong)
        run = jax.jit(functools.partial(model.images, sampler=sampler))
        keys = image_keys(jnp.arange(3, dtype=jnp.uint32))
        ours = np.asarray(run(params, ids[:3], ids[3:], case["in/noise"], keys)).astype(int)
        assert np.abs(ours - case["out/dpmpp_2m"]).max() > 1, wrong
