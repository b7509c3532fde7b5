"""The page itself: one file without outside parts."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from data_gen.pipelines.pubmed.match.reasons import MEANINGS
from data_gen.pipelines.pubmed.page.cards import figure_card, gallery
from data_gen.pipelines.pubmed.page.counts import Step, funnel, reasons_table, scores_table
from data_gen.pipelines.pubmed.page.shown import STATUSES, Shown
from medvlp_jax.pages.html import count, empty, esc, facts, tag
from medvlp_jax.pages.page import link_list, write_page

FILE = "pubmed_report.html"
#: Sub-figures of a status, and examples of a reason to reject.
_GALLERY, _EXAMPLES = 12, 6
_ABOUT = {
    "label_match": "Paired by the letter that was read in the panel, or by words for its place.",
    "order_match": "Paired in reading order, where counts agree; no letter was read.",
    "whole_figure": "The whole figure with its whole caption.",
    "rejected": "Panels without words and words without a panel; none of them is a record.",
}


@dataclasses.dataclass(frozen=True)
class PageInputs:
    """What the page is made of.

    Attributes:
      title: of the page.
      about: a sentence below it.
      facts: name -> value, at the top.
      steps: of the pipeline, first to last.
      counts: status -> reason -> how often, over all figures; see
        :func:`data_gen.pipelines.pubmed.page.shown.count_reasons`.
      shown: figures to look at, with pixels; see :func:`data_gen.pipelines.pubmed.page.shown.pick`.
      cards: how many of them are drawn whole; all serve the galleries.
      scores: stage -> score -> value with interval, where the truth is known.
      links: words -> address of other pages.
    """

    title: str
    about: str = ""
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    steps: Sequence[Step] = ()
    counts: Mapping[str, Mapping[str, int]] = dataclasses.field(default_factory=dict)
    shown: Sequence[Shown] = ()
    cards: int = 16
    scores: Mapping[str, Mapping[str, Mapping[str, float | None]]] = dataclasses.field(
        default_factory=dict
    )
    links: Mapping[str, str] = dataclasses.field(default_factory=dict)


def write_pubmed_page(path: str | os.PathLike[str], inputs: PageInputs) -> pathlib.Path:
    """Writes the page, atomically; returns its path."""
    style = (pathlib.Path(__file__).parent / "figures.css").read_text(encoding="utf-8")
    header = (
        f"<style>{style}</style>"
        + tag("p", "medvlp_jax · PubMed", class_="eyebrow")
        + tag("h1", esc(inputs.title))
        + (tag("p", esc(inputs.about), class_="how") if inputs.about else "")
        + (facts(inputs.facts) if inputs.facts else "")
        + link_list(inputs.links)
    )
    sections = [("figures", "Figures taken apart", _figures(inputs))]
    if inputs.steps:
        how = "What came in is what went out and what was left out, at every stage."
        sections.append(("funnel", "Stage by stage", tag("p", how, class_="how")
                         + funnel(inputs.steps)))  # fmt: skip
    if inputs.counts:
        sections.append(("reasons", "Why each pair holds", reasons_table(inputs.counts)))
    if inputs.scores:
        how = "Against the truth, with 95 % bootstrap intervals over figures."
        sections.append(("scores", "Scores", tag("p", how, class_="how")
                         + scores_table(inputs.scores)))  # fmt: skip
    for status in STATUSES:
        sections.append((status, status.replace("_", " ").capitalize(), _status(inputs, status)))
    return write_page(path, inputs.title, header, sections)


def _figures(inputs: PageInputs) -> str:
    if not inputs.shown:
        return empty("No figure was given to this page.")
    how = (
        "Boxes, letters and words of one part have one colour; a dashed box is a letter that was "
        "read; grey words are about every panel, and a grey box belongs to no part. The first "
        "figure of each reason, then others, evenly spaced; not a selection."
    )
    cards = [figure_card(one) for one in inputs.shown[: inputs.cards]]
    return tag("p", esc(how), class_="how") + tag("div", *cards, class_="figures")


def _status(inputs: PageInputs, status: str) -> str:
    of = inputs.counts.get(status, {})
    total = f" {count(sum(of.values()))} in all." if of else ""
    about = tag("p", esc(_ABOUT[status] + total), class_="how")
    there = [pair.reason for one in inputs.shown for pair in one.figure.pairs
             if pair.status == status]  # fmt: skip
    if not there:
        return about + empty("None among the figures shown here.")
    if status != "rejected":
        return about + gallery(inputs.shown, status, _GALLERY)
    kinds = dict.fromkeys(reason.partition(": ")[0] for reason in there)
    parts = []
    for kind in kinds:
        heading = tag("h3", esc(kind), " ", tag("small", count(of[kind]) if kind in of else ""))
        meaning = tag("p", esc(MEANINGS.get(kind, "")), class_="how")
        parts.append(heading + meaning + gallery(inputs.shown, status, _EXAMPLES, kind))
    return about + "".join(parts)
