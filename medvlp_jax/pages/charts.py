"""Small charts as inline SVG, coloured by the style sheet so that they follow light and dark."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from medvlp_jax.pages.html import esc, legend, tag


def shape(name: str, class_: str, *children: str, **attributes: Any) -> str:
    """An SVG element; floats are written with one decimal."""
    written = {k: f"{v:.1f}" if isinstance(v, float) else v for k, v in attributes.items()}
    return tag(name, *children, class_=class_, **written)


def drawing(
    width: float, height: float, *children: str, name: str, class_: str | None = None
) -> str:
    """An SVG picture in coordinates of width x height; ``name`` is read to who cannot see it."""
    return tag(
        "svg",
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=name,
        class_=class_,
    )


def figure(title: str, *children: str) -> str:
    """A chart under its title."""
    return tag("figure", tag("figcaption", esc(title)), *children, class_="chart")


def panel(side: int, *children: str, name: str, note: str, described: str) -> str:
    """A small square chart below its name and a note, one of a row of them.

    Args:
      side: of the coordinate system.
      described: the whole in words.
    """
    caption = tag("figcaption", tag("b", esc(name)), tag("span", esc(note)))
    return tag("figure", caption, drawing(side, side, *children, name=described), class_="roc")


def label(text: str, x: float, y: float, anchor: str = "start", class_: str = "tick") -> str:
    return shape("text", class_, esc(text), x=float(x), y=float(y), text_anchor=anchor)


#: Width of a letter of a tick or a value in the widest of the usual fonts, in units of a chart.
LETTER = 7.0


def edge_label(text: str, x: float, y: float, width: float, class_: str = "tick") -> str:
    """A text centred at ``x``, moved as far as it takes to stay inside of ``width``."""
    half = LETTER * len(text) / 2 + 1
    return label(text, max(min(x, width - half), half), y, "middle", class_)


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The places, moved as little as it takes to lie ``gap`` apart within [low, high]."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    out = list(places)
    floor = low
    for i in order:
        out[i] = floor = max(out[i], floor)
        floor += gap
    ceiling = high
    for i in reversed(order):
        out[i] = ceiling = min(out[i], ceiling)
        ceiling -= gap
    return out


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """At most about ``count`` round values (1, 2 or 5 times a power of ten) inside [low, high]."""
    span = high - low
    if not span > 0:
        return [low]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def short(value: float) -> str:
    """``15k``, ``0.02``, ``3``."""
    return f"{value / 1000:.3g}k" if abs(value) >= 10_000 else f"{value:.4g}"


class Series(NamedTuple):
    """A line: points in order of x; ``faint`` for raw values behind a smoothed line."""

    x: Sequence[float]
    y: Sequence[float]
    kind: str = "a"  # colour class: a (accent), b (contrast), c
    faint: bool = False
    dots: bool = False
    name: str = ""


_WIDTH, _HEIGHT = 320, 200
_TOP, _BOTTOM = 10, 34


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str = "step",
    floor: float | None = None,
    level: float | None = None,
    marks: Mapping[str, str] | None = None,
) -> str:
    """Lines over a common x axis, the last value written at the end of each plain line.

    Points that are not finite break the line.

    Args:
      floor: a y value that the axis has to include.
      level: a y value to draw a dashed line at.
      marks: the legend, as for :func:`~medvlp_jax.pages.html.legend`.
    """
    points = [(a, b) for s in series for a, b in zip(s.x, s.y, strict=True) if math.isfinite(b)]
    if not points:
        return ""
    xs, ys = zip(*points, strict=True)
    x0, x1 = min(xs), max(max(xs), min(xs) + 1)
    fixed = [v for v in (floor, level) if v is not None]
    low, high = min(*ys, *fixed, ys[0]), max(*ys, *fixed, ys[0])
    pad = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
    y0 = low if low == 0 or low == floor else low - pad
    y1 = high + pad
    up, across = ticks(y0, y1, 4), ticks(x0, x1, 4)
    left = 10 + LETTER * max(len(short(y)) for y in up)
    right = _WIDTH - 12 - LETTER * max(len(_end(s)) for s in series)

    def at(x: float, y: float) -> tuple[float, float]:
        u = left + (x - x0) / (x1 - x0) * (right - left)
        return u, _HEIGHT - _BOTTOM - (y - y0) / (y1 - y0) * (_HEIGHT - _TOP - _BOTTOM)

    out = []
    for y in up:
        v = at(x0, y)[1]
        out.append(shape("line", "grid", x1=left, x2=right, y1=v, y2=v))
        out.append(label(short(y), left - 7, v + 3.5, "end"))
    for x in across:
        out.append(edge_label(short(x), at(x, y0)[0], _HEIGHT - _BOTTOM + 15, _WIDTH))
    out.append(label(x_label, (left + right) / 2, _HEIGHT - 5, "middle"))
    if level is not None:
        v = at(x0, level)[1]
        out.append(shape("line", "level", x1=left, x2=right, y1=v, y2=v))
    for s in series:
        out += _drawn(s, [at(a, b) for a, b in zip(s.x, s.y, strict=True)])
    named = [s for s in series if _end(s)]
    lasts = [at(*_last(s)) for s in named]
    heights = spread([v for _, v in lasts], 12, _TOP, _HEIGHT - _BOTTOM)
    for s, (u, _), v in zip(named, lasts, heights, strict=True):
        out.append(label(_end(s), u + 6, v + 4, class_=f"end {s.kind}"))
    keys = legend(**marks) if marks else ""
    return figure(title, drawing(_WIDTH, _HEIGHT, *out, name=title), keys)


def _last(series: Series) -> tuple[float, float]:
    pairs = zip(series.x, series.y, strict=True)
    return [(x, y) for x, y in pairs if math.isfinite(y)][-1]


def _end(series: Series) -> str:
    """What is written at the end of a line."""
    known = any(map(math.isfinite, series.y))
    return "" if series.faint or not known else f"{_last(series)[1]:.3g}"


def _drawn(series: Series, places: Sequence[tuple[float, float]]) -> list[str]:
    path, pen, known = [], "M", []
    for (u, v), y in zip(places, series.y, strict=True):
        if math.isfinite(y):
            path.append(f"{pen}{u:.1f} {v:.1f}")
            known.append((u, v))
        pen = "L" if math.isfinite(y) else "M"
    if not known:
        return []
    out = [shape("path", f"line {series.kind}{' faint' if series.faint else ''}", d="".join(path))]
    if series.dots:
        out += [shape("circle", f"dot {series.kind}", cx=u, cy=v, r=2.6) for u, v in known]
    return out
