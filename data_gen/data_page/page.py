"""data_report.html: one file without outside parts, for any data folder."""

import datetime
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_gen.curation import rejects
from data_gen.curation.encoders.pixels import PixelEncoder
from data_gen.curation.reasons import REASONS
from data_gen.data_page.collect import Folder, collect
from data_gen.data_page.making import making_section
from data_gen.pipelines.captions.reasons import REASONS as CAPTION_REASONS
from medvlp_jax.pages.histogram import STYLE, histogram
from medvlp_jax.pages.html import empty, esc, facts, tag
from medvlp_jax.pages.page import DATA_PAGE, write_page
from medvlp_jax.pages.pictures import inlined, to_pil
from medvlp_jax.pages.studies import Reject, samples_section
from medvlp_jax.pages.tables import count_cell, counts_table, name_cell, nth, table, td, th
from medvlp_jax.pages.whiskers import bar

FILE = DATA_PAGE
_MEANINGS = CAPTION_REASONS | REASONS
#: Entities listed per type; rejects without a picture quoted per reason, and their longest text.
_TOP, _QUOTED, _LONG = 25, 3, 240
#: Scores that the page draws, with their names there.
_DRAWN = {
    "grey/contrast": "Contrast (standard deviation of grey, 0 to 1)",
    "grey/clipped": "Share of fully black or white pixels",
    "focus/detail": "Fine detail by coarse detail (low: blurred)",
    "focus/noise": "Noise by the range of greys",
    "text/share": "Share of the picture that looks like print",
    "border/share": "Share of the area in an empty border",
    "layout/distance": "Distance from the layout of a frontal chest film",
    "bad/cosine": "Cosine to the nearest image of the bad set",
    "agreement/beaten": "Unrelated texts that the own text beats",
}


def write_data_report(folder: str | os.PathLike[str]) -> pathlib.Path:
    """Writes ``data_report.html`` into a data folder; needs no model and no network.

    Args:
      folder: a complete data folder of any generator or importer; with ``rejects.jsonl`` and its
        pictures, the page shows them too.

    Returns:
      The page, written atomically.

    Raises:
      ShardError: the folder is not complete.
      UserError: ``rejects.jsonl`` cannot be read.
    """
    found = collect(pathlib.Path(folder))
    return write_page(
        found.path / FILE, found.path.resolve().name, _header(found), _sections(found)
    )


def _header(found: Folder) -> str:
    named = found.whole["splits"]
    size = sum(s.get("bytes", 0) for s in named.values())
    now = datetime.datetime.now(datetime.UTC)
    shown = {
        "studies": sum(s["records"] for s in named.values()),
        "splits": ", ".join(f"{name} {s['records']:,}" for name, s in named.items()),
        "left out": f"{len(found.rejects):,}",
        "size": f"{size / 1e6:,.1f} MB",
        "page made": f"{now:%Y-%m-%d %H:%M} UTC",
    }
    about = found.whole.get("description", "")
    style = STYLE + (pathlib.Path(__file__).parent / "data.css").read_text(encoding="utf-8")
    return (
        f"<style>{style}</style>"
        + tag("p", "medvlp_jax · data report", class_="eyebrow")
        + tag("h1", esc(found.path.resolve().name))
        + (tag("p", esc(about), class_="how") if about else "")
        + facts(shown)
    )


def _sections(found: Folder) -> list[tuple[str, str, str]]:
    """(anchor, title, markup) in page order; parts without content are left out."""
    sections = [("studies", "Studies that stayed", _studies(found))]
    made = making_section(found.whole, found.path)
    if made:
        sections.append(("making", "How it was made", made))
    sections.append(("rejects", "Left out, and why", _rejects(found)))
    if any(s["labels"] for s in found.whole["splits"].values()):
        sections.append(("labels", "Labels", _labels(found)))
    if found.entities:
        sections.append(("entities", "Entities", _entities(found)))
    if found.words:
        sections.append(("texts", "Texts", _texts(found)))
    sections.append(("likeness", "How alike the images are", _likeness(found)))
    if found.scores:
        sections.append(("scores", "What was measured", _scores(found)))
    return sections


