"""The table and figures of an experiment, as CSV, Markdown, PNG, JSON and one HTML page."""

import csv
import io
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from medvlp_jax.core.checkpoints.provenance import commit
from medvlp_jax.core.files.replacing import replace
from medvlp_jax.eval.results import to_json
from medvlp_jax.pages import page as kit
from medvlp_jax.pages.html import esc, facts, interval, legend, tag
from medvlp_jax.pages.tables import interval_cell, name_cell, nth, table, td, th, verdict
from medvlp_jax.pages.whiskers import Mark, whisker, whisker_axis
from medvlp_jax.run.grid import figures

_COLUMNS: tuple[str, ...] = (
    "evaluation",
    "budget",
    "method",
    "condition",
    "steps",
    "epochs",
    "seeds",
    "value",
    "low",
    "high",
    "sd",
    "minus",
    "difference",
    "difference_low",
    "difference_high",
)


def write_page(
    out: pathlib.Path,
    summary: Mapping[str, Any],
    *,
    name: str,
    command: str,
    total: int,
    data: Mapping[str, str] | None = None,
) -> pathlib.Path:
    """Writes everything into ``out``; returns the page.

    Args:
      summary: of :func:`medvlp_jax.run.grid.summary.summarise`.
      name: of the experiment.
      command: what was typed.
      total: trials that the experiment has.
      data: name -> data folder, whose own pages are linked where there are some.
    """
    rows = [r for r in summary["rows"] if "value" in r]
    replace(out / "results.json", json.dumps(to_json(dict(summary)), indent=1) + "\n")
    replace(out / "table.csv", _csv(rows))
    markdown = _markdown(rows, summary)
    replace(out / "table.md", markdown)
    for evaluation in dict.fromkeys(r["evaluation"] for r in rows):
        shown = [r for r in rows if r["evaluation"] == evaluation]
        for kind, draw in (("values", figures.values), ("differences", figures.differences)):
            picture = draw(shown, summary, evaluation)
            if picture is not None:
                replace(out / f"{evaluation}_{kind}.png".replace("/", "_"), picture)
    header = (
        tag("p", "medvlp_jax · experiment", class_="eyebrow")
        + tag("h1", esc(name))
        + facts({"finished": f"{summary['finished']} of {total} trials"})
        + kit.link_list(kit.data_pages(data or {}, out))
    )
    return kit.write_page(out / "report.html", name, header, _sections(rows, summary, command))


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    difference = row["difference"] or {}
    return {
        **{k: row.get(k) for k in _COLUMNS},
        "seeds": " ".join(map(str, row["seeds"])),
        "difference": difference.get("value"),
        "difference_low": difference.get("low"),
        "difference_high": difference.get("high"),
    }


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_flat(r) for r in rows)
    return text.getvalue()


def _against(summary: Mapping[str, Any]) -> str:
    """Head of the differences."""
    return "difference" if _each_its_own(summary) else f"minus {summary['reference']}"


def _each_its_own(summary: Mapping[str, Any]) -> bool:
    """Whether differences are to several methods or conditions."""
    return bool(summary.get("compares_methods") or summary.get("compares_conditions"))


