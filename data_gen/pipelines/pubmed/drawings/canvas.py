"""A sheet to draw on, in pixels of the finished picture, edges smoothed."""

import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from data_gen.pipelines.pubmed.drawings.style import BLACK, WHITE, Colour, Style, face, font

Point = tuple[float, float]
#: Drawn this many times larger, then averaged: Pillow's lines have hard edges.
FINER = 2


class Canvas:
    """A sheet ``height`` x ``width``; places and sizes are floats in its pixels, (x, y)."""

    def __init__(self, height: int, width: int, background: Colour = WHITE) -> None:
        self.height, self.width = height, width
        #: What sizes are shares of.
        self.side = float(min(height, width))
        self.image = Image.new("RGB", (width * FINER, height * FINER), background)
        self._draw = ImageDraw.Draw(self.image)

    def finish(self) -> UInt8[np.ndarray, "h w 3"]:
        return np.asarray(self.image.reduce(FINER))

    def line(self, points: Sequence[Point], colour: Colour = BLACK, width: float = 1.0) -> None:
        self._draw.line(_flat(points), fill=colour, width=_wide(width), joint="curve")

    def dashed(
        self, points: Sequence[Point], colour: Colour, width: float, dash: float, gap: float
    ) -> None:
        """A broken line; ``dash`` and ``gap`` are lengths."""
        left, on = dash, True
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            length = math.hypot(x1 - x0, y1 - y0)
            at = 0.0
            while at < length:
                step = min(left, length - at)
                if on:
                    a, b = at / length, (at + step) / length
                    start = (x0 + a * (x1 - x0), y0 + a * (y1 - y0))
                    self.line([start, (x0 + b * (x1 - x0), y0 + b * (y1 - y0))], colour, width)
                at, left = at + step, left - step
                if left <= 1e-6:
                    on = not on
                    left = dash if on else gap

    def polygon(
        self,
        points: Sequence[Point],
        fill: Colour | None = None,
        outline: Colour | None = None,
        width: float = 1.0,
    ) -> None:
        if fill is not None:
            self._draw.polygon(_flat(points), fill=fill)
        if outline is not None:
            self.line([*points, points[0]], outline, width)

    def rectangle(
        self,
        box: tuple[float, float, float, float],
        fill: Colour | None = None,
        outline: Colour | None = None,
        width: float = 1.0,
        round: float = 0.0,
    ) -> None:
        """``box``: x0, y0, x1, y1; ``round``: radius of the corners."""
        x0, y0, x1, y1 = (v * FINER for v in box)
        corners = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        thick = _wide(width) if outline is not None else 1
        if round:
            self._draw.rounded_rectangle(corners, round * FINER, fill, outline, thick)
        else:
            self._draw.rectangle(corners, fill, outline, thick)

    def ellipse(
        self,
        centre: Point,
        rx: float,
        ry: float,
        fill: Colour | None = None,
        outline: Colour | None = None,
        width: float = 1.0,
    ) -> None:
        x, y = centre[0] * FINER, centre[1] * FINER
        rx, ry = rx * FINER, ry * FINER
        thick = _wide(width) if outline is not None else 1
        self._draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill, outline, thick)

    def marker(self, kind: int, at: Point, radius: float, colour: Colour, hollow: bool) -> None:
        """One of circle, square, triangle, diamond and cross."""
        fill, edge = (None, colour) if hollow else (colour, None)
        x, y = at
        if kind % 5 == 0:
            self.ellipse(at, radius, radius, fill, edge, radius / 3)
        elif kind % 5 == 4:
            self.line([(x - radius, y - radius), (x + radius, y + radius)], colour, radius / 3)
            self.line([(x - radius, y + radius), (x + radius, y - radius)], colour, radius / 3)
        else:
            r = radius
            shapes = (
                [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
                [(x, y - 1.2 * r), (x + 1.1 * r, y + 0.8 * r), (x - 1.1 * r, y + 0.8 * r)],
                [(x, y - 1.3 * r), (x + 1.3 * r, y), (x, y + 1.3 * r), (x - 1.3 * r, y)],
            )
            self.polygon(shapes[kind % 5 - 1], fill, edge, radius / 3)

    def arrow(
        self,
        start: Point,
        end: Point,
        colour: Colour,
        width: float,
        head: float,
        blunt: bool = False,
    ) -> None:
        """A line with a head of that length, or with the bar of an inhibition."""
        angle = math.atan2(end[1] - start[1], end[0] - start[0])
        cos, sin = math.cos(angle), math.sin(angle)
        if blunt:
            self.line([start, end], colour, width)
            up = (end[0] - sin * head * 0.6, end[1] + cos * head * 0.6)
            self.line([up, (end[0] + sin * head * 0.6, end[1] - cos * head * 0.6)], colour, width)
            return
        back = (end[0] - cos * head, end[1] - sin * head)
        self.line([start, back], colour, width)
        left = (back[0] - sin * head * 0.45, back[1] + cos * head * 0.45)
        self.polygon(
            [end, left, (back[0] + sin * head * 0.45, back[1] - cos * head * 0.45)], colour
        )

    def text(
        self,
        at: Point,
        words: str,
        height: float,
        name: str = "sans",
        colour: Colour = BLACK,
        anchor: str = "lt",
        bold: bool = False,
    ) -> None:
        """Text ``height`` pixels high; ``anchor`` as Pillow has it."""
        pixels = max(5, round(height * FINER))
        name, plain = face(words, name, bold), name
        bold = bold and name == plain  # there is no such font: the letters are drawn thicker
        self._draw.text(
            (at[0] * FINER, at[1] * FINER),
            words,
            fill=colour,
            font=font(name, pixels),
            anchor=anchor,
            stroke_width=max(1, round(pixels / 32)) if bold else 0,
            stroke_fill=colour if bold else None,
        )

    def width_of(self, words: str, height: float, name: str = "sans") -> float:
        lettering = font(face(words, name), max(5, round(height * FINER)))
        return float(lettering.getlength(words)) / FINER

    def turned(
        self, centre: Point, words: str, height: float, name: str = "sans", degrees: float = 90.0
    ) -> None:
        """Black text around a centre, turned against the clock."""
        pixels = max(5, round(height * FINER))
        lettering = font(face(words, name), pixels)
        x0, y0, x1, y1 = (int(v) for v in lettering.getbbox(words))
        sheet = Image.new("L", (x1 - x0 + 4, y1 - y0 + 4), 0)
        ImageDraw.Draw(sheet).text((2 - x0, 2 - y0), words, fill=255, font=lettering)
        sheet = sheet.rotate(degrees, expand=True, resample=Image.Resampling.BILINEAR)
        left = int(centre[0] * FINER - sheet.width / 2), int(centre[1] * FINER - sheet.height / 2)
        self.image.paste(BLACK, left, sheet)

    def paste(self, picture: np.ndarray, left: float, top: float) -> None:
        """A picture [h, w, 3] with its corner at a place."""
        image = Image.fromarray(np.ascontiguousarray(picture))
        image = image.resize((image.width * FINER, image.height * FINER), Image.Resampling.NEAREST)
        self.image.paste(image, (round(left * FINER), round(top * FINER)))

    def small(self, style: Style) -> float:
        """Height of small text."""
        return max(5.0, style.text * self.side)

    def thin(self, style: Style) -> float:
        """Width of an axis."""
        return max(0.5, style.line * self.side)


def _flat(points: Iterable[Point]) -> list[float]:
    return [value * FINER for point in points for value in point]


def _wide(width: float) -> int:
    return max(1, round(width * FINER))
