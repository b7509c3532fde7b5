"""Panels by gutters alone: the recursive XY-cut, the rule that needs no training.

Nagy and Seth 1984; Ha, Haralick and Phillips 1995. A figure is cut where a straight band of its
background crosses it, the widest bands first, and the pieces again. Letters and bars that lie alone
in a piece are no panels.
"""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from data_gen.pipelines.pubmed.base import Region
from data_gen.pipelines.pubmed.figures.order import reading_order

#: Longer side at which gutters are looked for: finer ones are thinner than JPEG's blocks.
_SIDE = 1000
#: Grey levels that background may differ from its colour.
_NEAR = 14
#: Share of a line that may be no background, for dust and JPEG.
_DIRT = 0.004
_DEEPEST = 24

Grey = UInt8[np.ndarray, "h w"]


@dataclasses.dataclass(frozen=True)
class Cutting:
    """What counts as a gutter and as a panel.

    Attributes:
      gutter: narrowest gutter, in thousandths of the longer side.
      smallest: narrowest panel, in thousandths of the longer side.
      area: smallest panel, as a share of the largest one.
    """

    gutter: float = 3.0
    smallest: float = 40.0
    area: float = 0.01


def xy_cut(image: UInt8[np.ndarray, "h w 3"], cutting: Cutting | None = None) -> tuple[Region, ...]:
    """The panels of a figure in reading order, at least one.

    Args:
      image: RGB, or a grey image repeated.
      cutting: see :class:`Cutting`.
    """
    cutting = cutting or Cutting()
    whole, _ = pieces(image, cutting)
    boxes = np.array([leaf.box for leaf in whole.leaves()] if whole else []).reshape(-1, 4)
    if len(boxes):
        height, width = image.shape[:2]
        sides = (boxes[:, 2:] - boxes[:, :2]) * [width, height]
        sizes = sides.prod(1)
        large = sides.min(1) >= cutting.smallest * max(height, width) / 1000
        boxes = boxes[large & (sizes >= cutting.area * sizes.max())]
    if not len(boxes):
        boxes = np.array([[0.0, 0.0, 1.0, 1.0]])
    return tuple(Region(*map(float, boxes[i])) for i in reading_order(boxes))


@dataclasses.dataclass
class Piece:
    """A part of a figure and what it is cut into; ``box`` in fractions of the figure."""

    box: Float[np.ndarray, "4"]
    parts: "list[Piece]" = dataclasses.field(default_factory=list)

    def leaves(self) -> "list[Piece]":
        """What is not cut any further, this piece itself if it is not cut."""
        return [leaf for part in self.parts for leaf in part.leaves()] if self.parts else [self]


def pieces(
    image: UInt8[np.ndarray, "h w 3"], cutting: Cutting
) -> tuple[Piece | None, Bool[np.ndarray, "y x"]]:
    """The whole figure cut until nothing can be cut, and what is background, at the size at which
    it was cut; None for a blank figure."""
    height, width = image.shape[:2]
    scale = min(_SIDE / max(height, width), 1.0)
    small = image
    if scale < 1:
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    gutter = max(round(cutting.gutter * max(small.shape[:2]) / 1000), 2)
    height, width = small.shape[:2]
    red, green, blue = cv2.split(np.ascontiguousarray(small))
    low, high = cv2.min(cv2.min(red, green), blue), cv2.max(cv2.max(red, green), blue)
    whole, empty = None, np.zeros((height, width), bool)
    for ground in grounds(low, high):
        empty = (low.astype(int) >= ground - _NEAR) & (high.astype(int) <= ground + _NEAR)
        whole = _cut(Inked(empty), (0, 0, width, height), gutter, 0)
        if whole is not None and whole.parts:
            break
    return whole, empty


def filling(
    empty: Bool[np.ndarray, "y x"], boxes: Float[np.ndarray, "n 4"]
) -> Float[np.ndarray, "n"]:
    """Share of each box (fractions) that is no background."""
    height, width = empty.shape
    out = np.zeros(len(boxes))
    for i, (x0, y0, x1, y1) in enumerate(
        np.rint(boxes * [width, height, width, height]).astype(int)
    ):
        part = empty[y0:y1, x0:x1]
        out[i] = 1 - part.mean() if part.size else 0.0
    return out


