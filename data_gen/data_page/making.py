"""How a generated folder came about: what each stage made, found and lost."""

import base64
import pathlib
from collections.abc import Mapping
from typing import Any

from medvlp_jax.pages.html import esc, facts, tag
from medvlp_jax.pages.tables import count_cell, name_cell, nth, table, td, th
from medvlp_jax.pages.whiskers import bar

#: Keys of every summary; the others are what a pipeline adds.
_COMMON = ("description", "splits")
#: Plot that a pipeline leaves in its folder.
_PLOT = "entities.png"


def making_section(summary: Mapping[str, Any], folder: pathlib.Path) -> str:
    """Markup; empty for a folder whose summary tells nothing but counts."""
    parts = []
    for key, told in summary.items():
        if key in _COMMON or not isinstance(told, Mapping):
            continue
        single = {k: v for k, v in told.items() if not isinstance(v, Mapping)}
        parts.append(facts(single) if single else "")
        for stage, values in told.items():
            if isinstance(values, Mapping) and values:
                parts.append(tag("h3", esc(stage)) + _stage(values))
    if (folder / _PLOT).is_file():
        parts.append(_picture(folder / _PLOT))
    return "".join(parts)


def _stage(values: Mapping[str, Any]) -> str:
    if all(isinstance(v, Mapping) and v for v in values.values()) and "gate" not in values:
        return _by_name(values)
    gate = values.get("gate")
    plain = {k: _told(v) for k, v in values.items() if k != "gate" and v not in ({}, None)}
    return (facts(plain) if plain else "") + (_gate(gate) if isinstance(gate, Mapping) else "")


def _by_name(values: Mapping[str, Mapping[str, Any]]) -> str:
    """A row per name where each has the same numbers told of it."""
    columns = list(dict.fromkeys(key for one in values.values() for key in one))
    rows = []
    for name, one in values.items():
        cells = [one.get(key, "") for key in columns]
        rows.append(
            [
                name_cell(name),
                *(count_cell(v) if isinstance(v, int) else td(esc(str(v))) for v in cells),
            ]
        )
    numbers = next(iter(values.values()))
    head = [(nth if isinstance(numbers.get(key), int) else th)(key) for key in columns]
    return table([th(""), *head], rows)


def _told(value: Any) -> Any:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_told(v)}" for k, v in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(str(_told(v)) for v in value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value


def _gate(gate: Mapping[str, Any]) -> str:
    """What the gate found of the faults that were planted to test it."""
    rows = []
    for fault, one in gate.get("by fault", {}).items():
        share = one["found"] / max(one["planted"], 1)
        rows.append(
            [
                name_cell(fault),
                count_cell(one["planted"]),
                count_cell(one["found"]),
                td(f"{100 * share:.0f} %", class_="n"),
                td(bar(share)),
            ]
        )
    numbers = facts({k: v for k, v in gate.items() if k != "by fault"})
    head = [th("fault"), nth("planted"), nth("found"), nth("recall"), th("")]
    how = tag("p", "Images spoilt on purpose, none of which is in the data.", class_="how")
    return tag("h4", "Planted faults") + how + numbers + table(head, rows, class_="bars")


def _picture(path: pathlib.Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    image = tag("img", src=f"data:image/png;base64,{data}", alt=path.stem, class_="wide")
    return tag("figure", image, class_="plot")