def _studies(found: Folder) -> str:
    how = "Evenly spaced over the folder, not a selection."
    return tag("p", how, class_="how") + samples_section(found.samples)


def _rejects(found: Folder) -> str:
    if not found.rejects:
        if (found.path / rejects.FILE).exists():
            return empty(f"Nothing was left out: {rejects.FILE} is empty.")
        return empty(f"The folder has no {rejects.FILE}: nothing was left out, or nobody looked.")
    kinds = rejects.counts(found.rejects)
    most = max(kinds.values())
    rows = [
        [
            name_cell(kind),
            td(esc(_MEANINGS.get(kind, "")), class_="muted"),
            count_cell(n),
            td(bar(n / most, "b")),
        ]
        for kind, n in kinds.items()
    ]
    stages = Counts(str(row.get("stage", "")) for row in found.rejects)
    parts = [
        tag("p", esc(_said(found, stages)), class_="how"),
        table([th("reason"), th(""), nth("left out"), th("")], rows, class_="bars"),
    ]
    groups: dict[str, list[Any]] = {}
    for one in found.pictured:
        groups.setdefault(one.reason, []).append(one)
    for kind in kinds:
        if kind in groups:
            heading = tag("h3", esc(kind), " ", tag("small", f"{kinds[kind]:,}"))
            parts.append(tag("div", heading, _gallery(groups[kind]), class_="reject-group"))
    return "".join(parts) + _refused_texts(found)


def _refused_texts(found: Folder) -> str:
    """The first rows of each reason that have no picture, with what they say."""
    seen: dict[str, int] = {}
    rows = []
    for row in found.rejects:
        kind = str(row.get("kind", ""))
        said = str(row.get("text", "")) or str(row.get("detail", ""))
        if row.get("thumbnail") or not said or seen.get(kind, 0) == _QUOTED:
            continue
        if any(one.reason == kind for one in found.pictured):
            continue
        seen[kind] = seen.get(kind, 0) + 1
        detail = str(row.get("detail", "")) if row.get("text") else ""
        cells = [name_cell(kind), td(esc(detail[:_LONG])), td(esc(said[:_LONG]))]
        rows.append([*cells, td(tag("code", esc(row.get("where", ""))))])
    if not rows:
        return ""
    head = [th("reason"), th("what was wrong"), th("what was said"), th("where")]
    return tag("h3", "Without a picture") + table(head, rows, class_="prompts")


def _gallery(refused: Sequence[Reject]) -> str:
    """Small cards under the heading of their reason, which they need not repeat."""
    cards = []
    for one in refused:
        assert one.image is not None  # collect() gives those with a picture
        words = " · ".join(" ".join(part for part in text if part) for text in one.texts)
        picture = inlined(to_pil(one.image), f"refused image {one.id}")
        cards.append(tag("figure", picture, tag("code", esc(one.id)), tag("small", esc(words))))
    return tag("div", *cards, class_="gallery")


class Counts(dict[str, int]):
    """How often each word occurs, in the order of the first occurrence."""

    def __init__(self, words: Any) -> None:
        super().__init__()
        for word in words:
            self[word] = self.get(word, 0) + 1


def _said(found: Folder, stages: Mapping[str, int]) -> str:
    by_stage = ", ".join(f"{stage}: {n:,}" for stage, n in stages.items() if stage)
    text = f"{len(found.rejects):,} rows in {rejects.FILE}"
    text += f" ({by_stage})" if by_stage else ""
    return f"{text}. A row is counted by its first reason; the first of each reason are shown."


def _labels(found: Folder) -> str:
    sets = [
        {"name": name, "split": "", "records": s["records"], "labels": s["labels"]}
        for name, s in found.whole["splits"].items()
    ]
    return counts_table(sets)


