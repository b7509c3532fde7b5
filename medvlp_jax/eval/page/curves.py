"""Learning curves from the lines of metrics.jsonl."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from medvlp_jax.pages.charts import Series, line_chart
from medvlp_jax.pages.curves import points, smooth
from medvlp_jax.pages.html import empty, esc, tag


def curves_section(
    history: Sequence[Mapping[str, Any]], config: Mapping[str, Any] | None = None
) -> str:
    """Losses, schedule, throughput and evaluation AUC, whichever the history holds.

    Args:
      config: of the run; says what chance is.
    """
    figures = [_loss(history, key, config or {}) for key in _losses(history)]
    for key, title, floor in (
        ("lr", "learning rate", 0.0),
        ("logit_scale", "logit scale", None),
        ("pairs_per_second", "throughput, image-text pairs per second", 0.0),
    ):
        x, y = points(history, key)
        if x:
            figures.append(line_chart([Series(x, y, kind="c")], title=title, floor=floor))
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
    figures = [f for f in figures if f]
    if not figures:
        return empty("This report was made without a training log.")
    return tag("div", *(tag("div", f) for f in figures), class_="charts")


def _losses(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """The total first, then its parts."""
    keys = dict.fromkeys(k for h in history for k in h)
    parts = [k for k in keys if k.endswith("_loss") and "/" not in k]
    return [k for k in ("loss",) if k in keys] + parts


def _loss(history: Sequence[Mapping[str, Any]], key: str, config: Mapping[str, Any]) -> str:
    x, y = points(history, key)
    if not x:
        return ""
    raw = Series(x, y, faint=True)
    line = Series(x, list(smooth(y, max(1, len(y) // 25))))
    marks = {"faint": "as logged", "line": "smoothed"}
    level = _chance(history, key, config)
    if level is not None:
        batch = config["data"]["batch_size"]
        marks["mean"] = f"chance: ln {batch:,} = {level:.2f}"
    words = key.removesuffix("_loss").replace("_", " ")
    title = "training loss" if key == "loss" else f"part of the loss: {words}"
    return line_chart([raw, line], title=title, level=level, marks=marks)


def _chance(
    history: Sequence[Mapping[str, Any]], key: str, config: Mapping[str, Any]
) -> float | None:
    """What InfoNCE costs a model that tells no pair of a batch from another: ln(batch).

    It belongs to the loss of the pairs, which is the whole loss where that has no other part.
    """
    task, batch = config.get("task", {}), config.get("data", {}).get("batch_size")
    infonce = task.get("name") == "contrastive" and task.get("loss") == "infonce"
    pairs = "pair_loss" if any("pair_loss" in h for h in history) else "loss"
    if not infonce or key != pairs or not isinstance(batch, int) or batch < 2:
        return None
    return math.log(batch)
