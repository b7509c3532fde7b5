"""The sections of segmentation and detection."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from medvlp_jax.eval.page.downstream import LEGEND, how, pair, share
from medvlp_jax.eval.page.entry import Entry, percent, where
from medvlp_jax.eval.page.example_cards import detected_figures
from medvlp_jax.eval.page.examples import Detected
from medvlp_jax.eval.page.inputs import Segmented
from medvlp_jax.eval.page.shown import Shown
from medvlp_jax.pages.boxes import Colours
from medvlp_jax.pages.html import count, esc, legend, number, tag
from medvlp_jax.pages.pictures import inlined, overlay, to_pil
from medvlp_jax.pages.tables import count_cell, name_cell, nth, table, td, th, value_cell
from medvlp_jax.pages.whiskers import whisker_axis


def segmentation_section(shown: Shown, name: str, entry: Entry) -> str:
    """Dice and IoU of every mask and their means, and films with truth and predictions."""
    domain = (0.0, 1.0)
    tower = "The tower is frozen" if entry["frozen"] else "The whole network is trained"
    loss = {"focal_dice": "10·focal − log Dice", "bce_dice": "cross-entropy + Dice"}[entry["loss"]]
    what = (
        f"A U-Net on the tower. {tower}; loss {loss}; threshold {entry['threshold']:g}, "
        f"{entry['size']} pixels. Dice of positives: over the records that have the region. Dice "
        "of all also counts the others, 1 where nothing is predicted: it rises with their share."
    )
    out = [tag("h3", esc(where(entry))), how(entry, what)]
    for level in sorted(entry["levels"], key=lambda e: -e["fraction"]):
        head = [
            th("region"),
            nth("records"),
            nth(f"Dice of positives, {percent(entry)} interval"),
            th(whisker_axis(domain)),
            nth("random start"),
            nth("difference, paired"),
            nth("IoU of positives"),
            nth("Dice of all"),
            nth("Dice of all, random", class_="muted"),
        ]
        rows = []
        for row in [*entry["masks"], None]:
            if row is not None and not row["positives"]:
                cell = td("no such region in this set", colspan=len(head) - 2, class_="muted")
                rows.append([name_cell(row["name"]), td("0", class_="n"), cell])
                continue

            def of(
                start: str, measure: str = "dice_positive", row: Any = row, level: Any = level
            ) -> Any:
                part = level[start][measure]
                return part["macro"] if row is None else part["masks"][row["name"]]

            title = (
                tag("th", f"mean of {len(entry['masks'])}", scope="row", class_="total")
                if row is None
                else name_cell(row["name"])
            )
            first = "pretrained" if "pretrained" in level else "random"
            rows.append(
                [
                    title,
                    td("" if row is None else count(row["positives"]), class_="n"),
                    *pair(level, of, domain),
                    value_cell(of(first, "iou_positive")["value"]),
                    value_cell(of(first, "dice")["value"]),
                    td(
                        number(of("random", "dice")["value"]) if "random" in level else "–",
                        class_="n muted",
                    ),
                ]
            )
        if len(entry["levels"]) > 1:
            out.append(tag("h4", f"{share(level['fraction'])} of the training data"))
        out.append(table(head, rows))
    out.append(legend(**LEGEND))
    pictures = [one for one in shown.segmented if one.set == entry["set"]]
    if pictures:
        out.append(segmented_figures(pictures))
    return "".join(out)


def segmented_figures(pictures: Sequence[Segmented]) -> str:
    """Film, truth, and the prediction from each start."""
    colours = Colours()
    for one in pictures:
        for name in one.names:
            colours[name]
    order = {name: i for i, name in enumerate(pictures[0].names)}
    cards = []
    for one in pictures:
        panels = [("film", None), ("truth", one.truth), *one.predicted.items()]
        figures = []
        for title, masks in panels:
            film = to_pil(one.image).convert("RGB")
            if masks is not None:
                film = overlay(film, masks, [order[n] for n in one.names])
            picture = inlined(film, f"{title} of {one.id}")
            figures.append(tag("figure", picture, tag("figcaption", esc(title))))
        names = [n for i, n in enumerate(one.names) if one.truth[..., i].any()]
        chips = [tag("span", esc(n), class_=f"chip {colours[n]}") for n in names]
        caption = tag("p", *chips, tag("code", esc(one.id)), class_="key")
        cards.append(tag("article", tag("div", *figures, class_="panels"), caption, class_="seg"))
    how = "The first records with each region in the order of the set, not a selection."
    return tag("p", how, class_="how") + tag("div", *cards, class_="segs")


def detection_section(shown: Shown, name: str, entry: Entry) -> str:
    """mAP and the average precision of every class, and films with true and predicted boxes."""
    low, high = entry["thresholds"][0], entry["thresholds"][-1]
    tower = "The tower is frozen" if entry["frozen"] else "The whole network is trained"
    what = (
        f"An anchor-free head on the pyramid of the tower. {tower}; average precision averaged "
        f"over IoU {low:g} to {high:g}. Every record counts: detections where there is no box are "
        "false, boxes where nothing is detected are missed. “Optimistic” leaves such records out, "
        "as published code does."
    )
    out = [tag("h3", esc(where(entry))), how(entry, what)]
    domain = (0.0, 1.0)
    for level in sorted(entry["levels"], key=lambda e: -e["fraction"]):
        head = [
            th("class"),
            nth("boxes"),
            nth(f"trained tower, {percent(entry)} interval"),
            th(whisker_axis(domain)),
            nth("random start"),
            nth("difference, paired"),
            nth("optimistic", class_="muted"),
        ]
        rows = []
        for row in entry["classes"]:
            cells = [name_cell(row["name"]), count_cell(row["boxes"])]
            if not row["boxes"]:
                cells.append(td("no box in this set", colspan=5, class_="muted"))
            else:
                cells += pair(level, _of_class(level, row["name"]), domain)
                cells.append(td(""))
            rows.append(cells)
        title = tag("th", f"mAP of {len(entry['classes'])}", scope="row", class_="total")
        first = "pretrained" if "pretrained" in level else "random"
        rows.append(
            [
                title,
                td(""),
                *pair(level, _of_class(level, None), domain),
                value_cell(level[first]["optimistic"], class_="muted"),
            ]
        )
        if len(entry["levels"]) > 1:
            out.append(tag("h4", f"{share(level['fraction'])} of the training data"))
        out.append(table(head, rows))
    return "".join([*out, legend(**LEGEND), detected_figures(shown.examples_of(Detected, entry))])


def _of_class(level: Mapping[str, Any], name: str | None) -> Callable[[str], Any]:
    """Start -> the interval of a class, or of the mean."""
    return lambda start: level[start]["macro"] if name is None else level[start]["classes"][name]
