"""A training step of BLIP base: ours against transformers' modules with the losses in PyTorch."""

# pyright: reportMissingImports=false
import time
from typing import Any

import numpy as np

from benchmarks.harness import Paired, Side, Tell, Worker, check_same_size, in_turn
from benchmarks.report import Row, Target, paired_row
from benchmarks.settings import Settings
from medvlp_jax.core.presets import apply_cpu_preset

TARGET = Target(1.0, at_most=True)
_VOCAB, _LENGTH, _QUEUE = 30_522, 200, 1024


def run(settings: Settings, tell: Tell) -> list[Row]:
    """Seconds of all three losses, momentum encoder, backward and AdamW on the same shapes."""
    batch, rounds = (2, 2) if settings.quick else (4, 5)
    length = 64 if settings.quick else _LENGTH
    shape = {"batch": batch, "length": length}
    sides = (
        Side("our BLIP step", f"{__name__}:OurBlip", shape),
        Side("torch's BLIP step", f"{__name__}:TorchStep", {**shape, "threads": settings.threads}),
    )
    tell("building and compiling")
    with Worker(sides[0], settings.threads) as ours, Worker(sides[1], settings.threads) as peer:
        check_same_size(ours, peer)
        paired = Paired(*in_turn([lambda w=w: w.call("step") for w in (ours, peer)], rounds, tell))
    what = f"step, BLIP base (ViT-B/16, BERT-base), {batch} x {length} tokens"
    return [paired_row(what, paired, "s", TARGET)]


def random_blip_batch(batch: int, length: int) -> dict[str, np.ndarray]:
    """Full texts of records that share nothing."""
    rng = np.random.default_rng(0)
    ids = rng.integers(1000, _VOCAB, (batch, length)).astype(np.int32)
    numbers = np.arange(1, batch + 1, dtype=np.uint32)
    return {
        "image": rng.integers(0, 256, (batch, 224, 224, 3), dtype=np.uint8),
        "text": ids,
        "text_mask": np.ones((batch, length), bool),
        "text_key": numbers,
        "record_key": numbers,
        "group_key": np.zeros(batch, np.uint32),
        "valid": np.ones(batch, bool),
    }


class OurBlip:
    """One compiled step, in float32."""

    def __init__(self, batch: int, length: int):
        apply_cpu_preset()
        import jax

        from configs.brain import blip
        from medvlp_jax.core.step import init_state
        from medvlp_jax.data.device import to_device
        from medvlp_jax.run.build import Run

        config: Any = blip.get_config("base")
        config.data.batch_size = batch
        config.data.text.buckets = (length,)
        config.model.queue = _QUEUE
        config.model.dtype, config.model.remat = "float32", "none"
        config.model.text.dropout = 0.0
        config.task.mean, config.task.std = (0.5,), (0.5,)
        run = Run(config)
        self._block, self._key = jax.block_until_ready, jax.random.key(0)
        self._step = run.train_step
        self._state = init_state(run.model_def, run.optimizer, self._key, run.mesh)
        self._batch = to_device(random_blip_batch(batch, length), run.mesh)[0]
        self.step()  # compiles

    def step(self) -> float:
        """Seconds of one step."""
        start = time.perf_counter()
        self._state, metrics = self._step(self._state, self._batch, self._key)
        self._block((self._state, metrics))
        return time.perf_counter() - start

    def parameters(self) -> int:
        from medvlp_jax.core.state import param_count

        return param_count(self._state.params)


class TorchStep:
    """Zero the gradients, forward, backward, ``AdamW.step``."""

    def __init__(self, batch: int, length: int, threads: int):
        import torch

        from benchmarks.torch_blip import TorchBlip

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        text = {"vocab_size": _VOCAB + 2, "num_attention_heads": 12, "max_position_embeddings": 512,
                "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}  # fmt: skip
        settings: dict[str, Any] = {
            "image_text_hidden_size": 256,
            "text_config": text,
            "vision_config": {"image_size": 224, "initializer_range": 0.02},
        }
        self._model = TorchBlip(settings, _QUEUE).train()
        self._optimizer = torch.optim.AdamW(
            self._model.learned(), lr=3e-5, betas=(0.9, 0.999), weight_decay=0.05
        )
        rows = random_blip_batch(batch, length)
        pixels = torch.from_numpy(rows["image"]).permute(0, 3, 1, 2).contiguous().float()
        keys = [
            torch.tensor(rows[f"{k}_key"].astype(np.int64)) for k in ("record", "text", "group")
        ]
        self._rows = (
            pixels / 127.5 - 1,
            torch.from_numpy(rows["text"]).long(),
            torch.from_numpy(rows["text_mask"]).long(),
            keys,
            torch.from_numpy(rows["valid"]),
        )
        self.step()

    def step(self) -> float:
        """Seconds of one step."""
        start = time.perf_counter()
        self._optimizer.zero_grad()
        total: Any = sum(self._model(*self._rows).values())
        total.backward()
        self._optimizer.step()
        return time.perf_counter() - start

    def parameters(self) -> int:
        return sum(p.numel() for p in self._model.learned())
