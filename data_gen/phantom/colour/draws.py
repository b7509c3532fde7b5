"""Random numbers of a study: counter-based streams, and choices that JSON keeps exactly."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def stream(seed: int, index: int, number: int) -> np.random.Generator:
    """Stream ``number`` of study ``index`` of a seed: independent of any batch and machine."""
    key = np.array([seed, index], dtype=np.uint64)
    counter = np.array([0, 0, 0, number], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def keyed(number: float, salt: int = 0) -> np.random.Generator:
    """A stream of its own from a number that a study keeps, and a salt."""
    return np.random.Generator(np.random.Philox(key=np.array([int(number), salt], np.uint64)))


def pick(rng: np.random.Generator, words: Sequence[Any], weights: Any = None) -> Any:
    """One of ``words``, with the given relative weights."""
    p = None if weights is None else np.asarray(weights, float) / np.sum(weights)
    return words[int(rng.choice(len(words), p=p))]


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between the two, rounded so that JSON keeps it exactly."""
    return round(float(rng.uniform(low, high)), 4)


def rare(
    rng: np.random.Generator, chance: float, low: float, high: float, otherwise: float = 0.0
) -> float:
    """A number between the two with probability ``chance``; draws the same count either way."""
    hit, value = rng.random() < chance, uniform(rng, low, high)
    return value if hit else otherwise