def _of(found: Folder) -> str:
    read, total = found.counted
    return f"all {total:,} studies" if read == total else f"{read:,} of {total:,} studies"


def _entities(found: Folder) -> str:
    parts = []
    for kind, names in sorted(found.entities.items()):
        ranked = names.most_common()
        most = ranked[0][1]
        rows = [[name_cell(name), count_cell(n), td(bar(n / most))] for name, n in ranked[:_TOP]]
        heading = tag(
            "h3",
            esc(kind),
            " ",
            tag("small", f"{len(names):,} different, {names.total():,} in all"),
        )
        head = [th("entity"), nth("studies"), th("")]
        parts.append(tag("div", heading, table(head, rows, class_="bars")))
    how = f"Counted in {_of(found)}; the {_TOP} most frequent of each type."
    balance = [
        histogram(
            [("", list(names.values()))],
            title=f"{kind}: how often an entity is used",
            x_label="studies per entity",
            whole=True,
        )
        for kind, names in sorted(found.entities.items())
    ]
    return (
        tag("p", esc(how), class_="how")
        + tag("div", *balance, class_="charts")
        + tag("div", *parts, class_="two")
    )


def _texts(found: Folder) -> str:
    charts = [
        histogram([("", lengths)], title=f"{section}: length", x_label="words", whole=True)
        for section, lengths in found.words.items()
    ]
    rows = []
    for section, lengths in found.words.items():
        different, total = found.texts[section]
        rows.append(
            [
                name_cell(section),
                count_cell(total),
                td(f"{100 * different / total:.1f} %", class_="n"),
                *(
                    td(f"{value:.0f}", class_="n")
                    for value in np.quantile(lengths, (0.05, 0.5, 0.95, 1.0))
                ),
            ]
        )
    head = [
        th("section"),
        nth("texts"),
        nth("different"),
        nth("words, 5 %"),
        nth("median"),
        nth("95 %"),
        nth("longest"),
    ]
    how = f"Counted in {_of(found)}."
    return (
        tag("p", esc(how), class_="how") + table(head, rows) + tag("div", *charts, class_="charts")
    )


def _likeness(found: Folder) -> str:
    if not len(found.likeness):
        return empty("Fewer than two images: nothing to compare.")
    same = PixelEncoder.same_threshold
    alike = int((found.likeness > same).sum())
    how = (
        f"Cosine of each of {len(found.likeness):,} images to the nearest other one, by local "
        f"contrast at 32 x 32 pixels. Copies lie above {same:g}: {alike:,} here."
    )
    chart = histogram(
        [("", list(found.likeness))],
        title="Nearest other image",
        x_label="cosine",
        domain=(min(0.0, float(found.likeness.min())), 1.0),
        mark=(same, "copies"),
    )
    return tag("p", esc(how), class_="how") + tag("div", chart, class_="charts")


def _scores(found: Folder) -> str:
    charts = [
        histogram([("stayed", kept), ("left out", gone)], title=title, x_label=name)
        for name, title in _DRAWN.items()
        for kept, gone in [found.scores.get(name, ([], []))]
    ]
    judged = sorted(n for n in found.scores if n.startswith("judge/"))
    rows = [_judge_row(name, *found.scores[name]) for name in judged]
    head = [th("question"), nth("mean of those that stayed"), nth("of those left out")]
    answers = tag("h3", "Answers of the judge") + table(head, rows) if rows else ""
    how = "Bars are shares of each group, drawn over each other; the axis leaves out the extremes."
    return tag("p", how, class_="how") + tag("div", *charts, class_="charts") + answers


def _judge_row(name: str, kept: Sequence[float], gone: Sequence[float]) -> list[str]:
    cells = [td(f"{np.mean(v):.3f}" if len(v) else "–", class_="n") for v in (kept, gone)]
    return [name_cell(name.removeprefix("judge/")), *cells]
