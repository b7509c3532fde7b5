"""Flow diagrams, pathways and schemata of bodies and set-ups."""

import itertools
import math

import numpy as np

from data_gen.pipelines.pubmed.drawings import words
from data_gen.pipelines.pubmed.drawings.canvas import Canvas, Point
from data_gen.pipelines.pubmed.drawings.style import BLACK, WHITE, Colour, Style, sample_style


def _pale(colour: Colour, share: float) -> Colour:
    r, g, b = (round(255 - (255 - v) * share) for v in colour)
    return r, g, b


def _boxed(
    canvas: Canvas, style: Style, box: tuple[float, float, float, float], text: list[str],
    fill: Colour, corner: float, edge: Colour = BLACK,
) -> None:  # fmt: skip
    x0, y0, x1, y1 = box
    canvas.rectangle(box, fill, edge, 1.3 * canvas.thin(style), corner)
    longest = max(canvas.width_of(line, 10, style.font) for line in text) / 10
    height = min(canvas.small(style), 0.92 * (x1 - x0) / longest, 0.8 * (y1 - y0) / len(text))
    dark = sum(fill) < 330
    for i, line in enumerate(text):
        y = (y0 + y1) / 2 + (i - (len(text) - 1) / 2) * 1.2 * height
        colour = WHITE if dark else BLACK
        canvas.text(((x0 + x1) / 2, y), line, height, style.font, colour, "mm")


def flow_diagram(rng: np.random.Generator, canvas: Canvas) -> None:
    """Boxes with steps and arrows between them: patients, studies, or a method."""
    style = sample_style(rng)
    across = canvas.width > 1.6 * canvas.height or rng.random() < 0.25
    levels = int(rng.integers(3, 6))
    tinted = float(rng.choice([0.0, 0.25, 0.6, 1.0], p=[0.5, 0.25, 0.15, 0.1]))
    corner = canvas.side * float(rng.choice([0, 0.02], p=[0.65, 0.35]))
    long, wide = (canvas.width, canvas.height) if across else (canvas.height, canvas.width)
    step = long / levels
    before: list[tuple[float, float, float, float]] = []
    for level in range(levels):
        count = 1 if level == 0 else int(rng.choice([1, 2, 3], p=[0.5, 0.35, 0.15]))
        row = []
        for k in range(count):
            half = (
                wide / count * rng.uniform(0.3, 0.44)
                if count > 1
                else wide * rng.uniform(0.18, 0.3)
            )
            middle = wide * (k + 0.5) / count
            a, b = step * (level + 0.16), step * (level + rng.uniform(0.66, 0.76))
            box = (
                (a, middle - half, b, middle + half)
                if across
                else (middle - half, a, middle + half, b)
            )
            row.append(box)
            text = [words.one(rng, words.STEPS)]
            if rng.random() < 0.6:
                text.append(f"(n = {rng.integers(5, 2000)})")
            if rng.random() < 0.25:
                text.append(words.one(rng, words.ROWS) + f": {rng.integers(2, 90)}")
            colour = _pale(style.colour(level), tinted)
            _boxed(canvas, style, box, text, colour, corner)
        for box in row:
            for old in before if len(before) == 1 or len(row) == 1 else [before[0], before[-1]]:
                _connect(canvas, style, old, box, across)
        if count == 1 and level > 0 and not across and rng.random() < 0.35:
            x0, y0, x1, _ = row[0]
            aside = (
                x1 + 0.05 * wide,
                y0 - 0.2 * step,
                min(x1 + 0.4 * wide, wide - 2),
                y0 + 0.2 * step,
            )
            text = ["Excluded", f"(n = {rng.integers(1, 300)})"]
            _boxed(canvas, style, aside, text, WHITE, corner)
            end = (aside[0], (aside[1] + aside[3]) / 2)
            start = (((x0 + x1) / 2), end[1])
            canvas.arrow(start, end, BLACK, canvas.thin(style), 0.02 * canvas.side)
        before = row


