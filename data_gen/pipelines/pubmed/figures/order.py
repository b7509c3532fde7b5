"""The order in which panels are read: bands from the top, within them from the left."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

#: Boxes may overlap by this share of the thinner one and still lie one behind the other.
_OVERLAP = 0.25


def bands(low: Float[np.ndarray, "n"], high: Float[np.ndarray, "n"]) -> list[list[int]]:
    """Intervals grouped where no two groups share more than a little; groups in order."""
    trim = _OVERLAP / 2 * (high - low)
    low, high = low + trim, high - trim
    groups: list[list[int]] = []
    reach = -np.inf
    for i in np.argsort(low, kind="stable"):
        if low[i] >= reach or not groups:
            groups.append([])
        groups[-1].append(int(i))
        reach = max(reach, high[i])
    return groups


def reading_order(boxes: Float[np.ndarray, "n 4"] | Sequence[Sequence[float]]) -> list[int]:
    """Indices of boxes (x0, y0, x1, y1) as one reads them.

    Bands that a horizontal gap separates come first, the upper one before the lower; what stands in
    one band is cut by vertical gaps, and so on in turn (Ha, Haralick and Phillips 1995). Boxes that
    nothing separates come by their top, then by their left side.
    """
    array = np.asarray(boxes, np.float64).reshape(-1, 4)
    return _ordered(array, list(range(len(array))))


def rows_of(boxes: Float[np.ndarray, "n 4"] | Sequence[Sequence[float]]) -> list[int]:
    """The row that each box stands in, from the top; boxes of one row share half of a height."""
    array = np.asarray(boxes, np.float64).reshape(-1, 4)
    out = [0] * len(array)
    for row, group in enumerate(bands(array[:, 1], array[:, 3])):
        for i in group:
            out[i] = row
    return out


def _ordered(boxes: np.ndarray, members: list[int]) -> list[int]:
    if len(members) < 2:
        return members
    mine = boxes[members]
    for axis in (1, 0):
        groups = bands(mine[:, axis], mine[:, axis + 2])
        if len(groups) > 1:
            return [i for g in groups for i in _ordered(boxes, [members[k] for k in g])]
    height = np.median(mine[:, 3] - mine[:, 1])
    step = max(0.5 * float(height), 1e-9)
    return sorted(members, key=lambda i: (int(boxes[i, 1] / step), boxes[i, 0]))
