"""What both sides of the decoding benchmark are asked to write."""

import dataclasses

import numpy as np

VOCAB = 49152
PROMPT = 32


@dataclasses.dataclass(frozen=True)
class Task:
    """A prompt and how many tokens to write after it."""

    prompt: list[int]
    tokens: int


def equal_tasks(rows: int, tokens: int) -> list[Task]:
    """One full batch of equal length."""
    rng = np.random.default_rng(0)
    return [Task(rng.integers(5, VOCAB, PROMPT).tolist(), tokens) for _ in range(rows)]


def ragged_tasks(count: int, tokens: int) -> list[Task]:
    """Prompts of 8 to 32 tokens; texts of an eighth to the whole of ``tokens``."""
    rng = np.random.default_rng(1)
    return [
        Task(
            rng.integers(5, VOCAB, rng.integers(8, PROMPT + 1)).tolist(),
            int(rng.integers(tokens // 8, tokens + 1)),
        )
        for _ in range(count)
    ]
