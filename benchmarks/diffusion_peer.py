"""The peer of a diffusion step: diffusers' UNet or autoencoder on PyTorch, random weights."""

# pyright: reportMissingImports=false
import time
from typing import Any, Literal

from benchmarks.diffusion_ours import random_inputs
from medvlp_jax.generation.images.text_to_image import PRESETS
from medvlp_jax.weights.tables import stable_diffusion_unet, stable_diffusion_vae


class DiffusersStep:
    """One call without gradients, attention by PyTorch's fused function, diffusers' default."""

    def __init__(self, part: Literal["unet", "decode"], side: int, threads: int):
        import torch
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self._torch = torch
        config = PRESETS["sd1.5"]
        if part == "unet":
            settings = stable_diffusion_unet.config_to(config.unet)
            self._model: Any = UNet2DConditionModel.from_config(settings)
        else:
            settings = stable_diffusion_vae.config_to(config.vae)
            self._model = AutoencoderKL.from_config(settings)
        self._model.eval()
        inputs = {k: torch.from_numpy(x) for k, x in random_inputs(part, side).items()}
        latents = inputs["latents"].permute(0, 3, 1, 2).contiguous()
        if part == "unet":
            self._call = lambda: self._model(latents, inputs["t"], inputs["context"]).sample
        else:
            scaling = config.vae.scaling
            self._call = lambda: self._model.decode(latents / scaling).sample
        self.step()

    def step(self) -> float:
        """Seconds of one call."""
        with self._torch.inference_mode():
            start = time.perf_counter()
            self._call()
            return time.perf_counter() - start

    def parameters(self) -> int:
        return sum(p.numel() for p in self._model.parameters())


def make(part: Literal["unet", "decode"], side: int, threads: int) -> DiffusersStep:
    return DiffusersStep(part, side, threads)
