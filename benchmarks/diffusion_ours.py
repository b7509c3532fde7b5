"""Our side of a diffusion step: UNet or decoder of Stable Diffusion 1.5, random weights."""

import time
from typing import Any, Literal

import numpy as np

from medvlp_jax.core.presets import apply_cpu_preset

#: Latents per pixel of a side, and tokens of a prompt.
FACTOR, TOKENS = 8, 77


def random_inputs(part: str, side: int) -> dict[str, np.ndarray]:
    """Latents in our layout, and what else the UNet takes; the peer gets the same."""
    rng = np.random.default_rng(0)
    rows = 2 if part == "unet" else 1
    latents = rng.standard_normal((rows, side // FACTOR, side // FACTOR, 4)).astype(np.float32)
    if part == "decode":
        return {"latents": latents}
    context = rng.standard_normal((rows, TOKENS, 768)).astype(np.float32)
    return {"latents": latents, "t": np.full(rows, 500, np.float32), "context": context}


class OurDiffusion:
    """One compiled call."""

    def __init__(self, part: Literal["unet", "decode"], side: int):
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


def make(part: Literal["unet", "decode"], side: int, preset: bool = True) -> OurDiffusion:
    if preset:
        apply_cpu_preset()
    return OurDiffusion(part, side)
