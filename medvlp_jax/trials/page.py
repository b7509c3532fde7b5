"""The table and figures of an experiment, as CSV, Markdown, PNG, JSON and one HTML page."""

import base64
import csv
import html
import io
import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
import matplotlib.figure

from medvlp_jax.eval.results import to_json

matplotlib.use("agg")
_COLUMNS: tuple[str, ...] = (
    "evaluation", "budget", "method", "condition", "steps", "epochs", "seeds",
    "value", "low", "high", "sd", "difference", "difference_low", "difference_high",
)  # fmt: skip
_COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#8172b3", "#937860", "#da8bc3")


def write_page(
    out: pathlib.Path, summary: Mapping[str, Any], *, name: str, command: str, total: int
) -> pathlib.Path:
    """Writes everything into ``out``; returns the page.

    Args:
      summary: of :func:`medvlp_jax.trials.summary.summarise`.
      name: of the experiment.
      command: what was typed.
      total: trials that the experiment has.
    """
    rows = [r for r in summary["rows"] if "value" in r]
    _write(out / "results.json", json.dumps(to_json(dict(summary)), indent=1) + "\n")
    _write(out / "table.csv", _csv(rows))
    markdown = _markdown(rows, summary)
    _write(out / "table.md", markdown)
    figures = []
    for evaluation in dict.fromkeys(r["evaluation"] for r in rows):
        shown = [r for r in rows if r["evaluation"] == evaluation]
        for kind, draw in (("values", _values), ("differences", _differences)):
            picture = draw(shown, summary, evaluation)
            if picture is not None:
                file = out / f"{evaluation}_{kind}.png".replace("/", "_")
                _write(file, picture)
                figures.append((f"{evaluation}: {kind}", picture))
    finished = f"{summary['finished']} of {total} trials"
    _write(out / "report.html", _html(name, command, finished, rows, summary, figures))
    return out / "report.html"


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


def _cells(row: Mapping[str, Any], reference: str) -> list[str]:
    d = row["difference"]
    against = "reference" if row["condition"] == reference else "" if d is None else _interval(d)
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
        "evaluation", "budget", "method", "trained on", "steps (epochs)", "seeds",
        f"value [{summary['level']:.0%}]", "by seed", f"minus {summary['reference']}",
    ]  # fmt: skip


def _markdown(rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> str:
    head = _head(summary)
    lines = [head, ["---"] * len(head)]
    lines += [_cells(r, summary["reference"]) for r in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _interval(value: Mapping[str, Any]) -> str:
    return f"{_number(value['value'])} [{_number(value['low'])}, {_number(value['high'])}]"


def _number(x: float | None) -> str:
    return "–" if x is None else f"{x:.3f}"


def _arms(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((r["budget"], r["method"]) for r in rows))


def _values(
    rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any], evaluation: str
) -> bytes:
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
    if not evaluation.endswith("grounding"):  # an AUC
        axes.axhline(0.5, color="#999", lw=0.8, ls="--")
    axes.set_xticks(range(len(arms)), [f"{m}\n{b}" for b, m in arms])
    axes.set_title(f"{evaluation}, interval over records and seeds", fontsize=9)
    axes.legend(fontsize=7, ncols=2)
    return _png(figure)


def _differences(
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
    names = [f"{r['method']} {r['budget']}: {r['condition']}" for r in shown]
    axes.set_yticks(range(len(shown)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_title(f"{evaluation}: minus {summary['reference']}, in pairs", fontsize=9)
    return _png(figure)


def _png(figure: matplotlib.figure.Figure) -> bytes:
    data = io.BytesIO()
    # Without the date and the library's version the same numbers give the same bytes.
    figure.savefig(data, format="png", dpi=130, metadata={"Software": None})
    return data.getvalue()


def _html(
    name: str,
    command: str,
    finished: str,
    rows: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
    figures: Sequence[tuple[str, bytes]],
) -> str:
    head = "".join(f"<th>{html.escape(h)}</th>" for h in _head(summary))
    body = "".join(
        "<tr>"
        + "".join(f"<td>{html.escape(c)}</td>" for c in _cells(r, summary["reference"]))
        + "</tr>"
        for r in rows
    )
    pictures = "".join(
        f'<img alt="{html.escape(title)}" src="data:image/png;base64,'
        f'{base64.b64encode(data).decode()}">'
        for title, data in figures
    )
    note = (
        f"Intervals ({summary['level']:.0%}, {summary['resamples']} resamples) draw the test "
        "records and the seeds; differences draw the same records on both sides. A mean over "
        f"{max((len(r['seeds']) for r in rows), default=0)} seeds says little about a fourth."
    )
    return f"""<!doctype html><html lang="en"><meta charset="utf-8">
<title>{html.escape(name)}</title>
<style>body{{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1150px;color:#222}}
table{{border-collapse:collapse;font-size:12px}}td,th{{padding:3px 8px;border-bottom:1px solid #ddd;
text-align:left}}img{{max-width:100%;margin:.6rem 0}}code{{background:#f4f4f4;padding:2px 4px}}
</style><h1>{html.escape(name)}</h1><p>{finished}. <code>{html.escape(command)}</code></p>
<p>{html.escape(note)}</p>{pictures}<h2>All numbers</h2>
<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></html>
"""


def _write(file: pathlib.Path, content: str | bytes) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    if isinstance(content, str):
        temporary.write_text(content, encoding="utf-8")
    else:
        temporary.write_bytes(content)
    temporary.replace(file)
