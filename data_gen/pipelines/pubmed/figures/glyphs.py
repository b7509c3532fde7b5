"""Where letters may stand: thin strokes that are brighter or darker than what is around them."""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

#: Side of the crops that the reader sees, and of the letter within.
SIDE, _INNER = 32, 24
#: Side of the square that strokes are thinner than, in thousandths of the figure's longer side.
_KERNEL, _KERNEL_PIXELS = 11.0, 11
#: Differences from the ground, in grey levels, that make ink: a letter on tissue is joined to it at
#: a low one and stands alone at a higher one.
LEVELS = (60, 110, 165)
#: Pure white and black are ink at every level, if they stand out at all.
_WHITE, _BLACK, _AT_ALL = 246, 14, 30
_LOWEST, _TALLEST = 6, 0.075
_MOST = 2000


@dataclasses.dataclass(frozen=True)
class Glyph:
    """A group of connected strokes.

    Attributes:
      x0, y0, x1, y1: its box in pixels, ends exclusive.
      bright: brighter than the ground.
      level: index of the difference from the ground at which it was found.
      apart: it may also be the dot or the stem of another glyph.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    bright: bool
    level: int = 0
    apart: bool = False

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    @property
    def width(self) -> int:
        return self.x1 - self.x0


@dataclasses.dataclass(frozen=True)
class Strokes:
    """Ink of a figure: how far every pixel stands out from its ground, 0 to 255.

    Attributes:
      bright, dark: of what is brighter and what is darker than its ground.
    """

    bright: UInt8[np.ndarray, "h w"]
    dark: UInt8[np.ndarray, "h w"]

    def of(self, glyph: Glyph) -> UInt8[np.ndarray, "h w"]:
        return self.bright if glyph.bright else self.dark


def strokes(image: UInt8[np.ndarray, "h w 3"], longer: int = 0) -> Strokes:
    """White and black top-hat of a figure (Serra 1982): what a square of the width of a bold
    letter's stroke does not fit into. Of colours the channel counts that stands out more.

    ``longer``: the longer side of the figure that ``image`` is a part of; 0: it is whole.
    """
    side = max(round(_KERNEL * (longer or max(image.shape[:2])) / 1000), _KERNEL_PIXELS) | 1
    kernel = np.ones((side, side), np.uint8)
    red, green, blue = cv2.split(np.ascontiguousarray(image))
    high, low = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)

    def either(operation: int) -> np.ndarray:
        return cv2.max(
            cv2.morphologyEx(high, operation, kernel), cv2.morphologyEx(low, operation, kernel)
        )

    bright, dark = either(cv2.MORPH_TOPHAT), either(cv2.MORPH_BLACKHAT)
    top = LEVELS[-1] + 1
    bright[(low >= _WHITE) & (bright > _AT_ALL) & (bright < top)] = top
    dark[(high <= _BLACK) & (dark > _AT_ALL) & (dark < top)] = top
    return Strokes(bright, dark)


def find_glyphs(ink: Strokes, zone: UInt8[np.ndarray, "h w"] | None = None) -> list[Glyph]:
    """Connected strokes of the size of letters, dots joined with the stems below them.

    Args:
      zone: where to look, nonzero; everywhere without it.
    """
    tallest = max(_TALLEST * max(ink.bright.shape), 40)
    out: list[Glyph] = []
    for bright, response in ((True, ink.bright), (False, ink.dark)):
        for level, least in enumerate(LEVELS):
            mask = (response > least).astype(np.uint8)
            if zone is not None:
                mask &= zone
            count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
            if count < 2:
                continue
            x, y, w, h, area = stats[1:].T
            fits = (h <= tallest) & (w <= 1.6 * tallest) & (area >= 4)
            boxes = np.stack([x, y, x + w, y + h], 1)[fits]
            whole, apart = _joined(boxes[:_MOST])
            for found, parted in ((whole, False), (apart, True)):
                out += [
                    Glyph(int(x0), int(y0), int(x1), int(y1), bright, level, parted)
                    for x0, y0, x1, y1 in found
                ]
    return [g for g in out if g.height >= _LOWEST and 0.08 <= g.width / g.height <= 2.0]


def _joined(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes with dots grown together with the stems below them, and what was grown together: a
    letter above the axis of a chart looks like a dot above a stem."""
    whole = boxes.copy()
    height, width = boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0]
    gone, parts = np.zeros(len(boxes), bool), np.zeros(len(boxes), bool)
    for i in np.flatnonzero((height >= _LOWEST - 2) & (width <= 0.8 * height)):
        h = height[i]
        above = (
            (boxes[:, 3] <= boxes[i, 1] + 1)
            & (boxes[:, 3] >= boxes[i, 1] - 0.45 * h - 1)
            & (height <= 0.45 * h + 1)
            & (width <= max(0.45 * h, 3))
            & (boxes[:, 0] < boxes[i, 2] + 1)
            & (boxes[:, 2] > boxes[i, 0] - 1)
        )
        dots = np.flatnonzero(above & ~gone)
        if len(dots) == 1:
            d = dots[0]
            whole[i] = [
                *np.minimum(boxes[i, :2], boxes[d, :2]),
                *np.maximum(boxes[i, 2:], boxes[d, 2:]),
            ]
            gone[d] = True
            parts[[i, d]] = True
    return whole[~gone], boxes[parts]


