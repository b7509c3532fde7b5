"""Resizing a learned position table to another grid, as PyTorch's ``interpolate`` does it."""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Grid = tuple[int, int]


def resize_positions(
    table: Float[Array, "n d"], source: Grid, target: Grid, *, antialias: bool = False
) -> Float[Array, "m d"]:
    """Bicubic resize of a row-major position table from one grid to another.

    With ``antialias=False`` this equals ``torch.nn.functional.interpolate(mode="bicubic",
    align_corners=False)``, which DINOv2 and Hugging Face's models use (cubic coefficient -0.75).
    With ``antialias=True`` it equals the same call with ``antialias=True``, which open_clip uses
    (coefficient -0.5, support widened when shrinking). ``align_corners=True`` is not offered.

    Args:
      table: one row per cell of ``source``, without a class token.
      source: (rows, columns) of the table.
      target: (rows, columns) wanted.
      antialias: see above.

    Raises:
      ValueError: the table does not have one row per cell.
    """
    if table.shape[0] != source[0] * source[1]:
        raise ValueError(f"{table.shape[0]} positions do not fill a grid of {source}")
    if source == target:
        return table
    rows = cubic_matrix(source[0], target[0], antialias)
    columns = cubic_matrix(source[1], target[1], antialias)
    grid = table.astype(jnp.float32).reshape(*source, -1)
    out = jnp.einsum("yi,xj,ijd->yxd", rows, columns, grid, precision="highest")
    return out.reshape(target[0] * target[1], -1).astype(table.dtype)


@functools.cache
def cubic_matrix(source: int, target: int, antialias: bool) -> np.ndarray:
    """Weights [target, source] of a one-dimensional cubic resize; every row sums to 1."""
    scale = source / target
    centre = (np.arange(target) + 0.5) * scale
    out = np.zeros((target, source))
    if antialias:
        stretch = max(scale, 1.0)
        for row, c in enumerate(centre):
            first = max(int(c - 2 * stretch + 0.5), 0)
            last = min(int(c + 2 * stretch + 0.5), source)
            taps = np.arange(first, last)
            weights = _cubic((taps - c + 0.5) / stretch, -0.5)
            out[row, taps] = weights / weights.sum()
    else:
        for row, c in enumerate(centre - 0.5):
            for tap in range(int(np.floor(c)) - 1, int(np.floor(c)) + 3):
                out[row, min(max(tap, 0), source - 1)] += _cubic(np.asarray(tap - c), -0.75)
    return out.astype(np.float32)


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
    """The cubic convolution kernel (Keys 1981, eq. 4), supported on [-2, 2]."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
