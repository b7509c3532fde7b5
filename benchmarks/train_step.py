"""A training step at equal padding against open_clip's."""

# pyright: reportMissingImports=false
import json
import pathlib
import tempfile
import time
from typing import Any, Literal

from benchmarks.data import random_batch
from benchmarks.harness import Paired, Side, Tell, Worker, check_same_size, in_turn
from benchmarks.models import Shape, bert_config, open_clip_config, our_config
from benchmarks.report import Row, Target, paired_row
from benchmarks.settings import Settings
from benchmarks.torchvision_stand_in import ensure_torchvision
from medvlp_jax.core.presets import apply_cpu_preset

TARGET = Target(1.25, at_most=True)
_TEXT_LEN = 77
_NAMES = {"vit_b16": "ViT-B/16", "resnet50": "ResNet-50"}


def run(vision: Literal["vit_b16", "resnet50"], settings: Settings, tell: Tell) -> list[Row]:
    """Seconds of forward, loss, backward and AdamW on the same shapes."""
    batch, rounds = (4, 2) if settings.quick else (8, 5)
    shape = {"vision": vision, "batch": batch, "text_lengths": [_TEXT_LEN]}
    our_side, peer_side = sides(shape, settings.threads)
    tell("building and compiling")
    with Worker(our_side, settings.threads) as ours, Worker(peer_side, settings.threads) as peer:
        check_same_size(ours, peer)
        paired = Paired(
            *in_turn(
                [lambda w=w: w.call("step", text_len=_TEXT_LEN) for w in (ours, peer)],
                rounds,
                tell,
            )
        )
    what = f"step, {_NAMES[vision]} + BERT-base, {batch} x {_TEXT_LEN} tokens"
    return [paired_row(what, paired, "s", TARGET)]


def sides(shape: dict, threads: int) -> tuple[Side, Side]:
    """Ours and open_clip's, for ``Worker``."""
    return (
        Side("our step", f"{__name__}:OurStep", shape),
        Side("open_clip's step", f"{__name__}:OpenClipStep", {**shape, "threads": threads}),
    )


class OurStep:
    """Forward, loss, backward and AdamW in one compiled call per text length."""

    def __init__(self, vision: Any, batch: int, text_lengths: list[int], preset: bool = True):
        shape = Shape(vision, batch, max(text_lengths))
        if preset:
            apply_cpu_preset()
        import jax

        from medvlp_jax.core.step import init_state
        from medvlp_jax.data.device import to_device
        from medvlp_jax.run.build import Run

        self._block = jax.block_until_ready
        experiment = Run(our_config(shape, tuple(text_lengths)))
        self._step = experiment.train_step
        self._key = jax.random.key(0)
        self._state = init_state(
            experiment.model_def, experiment.optimizer, self._key, experiment.mesh
        )
        self._batches: dict[int, Any] = {}
        for length in text_lengths:
            image, text, mask = random_batch(shape.batch, length)
            rows = {"image": image, "text": text, "text_mask": mask, "valid": mask[:, 0]}
            self._batches[length] = to_device(rows, experiment.mesh)[0]
            self.step(length)  # compiles

    def step(self, text_len: int) -> float:
        """Seconds of one step."""
        start = time.perf_counter()
        self._state, metrics = self._step(self._state, self._batches[text_len], self._key)
        self._block((self._state, metrics))
        return time.perf_counter() - start

    def parameters(self) -> int:
        from medvlp_jax.core.state import param_count

        return param_count(self._state.params)


class OpenClipStep:
    """Zero the gradients, forward, ``ClipLoss``, backward, ``AdamW.step``, as open_clip trains."""

    def __init__(self, vision: Any, batch: int, text_lengths: list[int], threads: int):
        shape = Shape(vision, batch, max(text_lengths))
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
