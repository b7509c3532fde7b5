"""Where the images of a figure lie: layouts of our own, and those of real figures from a file."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from medvlp_jax.core.errors import UserError


class Rect(NamedTuple):
    """A rectangle in pixels, x1 and y1 exclusive."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0


#: The images of one panel.
Slot = tuple[Rect, ...]


@dataclasses.dataclass(frozen=True)
class Layout:
    """Images by panel.

    Attributes:
      width, height: of the figure in pixels.
      slots: the panels, in no order.
      gutter: pixels between panels; 0 where they touch.
      strip: pixels that each panel has free above it (for a label outside); 0 for none.
      real: it is that of a real figure.
    """

    width: int
    height: int
    slots: tuple[Slot, ...]
    gutter: float
    strip: float = 0.0
    real: bool = False

    @property
    def grouped(self) -> bool:
        """Whether a panel is made of several images."""
        return any(len(slot) > 1 for slot in self.slots)


class RealLayout(NamedTuple):
    """A layout of a file: boxes as fractions, and width over height of what is around them."""

    id: str
    aspect: float
    panels: tuple[tuple[float, float, float, float], ...]


def read_layouts(path: str, held_out: bool) -> tuple[RealLayout, ...]:
    """The layouts of a JSON file ``{"figures": [{"id", "aspect", "panels"}, ...]}``.

    Args:
      held_out: those that no training sees, a third of them by a digest of their ids; otherwise
        the other two thirds.

    Raises:
      UserError: there is no such file, or it is no such table.
    """
    try:
        figures = json.loads(pathlib.Path(path).read_text())["figures"]
        every = [
            RealLayout(
                str(f["id"]),
                float(f["aspect"]),
                tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in f["panels"]),
            )
            for f in figures
        ]
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; config.layouts names a JSON file") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} holds no layouts ({error!r}); see docs/pubmed.md") from error
    chosen = tuple(one for one in every if one.panels and is_held_out(one.id) == held_out)
    if not chosen:
        raise UserError(f"{path} has no layout of that part; a third is held out by its id")
    return chosen


def is_held_out(id: str) -> bool:
    """Whether a layout belongs to the third that training never sees."""
    return int(hashlib.sha256(id.encode()).hexdigest(), 16) % 3 == 0


def place_real(rng: np.random.Generator, real: RealLayout, longer: int, vary: bool) -> Layout:
    """A real layout in pixels with a margin of its own.

    ``vary``: mirrored or transposed at random, for training.
    """
    boxes, aspect = np.array(real.panels), real.aspect
    if vary:
        if rng.random() < 0.5:
            boxes[:, [0, 2]] = 1 - boxes[:, [2, 0]]
        if rng.random() < 0.5:
            boxes[:, [1, 3]] = 1 - boxes[:, [3, 1]]
        if rng.random() < 0.5:
            boxes, aspect = boxes[:, [1, 0, 3, 2]], 1 / aspect
        aspect = aspect * float(np.exp(rng.uniform(-0.15, 0.15)))
    margin = rng.uniform(0, 0.06, 4) * (rng.random() < 0.8)
    inner_w = longer if aspect >= 1 else longer * aspect
    inner_h = longer / aspect if aspect >= 1 else longer
    left, top = margin[0] * inner_w, margin[1] * inner_h
    width, height = (
        round(left + inner_w + margin[2] * inner_w),
        round(top + inner_h + margin[3] * inner_h),
    )
    slots = []
    for x0, y0, x1, y1 in boxes:
        rect = Rect(
            round(left + x0 * inner_w),
            round(top + y0 * inner_h),
            round(left + x1 * inner_w),
            round(top + y1 * inner_h),
        )
        if rect.width >= 3 and rect.height >= 3:
            slots.append((rect,))
    return Layout(max(width, 16), max(height, 16), tuple(slots), gutter=2.0, real=True)


_KINDS = {
    "single": 0.09,
    "grid": 0.27,
    "rows": 0.2,
    "columns": 0.12,
    "nested": 0.14,
    "strips": 0.08,
    "scattered": 0.1,
}


def draw_layout(
    rng: np.random.Generator, longer: int, strip: float, labelled: bool, touching: float = 0.2
) -> Layout:
    """A layout of our own.

    Args:
      longer: side of the figure in pixels.
      strip: pixels to leave above every panel.
      labelled: every panel gets a label, so panels may be made of several images.
      touching: probability that there are no gutters.
    """
    aspect = float(np.exp(rng.uniform(-0.75, 0.75)))
    names = list(_KINDS)
    weights = np.array(list(_KINDS.values()))
    kind = names[rng.choice(len(names), p=weights / weights.sum())]
    # Cells closer to squares than the figure is.
    width = longer if aspect >= 1 else round(longer * aspect)
    height = round(longer / aspect) if aspect >= 1 else longer
    unit = longer / 1000
    if rng.random() < touching:
        gutter = 0.0
    elif rng.random() < 0.35:
        gutter = float(rng.integers(1, 5))
    else:
        gutter = round(rng.uniform(5, 30) * unit) + 1.0
    smallest = 56 * unit + strip
    cells = _cells(rng, kind, width, height, smallest)
    margin = gutter * (rng.random() < 0.7) + rng.uniform(0, 15) * unit * (rng.random() < 0.3)
    slots: list[Slot] = []
    grouped = labelled and rng.random() < 0.35
    for x0, y0, x1, y1 in cells:
        inner = Rect(
            round(margin + x0 * (width - 2 * margin) + gutter / 2 * (x0 > 0)),
            round(margin + y0 * (height - 2 * margin) + gutter / 2 * (y0 > 0) + strip),
            round(margin + x1 * (width - 2 * margin) - gutter / 2 * (x1 < 1)),
            round(margin + y1 * (height - 2 * margin) - gutter / 2 * (y1 < 1)),
        )
        if kind == "scattered":
            inner = _shrunk(rng, inner)
        if inner.width < 12 * unit or inner.height < 12 * unit:
            continue
        if grouped and rng.random() < 0.5:
            slots.append(_parts(rng, inner, min(gutter, 6.0) if gutter else 0.0, 40 * unit))
        elif kind == "strips" and not labelled and rng.random() < 0.7:
            slots.extend((one,) for one in _strips(rng, inner, 10 * unit))
        else:
            slots.append((inner,))
    if not slots:
        slots = [(Rect(0, round(strip), width, height),)]
    return Layout(width, height, tuple(slots), gutter, strip)


