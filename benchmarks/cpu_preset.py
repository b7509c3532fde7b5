"""What the CPU preset gains on the model of the quickstart."""

import time
from typing import Any

import numpy as np

from benchmarks.harness import Paired, Side, Tell, Worker, in_turn
from benchmarks.report import Row, Target, paired_row
from benchmarks.settings import Settings
from medvlp_jax.core.presets import apply_cpu_preset

TARGET = Target(1.0, at_most=False)
_TEXT_LEN = 64
_NOTE = (
    "the same program of this package on both sides; the peer is XLA as it comes, without "
    "medvlp_jax/core/presets.py."
)


def run(settings: Settings, tell: Tell) -> list[Row]:
    """Pairs per second with the preset and without."""
    steps, rounds = (4, 2) if settings.quick else (10, 5)
    tell("compiling")
    make = f"{__name__}:SmallStep"
    with (
        Worker(Side("with preset", make, {"preset": True}), settings.threads) as ours,
        Worker(Side("without preset", make, {"preset": False}), settings.threads) as peer,
    ):
        measured = in_turn(
            [lambda w=w: w.call("rate", steps=steps) for w in (ours, peer)], rounds, tell
        )
    what = "quickstart's step, CPU preset against none"
    return [paired_row(what, Paired(*measured), "pairs/s", TARGET, _NOTE, digits=0)]


class SmallStep:
    """Whole steps of ``configs/cxr/quickstart.py`` on a random batch."""

    def __init__(self, preset: bool) -> None:
        if preset:
            apply_cpu_preset()
        import jax

        from configs.cxr import quickstart
        from medvlp_jax.core.step import init_state
        from medvlp_jax.data.device import to_device
        from medvlp_jax.run.build import Run

        config: Any = quickstart.get_config("unused")
        experiment = Run(config)
        c = experiment.config.data
        rng = np.random.default_rng(0)
        shape = (c.batch_size, c.image.size, c.image.size, c.image.channels)
        spec = experiment.batch_spec(_TEXT_LEN)
        batch = {name: np.zeros(s.shape, s.dtype) for name, s in spec.items()} | {
            "image": rng.integers(0, 256, shape, dtype=np.uint8),
            "text": rng.integers(5, 4000, (c.batch_size, _TEXT_LEN), dtype=np.int32),
            "text_mask": np.ones((c.batch_size, _TEXT_LEN), bool),
            "labels": rng.integers(0, 2, (c.batch_size, len(c.labels))).astype(np.int8),
            "valid": np.ones(c.batch_size, bool),
        }
        self._rows = c.batch_size
        self._batch, _ = to_device(batch, experiment.mesh)
        self._step, self._block = experiment.train_step, jax.block_until_ready
        self._key = jax.random.key(0)
        self._state = init_state(
            experiment.model_def, experiment.optimizer, self._key, experiment.mesh
        )
        self.rate(2)  # compiles

    def rate(self, steps: int) -> float:
        """Image-text pairs per second."""
        start = time.perf_counter()
        for _ in range(steps):
            self._state, metrics = self._step(self._state, self._batch, self._key)
        self._block((self._state, metrics))
        return self._rows * steps / (time.perf_counter() - start)
