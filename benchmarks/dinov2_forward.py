"""A forward pass of DINOv2's tower, loaded from a folder of transformers', against transformers."""

# pyright: reportMissingImports=false
import tempfile
import time
from typing import Any

import numpy as np

from benchmarks.harness import Paired, Side, Tell, Worker, in_turn
from benchmarks.report import Row, Target, paired_row
from benchmarks.settings import Settings
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.presets import apply_cpu_preset

TARGET = Target(1.0, at_most=True)
#: ViT-B/14, the size of RAD-DINO.
_CONFIG: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "patch_size": 14,
}
_NOTE = (
    "ViT-B/14 with random weights, the same file on both sides, float32; both give the class "
    "token's vector and the patches'."
)


def run(settings: Settings, tell: Tell) -> list[Row]:
    """Seconds of each on the same images."""
    rows, rounds = (4, 3) if settings.quick else (8, 7)
    with tempfile.TemporaryDirectory() as folder:
        shape: dict[str, Any] = {"folder": folder, "rows": rows, "side": 224}
        peer_side = Side(
            "transformers", f"{__name__}:TransformersTower", {**shape, "threads": settings.threads}
        )
        tell("building and compiling")
        with Worker(peer_side, settings.threads) as peer:  # it writes the folder
            our_side = Side("our tower", f"{__name__}:OurTower", shape)
            with Worker(our_side, settings.threads) as ours:
                check_same(ours.call("pooled"), peer.call("pooled"))
                taken = in_turn([lambda w=w: w.call("step") for w in (ours, peer)], rounds, tell)
    what = f"DINOv2 forward, {rows} images at 224 px"
    return [paired_row(what, Paired(*taken), "s", TARGET, _NOTE)]


def check_same(ours: list[float], peer: list[float]) -> None:
    """Whether both sides did the same work.

    Raises:
      UserError: the vectors differ by more than float32 does.
    """
    gap = float(np.max(np.abs(np.subtract(ours, peer))))
    if not gap < 1e-3:
        raise UserError(
            f"the towers differ: their vectors are up to {gap:.2g} apart; install the versions of "
            "requirements.lock"
        )


def random_images(rows: int, side: int) -> np.ndarray:
    """Normalised pixels [b, y, x, 3]; the same for both sides."""
    return np.random.default_rng(0).standard_normal((rows, side, side, 3)).astype(np.float32)


class OurTower:
    """One compiled call on the folder's weights."""

    def __init__(self, folder: str, rows: int, side: int):
        apply_cpu_preset()
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


class TransformersTower:
    """One call without gradients, attention by PyTorch's fused function, the library's default.

    Writes its random weights into ``folder``.
    """

    def __init__(self, folder: str, rows: int, side: int, threads: int):
        import torch
        from transformers import Dinov2Config, Dinov2Model

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self._torch = torch
        self._model: Any = Dinov2Model(Dinov2Config(image_size=side, **_CONFIG)).float().eval()
        self._model.save_pretrained(folder)
        images = torch.from_numpy(random_images(rows, side))
        self._images = images.permute(0, 3, 1, 2).contiguous()
        self.step()

    def step(self) -> float:
        """Seconds of one call."""
        with self._torch.inference_mode():
            start = time.perf_counter()
            self._model(self._images)
            return time.perf_counter() - start

    def pooled(self) -> list[float]:
        """The first image's vector."""
        with self._torch.inference_mode():
            return self._model(self._images).pooler_output[0].tolist()
