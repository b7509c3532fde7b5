"""The sections of a suite and of few-shot learning."""

from collections.abc import Sequence

from medvlp_jax.eval.notes import notes
from medvlp_jax.eval.page.entry import Entry, percent, where
from medvlp_jax.eval.page.shown import Shown
from medvlp_jax.eval.suites.statistics import MEASURES
from medvlp_jax.pages.html import count, esc, legend, number, tag
from medvlp_jax.pages.tables import count_cell, interval_cell, name_cell, nth, table, td, th
from medvlp_jax.pages.whiskers import Mark, whisker, whisker_axis

_DOMAIN = (0.0, 1.0)
_WORDS = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "auc": "macro AUC"}


def suite_section(shown: Shown, name: str, entry: Entry) -> str:
    """A forest of the sets by modality, the means of each modality and of all, what is absent."""
    level = percent(entry)
    head = [
        th("set"),
        nth("images"),
        nth("classes"),
        nth(f"accuracy, {level} interval"),
        th(whisker_axis(_DOMAIN)),
        nth("balanced accuracy"),
        nth("macro AUC"),
        th(whisker_axis(_DOMAIN)),
    ]
    rows: list[Sequence[str]] = []
    for modality in entry["modalities"]:
        members = [row for row in entry["sets"] if row["modality"] == modality["name"]]
        rows += [_row(row["name"], row, row["records"], row["classes"]) for row in members]
        if len(members) > 1:
            title = f"mean of {len(members)}, {modality['name']}"
            rows.append(_row(title, modality, None, None, "mean"))
    means = entry["means"]
    rows.append(_row(f"mean over {entry['measured']} sets", means["over_sets"], None, None, "mean"))
    n = means["over_modalities"]["modalities"]
    rows.append(_row(f"mean over {n} modalities", means["over_modalities"], None, None, "mean"))
    how = "The nearest class by its prompts" if _one_protocol(entry) else "By each set's protocol"
    parts = [
        tag("h3", esc(entry["set"])),
        tag("p", f"{how}; every set is resampled apart.", class_="how"),
        *(tag("p", esc(note), class_="how note") for note in notes(entry)),
        table(head, rows, class_="dense"),
        legend(value="a score, with its interval", chance="chance", reference="an AUC of 0.5"),
    ]
    if entry["few_shot"]:
        parts += [tag("h4", "From few labels, mean over the sets"), _few_shot_means(entry)]
    return "".join(parts)


def _one_protocol(entry: Entry) -> bool:
    return {row["protocol"] for row in entry["sets"]} <= {"unimed", "multiclass"}


def _row(
    title: str, part: Entry, records: int | None, classes: int | None, kind: str = ""
) -> Sequence[str]:
    marks = [Mark(part["chance"], "chance", "chance")] if part.get("chance") else []
    name = tag("th", tag("b", esc(title)) if kind else esc(title), scope="row")
    return [
        name,
        count_cell(records) if records is not None else td(""),
        count_cell(classes) if classes is not None else td(""),
        interval_cell(part["accuracy"]),
        td(_scale(part["accuracy"], marks)),
        td(number(part["balanced_accuracy"]["value"]), class_="n"),
        interval_cell(part["auc"]),
        td(_scale(part["auc"], reference=0.5)),
    ]


def _scale(part: Entry, marks: Sequence[Mark] = (), reference: float | None = None) -> str:
    return whisker(part["value"], part["low"], part["high"], _DOMAIN, marks, reference=reference)


def _few_shot_means(entry: Entry) -> str:
    head = [th("labelled images a class"), nth("sets"), *(nth(_WORDS[m]) for m in MEASURES)]
    rows = [
        [
            name_cell(str(level["shots"])),
            count_cell(level["sets"]),
            *(td(number(level[m]), class_="n") for m in MEASURES),
        ]
        for level in entry["few_shot"]
    ]
    return table(head, rows)


def few_shot_section(shown: Shown, name: str, entry: Entry) -> str:
    """One set: the scores at each number of labelled images a class."""
    vectors = {"tower": "the pooled vectors of the tower", "projected": "the image embeddings"}
    head = [
        th("labelled images a class"),
        nth("subsets"),
        nth(f"accuracy, {percent(entry)} interval"),
        th(whisker_axis(_DOMAIN)),
        nth("deviation over subsets"),
        nth("balanced accuracy"),
        nth("macro AUC"),
    ]
    mark = [Mark(entry["chance"], "chance", "chance")]
    rows = [
        [
            name_cell(str(level["shots"])),
            count_cell(level["seeds"]),
            interval_cell(level["accuracy"]),
            td(_scale(level["accuracy"], mark)),
            td(number(level["accuracy"]["sd"]), class_="n"),
            td(number(level["balanced_accuracy"]["value"]), class_="n"),
            interval_cell(level["auc"]),
        ]
        for level in entry["levels"]
    ]
    how = (
        f"Logistic regressions on {vectors[entry['features']]}, scaled to length one; validation "
        f"chooses the regularisation. Tested on {count(entry['records'])} images."
    )
    return (
        tag("h3", esc(where(entry)))
        + tag("p", esc(how), class_="how")
        + "".join(tag("p", esc(note), class_="how note") for note in notes(entry))
        + table(head, rows)
        + legend(value="accuracy, with its interval", chance="chance")
    )