def crop(ink: Strokes, glyph: Glyph) -> UInt8[np.ndarray, "s s"]:
    """A glyph as the reader sees it: bright on black, in the middle, as tall as the others."""
    response = ink.of(glyph)[glyph.y0 : glyph.y1, glyph.x0 : glyph.x1]
    scale = _INNER / max(response.shape)
    height, width = (max(round(n * scale), 1) for n in response.shape)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(response, (width, height), interpolation=how).astype(np.float32)
    small *= 255.0 / max(float(small.max()), 1.0)
    out = np.zeros((SIDE, SIDE), np.uint8)
    y, x = (SIDE - height) // 2, (SIDE - width) // 2
    out[y : y + height, x : x + width] = np.clip(small, 0, 255)
    return out


def lines(glyphs: Sequence[Glyph], reach: float = 0.5) -> list[list[int]]:
    """Glyphs of one word each, from the left: on one line, of one polarity and level, of about one
    height (a full stop apart), less than ``reach`` of it apart."""
    if not glyphs:
        return []
    boxes = np.array([(g.x0, g.y0, g.x1, g.y1) for g in glyphs], np.float64)
    kinds = np.array([4 * g.level + 2 * g.apart + g.bright for g in glyphs])
    heights, widths = boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0]
    words: list[list[int]] = []
    ends = np.zeros(len(glyphs), np.int64)  # last glyph of each word
    for i in np.argsort(boxes[:, 0], kind="stable"):
        last = ends[: len(words)]
        x0, y0, y1 = boxes[i, 0], boxes[i, 1], boxes[i, 3]
        gap = x0 - boxes[last, 2]
        shared = np.minimum(y1, boxes[last, 3]) - np.maximum(y0, boxes[last, 1])
        low, tall = np.minimum(heights[i], heights[last]), np.maximum(heights[i], heights[last])
        stop = (heights[i] <= 0.4 * heights[last]) & (np.abs(y1 - boxes[last, 3]) <= 0.3 * tall)
        joins = (
            (kinds[last] == kinds[i])
            & (gap <= reach * np.where(stop, tall, low))
            & (stop | ((tall <= 2 * low) & (shared > 0.5 * low)))
            & (x0 >= boxes[last, 0] + 0.3 * widths[last])
        )
        near = np.flatnonzero(joins)
        if len(near):
            word = int(near[np.argmin(gap[near])])
            words[word].append(int(i))
        else:
            word = len(words)
            words.append([int(i)])
        ends[word] = i
    return words
