"""The sections of probe and fine-tuning: the curve over the shares of the labels, and tables."""

import math
from collections.abc import Mapping
from typing import Any

from medvlp_jax.eval.notes import notes
from medvlp_jax.eval.page.entry import AUC_DOMAIN, Entry, intervals, percent, where
from medvlp_jax.eval.page.shown import Shown
from medvlp_jax.pages.charts import edge_label, label, shape, spread, ticks
from medvlp_jax.pages.html import count, esc, interval, legend, number, tag
from medvlp_jax.pages.tables import count_cell, name_cell, nth, table, td, th, verdict
from medvlp_jax.pages.whiskers import Mark, whisker, whisker_axis

STARTS = (("pretrained", "trained tower", "a"), ("random", "random start", "b"))
LEGEND = {
    "value": "trained tower, with its interval",
    "rule": "the same network from random initialisation",
}


def share(fraction: float) -> str:
    """``10 %``."""
    return f"{100 * fraction:g} %"


def efficiency_section(shown: Shown, name: str, entry: Entry) -> str:
    """Curve over the shares of the labels, the numbers behind it, and the classes."""
    what = {
        "probe": "Logistic regressions on the pooled vectors of the frozen tower; validation "
        "chooses the regularisation.",
        "finetune": "The tower frozen, its linear layer trained."
        if entry.get("frozen")
        else "The whole tower is trained, from either start by the same recipe; the checkpoint of "
        "the best validation AUC is tested.",
    }[entry["kind"]]
    last = max(entry["levels"], key=lambda e: e["fraction"])
    return "".join(
        [
            tag("h3", esc(where(entry))),
            how(entry, what),
            tag("div", tag("div", efficiency_chart(entry)), class_="charts"),
            levels_table(entry, AUC_DOMAIN),
            legend(**LEGEND),
            tag("h4", f"By class, at {share(last['fraction'])} of the labels"),
            classes_table(entry, last),
        ]
    )


def how(entry: Entry, what: str) -> str:
    recipe = [
        f"{words} {entry[key]:g}"
        for key, words in (
            ("steps", "steps"),
            ("batch_size", "batch"),
            ("lr", "learning rate"),
        )
        if key in entry
    ]
    parts = [
        what,
        (", ".join(recipe) + ".").capitalize() if recipe else "",
        f"{intervals(entry)}; both starts on the same resamples.",
        "Subsets are drawn by patient and label.",
    ]
    said = [tag("p", esc(note), class_="how note") for note in notes(entry)]
    return tag("p", esc(" ".join(filter(None, parts))), class_="how") + "".join(said)


