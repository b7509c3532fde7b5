"""The figures of an experiment as PNG files, for papers and slides."""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
import matplotlib.figure

matplotlib.use("agg")
#: Evaluations whose number is no AUC, so that one half means nothing.
NO_AUC = ("grounding", "retrieval")
_COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#8172b3", "#937860", "#da8bc3")


def _arms(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((r["budget"], r["method"]) for r in rows))


def values(rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any], evaluation: str) -> bytes:
    """Means by method and condition, with intervals and the seeds as dots."""
    arms, conditions = _arms(rows), list(dict.fromkeys(r["condition"] for r in rows))
    figure = matplotlib.figure.Figure(figsize=(2.4 + 1.7 * len(arms), 3.6), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(conditions)
    for c, condition in enumerate(conditions):
        for a, arm in enumerate(arms):
            for r in rows:
                if (r["budget"], r["method"]) == arm and r["condition"] == condition:
                    x = a + (c - (len(conditions) - 1) / 2) * width
                    colour = _COLOURS[c % len(_COLOURS)]
                    if r["low"] is not None:
                        axes.plot([x, x], [r["low"], r["high"]], color=colour, lw=2.5)
                    if r["value"] is not None:
                        axes.plot([x], [r["value"]], "D", ms=7, color=colour)
                    dots = [v for v in r["values"] if v is not None]
                    axes.plot([x] * len(dots), dots, "o", ms=2.5, color="#111")
        axes.plot([], [], "D", color=_COLOURS[c % len(_COLOURS)], label=condition)
    if not evaluation.endswith(NO_AUC):
        axes.axhline(0.5, color="#999", lw=0.8, ls="--")
    axes.set_xticks(range(len(arms)), [f"{m}\n{b}" for b, m in arms])
    axes.set_title(f"{evaluation}, interval over records and seeds", fontsize=9)
    axes.legend(fontsize=7, ncols=2)
    return _png(figure)


def differences(
    rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any], evaluation: str
) -> bytes | None:
    """Differences to the reference condition, with intervals."""
    shown = [r for r in rows if r["difference"] is not None]
    if not shown:
        return None
    figure = matplotlib.figure.Figure(figsize=(6.2, 0.9 + 0.3 * len(shown)), layout="constrained")
    axes = figure.subplots()
    conditions = list(dict.fromkeys(r["condition"] for r in rows))
    for y, r in enumerate(shown):
        d = r["difference"]
        colour = _COLOURS[conditions.index(r["condition"]) % len(_COLOURS)]
        if d["low"] is not None:
            axes.plot([d["low"], d["high"]], [y, y], color=colour, lw=2)
        axes.plot(d["value"], y, "o", color=colour)
    axes.axvline(0, color="#666", lw=0.8)
    names = [
        f"{r['method']} minus {r['minus']}"
        if summary.get("compares_methods")
        else f"{r['method']} {r['budget']}: {r['condition']}"
        + (f" minus {r['minus']}" if summary.get("compares_conditions") else "")
        for r in shown
    ]
    axes.set_yticks(range(len(shown)), names, fontsize=8)
    axes.invert_yaxis()
    own = summary.get("compares_methods") or summary.get("compares_conditions")
    what = "differences" if own else f"minus {summary['reference']}"
    axes.set_title(f"{evaluation}: {what}, in pairs", fontsize=9)
    return _png(figure)


def _png(figure: matplotlib.figure.Figure) -> bytes:
    data = io.BytesIO()
    # Without the date and the library's version the same numbers give the same bytes.
    figure.savefig(data, format="png", dpi=130, metadata={"Software": None})
    return data.getvalue()
