"""Words that stand in drawn figures: axes, groups, genes, numbers."""

import json
import pathlib

import numpy as np

_TABLE: dict[str, list[str]] = json.loads(
    pathlib.Path(__file__).with_suffix(".json").read_text(encoding="utf-8")
)
QUANTITIES = tuple(_TABLE["quantities"])
ABSCISSAE = tuple(_TABLE["abscissae"])
GROUPS = tuple(_TABLE["groups"])
GENES = tuple(_TABLE["genes"])
STUDIES = tuple(_TABLE["studies"])
STEPS = tuple(_TABLE["steps"])
PARTS = tuple(_TABLE["parts"])
HEADS = tuple(_TABLE["heads"])
ROWS = tuple(_TABLE["rows"])
LETTERS = "abcdefghiklmnoprstuvwy"


def pick(rng: np.random.Generator, words: tuple[str, ...], count: int) -> list[str]:
    """``count`` words, without repetition as long as there are enough."""
    order = rng.permutation(len(words))
    return [words[order[i % len(words)]] for i in range(count)]


def one(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[rng.integers(len(words))]


def number(rng: np.random.Generator) -> str:
    """A number as tables have it."""
    kind = rng.integers(5)
    if kind == 0:
        return f"{rng.integers(1, 500)}"
    if kind == 1:
        return f"{rng.uniform(0, 100):.1f} ± {rng.uniform(0, 20):.1f}"
    if kind == 2:
        return f"{rng.uniform(0, 1):.3f}"
    if kind == 3:
        return f"{rng.integers(1, 200)} ({rng.integers(1, 100)}%)"
    return f"{rng.uniform(0, 10):.2f}"


def nonsense(rng: np.random.Generator, words: int) -> str:
    """Letters that look like a line of text."""
    return " ".join(
        "".join(LETTERS[i] for i in rng.integers(len(LETTERS), size=rng.integers(2, 10)))
        for _ in range(words)
    )