def efficiency_chart(entry: Entry) -> str:
    """Macro AUC against the share of labels, logarithmic, with bands."""
    levels = sorted(entry["levels"], key=lambda e: e["fraction"])
    width, height, left, right, top, bottom = 360, 220, 40, 52, 12, 36
    values = [
        v
        for level in levels
        for key, _, _ in STARTS
        if key in level
        for v in level[key]["auc"].values()
        if v is not None
    ]
    if not values:
        return ""
    low, high = min(*values, 0.5), max(values)
    high += 0.06 * (high - low)
    first, last = (math.log10(levels[i]["fraction"]) for i in (0, -1))

    def at(fraction: float, value: float) -> tuple[float, float]:
        across = (math.log10(fraction) - first) / (last - first) if last > first else 0.5
        up = (value - low) / (high - low)
        return left + across * (width - left - right), height - bottom - up * (
            height - top - bottom
        )

    out = []
    for y in ticks(low, high, 5):
        v = at(levels[0]["fraction"], y)[1]
        out.append(shape("line", "grid", x1=left, x2=width - right, y1=v, y2=v))
        out.append(label(f"{y:g}", left - 7, v + 3.5, "end"))
    for level in levels:
        u = at(level["fraction"], low)[0]
        out.append(edge_label(share(level["fraction"]), u, height - bottom + 16, width))
    out.append(label("share of the labels", (left + width - right) / 2, height - 5, "middle"))
    said: list[tuple[float, float, str, str]] = []
    for key, name, kind in STARTS:
        shown = [e for e in levels if key in e and e[key]["auc"]["value"] is not None]
        points = [at(e["fraction"], e[key]["auc"]["value"]) for e in shown]
        for (u, v), e in zip(points, shown, strict=True):
            part = e[key]["auc"]
            if part["low"] is not None:
                ends = [at(e["fraction"], part[end])[1] for end in ("low", "high")]
                line = shape("line", f"line {kind}", x1=u, x2=u, y1=ends[0], y2=ends[1])
                out.append(line)
            title = tag("title", esc(f"{name}, {share(e['fraction'])}: {number(part['value'])}"))
            out.append(shape("circle", f"dot {kind}", title, cx=u, cy=v, r=3.4))
        path = "M" + "L".join(f"{u:.1f} {v:.1f}" for u, v in points)
        if points:
            out.append(shape("path", f"line {kind}", d=path))
            said.append((*points[-1], number(shown[-1][key]["auc"]["value"]), kind))
    heights = spread([v for _, v, _, _ in said], 12, top, height - bottom)
    for (u, _, text, kind), v in zip(said, heights, strict=True):
        out.append(label(text, u + 7, v + 4, class_=f"end {kind}"))
    svg = tag(
        "svg",
        *out,
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label="macro AUC by share of the labels",
    )
    keys = (
        tag("span", esc(name), class_=f"line-key {kind}")
        for key, name, kind in STARTS
        if any(key in e for e in levels)
    )
    caption = tag("figcaption", "macro AUC by share of the labels")
    return tag("figure", caption, svg, tag("p", *keys, class_="key"), class_="chart")


def levels_table(entry: Entry, domain: tuple[float, float]) -> str:
    """A row a share: training records, both starts, and their paired difference."""
    head = [
        th("labels"),
        nth("records"),
        nth(f"trained tower, {percent(entry)} interval"),
        th(whisker_axis(domain)),
        nth("random start"),
        nth("difference, paired"),
    ]
    rows = []
    for level in sorted(entry["levels"], key=lambda e: e["fraction"]):
        sizes = level["records"]
        records = count(sizes[0]) + (f" × {len(sizes)}" if len(sizes) > 1 else "")
        rows.append([name_cell(share(level["fraction"])), td(records, class_="n")])
        rows[-1] += pair(level, lambda start, level=level: level[start]["auc"], domain)
    return table(head, rows)


def pair(level: Mapping[str, Any], of: Any, domain: tuple[float, float]) -> list[str]:
    """Cells: trained start, its whisker with the random one as a mark, random, difference."""
    trained = of("pretrained") if "pretrained" in level else None
    random = of("random") if "random" in level else None
    marks = [Mark(random["value"], "rule", "random start")] if random else []
    shown = trained or {"value": None, "low": None, "high": None}
    cells = [
        td(interval(trained) if trained else "–", class_="n"),
        td(whisker(shown["value"], shown["low"], shown["high"], domain, marks)),
        td(interval(random) if random else "–", class_="n"),
    ]
    if trained and random:
        gain = of("difference")
        cells.append(td(interval(gain, plus=True), class_=f"n {verdict(gain)}"))
    else:
        cells.append(td("–", class_="n"))
    return cells


def classes_table(entry: Entry, level: Mapping[str, Any]) -> str:
    """AUC a class from both starts."""
    head = [
        th("class"),
        nth("pos."),
        nth(f"trained tower, {percent(entry)} interval"),
        th(whisker_axis(AUC_DOMAIN)),
        nth("random start"),
        nth("difference, paired"),
    ]
    first = next(key for key, _, _ in STARTS if key in level)
    rows = []
    for row in entry["classes"]:
        cells = [name_cell(row["name"]), count_cell(row["positives"])]
        if level[first]["classes"][row["name"]]["value"] is None:
            cells.append(td("undefined: one value only", colspan=4, class_="muted"))
        else:
            cells += pair(level, lambda s, row=row: level[s]["classes"][row["name"]], AUC_DOMAIN)
        rows.append(cells)
    return table(head, rows, class_="sortable")
