"""The peer of text generation: ``generate`` of transformers on torch."""

# pyright: reportMissingImports=false
import itertools
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.lm_work import VOCAB, Task, equal_tasks, ragged_tasks


class TransformersDecoder:
    """Greedy texts in plain batches with a cache; writes its random weights into ``folder``."""

    def __init__(self, folder: str, rows: int, tokens: int, queue: int, threads: int):
        import torch
        import transformers

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            vocab_size=VOCAB,
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


def make(folder: str, rows: int, tokens: int, queue: int, threads: int) -> TransformersDecoder:
    return TransformersDecoder(folder, rows, tokens, queue, threads)
