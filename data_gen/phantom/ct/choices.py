"""Random choices whose results JSON keeps exactly."""

from typing import Any

import numpy as np

#: Side, place and attributes of a finding.
Made = tuple[str, str, dict[str, Any]]
Rng = np.random.Generator


def pick(rng: Rng, words: tuple[Any, ...], weights: Any = None) -> Any:
    """One of ``words``, with the given relative weights."""
    p = None if weights is None else np.asarray(weights, float) / np.sum(weights)
    return words[int(rng.choice(len(words), p=p))]


def uniform(rng: Rng, low: float, high: float) -> float:
    """A number between the two, rounded so that JSON keeps it exactly."""
    return round(float(rng.uniform(low, high)), 4)


def side_of(rng: Rng, bilateral: float = 0.0) -> str:
    """``"left"``, ``"right"``, or with that probability ``"bilateral"``."""
    if rng.random() < bilateral:
        return "bilateral"
    return pick(rng, ("left", "right"))


def size_of(rng: Rng, grade: int, *ranges: tuple[float, float]) -> float:
    """A length from the range of a grade of severity, rounded to 0.1 mm."""
    return round(float(rng.uniform(*ranges[grade])), 1)
