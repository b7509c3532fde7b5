"""The page of a comparison: how many pairs there are, and pairs side by side."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from medvlp_jax.pages import page as kit
from medvlp_jax.pages.html import count, empty, esc, facts, tag
from medvlp_jax.pages.pictures import film_svg, to_pil
from medvlp_jax.pages.tables import count_cell, name_cell, nth, table, th
from medvlp_jax.run.leakage.looked import Looked
from medvlp_jax.run.leakage.pairs import KINDS, Kind, Pair


def write_page(
    out: pathlib.Path,
    summary: Mapping[str, Any],
    pairs: Sequence[Pair],
    train: Sequence[Looked],
    evaluation: Sequence[Looked],
    shown: int,
) -> pathlib.Path:
    """Writes ``report.html`` into ``out``.

    Args:
      summary: see :func:`medvlp_jax.run.leakage.leakage.find_leakage`.
      pairs: by kind, the surest first.
      shown: pairs of a kind; half of them the surest, half the least sure.
    """
    images = summary["images"]
    header = (
        tag("p", "medvlp_jax · leakage", class_="eyebrow")
        + tag("h1", "What training shares with evaluation")
        + facts(
            {
                "training images": count(images["train"]),
                "evaluation images": count(images["evaluation"]),
                "pairs": count(len(pairs)),
            }
        )
    )
    sections = [("folders", "Folders", _folders(summary))]
    for kind, words in KINDS.items():
        some = [pair for pair in pairs if pair.kind == kind]
        body = _pairs(summary, kind, words, some, train, evaluation, shown)
        sections.append((kind.replace(" ", "-"), kind.capitalize(), body))
    sections.append(("again", "To do it again", tag("pre", esc(summary["command"]))))
    return kit.write_page(out / "report.html", "leakage", header, sections)


def _folders(summary: Mapping[str, Any]) -> str:
    kinds = ", ".join(summary["leave_out"])
    trained = table(
        (th("training split"), nth("records"), nth("images"), nth("unreadable"),
         nth("to leave out")),
        (
            (
                name_cell(x["name"]), count_cell(x["records"]), count_cell(x["images"]),
                count_cell(len(x["refused"])), count_cell(x["left_out"]),
            )
            for x in summary["train"]
        ),
    )  # fmt: skip
    measured = table(
        (th("evaluation split"), nth("records"), nth("images"), nth("unreadable"),
         nth("images in a pair")),
        (
            (
                name_cell(x["name"]), count_cell(x["records"]), count_cell(x["images"]),
                count_cell(len(x["refused"])), count_cell(x["touched"]),
            )
            for x in summary["evaluation"]
        ),
    )  # fmt: skip
    ids = "".join(
        tag("p", esc(f"{n} patient ids stand in both data sets of {names}; they are not compared, "
                     "because ids of other data sets are other people."), class_="how")
        for names, n in summary["same_ids"].items()
    )  # fmt: skip
    how = (
        f"Training leaves out the records of these kinds of pairs: {kinds}. The list is "
        "held_out.json; --config.data.held_out=... of a training reads it. All pairs stand in "
        "pairs.jsonl. Mirrored and turned copies are not looked for."
    )
    return tag("p", esc(how), class_="how") + trained + measured + ids


def _pairs(
    summary: Mapping[str, Any],
    kind: Kind,
    words: str,
    pairs: Sequence[Pair],
    train: Sequence[Looked],
    evaluation: Sequence[Looked],
    shown: int,
) -> str:
    how = tag("p", esc(f"{words[:1].upper()}{words[1:]}."), class_="how")
    if not pairs:
        looked_for = kind != "alike" or summary["checkpoint"]
        return how + empty("No such pair." if looked_for else "Not looked for: give --checkpoint.")
    half = shown // 2
    some = list(pairs) if len(pairs) <= shown else [*pairs[:half], *pairs[len(pairs) - half :]]
    said = (
        f"All {len(pairs)} pairs, the surest first."
        if len(some) == len(pairs)
        else f"{len(some)} of {len(pairs)} pairs: the surest, then the least sure."
    )
    cards = (_card(pair, train, evaluation) for pair in some)
    return how + tag("p", esc(said), class_="how") + tag("div", *cards, class_="segs")


def _card(pair: Pair, train: Sequence[Looked], evaluation: Sequence[Looked]) -> str:
    sides = (
        ("training", train[pair.train], pair.train_row),
        ("evaluation", evaluation[pair.evaluation], pair.evaluation_row),
    )
    figures = (
        tag(
            "figure",
            film_svg(to_pil(looked.picture(row)), name=f"{side}, {looked.ids[row]}"),
            tag("figcaption", side),
        )
        for side, looked, row in sides
    )
    named = (
        tag(
            "p",
            tag("code", esc(str(looked.ids[row]))),
            tag("small", esc(looked.name)),
            class_="key",
        )
        for _, looked, row in sides
    )
    score = tag("small", f"{pair.score:.3f}") if pair.kind in ("same picture", "alike") else ""
    panels = tag("div", *figures, class_="panels two-up")
    return tag("article", panels, *named, score, class_="seg")
