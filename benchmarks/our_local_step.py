"""Our side of a GLoRIA or MGCA step: the program that ``launch/train.py`` runs on their configs."""

import importlib
import time
from typing import Any

import numpy as np

from benchmarks.local_data import word_batch
from medvlp_jax.core.presets import apply_cpu_preset


class OurLocalStep:
    """Forward, loss, backward and the optimizer in one compiled call."""

    def __init__(self, method: str, batch: int, text_len: int):
        import jax

        from medvlp_jax.core.step import init_state
        from medvlp_jax.data.device import to_device
        from medvlp_jax.run.build import Run

        config: Any = importlib.import_module(f"configs.cxr.{method}").get_config("resnet50")
        config.model.dtype = "float32"
        config.data.batch_size = batch
        config.data.text.buckets = (text_len,)
        experiment = Run(config)
        self._step, self._block = experiment.train_step, jax.block_until_ready
        self._key = jax.random.key(0)
        self._state = init_state(
            experiment.model_def, experiment.optimizer, self._key, experiment.mesh
        )
        arrays = word_batch(batch, text_len) | {"valid": np.ones(batch, bool)}
        self._batch, _ = to_device(arrays, experiment.mesh)
        self.step()  # compiles

    def step(self) -> float:
        """Seconds of one step."""
        start = time.perf_counter()
        self._state, metrics = self._step(self._state, self._batch, self._key)
        self._block((self._state, metrics))
        return time.perf_counter() - start

    def parameters(self) -> int:
        """Without the logit scale, which these losses do not have."""
        from medvlp_jax.core.state import param_count

        return param_count(self._state.params) - 1


def make(method: str, batch: int, text_len: int) -> OurLocalStep:
    apply_cpu_preset()
    return OurLocalStep(method, batch, text_len)
