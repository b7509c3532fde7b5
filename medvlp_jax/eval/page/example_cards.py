"""The cards of examples: image to reports, worst errors, true and predicted boxes."""

from collections.abc import Sequence

from medvlp_jax.eval.page.examples import Answered, Detected, WrongCall
from medvlp_jax.pages.boxes import Colours, boxes_svg
from medvlp_jax.pages.html import esc, legend, tag
from medvlp_jax.pages.pictures import film_svg, shown_size, to_pil

#: Letters of a report that are quoted.
_LONG = 260


def _quoted(text: str) -> str:
    return text if len(text) <= _LONG else text[:_LONG].rstrip() + " …"


def answered_figures(shown: Sequence[Answered]) -> str:
    """Images and the reports nearest to each, the right ones marked."""
    if not shown:
        return ""
    how = (
        "Images evenly spaced over the set, not a selection, and the reports of the set that are "
        "nearest to each, equal reports counted once; ✓ marks the image's own."
    )
    cards = []
    for one in shown:
        film = film_svg(to_pil(one.image), name=f"radiograph {one.id}")
        lines = [
            tag(
                "li",
                "✓ " if answer.right else "",
                esc(_quoted(answer.text)),
                " ",
                tag("small", f"{answer.similarity:.3f}"),
                class_="right" if answer.right else None,
            )
            for answer in one.answers
        ]
        missed = not any(answer.right for answer in one.answers)
        own = tag("p", tag("small", f"Its own report: {esc(_quoted(one.own))}")) if missed else ""
        words = tag(
            "div",
            tag("header", tag("code", esc(one.id))),
            tag("ol", *lines, class_="answers"),
            own,
            class_="words",
        )
        cards.append(tag("article", film, words, class_="study"))
    return (
        tag("h4", f"Image → the {max(len(s.answers) for s in shown)} nearest reports")
        + tag("p", how, class_="how")
        + tag("div", *cards, class_="studies")
    )


def wrong_figures(shown: Sequence[WrongCall]) -> str:
    """Per class the surest false alarm and the surest miss."""
    if not shown:
        return ""
    how = (
        "For every class the record without it that got the largest calibrated probability, and "
        "the one with it that got the smallest, as far as they lie on the wrong side of the "
        "threshold. Labels can be wrong, too."
    )
    cards = []
    for one in shown:
        said = f"{one.label}: {one.probability:.2f}"
        truth = "missed" if one.truth else "false alarm"
        heading = [tag("span", esc(said), class_="chip bad"), tag("span", truth, class_="chip")]
        film = film_svg(to_pil(one.image), name=f"radiograph {one.id}")
        words = tag("p", esc(_quoted(one.text))) if one.text else ""
        cards.append(
            tag(
                "article",
                tag("header", *heading),
                film,
                tag("p", tag("code", esc(one.id))),
                words,
                class_="reject",
            )
        )
    return tag("p", how, class_="how") + tag("div", *cards, class_="errors")


def detected_figures(shown: Sequence[Detected]) -> str:
    """Films with true boxes on the left and predicted ones on the right."""
    if not shown:
        return ""
    colours = Colours()
    cards = []
    for one in shown:
        film = to_pil(one.image)
        size = shown_size(film)
        figures = [
            tag(
                "figure", film_svg(film, drawn, name=f"{title}, {one.id}"), tag("figcaption", title)
            )
            for title, drawn in (
                ("truth", boxes_svg(one.truth, *size, colours)),
                ("predicted", boxes_svg(one.predicted, *size, colours, kind="box dash")),
            )
        ]
        scores = ", ".join(b.phrase for b in one.predicted) or "no detection"
        caption = tag("p", tag("code", esc(one.id)), tag("small", esc(scores)), class_="key")
        panels = tag("div", *figures, class_="panels two-up")
        cards.append(tag("article", panels, caption, class_="seg"))
    how = (
        "The first records with a box of each class in the order of the set, not a selection; as "
        "many of the strongest predictions as the record has boxes, however weak they are."
    )
    return (
        tag("h4", "True and predicted boxes")
        + tag("p", how, class_="how")
        + legend(**{"box": "true box", "box-dash": "predicted box, trained tower"})
        + colours.key()
        + tag("div", *cards, class_="segs")
    )
