"""Borders between images that touch: straight lines across which the picture changes."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from data_gen.pipelines.pubmed.figures.xy_cut import Piece

#: Longer side at which edges are looked for.
_SIDE = 1200
#: Grey levels across an edge that count as much as any.
_STRONG = 40
#: How far a side may be moved, as a share of the box, and in pixels.
_REACH, _REACH_PIXELS = 0.12, 4.0
#: A line must stand out that much from those beside it to move a side, or to cut a piece.
_LEAST, _CUT = 0.12, 0.1
#: Lines on either side that an edge is compared with.
_BESIDE = 12
_DEEPEST = 8


class Edges:
    """How much the picture changes across every border between rows and between columns.

    Args:
      image: the figure.
      smallest: narrowest panel in its pixels.
    """

    def __init__(self, image: UInt8[np.ndarray, "h w 3"], smallest: float) -> None:
        height, width = image.shape[:2]
        self.scale = min(_SIDE / max(height, width), 1.0)
        self.smallest = smallest
        small = image
        if self.scale < 1:
            size = (max(round(width * self.scale), 2), max(round(height * self.scale), 2))
            small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(np.ascontiguousarray(small), cv2.COLOR_RGB2GRAY)
        across = np.minimum(cv2.absdiff(grey[:, 1:], grey[:, :-1]), np.uint8(_STRONG))
        down = np.minimum(cv2.absdiff(grey[1:], grey[:-1]), np.uint8(_STRONG))
        #: Sums along the border, of what changes from column to column and from row to row.
        self._across = np.cumsum(across, 0, dtype=np.int32)
        self._down = np.cumsum(down, 1, dtype=np.int32)

    def strength(
        self, axis: int, at: np.ndarray, low: float, high: float
    ) -> Float[np.ndarray, "n"]:
        """Mean change across the lines ``at``, from ``low`` to ``high`` along them, 0 to 1.

        ``axis``: 0 for upright lines, 1 for level ones; all in scaled pixels.
        """
        sums = self._across if axis == 0 else self._down.T
        first = int(np.clip(round(low), 0, sums.shape[0] - 1))
        last = int(np.clip(round(high), first + 1, sums.shape[0]))
        lines = np.clip(at - 1, 0, sums.shape[1] - 1)
        before = sums[first - 1, lines] if first else 0
        return (sums[last - 1, lines] - before) / (_STRONG * (last - first))

    def snap(self, boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
        """Boxes in pixels of the figure with every side moved to the nearest clear edge.

        Among the lines within reach of a side the one wins that stands out most from those beside
        it, nearer ones before others; a side without such a line stays.
        """
        out = boxes * self.scale
        for box in out:
            for side in range(4):
                axis = side % 2
                length = box[axis + 2] - box[axis]
                reach = max(_REACH * length, _REACH_PIXELS)
                at = np.arange(round(box[side] - reach), round(box[side] + reach) + 1)
                low, high = box[1 - axis], box[3 - axis]
                margin = 0.06 * (high - low)
                strength = self.strength(axis, at, low + margin, high - margin)
                apart = strength - np.median(strength)
                near = 1 - 0.5 * np.abs(at - box[side]) / reach
                best = int(np.argmax(apart * near))
                if apart[best] >= _LEAST:
                    box[side] = at[best]
        return out / self.scale

    def cut(self, piece: Piece, size: Float[np.ndarray, "4"]) -> None:
        """Cuts a piece along edges that cross it, the clearest first.

        ``size``: width, height, width, height of the figure in pixels.
        """
        self._cut(piece, size * self.scale, 0)

    def _cut(self, piece: Piece, size: np.ndarray, depth: int) -> None:
        box = piece.box * size
        least = max(self.smallest * self.scale, 8.0)
        best: tuple[float, int, int] | None = None
        for axis in (0, 1):
            low, high = box[axis] + least, box[axis + 2] - least
            if high - low < 1:
                continue
            at = np.arange(round(box[axis] + 2), round(box[axis + 2] - 2) + 1)
            strength = self.strength(axis, at, box[1 - axis], box[3 - axis])
            apart = _apart(strength)
            apart[(at < low) | (at > high)] = 0
            k = int(np.argmax(apart))
            if apart[k] >= _CUT and (best is None or apart[k] > best[0]):
                best = (float(apart[k]), axis, int(at[k]))
        if best is None or depth >= _DEEPEST:
            return
        _, axis, line = best
        for side in (axis + 2, axis):
            part = box.copy()
            part[side] = line
            piece.parts.append(Piece(part / size))
        for part in piece.parts:
            self._cut(part, size, depth + 1)


#: The lines beside a line, its own slopes left out.
_WINDOW = np.ones(2 * _BESIDE + 1)
_WINDOW[_BESIDE - 2 : _BESIDE + 3] = 0
_WINDOW /= _WINDOW.sum()


def _apart(strength: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """How much each line stands out from those beside it: from their mean and one deviation."""
    padded = np.pad(strength, _BESIDE, mode="edge")
    mean = np.convolve(padded, _WINDOW, "valid")
    square = np.convolve(padded * padded, _WINDOW, "valid")
    return strength - mean - np.sqrt(np.maximum(square - mean * mean, 0))
