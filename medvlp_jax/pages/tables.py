"""Tables: cells, heads, and the counts of labels that every page of data shows."""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medvlp_jax.pages.html import count, esc, interval, number, tag
from medvlp_jax.pages.whiskers import bar


def th(text: str, **attributes: Any) -> str:
    return tag("th", text, scope="col", **attributes)


def td(text: str, **attributes: Any) -> str:
    return tag("td", text, **attributes)


def nth(text: str, **attributes: Any) -> str:
    """The head of a column of numbers."""
    return th(text, class_=f"n {attributes.pop('class_', '')}".strip(), **attributes)


def name_cell(text: str) -> str:
    return tag("th", esc(text), scope="row")


def value_cell(value: float | None, digits: int = 3, class_: str = "") -> str:
    """A cell of a column of numbers."""
    return td(number(value, digits), class_=f"n {class_}".strip())


def count_cell(value: float | None) -> str:
    return td(count(value), class_="n")


def interval_cell(part: Mapping[str, float | None], digits: int = 3) -> str:
    return td(interval(part, digits), class_="n")


def table(head: Iterable[str], rows: Iterable[Sequence[str]], **attributes: Any) -> str:
    """A table in a box that scrolls sideways where it is too wide; cells are ``<th>``/``<td>``.

    Every ``<td>`` carries the words of its column: on a narrow screen a row is shown as a list of
    them, and no column lies beyond the edge.
    """
    head = list(head)
    words = [_words(cell) for cell in head]
    header = tag("thead", tag("tr", *head))
    body = tag("tbody", *(tag("tr", *_labelled(row, words)) for row in rows))
    return tag("div", tag("table", header, body, **attributes), class_="scroll")


def _words(cell: str) -> str:
    """The text of a head, without the scale that it may hold."""
    text = re.sub(r"<svg.*?</svg>", "", cell, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


def _labelled(row: Sequence[str], words: Sequence[str]) -> list[str]:
    spans = [int(m[1]) if (m := re.match(r'<[^>]*colspan="(\d+)"', c)) else 1 for c in row]
    column = max(len(words) - sum(spans), 0)  # a head over several rows stands in the first alone
    out = []
    for cell, span in zip(row, spans, strict=True):
        label = words[column] if column < len(words) and span == 1 else ""
        if label and cell.startswith("<td"):
            cell = f'<td data-label="{esc(label)}"{cell[3:]}'
        out.append(cell)
        column += span
    return out


def counts_table(sets: Sequence[Mapping[str, Any]]) -> str:
    """Records of every set, and how many of them have each label."""
    labels = list(dict.fromkeys(label for s in sets for label in s.get("labels", {})))
    head = [th("label"), *(nth(_set_name(s)) for s in sets)]
    total = [tag("th", "studies", scope="row")]
    total += [td(tag("b", count(s["records"])), class_="n") for s in sets]
    rows = [total]
    for label in labels:
        row = [name_cell(label)]
        for s in sets:
            of = s.get("labels", {}).get(label)
            if of is None:
                row.append(td("–", class_="n muted"))
                continue
            share = of["positive"] / max(s["records"], 1)
            doubt = f"{count(of['uncertain'])} unsure, " if of.get("uncertain") else ""
            text = f"{count(of['positive'])} {tag('small', f'{doubt}{100 * share:.0f} %')}"
            row.append(td(text + bar(share), class_="n"))
        rows.append(row)
    return table(head, rows, class_="counts")


def sets_table(sets: Sequence[Mapping[str, Any]]) -> str:
    """The same of many sets, a row each: their records, and their labels with the positives."""
    rows = []
    for one in sets:
        found = [
            f"{esc(label)} {count(of['positive'])}" for label, of in one.get("labels", {}).items()
        ]
        head = tag("th", _set_name(one), scope="row")
        rows.append([head, count_cell(one["records"]), td(", ".join(found) or "–")])
    return table([th("set"), nth("studies"), th("studies with each label")], rows)


def _set_name(one: Mapping[str, Any]) -> str:
    """A set with its split below it, unless it is named after it."""
    name, split = str(one["name"]), str(one["split"])
    return esc(name) + (tag("small", esc(split)) if split and split != name else "")


def verdict(part: Mapping[str, float | None]) -> str:
    """``good`` where the interval of a gain lies above 0, ``bad`` below, ``open`` across."""
    low, high = part.get("low"), part.get("high")
    if low is None or high is None:
        return "open"
    return "good" if low > 0 else "bad" if high < 0 else "open"
