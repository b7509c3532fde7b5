"""Text generation against transformers on torch: a batch of equal texts, and a ragged queue."""

# pyright: reportMissingImports=false
import dataclasses
import itertools
import pathlib
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.harness import Paired, Side, Tell, Worker, in_turn
from benchmarks.report import Row, Target, paired_row
from benchmarks.settings import Settings
from medvlp_jax.core.presets import apply_cpu_preset

TARGET = Target(1.5, at_most=False)
_ROWS = 8
_VOCAB, _PROMPT = 49152, 32
_NOTE = (
    "SmolLM2-135M's shape with random weights, float32, greedy, a key-value cache on both sides. "
    "The queue's prompts and texts differ in length: ours refills rows as they are finished, the "
    "peer gets batches in the order of the queue, padded on the left, each until its longest text "
    "is done."
)


def run(settings: Settings, tell: Tell) -> list[Row]:
    """Tokens per second of both; the weights are the same file."""
    rounds, tokens, queue = (2, 24, 16) if settings.quick else (5, 64, 32)
    with tempfile.TemporaryDirectory() as folder:
        args = {"folder": folder, "rows": _ROWS, "tokens": tokens, "queue": queue}
        peer_side = Side(
            "transformers", f"{__name__}:TransformersDecoder", {**args, "threads": settings.threads}
        )
        tell("building and compiling")
        with Worker(peer_side, settings.threads) as peer:  # it writes the folder
            assert (pathlib.Path(folder) / "model.safetensors").exists()
            our_side = Side("our decoder", f"{__name__}:OurDecoder", args)
            with Worker(our_side, settings.threads) as ours:
                rows = []
                for method, what in (
                    ("batch", f"{_ROWS} texts of {tokens} tokens"),
                    ("ragged", f"queue of {queue} ragged texts, {_ROWS} at a time"),
                ):
                    taken = in_turn(
                        [lambda w=w, m=method: w.call(m) for w in (ours, peer)], rounds, tell
                    )
                    rows.append(
                        paired_row(
                            f"LM decode, {what}", Paired(*taken), "tokens/s", TARGET, _NOTE, 0
                        )
                    )
    return rows


@dataclasses.dataclass(frozen=True)
class Task:
    """A prompt and how many tokens to write after it."""

    prompt: list[int]
    tokens: int


def equal_tasks(rows: int, tokens: int) -> list[Task]:
    """One full batch of equal length."""
    rng = np.random.default_rng(0)
    return [Task(rng.integers(5, _VOCAB, _PROMPT).tolist(), tokens) for _ in range(rows)]


def ragged_tasks(count: int, tokens: int) -> list[Task]:
    """Prompts of 8 to 32 tokens; texts of an eighth to the whole of ``tokens``."""
    rng = np.random.default_rng(1)
    return [
        Task(
            rng.integers(5, _VOCAB, rng.integers(8, _PROMPT + 1)).tolist(),
            int(rng.integers(tokens // 8, tokens + 1)),
        )
        for _ in range(count)
    ]


class OurDecoder:
    """Greedy texts by continuous batching."""

    def __init__(self, folder: str, rows: int, tokens: int, queue: int):
        apply_cpu_preset()
        from medvlp_jax.generation.text.decoding import GenerationConfig
        from medvlp_jax.generation.text.engine import Generator
        from medvlp_jax.weights import lm

        model = lm.load(folder, overrides=lm.CPU_DECODING["float"])
        config = GenerationConfig(
            rows=rows, capacity=_PROMPT + tokens, max_new_tokens=tokens, chunk=tokens
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


class TransformersDecoder:
    """Greedy texts in plain batches with a cache; writes its random weights into ``folder``."""

    def __init__(self, folder: str, rows: int, tokens: int, queue: int, threads: int):
        import torch
        import transformers

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            vocab_size=_VOCAB,
            hidden_size=576,
            intermediate_size=1536,
            num_hidden_layers=30,
            num_attention_heads=9,
            num_key_value_heads=3,
            max_position_embeddings=8192,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=0,
        )
        self._torch = torch
        self._model: Any = transformers.LlamaForCausalLM(config).float().eval()
        self._model.save_pretrained(folder)
        self._rows = rows
        self._equal, self._ragged = equal_tasks(rows, tokens), ragged_tasks(queue, tokens)
        self._generate(equal_tasks(rows, 4))

    def batch(self) -> float:
        """Tokens per second of one full batch of equal texts."""
        return self._rate(self._equal)

    def ragged(self) -> float:
        """Tokens per second of the queue; tokens beyond a task's length do not count."""
        return self._rate(self._ragged)

    def _rate(self, tasks: Sequence[Task]) -> float:
        start = time.perf_counter()
        queue = iter(tasks)
        while some := list(itertools.islice(queue, self._rows)):
            self._generate(some)
        return sum(t.tokens for t in tasks) / (time.perf_counter() - start)

    def _generate(self, tasks: Sequence[Task]) -> None:
        torch = self._torch
        length = max(len(t.prompt) for t in tasks)
        ids = torch.zeros((len(tasks), length), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, task in enumerate(tasks):
            ids[row, length - len(task.prompt) :] = torch.tensor(task.prompt)
            mask[row, length - len(task.prompt) :] = 1
        self._model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=max(t.tokens for t in tasks),
            do_sample=False,
        )