def grounds(low: Grey, high: Grey) -> list[int]:
    """Grey levels that gutters may have, the likelier first: that of most whole lines of one
    colour, white and black.

    Args:
      low, high: darkest and brightest channel of every pixel.
    """
    counts = np.zeros(256)
    for axis in (0, 1):
        first, last = low.min(axis), high.max(axis)
        flat = last.astype(int) - first <= 2 * _NEAR
        counts += np.bincount(first[flat], minlength=256)
    out = [255, 0]
    best = int(counts.argmax())
    if counts[best] and min(abs(best - 255), best) > _NEAR:
        out.append(best)
    edges = np.concatenate([low[0], low[-1], low[:, 0], low[:, -1]]).astype(int)
    near = [float((np.abs(edges - g) <= _NEAR).mean()) for g in out]
    return [g for _, g in sorted(zip(near, out, strict=True), key=lambda pair: -pair[0])]


class Inked:
    """Sums of what is no background, along rows and columns."""

    def __init__(self, empty: Bool[np.ndarray, "h w"]) -> None:
        self.empty = empty
        height, width = empty.shape
        self._along = np.zeros((height, width + 1), np.int32)
        self._down = np.zeros((height + 1, width), np.int32)
        np.cumsum(~empty, 1, np.int32, self._along[:, 1:])
        np.cumsum(~empty, 0, np.int32, self._down[1:])

    def rows(self, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
        """Share of each row of a box."""
        return (self._along[y0:y1, x1] - self._along[y0:y1, x0]) / max(x1 - x0, 1)

    def columns(self, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
        """Share of each column of a box."""
        return (self._down[y1, x0:x1] - self._down[y0, x0:x1]) / max(y1 - y0, 1)


def _cut(inked: Inked, box: tuple[int, int, int, int], gutter: int, depth: int) -> Piece | None:
    box = _trim(inked, box)
    x0, y0, x1, y1 = box
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    height, width = inked.empty.shape
    piece = Piece(np.array(box) / [width, height, width, height])
    cuts = [(_gaps(inked.rows(*box), gutter), 0), (_gaps(inked.columns(*box), gutter), 1)]
    widest, axis = max(
        ((max((b - a for a, b in gaps), default=0), axis) for gaps, axis in cuts),
        key=lambda pair: pair[0],
    )
    if not widest or depth > _DEEPEST:
        return piece
    # Gaps about as wide as the widest one are cut together, narrower ones below them.
    gaps = [(a, b) for a, b in cuts[axis][0] if b - a >= 0.5 * widest]
    starts = [0, *(b for _, b in gaps)]
    ends = [*(a for a, _ in gaps), (y1 - y0) if axis == 0 else (x1 - x0)]
    for a, b in zip(starts, ends, strict=True):
        strip = (x0, y0 + a, x1, y0 + b) if axis == 0 else (x0 + a, y0, x0 + b, y1)
        part = _cut(inked, strip, gutter, depth + 1)
        if part is not None:
            piece.parts.append(part)
    if len(piece.parts) == 1:
        return piece.parts[0]
    return piece


def _gaps(ink: Float[np.ndarray, "n"], gutter: int) -> list[tuple[int, int]]:
    """Runs of lines that are background, at least ``gutter`` wide, not at the ends."""
    flags = np.concatenate([[0], ink <= _DIRT, [0]]).astype(int)
    change = np.flatnonzero(np.diff(flags))
    runs = zip(change[::2], change[1::2], strict=True)
    return [(int(a), int(b)) for a, b in runs if b - a >= gutter and a > 0 and b < len(flags) - 2]


def _trim(inked: Inked, box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """The box without background at its sides."""
    x0, y0 = box[:2]
    rows = np.flatnonzero(inked.rows(*box) > _DIRT)
    columns = np.flatnonzero(inked.columns(*box) > _DIRT)
    if not len(rows) or not len(columns):
        return (x0, y0, x0, y0)
    return (
        x0 + int(columns[0]),
        y0 + int(rows[0]),
        x0 + int(columns[-1]) + 1,
        y0 + int(rows[-1]) + 1,
    )
