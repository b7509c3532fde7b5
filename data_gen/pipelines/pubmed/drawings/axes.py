"""Axes with ticks, titles, grid and legend, and the way from values to places."""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from data_gen.pipelines.pubmed.drawings import words
from data_gen.pipelines.pubmed.drawings.canvas import Canvas, Point
from data_gen.pipelines.pubmed.drawings.style import BLACK, Colour, Style

_GRID: Colour = (218, 218, 218)


class Axes:
    """A plot area on a canvas, with room for its ticks and titles.

    Attributes:
      left, top, right, bottom: of the area, in pixels.
    """

    def __init__(
        self,
        canvas: Canvas,
        style: Style,
        x: tuple[float, float],
        y: tuple[float, float],
        right: float = 0.04,
        left: float = 0.0,
        bottom: float = 0.0,
    ) -> None:
        """``x``, ``y``: first and last value; ``right``, ``left``, ``bottom``: more room."""
        self.canvas, self.style = canvas, style
        self.x_range, self.y_range = x, y
        self.height = canvas.small(style)
        self.left = 4.6 * self.height + left * canvas.width
        self.top = 1.8 * self.height
        self.right = canvas.width * (1 - right)
        self.bottom = canvas.height - 3.4 * self.height - bottom * canvas.height

    def x(self, value: float) -> float:
        low, high = self.x_range
        return self.left + (value - low) / (high - low) * (self.right - self.left)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return self.bottom - (value - low) / (high - low) * (self.bottom - self.top)

    def at(self, x: float, y: float) -> Point:
        return self.x(x), self.y(y)

    def points(self, x: np.ndarray, y: np.ndarray) -> list[Point]:
        return [self.at(float(a), float(b)) for a, b in zip(x, y, strict=True)]

    def back(self, x_ticks: Sequence[float] = (), y_ticks: Sequence[float] = ()) -> None:
        """What lies behind the data: backdrop and grid."""
        canvas, style = self.canvas, self.style
        if style.backdrop != (255, 255, 255):
            canvas.rectangle((self.left, self.top, self.right, self.bottom), style.backdrop)
        line = (255, 255, 255) if style.backdrop != (255, 255, 255) else _GRID
        if "y" in style.grid:
            for value in y_ticks:
                canvas.line([(self.left, self.y(value)), (self.right, self.y(value))], line, 0.8)
        if "x" in style.grid:
            for value in x_ticks:
                canvas.line([(self.x(value), self.top), (self.x(value), self.bottom)], line, 0.8)

    def frame(self) -> None:
        canvas, thin = self.canvas, self.canvas.thin(self.style)
        if self.style.frame == "box":
            box = (self.left, self.top, self.right, self.bottom)
            canvas.rectangle(box, None, BLACK, thin)
        elif self.style.frame == "left bottom":
            corner = (self.left, self.bottom)
            canvas.line([(self.left, self.top), corner], BLACK, thin)
            canvas.line([corner, (self.right, self.bottom)], BLACK, thin)

    def x_marks(
        self, values: Sequence[float], labels: Sequence[str] | None = None, turned: bool = False
    ) -> None:
        """Ticks and their labels; numbers where none are given."""
        canvas, length = self.canvas, self.style.ticks * self.canvas.side
        labels = _numbers(values) if labels is None else labels
        for value, label in zip(values, labels, strict=True):
            x = self.x(value)
            if self.style.frame != "none":
                end = self.bottom + length
                canvas.line([(x, self.bottom), (x, end)], BLACK, canvas.thin(self.style))
            y = self.bottom + max(length, 0) + 0.35 * self.height
            if turned:
                half = canvas.width_of(label, self.height, self.style.font) / 2
                where = (x - 0.6 * half, y + 0.75 * half)
                canvas.turned(where, label, self.height, self.style.font, 45)
            else:
                canvas.text((x, y), label, self.height, self.style.font, anchor="mt")

    def y_marks(self, values: Sequence[float], labels: Sequence[str] | None = None) -> None:
        canvas, length = self.canvas, self.style.ticks * self.canvas.side
        labels = _numbers(values) if labels is None else labels
        for value, label in zip(values, labels, strict=True):
            y = self.y(value)
            if self.style.frame != "none":
                end = self.left - length
                canvas.line([(self.left, y), (end, y)], BLACK, canvas.thin(self.style))
            x = self.left - max(length, 0) - 0.4 * self.height
            canvas.text((x, y), label, self.height, self.style.font, anchor="rm")

    def titles(self, rng: np.random.Generator, x: str = "", y: str = "", title: str = "") -> None:
        canvas, name, height = self.canvas, self.style.font, self.height
        big = height * rng.uniform(1.0, 1.25)
        middle = (self.left + self.right) / 2
        if x:
            canvas.text((middle, canvas.height - 0.45 * height), x, big, name, anchor="mb")
        if y:
            canvas.turned((big * 0.8, (self.top + self.bottom) / 2), y, big, name)
        if title:
            bold = bool(rng.random() < 0.4)
            canvas.text((middle, 0.3 * height), title, big, name, anchor="mt", bold=bold)

    def legend(self, rng: np.random.Generator, names: Sequence[str], filled: bool) -> None:
        """Names of the groups in a corner of the area, with boxes or lines of their colours."""
        canvas, height, name = self.canvas, self.height, self.style.font
        wide = max(canvas.width_of(n, height, name) for n in names) + 2.6 * height
        high = 1.35 * height * len(names) + 0.5 * height
        x = float(rng.choice([self.left + 0.6 * height, self.right - wide - 0.3 * height]))
        y = self.top + 0.3 * height
        if rng.random() < 0.5:
            edge = BLACK if rng.random() < 0.5 else _GRID
            canvas.rectangle((x, y, x + wide, y + high), (255, 255, 255), edge, 0.7)
        for i, label in enumerate(names):
            line = y + 0.95 * height + i * 1.35 * height
            left, right = x + 0.4 * height, x + 1.8 * height
            colour = self.style.colour(i)
            if filled:
                box = (left, line - 0.4 * height, left + height, line + 0.4 * height)
                canvas.rectangle(box, colour, BLACK, 0.5)
            else:
                canvas.line([(left, line), (right, line)], colour, 2 * canvas.thin(self.style))
            canvas.text((x + 2.2 * height, line), label, height, name, anchor="lm")

    def bracket(self, x0: float, x1: float, y: float, mark: str) -> None:
        """What says that two groups differ; ``y`` in pixels."""
        canvas, thin = self.canvas, self.canvas.thin(self.style)
        a, b = self.x(x0), self.x(x1)
        low = y + 0.4 * self.height
        canvas.line([(a, low), (a, y), (b, y), (b, low)], BLACK, thin)
        canvas.text(((a + b) / 2, y - 0.1 * self.height), mark, self.height, anchor="mb")


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values between two."""
    raw = (high - low) / max(count, 1)
    scale = 10 ** math.floor(math.log10(raw))
    step = next(s * scale for s in (1, 2, 2.5, 5, 10) if s * scale >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def titled(rng: np.random.Generator, axes: Axes, x: bool = True) -> None:
    """Titles as most plots have them."""
    title = words.one(rng, words.GENES + words.GROUPS) if rng.random() < 0.35 else ""
    below = words.one(rng, words.ABSCISSAE) if x and rng.random() < 0.85 else ""
    axes.titles(rng, below, words.one(rng, words.QUANTITIES), title)


def _numbers(values: Sequence[float]) -> list[str]:
    top = max((abs(v) for v in values), default=0.0)
    step = min((abs(b - a) for a, b in itertools.pairwise(values)), default=1.0)
    if top >= 1e5 or step < 1e-3:
        return [f"{v:.0e}" for v in values]
    digits = max(0, -math.floor(math.log10(max(step, 1e-9)) + 1e-9))
    digits += round(step * 10**digits, 6) != round(step * 10**digits)
    return [f"{v:.{digits}f}" for v in values]
