"""Curves over the steps of a run, from the lines of metrics.jsonl."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

_MOST_POINTS = 400


def points(history: Sequence[Mapping[str, Any]], key: str) -> tuple[list[float], list[float]]:
    """(steps, values) of one key, thinned to means of equal numbers of neighbours."""
    found = [(h["step"], h[key]) for h in history if isinstance(h.get(key), int | float)]
    if not found:
        return [], []
    size = math.ceil(len(found) / _MOST_POINTS)
    x, y = (np.array(v, np.float64) for v in zip(*found, strict=True))
    starts = np.arange(0, len(x), size)
    number = np.diff(np.append(starts, len(x)))
    return list(np.add.reduceat(x, starts) / number), list(np.add.reduceat(y, starts) / number)


def smooth(y: Sequence[float], window: int) -> Float[np.ndarray, "n"]:
    """Centred moving mean; the window shrinks towards the ends. NaN is left out."""
    values = np.asarray(y, np.float64)
    window = max(1, min(window, len(values)))
    known = np.isfinite(values)
    kernel = np.ones(window)
    total = np.convolve(np.where(known, values, 0.0), kernel, mode="same")
    weight = np.convolve(known.astype(float), kernel, mode="same")
    return np.divide(total, weight, out=np.full(len(values), np.nan), where=weight > 0)
