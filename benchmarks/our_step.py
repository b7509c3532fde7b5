"""Our side of a training step: the program that ``launch/train.py`` runs, on random batches."""

import time
from typing import Any

from benchmarks.data import random_batch
from benchmarks.models import Shape, our_config
from medvlp_jax.core.presets import apply_cpu_preset


class OurStep:
    """Forward, loss, backward and AdamW in one compiled call per text length."""

    def __init__(self, shape: Shape, text_lengths: tuple[int, ...]):
        import jax

        from medvlp_jax.core.step import init_state
        from medvlp_jax.data.device import to_device
        from medvlp_jax.run.build import Run

        self._block = jax.block_until_ready
        experiment = Run(our_config(shape, text_lengths))
        self._step = experiment.train_step
        self._key = jax.random.key(0)
        self._state = init_state(
            experiment.model_def, experiment.optimizer, self._key, experiment.mesh
        )
        self._batches: dict[int, Any] = {}
        for length in text_lengths:
            image, text, mask = random_batch(shape.batch, length)
            batch = {"image": image, "text": text, "text_mask": mask, "valid": mask[:, 0]}
            self._batches[length] = to_device(batch, experiment.mesh)[0]
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


def make(vision: Any, batch: int, text_lengths: list[int], preset: bool = True) -> OurStep:
    if preset:
        apply_cpu_preset()
    return OurStep(Shape(vision, batch, max(text_lengths)), tuple(text_lengths))
