"""Reliability diagrams: how often a class is there among records that were given a probability."""

from collections.abc import Mapping, Sequence
from typing import Any

from medvlp_jax.pages.charts import panel, shape
from medvlp_jax.pages.html import count, esc, legend, number, tag

_SIDE, _PAD = 132, 6


def reliability_grid(entry: Mapping[str, Any]) -> str:
    """One diagram a class; empty where no probabilities were calibrated."""
    curves = entry.get("reliability")
    if not curves:
        return ""
    ece = {row["name"]: row["ece"]["value"] for row in entry["classes"]}
    panels = [_panel(name, curve, ece.get(name)) for name, curve in curves.items()]
    how = (
        "Across the probability that was said, up the share of records that have the class; on "
        "the diagonal both agree. The area of a dot is the number of records in its tenth."
    )
    return (
        tag("p", how, class_="how")
        + tag("div", *panels, class_="rocs")
        + legend(dot="records of a tenth of the probabilities", mean="calibrated perfectly")
    )


def _panel(name: str, curve: Mapping[str, Sequence[float]], ece: float | None) -> str:
    def at(x: float, y: float) -> tuple[float, float]:
        return _PAD + x * _SIDE, _PAD + (1 - y) * _SIDE

    most = max([1, *curve["count"]])
    out = [
        shape("rect", "frame", x=_PAD, y=_PAD, width=_SIDE, height=_SIDE),
        shape("path", "diagonal", d=f"M{_PAD} {_PAD + _SIDE}L{_PAD + _SIDE} {_PAD}"),
    ]
    bins = zip(curve["said"], curve["true"], curve["count"], strict=True)
    known = [(at(said, true), said, true, n) for said, true, n in bins if n]
    path = "L".join(f"{u:.1f} {v:.1f}" for (u, v), *_ in known)
    out.append(shape("path", "line a", d=f"M{path}"))
    for (u, v), said, true, n in known:
        words = f"said {number(said, 2)}, true {number(true, 2)}, {count(n)} records"
        radius = 1.2 + 4.8 * (n / most) ** 0.5
        out.append(shape("circle", "dot a", tag("title", esc(words)), cx=u, cy=v, r=radius))
    note = f"ECE {number(ece)}"
    described = f"reliability of {name}: {note}"
    return panel(_SIDE + 2 * _PAD, *out, name=name, note=note, described=described)
