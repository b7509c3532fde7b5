"""What a run was trained on: records, epochs and kinds of text by source and modality."""

from collections.abc import Mapping, Sequence
from typing import Any

from medvlp_jax.pages.charts import Series, line_chart
from medvlp_jax.pages.curves import points
from medvlp_jax.pages.html import count, esc, number, tag
from medvlp_jax.pages.tables import count_cell, name_cell, nth, table, td, th
from medvlp_jax.pages.whiskers import bar

#: Lines of one chart that can be told apart.
_KINDS = "abc"


def seen_section(history: Sequence[Mapping[str, Any]]) -> str:
    """A chart of the records over the steps and a table; "" for a log without such lines."""
    lines = [h for h in history if h.get("kind") == "seen"]
    if not lines:
        return ""
    last = lines[-1]
    parts = []
    for kind, title in (("modality", "modality"), ("source", "source")):
        names = _names(last, kind)
        if kind == "modality" and len(names) < 2:
            continue  # says what the source says
        parts.append(_table(last, kind, names, title))
    names = _names(last, "source")
    order = sorted(names, key=lambda n: -last[f"source/{n}/epochs"])
    shown = order if len(order) <= len(_KINDS) else [order[0], order[-1]]
    series = [
        Series(*points(lines, f"source/{name}/epochs"), kind=kind, name=name)
        for name, kind in zip(shown, _KINDS, strict=False)
    ]
    key = "".join(tag("span", esc(s.name), class_=f"line-key {s.kind}") for s in series)
    few = len(shown) == len(order)
    title = "epochs of each source" if few else "epochs of the most and the least repeated source"
    chart = line_chart(series, title=title, floor=0.0) + tag("p", key, class_="key")
    note = tag(
        "p",
        f"What the first {count(last['step'])} steps showed, as the plan of the data has it.",
        class_="how",
    )
    return (
        tag("h4", "What was seen") + note + tag("div", tag("div", chart), class_="charts")
    ) + "".join(parts)


def _names(line: Mapping[str, Any], kind: str) -> list[str]:
    end = "/records"
    return [
        k.removeprefix(f"{kind}/").removesuffix(end)
        for k in line
        if k.startswith(f"{kind}/") and k.endswith(end)
    ]


def _table(line: Mapping[str, Any], kind: str, names: Sequence[str], title: str) -> str:
    texts = sorted({k.rpartition("/texts/")[2] for k in line if "/texts/" in k})
    total = sum(line[f"{kind}/{name}/records"] for name in names) or 1
    replaced = any(f"{kind}/{name}/replaced" in line for name in names)
    head = [th(title), nth("records"), nth("epochs")]
    head += [nth(f"texts: {text}") for text in texts]
    head += [nth("unreadable, replaced")] if replaced else []
    rows = []
    for name in sorted(names, key=lambda n: -line[f"{kind}/{n}/records"]):
        n = line[f"{kind}/{name}/records"]
        share = tag("small", f"{100 * n / total:.1f} %")
        row = [
            name_cell(name),
            td(f"{count(n)} {share}{bar(n / total)}", class_="n"),
            td(number(line[f"{kind}/{name}/epochs"], 2), class_="n"),
        ]
        row += [count_cell(line.get(f"{kind}/{name}/texts/{text}", 0)) for text in texts]
        row += [count_cell(line.get(f"{kind}/{name}/replaced", 0))] if replaced else []
        rows.append(row)
    return table(head, rows, class_="counts")