def _connect(canvas: Canvas, style: Style, old, new, across: bool) -> None:
    thin, head = canvas.thin(style), 0.022 * canvas.side
    if across:
        a, b = (old[2], (old[1] + old[3]) / 2), (new[0], (new[1] + new[3]) / 2)
        middle = (a[0] + b[0]) / 2
        canvas.line([a, (middle, a[1]), (middle, b[1])], BLACK, thin)
        canvas.arrow((middle, b[1]), b, BLACK, thin, head)
    else:
        a, b = ((old[0] + old[2]) / 2, old[3]), ((new[0] + new[2]) / 2, new[1])
        middle = (a[1] + b[1]) / 2
        canvas.line([a, (a[0], middle), (b[0], middle)], BLACK, thin)
        canvas.arrow((b[0], middle), b, BLACK, thin, head)


def schema(rng: np.random.Generator, canvas: Canvas) -> None:
    """A pathway in a cell, an organ in outline with pointers, or the course of an experiment."""
    kind = rng.choice(["pathway", "organ", "course", "network"], p=[0.35, 0.35, 0.15, 0.15])
    style = sample_style(rng)
    {"pathway": _pathway, "organ": _organ, "course": _course, "network": _network}[str(kind)](
        rng, canvas, style
    )


def _outline(
    rng, centre: Point, rx: float, ry: float, rough: float, count: int = 60
) -> list[Point]:
    """A smooth uneven ring."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    radius = np.ones(count)
    for k in range(2, 6):
        radius += rough * rng.normal() / k * np.cos(k * angle + rng.uniform(0, 6.3))
    return [
        (centre[0] + rx * r * math.cos(a), centre[1] + ry * r * math.sin(a))
        for a, r in zip(angle, radius, strict=True)
    ]


def _pathway(rng, canvas: Canvas, style: Style) -> None:
    w, h = canvas.width, canvas.height
    if rng.random() < 0.7:
        cell = _pale(style.colour(1), rng.uniform(0.08, 0.3))
        y = h * rng.uniform(0.15, 0.28)
        canvas.rectangle((-20, y, w + 20, h + 20), cell)
        for shift in (0.0, 0.02 * h):
            canvas.line([(0, y + shift), (w, y + shift)], style.colour(1), 2.5 * canvas.thin(style))
        if rng.random() < 0.7:
            place = (w * rng.uniform(0.35, 0.65), h * 0.86)
            canvas.ellipse(place, w * 0.3, h * 0.2, _pale(style.colour(2), 0.3), style.colour(2), 2)
            canvas.text(place, "nucleus", canvas.small(style), style.font, anchor="mm")
    rows = int(rng.integers(3, 6))
    levels = []
    names = words.pick(rng, words.GENES + words.PARTS, 24)
    for r in range(rows):
        count = int(rng.integers(1, 4))
        spots = np.sort(rng.uniform(0.12, 0.88, count)) if count > 1 else rng.uniform(0.3, 0.7, 1)
        levels.append([(w * float(x), h * (r + 0.5) / rows) for x in spots])
    head = 0.03 * canvas.side
    for above, below in itertools.pairwise(levels):
        for end in below:
            start = above[rng.integers(len(above))]
            a = (start[0] * 0.75 + end[0] * 0.25, start[1] * 0.7 + end[1] * 0.3)
            b = (start[0] * 0.2 + end[0] * 0.8, start[1] * 0.3 + end[1] * 0.7)
            blunt = bool(rng.random() < 0.2)
            canvas.arrow(a, b, BLACK, 1.5 * canvas.thin(style), head, blunt)
    height = canvas.small(style)
    for level in levels:
        for centre in level:
            name = names.pop()
            half = canvas.width_of(name, height, style.font) / 2 + 0.7 * height
            colour = style.colour(int(rng.integers(6)))
            x, y = centre
            if rng.random() < 0.7:
                canvas.ellipse(centre, half, height, _pale(colour, 0.6), colour, 1)
            else:
                box = (x - half, y - height, x + half, y + height)
                canvas.rectangle(box, _pale(colour, 0.6), colour, 1, height * 0.4)
            canvas.text(centre, name, height, style.font, anchor="mm")


def _organ(rng, canvas: Canvas, style: Style) -> None:
    w, h = canvas.width, canvas.height
    centre = (w * rng.uniform(0.4, 0.6), h * rng.uniform(0.42, 0.55))
    rx, ry = w * rng.uniform(0.2, 0.36), h * rng.uniform(0.25, 0.38)
    plain = rng.random() < 0.4
    tone = style.colour(int(rng.integers(6)))
    fill = WHITE if plain else _pale(tone, rng.uniform(0.2, 0.6))
    edge = BLACK if plain or rng.random() < 0.6 else tone
    canvas.polygon(_outline(rng, centre, rx, ry, 0.12), fill, edge, 1.6 * canvas.thin(style))
    spots = []
    for k in range(int(rng.integers(2, 7))):
        angle, away = rng.uniform(0, 6.3), rng.uniform(0.1, 0.65)
        at = (centre[0] + rx * away * math.cos(angle), centre[1] + ry * away * math.sin(angle))
        inner = WHITE if plain else _pale(style.colour(k), rng.uniform(0.4, 0.9))
        size = rng.uniform(0.1, 0.35)
        ring = _outline(rng, at, rx * size, ry * size, 0.2)
        canvas.polygon(ring, inner, edge, canvas.thin(style))
        spots.append(at)
    for _ in range(int(rng.integers(0, 4))):
        points = [
            (centre[0] + rx * rng.normal(0, 0.5), centre[1] + ry * rng.normal(0, 0.5))
            for _ in "abc"
        ]
        canvas.line(_curve(points), style.colour(3), rng.uniform(1, 4) * canvas.thin(style))
    height = canvas.small(style)
    for name, at in zip(words.pick(rng, words.PARTS, len(spots)), spots, strict=True):
        right = at[0] > centre[0]
        x = w - 0.4 * height if right else 0.4 * height
        y = float(np.clip(at[1] + rng.normal(0, 0.12) * h, height, h - height))
        room = canvas.width_of(name, height, style.font) + 0.4 * height
        end = (x - room if right else x + room, y)
        canvas.line([at, end], BLACK, canvas.thin(style))
        canvas.text((x, y), name, height, style.font, anchor="rm" if right else "lm")


def _curve(points: list[Point]) -> list[Point]:
    """A smooth line by the middle one of three points."""
    a, b, c = points
    return [
        (
            (1 - t) ** 2 * a[0] + 2 * t * (1 - t) * b[0] + t * t * c[0],
            (1 - t) ** 2 * a[1] + 2 * t * (1 - t) * b[1] + t * t * c[1],
        )
        for t in np.linspace(0, 1, 20)
    ]


def _course(rng, canvas: Canvas, style: Style) -> None:
    """Trials or weeks along an arrow."""
    w, h, height = canvas.width, canvas.height, canvas.small(style)
    lanes = int(rng.integers(1, 4))
    for lane in range(lanes):
        y = h * (lane + 0.6) / lanes
        left, right = 0.06 * w, 0.96 * w
        canvas.arrow((left, y), (right, y), BLACK, 1.6 * canvas.thin(style), 0.03 * canvas.side)
        count = int(rng.integers(2, 6))
        for k, name in enumerate(words.pick(rng, words.PARTS + words.GROUPS, count)):
            x0 = left + (right - left) * k / count
            x1 = x0 + (right - left) / count * rng.uniform(0.4, 0.85)
            high = min(0.16 * h, 0.3 * h / lanes)
            box = (x0, y - high, x1, y - 0.1 * high)
            fill = _pale(style.colour(k), 0.5) if rng.random() < 0.7 else WHITE
            _boxed(canvas, style, box, [name], fill, 0)
            said = f"{rng.choice([0, 1, 2, 5, 7, 14, 28])} {rng.choice(['d', 's', 'wk', 'ms'])}"
            canvas.text((x0, y + 0.4 * height), said, height, style.font, anchor="mt")


def _network(rng, canvas: Canvas, style: Style) -> None:
    """Nodes joined by lines, as of proteins or regions."""
    w, h = canvas.width, canvas.height
    count = int(rng.integers(7, 30))
    at = [(w * float(x), h * float(y)) for x, y in rng.uniform(0.1, 0.9, (count, 2))]
    for k in range(count):
        for other in rng.integers(0, count, int(rng.integers(1, 4))):
            grey = int(rng.integers(80, 200))
            canvas.line([at[k], at[other]], (grey, grey, grey), rng.uniform(0.6, 2))
    for centre, name in zip(at, words.pick(rng, words.GENES, count), strict=True):
        radius = canvas.side * rng.uniform(0.02, 0.05)
        colour = style.colour(int(rng.integers(4)))
        canvas.ellipse(centre, radius, radius, colour, BLACK, 0.7)
        if rng.random() < 0.7:
            canvas.text(centre, name, 0.8 * canvas.small(style), style.font, anchor="mm")