Cell = tuple[float, float, float, float]


def _cells(
    rng: np.random.Generator, kind: str, width: int, height: int, smallest: float
) -> list[Cell]:
    """The cells of a kind of layout, as fractions, none narrower than ``smallest`` pixels."""
    across, down = max(int(width / smallest), 1), max(int(height / smallest), 1)
    if kind == "single":
        return [(0.0, 0.0, 1.0, 1.0)]
    if kind == "nested":
        return _nested(rng, (0.0, 0.0, 1.0, 1.0), width, height, smallest, depth=0)
    many = 7 if rng.random() < 0.15 else 4
    if kind in ("grid", "strips", "scattered"):
        rows, columns = int(rng.integers(1, many + 1)), int(rng.integers(1, many + 1))
        if rows * columns == 1:
            columns = 2
        ys, xs = _even(min(rows, down)), _even(min(columns, across))
        return [
            (xs[j], ys[i], xs[j + 1], ys[i + 1])
            for i in range(len(ys) - 1)
            for j in range(len(xs) - 1)
        ]
    lines = max(min(int(rng.integers(2, many + 1)), down if kind == "rows" else across), 1)
    outer = _uneven(rng, lines, 0.45)
    cells: list[Cell] = []
    for i in range(lines):
        room = across if kind == "rows" else down
        inner = _uneven(rng, min(int(rng.integers(1, many + 1)), room), 0.4)
        for j in range(len(inner) - 1):
            a, b, c, d = inner[j], outer[i], inner[j + 1], outer[i + 1]
            cells.append((a, b, c, d) if kind == "rows" else (b, a, d, c))
    return cells


def _even(count: int) -> list[float]:
    return [i / count for i in range(count + 1)]


def _uneven(rng: np.random.Generator, count: int, spread: float) -> list[float]:
    """Cuts of [0, 1] into ``count`` parts; half of the time even ones."""
    if rng.random() < 0.4:
        return _even(count)
    parts = np.exp(rng.uniform(-spread, spread, count))
    return [0.0, *np.cumsum(parts / parts.sum())[:-1].tolist(), 1.0]


def _nested(
    rng: np.random.Generator, cell: Cell, width: int, height: int, smallest: float, depth: int
) -> list[Cell]:
    x0, y0, x1, y1 = cell
    w, h = (x1 - x0) * width, (y1 - y0) * height
    if depth >= 4 or (depth >= 1 and rng.random() < 0.18 * depth):
        return [cell]
    upright = rng.random() < w / (w + h)
    if (w if upright else h) < 2.2 * smallest:
        return [cell]
    at = float(rng.choice([0.5, 1 / 3, 2 / 3, rng.uniform(0.35, 0.65)]))
    if upright:
        x = x0 + at * (x1 - x0)
        halves: Sequence[Cell] = ((x0, y0, x, y1), (x, y0, x1, y1))
    else:
        y = y0 + at * (y1 - y0)
        halves = ((x0, y0, x1, y), (x0, y, x1, y1))
    return [c for half in halves for c in _nested(rng, half, width, height, smallest, depth + 1)]


def _shrunk(rng: np.random.Generator, rect: Rect) -> Rect:
    """A smaller rectangle somewhere within."""
    w, h = (rng.uniform(0.5, 0.95) * side for side in (rect.width, rect.height))
    x = rect.x0 + rng.random() * (rect.width - w)
    y = rect.y0 + rng.random() * (rect.height - h)
    return Rect(round(x), round(y), round(x + w), round(y + h))


def _parts(rng: np.random.Generator, rect: Rect, gutter: float, smallest: float) -> Slot:
    """Images of one panel: two to six in rows of equal size, at most ``gutter`` apart."""
    choices = ((1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (3, 1), (1, 4))
    rows, columns = choices[rng.integers(len(choices))]
    between = round(rng.uniform(0, gutter))
    w = (rect.width - between * (columns - 1)) / columns
    h = (rect.height - between * (rows - 1)) / rows
    if w < smallest or h < smallest:
        return (rect,)
    return tuple(
        Rect(
            round(rect.x0 + j * (w + between)),
            round(rect.y0 + i * (h + between)),
            round(rect.x0 + j * (w + between) + w),
            round(rect.y0 + i * (h + between) + h),
        )
        for i in range(rows)
        for j in range(columns)
    )


def _strips(rng: np.random.Generator, rect: Rect, thinnest: float) -> list[Rect]:
    """Thin panels side by side, as blots and series of slices come."""
    count = int(rng.integers(2, 7))
    between = round(rng.uniform(1, 6))
    upright = rng.random() < 0.5
    length = rect.width if upright else rect.height
    each = (length - between * (count - 1)) / count
    if each < thinnest:
        return [rect]
    out = []
    for i in range(count):
        a, b = round(i * (each + between)), round(i * (each + between) + each)
        if upright:
            out.append(Rect(rect.x0 + a, rect.y0, rect.x0 + b, rect.y1))
        else:
            out.append(Rect(rect.x0, rect.y0 + a, rect.x1, rect.y0 + b))
    return out
