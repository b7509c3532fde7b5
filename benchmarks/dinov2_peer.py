"""The peer of a DINOv2 forward pass: transformers on PyTorch, random weights."""

# pyright: reportMissingImports=false
import time
from typing import Any

from benchmarks.dinov2_ours import random_images

#: ViT-B/14, the size of RAD-DINO.
_CONFIG: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "patch_size": 14,
}


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


def make(folder: str, rows: int, side: int, threads: int) -> TransformersTower:
    return TransformersTower(folder, rows, side, threads)
