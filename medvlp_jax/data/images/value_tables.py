"""Gray values by tables: counted, looked up and stretched, with little memory beside the result."""

import numpy as np
from jaxtyping import Int64, Shaped, UInt, UInt8, UInt16

from medvlp_jax.data.images.base import CLIP

_PART = 1 << 22  # values that are looked up at once


def quantiles(values: UInt16[np.ndarray, "..."]) -> tuple[int, int]:
    """The values at the two quantiles ``CLIP`` of a uint16 array, by its histogram."""
    cumulative = np.cumsum(histogram(values, 1))
    low, high = (int(np.searchsorted(cumulative, q * cumulative[-1])) for q in CLIP)
    return low, high


def stretch(values: UInt16[np.ndarray, "..."], low: float, high: float) -> np.ndarray:
    """uint8 of the same shape: ``low`` and below to 0, ``high`` and above to 255, linear between.

    A window without width (a constant image) gives 0 everywhere.
    """
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    table = (np.arange(65536, dtype=np.float32) - low) * (255.0 / (high - low))
    return look_up(np.rint(np.clip(table, 0, 255)).astype(np.uint8), values)


def histogram(values: UInt[np.ndarray, "..."], length: int) -> Int64[np.ndarray, " n"]:
    """How often each number from 0 occurs, ``length`` of them or more."""
    out = np.zeros(length, np.int64)
    for part in _parts(values):
        counts = np.bincount(part, minlength=len(out))
        out = counts + np.pad(out, (0, len(counts) - len(out)))
    return out


def look_up(
    table: UInt8[np.ndarray, " n"], index: UInt[np.ndarray, "*s"]
) -> Shaped[np.ndarray, "*s"]:
    """``table[index]``, with little memory beside the result."""
    out = np.empty(index.shape, table.dtype)
    for part, rows in zip(_parts(index), _parts(out), strict=True):
        rows[:] = table[part]
    return out


def _parts(values: np.ndarray) -> list[np.ndarray]:
    """Views of all values: NumPy makes 8 bytes of each index that it is given."""
    flat = values.reshape(-1)
    return [flat[i : i + _PART] for i in range(0, max(flat.size, 1), _PART)]
