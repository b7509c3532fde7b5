"""The peer of a training step: open_clip's model, loss and optimizer settings."""

# pyright: reportMissingImports=false
import json
import pathlib
import tempfile
import time
from typing import Any

from benchmarks.data import random_batch
from benchmarks.models import Shape, bert_config, open_clip_config
from benchmarks.torchvision_stand_in import ensure_torchvision


class OpenClipStep:
    """Zero the gradients, forward, ``ClipLoss``, backward, ``AdamW.step``, as open_clip trains."""

    def __init__(self, shape: Shape, text_lengths: tuple[int, ...], threads: int):
        ensure_torchvision()
        import open_clip
        import torch

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "config.json").write_text(json.dumps(bert_config()))
            registered = pathlib.Path(folder) / f"benchmark_{shape.vision}.json"
            registered.write_text(json.dumps(open_clip_config(shape, folder)))
            open_clip.add_model_config(registered)
            self._model = open_clip.create_model(
                registered.stem, pretrained_text=False, output_dict=True
            )
        self._model.train()
        self._loss = open_clip.ClipLoss()
        self._optimizer = torch.optim.AdamW(
            _groups(self._model, weight_decay=0.2), lr=5e-4, betas=(0.9, 0.98), eps=1e-6
        )
        self._batches: dict[int, Any] = {}
        for length in text_lengths:
            image, text, _ = random_batch(shape.batch, length)
            pixels = torch.from_numpy(image).permute(0, 3, 1, 2).contiguous().float()
            self._batches[length] = (pixels / 127.5 - 1, torch.from_numpy(text).long())
            self.step(length)

    def step(self, text_len: int) -> float:
        """Seconds of one step."""
        image, text = self._batches[text_len]
        start = time.perf_counter()
        self._optimizer.zero_grad()
        losses = self._loss(**self._model(image, text), output_dict=True)
        total: Any = sum(losses.values())
        total.backward()
        self._optimizer.step()
        return time.perf_counter() - start

    def parameters(self) -> int:
        return sum(p.numel() for p in self._model.parameters())


def _groups(model: Any, weight_decay: float) -> list[dict[str, Any]]:
    """Vectors and scalars are not decayed."""
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    other = [p for p in model.parameters() if p.ndim < 2]
    return [
        {"params": other, "weight_decay": 0.0},
        {"params": decayed, "weight_decay": weight_decay},
    ]


def make(vision: Any, batch: int, text_lengths: list[int], threads: int) -> OpenClipStep:
    return OpenClipStep(Shape(vision, batch, max(text_lengths)), tuple(text_lengths), threads)
