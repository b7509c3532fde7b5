"""The training step of the quickstart: a narrow ResNet at 128 px, with or without the preset."""

import time
from typing import Any

import numpy as np

from medvlp_jax.core.presets import apply_cpu_preset

TEXT_LEN = 64


class OurSmallStep:
    """Whole steps of ``configs/cxr/quickstart.py`` on a random batch."""

    def __init__(self) -> None:
        import jax

        from configs.cxr import quickstart
        from medvlp_jax.core.step import init_state
        from medvlp_jax.data.columns.registry import batch_spec
        from medvlp_jax.data.device import to_device
        from medvlp_jax.run.build import Run

        config: Any = quickstart.get_config("unused")
        experiment = Run(config)
        c = experiment.config.data
        rng = np.random.default_rng(0)
        shape = (c.batch_size, c.image.size, c.image.size, c.image.channels)
        spec = batch_spec(experiment.task.columns, c, c.batch_size, TEXT_LEN)
        batch = {name: np.zeros(s.shape, s.dtype) for name, s in spec.items()} | {
            "image": rng.integers(0, 256, shape, dtype=np.uint8),
            "text": rng.integers(5, 4000, (c.batch_size, TEXT_LEN), dtype=np.int32),
            "text_mask": np.ones((c.batch_size, TEXT_LEN), bool),
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


def make(preset: bool) -> OurSmallStep:
    if preset:
        apply_cpu_preset()
    return OurSmallStep()
