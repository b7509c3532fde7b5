"""The sections of models that were trained on masks or boxes: what they predict themselves."""

from medvlp_jax.eval.page.entry import Entry, intervals, percent, where
from medvlp_jax.eval.page.shown import Shown
from medvlp_jax.pages.html import esc, legend, tag
from medvlp_jax.pages.tables import count_cell, interval_cell, name_cell, nth, table, td, th
from medvlp_jax.pages.whiskers import whisker, whisker_axis

_DOMAIN = (0.0, 1.0)
_MEASURES = ("dice_positive", "iou_positive", "dice")


def dice_section(shown: Shown, name: str, entry: Entry) -> str:
    """Dice and IoU of every mask and their means."""
    del shown, name
    measures = entry["measures"]
    head = [
        th("region"),
        nth("records"),
        nth(f"Dice of positives, {percent(entry)} interval"),
        th(whisker_axis(_DOMAIN)),
        nth("IoU of positives"),
        nth("Dice of all"),
    ]
    rows = []
    for row in entry["masks"]:
        parts = [measures[m]["masks"][row["name"]] for m in _MEASURES]
        rows.append([name_cell(row["name"]), count_cell(row["positives"]), *_cells(parts)])
    means = [measures[m]["macro"] for m in _MEASURES]
    rows.append([_total(len(entry["masks"])), td(""), *_cells(means)])
    words = (
        f"Masks at a threshold of {entry['threshold']:g}. Dice of positives: over the records that "
        "have the region. Dice of all also counts the others, 1 where nothing is predicted: it "
        "rises with their share."
    )
    return _section(entry, words, table(head, rows))


def average_precision_section(shown: Shown, name: str, entry: Entry) -> str:
    """The average precision of every class and its mean."""
    del shown, name
    low, high = entry["thresholds"][0], entry["thresholds"][-1]
    head = [
        th("class"),
        nth("boxes"),
        nth(f"average precision, {percent(entry)} interval"),
        th(whisker_axis(_DOMAIN)),
    ]
    rows = [
        [
            name_cell(row["name"]),
            count_cell(row["boxes"]),
            *(
                _cells([row["precision"]])
                if row["boxes"]
                else [td("no box in this set", colspan=2, class_="muted")]
            ),
        ]
        for row in entry["classes"]
    ]
    rows.append([_total(len(entry["classes"])), td(""), *_cells([entry["macro"]])])
    words = (
        f"Average precision averaged over IoU {low:g} to {high:g}. Every record counts: detections "
        "where there is no box are false, boxes where nothing is detected are missed."
    )
    return _section(entry, words, table(head, rows))


def _section(entry: Entry, words: str, body: str) -> str:
    how = tag("p", esc(f"{words} {intervals(entry)}."), class_="how")
    return tag("h3", esc(where(entry))) + how + body + legend(value="the number, with its interval")


def _total(count: int) -> str:
    return tag("th", f"mean of {count}", scope="row", class_="total")


def _cells(parts: list[Entry]) -> list[str]:
    """The first with its interval and a drawing, the others as numbers with theirs."""
    first, *others = parts
    drawn = td(whisker(first["value"], first["low"], first["high"], _DOMAIN))
    return [interval_cell(first), drawn, *map(interval_cell, others)]
