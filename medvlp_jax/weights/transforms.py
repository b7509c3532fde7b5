"""Invertible maps between a tensor of a published checkpoint and an array of ours.

A transform has ``load(*tensors)``, from the origin's layout to ours, and ``save(*arrays)``, back.
Both take and give numpy arrays; one that has several on a side takes or gives a tuple there. Only
axes are moved, no value is changed, so one definition serves loading, export and the check of
shapes (which runs ``save`` on an array that has a shape and no memory).
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np

Arrays = np.ndarray | tuple[np.ndarray, ...]


@dataclasses.dataclass(frozen=True)
class Transform:
    """A pair of functions, inverse to each other."""

    name: str
    load: Callable[..., Arrays]
    save: Callable[..., Arrays]


def _same(x: np.ndarray) -> np.ndarray:
    return x


identity = Transform("identity", _same, _same)

#: ``torch.nn.Linear``: [out, in] -> [in, out].
linear = Transform("linear", lambda x: x.T, lambda x: x.T)

#: ``torch.nn.Conv2d``: [out, in, y, x] -> [y, x, in, out].
conv = Transform("conv", lambda x: x.transpose(2, 3, 1, 0), lambda x: x.transpose(3, 2, 0, 1))

#: A 1×1 convolution that we hold as a matrix: [out, in, 1, 1] -> [in, out].
conv_as_linear = Transform(
    "conv_as_linear", lambda x: x[:, :, 0, 0].T, lambda x: x.T[:, :, None, None]
)


def leading(axes: int) -> Transform:
    """Leading axes of length one that only the origin has: [1, 1, d] -> [d] for two."""
    return Transform(
        f"leading({axes})",
        lambda x: x.reshape(x.shape[axes:]),
        lambda x: x.reshape((1,) * axes + x.shape),
    )


def behind(rows: int) -> Transform:
    """A table whose first rows serve nothing: [rows + n, d] -> [n, d], and zeros in front back."""

    def save(x: np.ndarray) -> np.ndarray:
        return np.concatenate([np.broadcast_to(np.zeros((), x.dtype), (rows, x.shape[1])), x])

    return Transform(f"behind({rows})", lambda x: x[rows:], save)


def split(parts: int | Sequence[int], then: Transform = identity) -> Transform:
    """One tensor of the origin, several arrays of ours: a fused projection to q, k and v.

    Args:
      parts: sizes along the tensor's first axis, or into how many equal parts.
      then: applied to each part.
    """

    def load(x: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(_one(then.load(part)) for part in _parts(x, parts))

    def save(*arrays: np.ndarray) -> np.ndarray:
        return np.concatenate([_one(then.save(a)) for a in arrays])

    return Transform(f"split({parts}, {then.name})", load, save)


def fuse(parts: int | Sequence[int], then: Transform = identity) -> Transform:
    """Several tensors of the origin, one array of ours; ``then`` is applied to the whole.

    Args:
      parts: sizes along the first axis of the tensors, or how many equal ones there are.
      then: applied to the concatenated tensors.
    """

    def load(*tensors: np.ndarray) -> Arrays:
        return then.load(np.concatenate(tensors))

    def save(x: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(_parts(_one(then.save(x)), parts))

    return Transform(f"fuse({parts}, {then.name})", load, save)


def _one(arrays: Arrays) -> np.ndarray:
    assert not isinstance(arrays, tuple), "a transform of several arrays inside of another"
    return arrays


def _parts(x: np.ndarray, parts: int | Sequence[int]) -> list[np.ndarray]:
    if isinstance(parts, int):
        return np.split(x, parts)
    return np.split(x, list(itertools.accumulate(parts))[:-1])
