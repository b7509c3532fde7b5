"""ROC curves of a zero-shot model, a small chart a class."""

from collections.abc import Mapping, Sequence

from medvlp_jax.eval.page.entry import Entry, percent
from medvlp_jax.pages.charts import panel, shape
from medvlp_jax.pages.html import esc, legend, number, tag


def roc_grid(entry: Entry, rules: Mapping[str, Entry]) -> str:
    """One small ROC chart per defined class, and what its lines are."""
    roc = entry.get("roc")
    if not roc:
        return ""
    panels = []
    for row in entry["classes"]:
        name, auc = row["name"], row["auc"]
        if auc["value"] is None:
            continue
        note = number(auc["value"], 2)
        if auc["low"] is not None:
            note += f" [{number(auc['low'], 2)}, {number(auc['high'], 2)}]"
        others = [(rule, e["roc"]["value"][name]) for rule, e in rules.items() if "roc" in e]
        panels.append(_panel(name, roc, note, others))
    if not panels:
        return ""
    marks = {"line": "zero-shot model"}
    if entry["bootstrap"]["resamples"]:
        marks["band"] = f"its {percent(entry)} band"
    marks |= {"dash": f"rules without training: {', '.join(rules)}"} if rules else {}
    marks["mean"] = "chance"
    return tag("div", *panels, class_="rocs") + legend(**marks)


Curve = Sequence[float | None]


def _panel(name: str, roc: Entry, note: str, others: Sequence[tuple[str, Curve]]) -> str:
    """A ROC curve with its band, the diagonal, and other curves as thin dashed lines."""
    grid = roc["false_positive_rate"]
    value, low, high = (roc[part][name] for part in ("value", "low", "high"))
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
    described = f"ROC curve of {name}: {note}"
    return panel(side + 2 * pad, *out, name=name, note=note, described=described)
