"""A Stable Diffusion from one folder to another."""

import dataclasses
import pathlib

import jax
import numpy as np

from medvlp_jax.core.sharding import MeshConfig, make_mesh
from medvlp_jax.core.state import param_count
from medvlp_jax.generation.images import stable_diffusion
from medvlp_jax.generation.images.text_to_image import TextToImage
from medvlp_jax.run.conversion.comparison import Part
from medvlp_jax.run.conversion.converted import Converted, of_encoder, single


def convert_stable_diffusion(path: pathlib.Path, to: pathlib.Path, dtype: str) -> Converted:
    """Reads a folder of diffusers and writes it with tensors of ``dtype``."""
    folder = stable_diffusion.Folder.of(path)
    model = TextToImage(stable_diffusion.read_config(folder))
    mesh = make_mesh(MeshConfig(data=1), jax.devices()[:1])
    params = stable_diffusion.load_params(folder, model, mesh, dtype)
    tokenizer = stable_diffusion.load_tokenizer(folder.tokenizer)
    scheduler = stable_diffusion.read_scheduler(folder)
    stable_diffusion.save(to, model.config, params, tokenizer, scheduler)
    c, rng = model.config, np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    text = of_encoder("clip_text_model", to / "text_encoder", c.text, params["text"], {}).parts[0]
    unet = Part(
        "unet",
        to / "unet",
        {
            "latents": normal(2, 16, 16, c.unet.channels),
            "t": np.array([3, 700]),
            "context": normal(2, 8, c.text.width),
        },
        lambda x: {
            "noise": jax.jit(
                lambda p, z, t, e: model.unet.merge(p, {})(z, t.astype(np.float32), e)
            )(single(params["unet"]), x["latents"], x["t"], x["context"])
        },
    )
    vae = Part(
        "vae",
        to / "vae",
        {"image": normal(1, 64, 64, 3), "latents": normal(1, 8, 8, c.vae.latent_channels)},
        lambda x: {
            # Ours scales latents for the UNet; diffusers leaves that to its pipeline.
            "mean": jax.jit(lambda p, y: model.vae.merge(p, {}).encode(y).mean / c.vae.scaling)(
                single(params["vae"]), x["image"]
            ),
            "decoded": jax.jit(lambda p, z: model.vae.merge(p, {}).decode(z * c.vae.scaling))(
                single(params["vae"]), x["latents"]
            ),
        },
    )
    parts = (text, unet, vae)
    if dtype != "float32":
        return Converted("Stable Diffusion", to, param_count(params), parts)
    read = tuple(dataclasses.replace(p, folder=path / p.folder.name) for p in parts)
    return Converted("Stable Diffusion", to, param_count(params), parts, source=lambda: read)
