"""Our side of a DINOv2 forward pass: the tower that training runs start from."""

import time
from typing import Any

import numpy as np

from medvlp_jax.core.presets import apply_cpu_preset


def random_images(rows: int, side: int) -> np.ndarray:
    """Normalised pixels [b, y, x, 3]; the peer gets the same."""
    return np.random.default_rng(0).standard_normal((rows, side, side, 3)).astype(np.float32)


class OurTower:
    """One compiled call on the folder's weights."""

    def __init__(self, folder: str, rows: int, side: int):
        import jax

        from medvlp_jax.core.state import ModelDef
        from medvlp_jax.weights.families import build
        from medvlp_jax.weights.source import open_source

        source = open_source(folder)
        model = ModelDef.of(build(source.config))
        self._params, _ = source.load(model.abstract_params)
        self._block = jax.block_until_ready

        def call(params: Any, images: Any) -> Any:
            found = model.merge(params, {})(images)
            return found.pooled, found.patches

        self._images = jax.device_put(random_images(rows, side))
        self._call = jax.jit(call)
        self.step()  # compiles

    def step(self) -> float:
        """Seconds of one call."""
        start = time.perf_counter()
        self._block(self._call(self._params, self._images))
        return time.perf_counter() - start

    def pooled(self) -> list[float]:
        """The first image's vector."""
        return np.asarray(self._call(self._params, self._images)[0][0]).tolist()


def make(folder: str, rows: int, side: int) -> OurTower:
    apply_cpu_preset()
    return OurTower(folder, rows, side)
