"""Values with their intervals on a fixed scale, and bars of shares, for the cells of a table."""

from collections.abc import Sequence
from typing import NamedTuple

from medvlp_jax.pages.charts import label, shape, short, ticks
from medvlp_jax.pages.html import esc, number, tag


class Mark(NamedTuple):
    """A reference beside a value: ``kind`` is its shape, ``title`` what the pointer shows."""

    value: float | None
    kind: str  # "rule" (diamond), "chance" (bar)
    title: str


_PAD = 6


def _cell(out: Sequence[str], width: int, height: int) -> str:
    return tag(
        "svg",
        *out,
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        class_="whisker-cell",
        aria_hidden="true",
    )


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
