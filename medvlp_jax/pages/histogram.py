"""Histograms as inline SVG; a page that shows one holds :data:`STYLE`."""

import pathlib
from collections.abc import Sequence

import numpy as np

from medvlp_jax.pages.charts import drawing, edge_label, figure, label, shape, short, ticks
from medvlp_jax.pages.html import esc, tag

_WIDTH, _HEIGHT = 320, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 14, 12, 10, 34
_BINS = 28
#: Of the bars and their legend, for the page's header.
STYLE = pathlib.Path(__file__).with_suffix(".css").read_text(encoding="utf-8")


def histogram(
    groups: Sequence[tuple[str, Sequence[float]]],
    *,
    title: str,
    x_label: str,
    domain: tuple[float, float] | None = None,
    whole: bool = False,
    mark: tuple[float, str] | None = None,
) -> str:
    """Bars of shares per bin, one colour per group, laid over each other.

    Args:
      groups: (name, values); at most two, those without a value are left out.
      title, x_label: what is counted, and of which unit.
      domain: ends of the axis; what lies outside is counted in the first and last bin. None takes
        the range of all values but the outermost 0.5 %.
      whole: values are whole numbers, and bins begin and end between them.
      mark: a value to draw a line at, and what it is.
    """
    given = [(n, np.asarray(v, np.float64)) for n, v in groups if len(v)]
    if not given:
        return ""
    every = np.concatenate([v for _, v in given])
    low, high = domain or _range(every)
    if mark is not None:
        low, high = min(low, mark[0]), max(high, mark[0])
    edges = _whole_edges(low, high) if whole else np.linspace(low, high, _BINS + 1)
    shares = [np.histogram(np.clip(v, edges[0], edges[-1]), edges)[0] / len(v) for _, v in given]
    top = max(float(s.max()) for s in shares)

    def x_at(value: float) -> float:
        share = (value - edges[0]) / (edges[-1] - edges[0])
        return _LEFT + float(share) * (_WIDTH - _LEFT - _RIGHT)

    floor = _HEIGHT - _BOTTOM
    out = [shape("line", "grid", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=floor, y2=floor)]
    for kind, share in zip("ab", shares, strict=False):
        for i, value in enumerate(share):
            if value:
                tall = float(value / top) * (floor - _TOP)
                left, right = x_at(edges[i]), x_at(edges[i + 1])
                out.append(
                    shape(
                        "rect",
                        f"hist {kind}",
                        x=left + 0.5,
                        y=floor - tall,
                        width=max(right - left - 1.0, 0.8),
                        height=tall,
                    )
                )
    for value in ticks(float(edges[0]), float(edges[-1]), 5):
        out.append(edge_label(short(value), x_at(value), floor + 15, _WIDTH))
    out.append(edge_label(x_label, (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 5, _WIDTH))
    if mark is not None:
        at = x_at(mark[0])
        out.append(shape("line", "reference", x1=at, x2=at, y1=_TOP, y2=floor))
        side = "end" if at > _WIDTH / 2 else "start"
        out.append(label(mark[1], at - 4 if side == "end" else at + 4, _TOP + 9, side))
    keys = ""
    if len(given) > 1:
        shown = (_key(kind, *group) for kind, group in zip("ab", given, strict=False))
        keys = tag("p", *shown, class_="key small")
    return figure(title, drawing(_WIDTH, _HEIGHT, *out, name=title), keys)


def _key(kind: str, name: str, values: np.ndarray) -> str:
    return tag("span", tag("i", class_=f"swatch hist-{kind}"), esc(f"{name} ({len(values):,})"))


def _range(values: np.ndarray) -> tuple[float, float]:
    low, high = (float(q) for q in np.quantile(values, (0.005, 0.995)))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _whole_edges(low: float, high: float) -> np.ndarray:
    first, last = int(np.floor(low)), int(np.ceil(high))
    step = max(1, -(-(last - first + 1) // _BINS))
    count = -(-(last - first + 1) // step)
    return first - 0.5 + step * np.arange(count + 1)
