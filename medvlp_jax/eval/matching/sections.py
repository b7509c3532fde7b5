"""The sections of the page about pairs: two-stage retrieval, captions, and where a match looks."""

from medvlp_jax.eval.notes import notes
from medvlp_jax.eval.page.entry import Entry, intervals, percent, where
from medvlp_jax.eval.page.sections import grounding_section
from medvlp_jax.eval.page.shown import Shown
from medvlp_jax.pages.html import count, esc, interval, legend, number, tag
from medvlp_jax.pages.tables import interval_cell, name_cell, nth, table, td, th
from medvlp_jax.pages.whiskers import Mark, whisker, whisker_axis


def _head(entry: Entry, *said: str) -> str:
    parts = [*said, intervals(entry)] if entry["bootstrap"]["resamples"] else list(said)
    line = "; ".join(parts)
    return (
        tag("h3", esc(where(entry)))
        + tag("p", esc(f"{line[:1].upper()}{line[1:]}."), class_="how")
        + "".join(tag("p", esc(note), class_="how note") for note in notes(entry))
    )


def reranked_section(shown: Shown, name: str, entry: Entry) -> str:
    """Recall after the second stage beside that of the first, and chance."""
    del shown, name
    domain = (0.0, 1.0)
    head = [
        th("direction"),
        th("measure"),
        nth(f"re-ranked, {percent(entry)} interval"),
        th(whisker_axis(domain)),
        nth("by cosine alone"),
        nth("difference"),
        nth("chance"),
    ]
    rows = []
    for key, words in (("image_to_text", "image → text"), ("text_to_image", "text → image")):
        part = entry[key]
        for measure, chance in part["chance"].items():
            first = part[f"first_{measure}"]
            marks = [Mark(chance, "chance", "chance"), Mark(first["value"], "rule", "cosine")]
            rows.append(
                [
                    name_cell(words),
                    td(esc(measure.upper())),
                    interval_cell(part[measure], 3),
                    td(whisker(**part[measure], domain=domain, marks=marks)),
                    interval_cell(first, 3),
                    td(interval(part[f"gain_{measure}"], plus=True), class_="n"),
                    td(number(chance), class_="n"),
                ]
            )
    said = (
        f"the {count(entry['top'])} nearest of {count(entry['distinct_texts'])} texts in the order "
        f"of match logit plus cosine; {entry['texts_per_image']:.2f} right texts per image"
    )
    marks = {"value": "recall after re-ranking", "rule": "by cosine alone", "chance": "chance"}
    return _head(entry, said) + table(head, rows) + legend(**marks)


#: What a caption is held against, in words.
_SYSTEMS = {
    "": "the model",
    "_commonest": "the commonest text of the set for every image",
    "_other": "the text of the next record",
}


def captioning_section(shown: Shown, name: str, entry: Entry) -> str:
    """Scores beside what needs no image, and some captions."""
    del shown, name
    head = [th("captions"), nth(f"ROUGE-L, {percent(entry)} interval"), nth("BLEU-4")]
    scores = entry["scores"]
    rows = [
        [
            name_cell(words),
            interval_cell(scores[f"rouge_l{key}"], 3),
            interval_cell(scores[f"bleu_4{key}"], 3),
        ]
        for key, words in _SYSTEMS.items()
    ]
    examples = [
        [td(tag("code", esc(e["id"]))), td(esc(e["said"])), td(esc(e["text"]))]
        for e in entry["shown"]
    ]
    return (
        _head(entry, f"{entry['distinct']:.0%} of the captions differ from each other")
        + table(head, rows)
        + tag("h4", "Evenly spaced over the set")
        + table([th("record"), th("written"), th("its text")], examples, class_="prompts")
    )


def gradcam_section(shown: Shown, name: str, entry: Entry) -> str:
    """The tables of grounding, and the other sign of the gradient in a sentence."""
    other = entry["of_match"]["overall"]["pointing"]
    said = (
        f"Maps are cross-attention times the positive part of the gradient of "
        f"{entry['gradient_of']}; by the gradient of log p(match) the pointing game is "
        f"{interval(other)}."
    )
    return grounding_section(shown, name, entry) + tag("p", said, class_="how")
