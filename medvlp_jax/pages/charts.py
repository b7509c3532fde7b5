"""Small charts as inline SVG, coloured by the style sheet so that they follow light and dark."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from medvlp_jax.pages.html import esc, legend, number, tag


def shape(name: str, class_: str, *children: str, **attributes: Any) -> str:
    """An SVG element; floats are written with one decimal."""
    written = {k: f"{v:.1f}" if isinstance(v, float) else v for k, v in attributes.items()}
    return tag(name, *children, class_=class_, **written)


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
    svg = tag("svg", *out, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=title)
    keys = legend(**marks) if marks else ""
    return tag("figure", tag("figcaption", esc(title)), svg, keys, class_="chart")


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


def smooth(y: Sequence[float], window: int) -> Float[np.ndarray, "n"]:
    """Centred moving mean; the window shrinks towards the ends. NaN is left out."""
    values = np.asarray(y, np.float64)
    window = max(1, min(window, len(values)))
    known = np.isfinite(values)
    kernel = np.ones(window)
    total = np.convolve(np.where(known, values, 0.0), kernel, mode="same")
    weight = np.convolve(known.astype(float), kernel, mode="same")
    return np.divide(total, weight, out=np.full(len(values), np.nan), where=weight > 0)


Curve = Sequence[float | None]


def roc_panel(
    name: str,
    grid: Sequence[float],
    value: Curve,
    low: Curve,
    high: Curve,
    note: str,
    others: Sequence[tuple[str, Curve]] = (),
) -> str:
    """A ROC curve with its band, the diagonal, and other curves as thin dashed lines."""
    side, pad = 132, 6

    def at(x: float, y: float) -> str:
        return f"{pad + x * side:.1f} {pad + (1 - y) * side:.1f}"

    def places(curve: Curve) -> list[str]:
        return [at(x, y) for x, y in zip(grid, curve, strict=True) if y is not None]

    def line(curve: Curve) -> str:
        return "M" + "L".join([at(0, 0), *places(curve)])

    out = [
        shape("rect", "frame", x=pad, y=pad, width=side, height=side),
        shape("path", "diagonal", d=f"M{at(0, 0)}L{at(1, 1)}"),
    ]
    if None not in low and None not in high:
        around = "L".join(places(high) + places(low)[::-1])
        out.append(shape("path", "band a", d=f"M{around}Z"))
    for rule, curve in others:
        if None not in curve:
            out.append(shape("path", "line b dash", tag("title", esc(rule)), d=line(curve)))
    out.append(shape("path", "line a", d=line(value)))
    size = side + 2 * pad
    described = f"ROC curve of {name}: {note}"
    svg = tag("svg", *out, viewBox=f"0 0 {size} {size}", role="img", aria_label=described)
    caption = tag("figcaption", tag("b", esc(name)), tag("span", esc(note)))
    return tag("figure", caption, svg, class_="roc")


class Mark(NamedTuple):
    """A reference beside a value: ``kind`` is its shape, ``title`` what the pointer shows."""

    value: float | None
    kind: str  # "rule" (diamond), "chance" (bar)
    title: str


_PAD = 6


def _cell(out: Sequence[str], width: int, height: int) -> str:
    return tag(
        "svg", *out, viewBox=f"0 0 {width} {height}", width=width, height=height,
        class_="whisker-cell", aria_hidden="true",
    )  # fmt: skip


def whisker(
    value: float | None,
    low: float | None,
    high: float | None,
    domain: tuple[float, float],
    marks: Sequence[Mark] = (),
    *,
    reference: float | None = None,
    width: int = 170,
    height: int = 20,
) -> str:
    """A value with its interval on a fixed scale, beside reference marks; for a table cell.

    What lies outside ``domain`` is drawn at its end.
    """
    middle = height / 2

    def at(v: float) -> float:
        share = (v - domain[0]) / (domain[1] - domain[0])
        return _PAD + min(max(share, 0.0), 1.0) * (width - 2 * _PAD)

    out = [shape("line", "track", x1=_PAD, x2=width - _PAD, y1=middle, y2=middle)]
    if reference is not None:
        out.append(shape("line", "reference", x1=at(reference), x2=at(reference), y1=1, y2=height))
    for mark in marks:
        if mark.value is not None:
            u = at(mark.value)
            path, kind = f"M{u:.1f} {middle - 6}v12", "mark chance"
            if mark.kind == "rule":
                path, kind = f"M{u:.1f} {middle - 4.5}l4.5 4.5l-4.5 4.5l-4.5 -4.5Z", "mark b"
            title = tag("title", esc(f"{mark.title}: {number(mark.value)}"))
            out.append(shape("path", kind, title, d=path))
    if value is not None:
        if low is not None and high is not None:
            out.append(shape("line", "whisker", x1=at(low), x2=at(high), y1=middle, y2=middle))
        out.append(shape("circle", "value", cx=at(value), cy=middle, r=4.2))
    return _cell(out, width, height)


def whisker_axis(domain: tuple[float, float], *, width: int = 170) -> str:
    """The scale above a column of :func:`whisker`."""
    out = []
    for v in ticks(*domain, 4):
        u = _PAD + (v - domain[0]) / (domain[1] - domain[0]) * (width - 2 * _PAD)
        anchor = "start" if u < 2 * _PAD else "end" if u > width - 2 * _PAD else "middle"
        u += {"start": -4, "end": 4, "middle": 0}[anchor]
        out.append(label(short(v), u, 11, anchor))
    return _cell(out, width, 14)


def bar(share: float, kind: str = "a") -> str:
    """A horizontal bar of a share in [0, 1], for a table cell."""
    width = f"width:{100 * min(max(share, 0), 1):.1f}%"
    return tag("span", tag("i", style=width), class_=f"bar {kind}")
