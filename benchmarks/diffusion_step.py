"""One UNet evaluation and one VAE decoding of Stable Diffusion 1.5 against diffusers'."""

# pyright: reportMissingImports=false
import time
from typing import Any, Literal

import numpy as np

from benchmarks.harness import Paired, Side, Tell, Worker, check_same_size, in_turn
from benchmarks.report import Row, Target, paired_row
from benchmarks.settings import Settings
from medvlp_jax.core.presets import apply_cpu_preset

TARGET = Target(1.0, at_most=True)
#: Latents per pixel of a side, and tokens of a prompt.
_FACTOR, _TOKENS = 8, 77
#: The method of both workers, and what it does.
_PARTS = {"unet": "UNet step, 2 rows (guidance)", "decode": "VAE decode, 1 image"}


def run(settings: Settings, tell: Tell) -> list[Row]:
    """Seconds of each on the same latents, float32, at the networks' full widths."""
    side, rounds = 256, 2 if settings.quick else 5
    rows = []
    # One part at a time: both sides' UNets are 3.4 GB each.
    for part, what in _PARTS.items():
        shape: dict[str, Any] = {"part": part, "side": side}
        our_side = Side(f"our {part}", f"{__name__}:OurDiffusion", shape)
        peer_side = Side(
            f"diffusers' {part}",
            f"{__name__}:DiffusersStep",
            {**shape, "threads": settings.threads},
        )
        tell(f"{part}: building and compiling")
        with (
            Worker(our_side, settings.threads) as ours,
            Worker(peer_side, settings.threads) as peer,
        ):
            check_same_size(ours, peer)
            paired = Paired(
                *in_turn([lambda w=w: w.call("step") for w in (ours, peer)], rounds, tell)
            )
        rows.append(paired_row(f"{what}, SD 1.5 at {side} px", paired, "s", TARGET))
    return rows


def random_inputs(part: str, side: int) -> dict[str, np.ndarray]:
    """Latents in our layout, and what else the UNet takes, for both sides."""
    rng = np.random.default_rng(0)
    rows = 2 if part == "unet" else 1
    latents = rng.standard_normal((rows, side // _FACTOR, side // _FACTOR, 4)).astype(np.float32)
    if part == "decode":
        return {"latents": latents}
    context = rng.standard_normal((rows, _TOKENS, 768)).astype(np.float32)
    return {"latents": latents, "t": np.full(rows, 500, np.float32), "context": context}


class OurDiffusion:
    """One compiled call."""

    def __init__(self, part: Literal["unet", "decode"], side: int, preset: bool = True):
        if preset:
            apply_cpu_preset()
        import jax

        from medvlp_jax.core.state import param_count
        from medvlp_jax.generation.images.text_to_image import PRESETS, TextToImage

        model = TextToImage(PRESETS["sd1.5"]).parts["unet" if part == "unet" else "vae"]
        self._block = jax.block_until_ready
        self._params, _ = jax.jit(model.init)(jax.random.key(0))
        self._count = param_count(self._params)

        def call(params: Any, inputs: dict[str, Any]) -> Any:
            module = model.merge(params, {})
            return module(**inputs) if part == "unet" else module.decode(**inputs)

        self._inputs = jax.device_put(random_inputs(part, side))
        self._call = jax.jit(call)
        self.step()  # compiles

    def step(self) -> float:
        """Seconds of one call."""
        start = time.perf_counter()
        self._block(self._call(self._params, self._inputs))
        return time.perf_counter() - start

    def parameters(self) -> int:
        return self._count


class DiffusersStep:
    """One call without gradients, attention by PyTorch's fused function, diffusers' default."""

    def __init__(self, part: Literal["unet", "decode"], side: int, threads: int):
        import torch
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

        from medvlp_jax.generation.images.text_to_image import PRESETS
        from medvlp_jax.weights.tables import stable_diffusion_unet, stable_diffusion_vae

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
