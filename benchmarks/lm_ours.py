"""Our side of text generation: the generator that ``launch/sample.py`` runs."""

import time
from collections.abc import Sequence

from benchmarks.lm_work import PROMPT, Task, equal_tasks, ragged_tasks
from medvlp_jax.core.presets import apply_cpu_preset


class OurDecoder:
    """Greedy texts by continuous batching."""

    def __init__(self, folder: str, rows: int, tokens: int, queue: int):
        from medvlp_jax.generation.text.decoding import GenerationConfig
        from medvlp_jax.generation.text.engine import Generator
        from medvlp_jax.weights import lm

        model = lm.load(folder, overrides=lm.CPU_DECODING["float"])
        config = GenerationConfig(
            rows=rows, capacity=PROMPT + tokens, max_new_tokens=tokens, chunk=tokens
        )
        self._generator = Generator(model.config, model.params, config, model.mesh)
        self._equal, self._ragged = equal_tasks(rows, tokens), ragged_tasks(queue, tokens)
        self.batch()  # compiles
        self.ragged()

    def batch(self) -> float:
        """Tokens per second of one full batch of equal texts."""
        return self._rate(self._equal)

    def ragged(self) -> float:
        """Tokens per second of the queue."""
        return self._rate(self._ragged)

    def _rate(self, tasks: Sequence[Task]) -> float:
        from medvlp_jax.generation.text.engine import Request

        requests = [Request(str(i), t.prompt, t.tokens) for i, t in enumerate(tasks)]
        start = time.perf_counter()
        done = self._generator.all(requests)
        seconds = time.perf_counter() - start
        written = sum(len(c.tokens) for c in done.values())
        assert written == sum(t.tokens for t in tasks)
        return written / seconds


def make(folder: str, rows: int, tokens: int, queue: int) -> OurDecoder:
    apply_cpu_preset()
    return OurDecoder(folder, rows, tokens, queue)
