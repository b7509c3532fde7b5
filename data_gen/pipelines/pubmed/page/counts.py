"""What every stage took in and gave out, and how often each reason occurred."""

import dataclasses
from collections.abc import Mapping, Sequence

from data_gen.pipelines.pubmed.match.reasons import MEANINGS
from data_gen.pipelines.pubmed.page.shown import STATUSES
from medvlp_jax.pages.html import count, esc, tag
from medvlp_jax.pages.tables import count_cell, interval_cell, name_cell, nth, table, td, th
from medvlp_jax.pages.whiskers import bar, whisker, whisker_axis


@dataclasses.dataclass(frozen=True)
class Step:
    """A stage of the pipeline in counts: ``taken`` = ``kept`` + what was dropped.

    Attributes:
      stage: its name.
      unit: what is counted: articles, figures, panels.
      taken, kept: how many came in and went on.
      dropped: reason -> how many.
    """

    stage: str
    unit: str
    taken: int
    kept: int
    dropped: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def unexplained(self) -> int:
        """How many are neither kept nor dropped for a reason; anything but 0 is a defect."""
        return self.taken - self.kept - sum(self.dropped.values())


def funnel(steps: Sequence[Step]) -> str:
    """A row per stage; what nobody accounts for is shown as such."""
    rows = []
    for step in steps:
        share = step.kept / step.taken if step.taken else 0.0
        why = [f"{count(n)} {esc(reason)}" for reason, n in step.dropped.items() if n]
        if step.unexplained:
            lost = f"{count(step.unexplained)} not accounted for"
            why.append(tag("span", esc(lost), class_="chip bad"))
        rows.append(
            [
                name_cell(step.stage),
                td(esc(step.unit)),
                count_cell(step.taken),
                td(f"{count(step.kept)} {tag('small', f'{100 * share:.1f} %')}", class_="n"),
                td(bar(share)),
                td("<br>".join(why) or "–"),
            ]
        )
    head = [th("stage"), th("of"), nth("in"), nth("out"), th(""), th("left out, and why")]
    return table(head, rows, class_="funnel")


def reasons_table(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Status and reason of all panels, parts and whole figures."""
    total = sum(n for of in counts.values() for n in of.values())
    rows = []
    for status in STATUSES:
        for reason, n in counts.get(status, {}).items():
            share = n / max(total, 1)
            rows.append(
                [
                    name_cell(status),
                    td(esc(reason)),
                    td(esc(MEANINGS.get(reason, "")), class_="muted"),
                    td(f"{count(n)} {tag('small', f'{100 * share:.1f} %')}", class_="n"),
                    td(bar(share, "b" if status == "rejected" else "a")),
                ]
            )
    head = [th("status"), th("reason"), th("what it means"), nth("panels, parts, wholes"), th("")]
    return table(head, rows, class_="reasons")


def scores_table(scores: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> str:
    """Stage -> name of the score -> value, low and high; all of them between 0 and 1."""
    rows = []
    for stage, named in scores.items():
        for name, part in named.items():
            rows.append(
                [
                    name_cell(stage),
                    td(esc(name)),
                    interval_cell(part),
                    td(whisker(part["value"], part.get("low"), part.get("high"), (0.0, 1.0))),
                ]
            )
    head = [th("stage"), th("score"), nth("value"), th(whisker_axis((0.0, 1.0)))]
    return table(head, rows)
