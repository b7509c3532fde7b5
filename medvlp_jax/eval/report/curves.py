"""Learning curves from the lines of metrics.jsonl."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medvlp_jax.eval.report.charts import Series, line_chart, smooth
from medvlp_jax.eval.report.html import empty, esc, tag

_MOST_POINTS = 400


def points(history: Sequence[Mapping[str, Any]], key: str) -> tuple[list[float], list[float]]:
    """(steps, values) of one key, thinned to means of equal numbers of neighbours."""
    found = [(h["step"], h[key]) for h in history if isinstance(h.get(key), int | float)]
    if not found:
        return [], []
    size = math.ceil(len(found) / _MOST_POINTS)
    x, y = (np.array(v, np.float64) for v in zip(*found, strict=True))
    starts = np.arange(0, len(x), size)
    number = np.diff(np.append(starts, len(x)))
    return list(np.add.reduceat(x, starts) / number), list(np.add.reduceat(y, starts) / number)


def curves_section(history: Sequence[Mapping[str, Any]]) -> str:
    """Training loss, throughput and evaluation AUC, whichever the history holds."""
    figures = []
    x, y = points(history, "loss")
    if x:
        raw = Series(x, y, faint=True)
        line = Series(x, list(smooth(y, max(1, len(y) // 25))))
        figures.append(line_chart([raw, line], title="training loss"))
    x, y = points(history, "pairs_per_second")
    if x:
        figures.append(
            line_chart(
                [Series(x, y, kind="c")], title="throughput, image-text pairs per second", floor=0
            )
        )
    keys = list(dict.fromkeys(k for h in history for k in h if k.endswith("auc_macro")))
    lines = [
        Series(*points(history, k), kind="abc"[i % 3], dots=True, name=k)
        for i, k in enumerate(keys)
    ]
    lines = [s for s in lines if len(s.x)]
    if lines:
        key = "".join(
            tag("span", esc(s.name.split("/")[0]), class_=f"line-key {s.kind}") for s in lines
        )
        figures.append(
            line_chart(lines, title="zero-shot macro AUC during training")
            + (tag("p", key, class_="key") if len(lines) > 1 else "")
        )
    if not figures:
        return empty("This report was made without a training log.")
    return tag("div", *(tag("div", f) for f in figures), class_="charts")
