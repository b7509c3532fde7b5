"""The sections of the page about modalities: recognised, within each, counterfactual pairs."""

from collections.abc import Sequence

from medvlp_jax.eval.notes import notes
from medvlp_jax.eval.page.classes.scores import multiway_block
from medvlp_jax.eval.page.entry import AUC_DOMAIN, FEW, Entry, has_few, intervals, percent, where
from medvlp_jax.eval.page.examples import Mistaken
from medvlp_jax.eval.page.shown import Shown
from medvlp_jax.eval.page.tables import class_table
from medvlp_jax.pages.html import count, esc, interval, legend, tag
from medvlp_jax.pages.pictures import film_svg, to_pil
from medvlp_jax.pages.tables import count_cell, interval_cell, name_cell, nth, table, td, th
from medvlp_jax.pages.whiskers import Mark, whisker, whisker_axis


def _head(entry: Entry, *said: str) -> str:
    parts = [f"protocol {entry['protocol']}", f"prompt bank {entry['prompt_bank']}", *said]
    if entry["bootstrap"]["resamples"]:
        parts.append(intervals(entry))
    line = "; ".join(parts)
    return (
        tag("h3", esc(where(entry)))
        + tag("p", esc(f"{line[:1].upper()}{line[1:]}."), class_="how")
        + "".join(tag("p", esc(note), class_="how note") for note in notes(entry))
    )


def _left(words: str, counts: dict[str, int]) -> str:
    if not counts:
        return ""
    listed = "; ".join(f"{name} ({count(n)})" for name, n in counts.items())
    return tag("p", esc(f"{words}: {listed}."), class_="how")


def modality_section(shown: Shown, name: str, entry: Entry) -> str:
    """Accuracy, whom it takes for whom, and the images that fail."""
    del name
    return (
        _head(entry)
        + multiway_block(entry)
        + _left("Not asked, as the prompt bank has no such modality", entry["left_out"])
        + _mistaken(shown.examples_of(Mistaken, entry))
    )


def _mistaken(shown: Sequence[Mistaken]) -> str:
    if not shown:
        return ""
    how = "Of every modality the images that are most surely taken for another one."
    cards = [
        tag(
            "article",
            tag(
                "header",
                tag("span", esc(f"{one.truth}, taken for {one.called}"), class_="chip bad"),
            ),
            film_svg(to_pil(one.image), name=f"image {one.id}"),
            tag("p", tag("code", esc(one.id))),
            class_="reject",
        )
        for one in shown
    ]
    return (
        tag("h4", "Images that fail")
        + tag("p", how, class_="how")
        + tag("div", *cards, class_="errors")
    )


def by_modality_section(shown: Shown, name: str, entry: Entry) -> str:
    """Macro AUC of every modality and both averages, then the classes of each."""
    del shown, name
    parts = entry["parts"]
    head = [
        th("modality"),
        nth("records"),
        nth("classes"),
        nth(f"macro AUC, {percent(entry)} interval"),
        th(whisker_axis(AUC_DOMAIN)),
    ]
    rows = [
        [
            name_cell(part["name"]),
            count_cell(part["records"]),
            count_cell(len(part["macro"]["classes"])),
            *_auc(part["macro"]["auc"]),
        ]
        for part in parts
    ]
    classes = sum(len(part["macro"]["classes"]) for part in parts)
    for key, words in (
        ("modalities", f"mean of {len(parts)} modalities"),
        ("classes", f"mean of all {classes} classes"),
    ):
        total = tag("th", esc(words), scope="row", class_="total")
        rows.append([total, td(""), td(""), *_auc(entry["averages"][key])])
    body = [_head(entry), table(head, rows), legend(reference="chance, 0.5")]
    for part in parts:
        body.append(tag("h4", esc(part["name"])) + class_table(part, {}, {}))
        body.append(multiway_block(part))
    if any(has_few(row) for part in parts for row in part["classes"]):
        body.append(tag("p", f"* Fewer than {FEW} positives or negatives.", class_="how"))
    if entry["without_modality"]:
        words = f"{count(entry['without_modality'])} records name no modality and are left out."
        body.append(tag("p", words, class_="how"))
    return "".join(body)


def _auc(auc: Entry) -> list[str]:
    return [interval_cell(auc), td(whisker(**auc, domain=AUC_DOMAIN, reference=0.5))]


def counterfactual_section(shown: Shown, name: str, entry: Entry) -> str:
    """Share of pairs that are ranked right, by modality and by finding."""
    del shown, name
    head = [
        th("modality"),
        th("finding"),
        nth("pairs"),
        nth(f"ranked right, {percent(entry)} interval"),
        th(whisker_axis((0, 1))),
    ]
    rows: list[list[str]] = []
    for part in entry["parts"]:
        rows.append([name_cell(part["name"]), td("all", class_="muted"), *_ranked(part)])
        rows += [[td(""), td(esc(row["name"])), *_ranked(row)] for row in part["classes"]]
    line = (
        f"{count(entry['compared'])} pairs of pictures of one patient that differ by one finding; "
        f"the one with the finding scores higher for it in {interval(entry['ranked'])}, on the "
        f"mean of the modalities in {interval(entry['averages']['modalities'])}; chance is 0.5."
    )
    lone = {"counterfactuals of a record that is not in the set": entry["without_partner"]}
    return (
        _head(entry)
        + tag("p", line, class_="how")
        + table(head, rows)
        + legend(chance="chance, 0.5")
        + _left("Left out", {**entry["left_out"], **(lone if entry["without_partner"] else {})})
    )


def _ranked(row: Entry) -> list[str]:
    scale = whisker(**row["ranked"], domain=(0, 1), marks=[Mark(0.5, "chance", "chance")])
    return [count_cell(row["pairs"]), interval_cell(row["ranked"]), td(scale)]