def _lead(row: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """What stands before a difference where each is to something of its own."""
    return f"minus {row['minus']}: " if _each_its_own(summary) else ""


def _cells(row: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    d = row["difference"]
    against = "" if row["minus"] else "reference"
    if d is not None:
        against = _lead(row, summary) + _interval(d)
    return [
        row["evaluation"],
        row["budget"],
        row["method"],
        row["condition"],
        f"{row['steps']} ({row['epochs']:g})",
        str(len(row["seeds"])),
        _interval(row),
        " ".join(_number(v) for v in row["values"]),
        against,
    ]


def _head(summary: Mapping[str, Any]) -> list[str]:
    return [
        "evaluation",
        "budget",
        "method",
        "trained on",
        "steps (epochs)",
        "seeds",
        f"value [{summary['level']:.0%}]",
        "by seed",
        _against(summary),
    ]


def _markdown(rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> str:
    head = _head(summary)
    lines = [head, ["---"] * len(head)]
    lines += [_cells(r, summary) for r in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _interval(value: Mapping[str, Any]) -> str:
    return f"{_number(value['value'])} [{_number(value['low'])}, {_number(value['high'])}]"


def _number(x: float | None) -> str:
    return "–" if x is None else f"{x:.3f}"


def _sections(
    rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any], command: str
) -> list[tuple[str, str, str]]:
    """(anchor, title, markup): one an evaluation, then how it was made."""
    most = max((len(r["seeds"]) for r in rows), default=0)
    seeds = "One seed" if most == 1 else f"A mean over {most} seeds"
    note = (
        f"Intervals ({summary['level']:.0%}, {summary['resamples']} resamples) draw the test "
        "records and the seeds; differences draw the same records on both sides. "
        f"{seeds} says little about another."
    )
    sections = []
    for number_, evaluation in enumerate(dict.fromkeys(r["evaluation"] for r in rows)):
        shown = [r for r in rows if r["evaluation"] == evaluation]
        body = tag("p", esc(note), class_="how") + _table(evaluation, shown, summary)
        sections.append((f"evaluation-{number_}", _title(evaluation), body))
    again = tag("pre", tag("code", esc(command)), class_="command")
    code = commit()
    again += facts({"commit of the code that wrote this page": code}) if code else ""
    return [*sections, ("again", "To do it again", again)]


#: Word of an evaluator -> the number that a grid compares.
_NUMBERS = {
    "zeroshot": "zero-shot macro AUC",
    "grounding": "pointing game",
    "retrieval": "R@5, mean of both ways",
}


def _title(evaluation: str) -> str:
    """``test: zero-shot macro AUC`` for ``test-zeroshot``."""
    name, _, word = evaluation.rpartition("-")
    return f"{name}: {_NUMBERS[word]}" if word in _NUMBERS else evaluation


def _table(evaluation: str, rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> str:
    """Values with their intervals and seeds, and the differences to the reference."""
    chance = None if evaluation.endswith(figures.NO_AUC) else 0.5
    values = [v for r in rows for v in (r["value"], r["low"], r["high"], *r["values"])]
    domain = _domain([*values, chance])
    against = [v for r in rows if r["difference"] for v in r["difference"].values()]
    away = _domain([*against, 0.0])
    head = [
        th("method"),
        th("trained on"),
        th("budget"),
        nth("steps (epochs)"),
        nth("seeds"),
        nth(f"mean [{summary['level']:.0%}]"),
        th(whisker_axis(domain)),
        nth(_against(summary)),
        th(whisker_axis(away)),
    ]
    cells = []
    for r in rows:
        d = r["difference"]
        seeds = [
            Mark(v, "chance", f"seed {s}") for v, s in zip(r["values"], r["seeds"], strict=True)
        ]
        name = "" if r["minus"] else "reference"
        lead = tag("small", esc(_lead(r, summary))) if _lead(r, summary) else ""
        cells.append(
            [
                name_cell(r["method"]),
                td(esc(r["condition"])),
                td(esc(r["budget"])),
                td(f"{r['steps']} ({r['epochs']:g})", class_="n"),
                td(str(len(r["seeds"])), class_="n"),
                interval_cell(r),
                td(whisker(r["value"], r["low"], r["high"], domain, seeds, reference=chance)),
                td(
                    lead + interval(d, plus=True) if d else name,
                    class_=f"n {verdict(d)}" if d else "n muted",
                ),
                td(whisker(d["value"], d["low"], d["high"], away, reference=0.0) if d else ""),
            ]
        )
    marks = {"value": "mean over the seeds, with its interval", "chance": "single seeds"}
    marks["reference"] = "no difference" if chance is None else "chance, or no difference"
    return table(head, cells, class_="sortable") + legend(**marks)


def _domain(values: Sequence[float | None]) -> tuple[float, float]:
    known = [v for v in values if v is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    room = 0.05 * (high - low) or 0.1
    return low - room, high + room
