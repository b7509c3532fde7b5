"""Borders between images that touch: straight lines across which the picture changes."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

#: Longer side at which edges are looked for.
_SIDE = 1200
#: How far a side may be moved, as a share of the box, and in pixels.
_REACH, _REACH_PIXELS = 0.12, 4.0
#: Grey levels across an edge that count as much as any.
_STRONG = 40.0
#: A line must be that much of an edge to move a side to it.
_LEAST = 0.12


class Edges:
    """How much the picture changes across every pixel border, along rows and along columns.

    Args:
      image: the figure.
      smallest: narrowest panel in its pixels.
    """

    def __init__(self, image: UInt8[np.ndarray, "h w 3"], smallest: float) -> None:
        height, width = image.shape[:2]
        self.smallest = smallest
        self.scale = min(_SIDE / max(height, width), 1.0)
        grey = image
        if self.scale < 1:
            size = (max(round(width * self.scale), 2), max(round(height * self.scale), 2))
            grey = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(np.ascontiguousarray(grey), cv2.COLOR_RGB2GRAY)
        across = cv2.min(cv2.absdiff(grey[:, 1:], grey[:, :-1]), _STRONG)
        down = cv2.min(cv2.absdiff(grey[1:], grey[:-1]), _STRONG)
        #: Sums along the border, of what changes from column to column and from row to row.
        self._across = np.cumsum(across, 0, dtype=np.int32)
        self._down = np.cumsum(down, 1, dtype=np.int32)

    def upright(self, x: np.ndarray, y0: float, y1: float) -> Float[np.ndarray, "n"]:
        """Mean change across upright lines at ``x`` (scaled pixels) from ``y0`` to ``y1``."""
        top, bottom = self._span(y0, y1, self._across.shape[0])
        at = np.clip(x - 1, 0, self._across.shape[1] - 1)
        before = self._across[top - 1, at] if top else 0
        return (self._across[bottom - 1, at] - before) / (_STRONG * max(bottom - top, 1))

    def level(self, y: np.ndarray, x0: float, x1: float) -> Float[np.ndarray, "n"]:
        """Mean change across level lines at ``y``."""
        left, right = self._span(x0, x1, self._down.shape[1])
        at = np.clip(y - 1, 0, self._down.shape[0] - 1)
        before = self._down[at, left - 1] if left else 0
        return (self._down[at, right - 1] - before) / (_STRONG * max(right - left, 1))

    @staticmethod
    def _span(low: float, high: float, size: int) -> tuple[int, int]:
        a = int(np.clip(round(low), 0, size - 1))
        return a, int(np.clip(round(high), a + 1, size))

    def snap(self, boxes: Float[np.ndarray, "n 4"], which: list[int]) -> Float[np.ndarray, "n 4"]:
        """Boxes (pixels of the figure), of ``which`` every side moved to the nearest clear edge.

        Among the lines within reach of a side the one wins that stands out most from those beside
        it; a side without such a line stays.
        """
        out = boxes.copy()
        for i in which:
            box = out[i] * self.scale
            for side in range(4):
                axis = side % 2
                length = box[axis + 2] - box[axis]
                reach = max(_REACH * length, _REACH_PIXELS)
                at = np.arange(round(box[side] - reach), round(box[side] + reach) + 1)
                low, high = box[1 - axis], box[3 - axis]
                margin = 0.06 * (high - low)
                line = self.upright if axis == 0 else self.level
                strength = line(at, low + margin, high - margin)
                apart = strength - np.median(strength)
                near = 1 - 0.5 * np.abs(at - box[side]) / reach
                best = int(np.argmax(apart * near))
                if apart[best] >= _LEAST:
                    box[side] = at[best]
            out[i] = box / self.scale
        return out
