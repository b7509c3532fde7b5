"""Studies as a person looks at them: the picture with its boxes beside the texts."""

import dataclasses
import re
from collections.abc import Mapping, Sequence

from medvlp_jax.pages.boxes import Colours, LabelledBox, boxes_svg
from medvlp_jax.pages.html import empty, esc, tag
from medvlp_jax.pages.pictures import Pixels, film_svg, inlined, shown_size, to_pil


@dataclasses.dataclass(frozen=True)
class Sample:
    """A study as a person looks at it.

    Attributes:
      image: uint8 [h, w], [h, w, 1] or [h, w, 3].
      texts: (section, text) in reading order.
      labels: 1 positive, 0 negative, -1 uncertain.
      note: one line under the picture, for instance which set it is from.
    """

    image: Pixels
    texts: tuple[tuple[str, str], ...] = ()
    boxes: tuple[LabelledBox, ...] = ()
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    id: str = ""
    view: str = ""
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Reject:
    """A study that the checks refused, and why; without a picture where none was made."""

    reason: str
    id: str = ""
    image: Pixels | None = None
    texts: tuple[tuple[str, str], ...] = ()


def sample_card(sample: Sample, colours: Colours) -> str:
    """Picture with boxes beside the report; phrases of boxes are marked in the text."""
    picture = to_pil(sample.image)
    drawn = boxes_svg(sample.boxes, *shown_size(picture), colours)
    svg = film_svg(picture, drawn, name=f"radiograph {sample.id}")
    chips = [
        tag("span", esc(k) + (" ?" if v == -1 else ""), class_=f"chip {colours[k]}")
        for k, v in sample.labels.items()
        if v in (1, -1)
    ]
    sections = [
        tag("div", tag("h4", esc(s)), tag("p", mark_phrases(t, sample.boxes, colours)))
        for s, t in sample.texts
    ]
    heading = [tag("code", esc(sample.id))] if sample.id else []
    heading += [tag("span", esc(x), class_="chip plain") for x in (sample.view, sample.note) if x]
    return tag(
        "article",
        svg,
        tag(
            "div",
            tag("header", *heading),
            tag("p", *chips, class_="key") if chips else "",
            *sections,
            class_="words",
        ),
        class_="study",
    )


def mark_phrases(text: str, boxes: Sequence[LabelledBox], colours: Colours) -> str:
    """Escaped text in which the phrases of the boxes carry the colour of their box."""
    kinds = [(b.phrase, colours[b.label]) for b in boxes if b.phrase]
    if not kinds:
        return esc(text)
    # The group that matched says which phrase it was: letters that match without regard to case
    # (µ and μ, s and ſ) need not be equal when lowered.
    kinds.sort(key=lambda one: -len(one[0]))
    pattern = "|".join(f"({re.escape(phrase)})" for phrase, _ in kinds)
    out, last = [], 0
    for m in re.finditer(pattern, text, re.IGNORECASE):
        assert m.lastindex is not None
        marked = tag("mark", esc(m[0]), class_=kinds[m.lastindex - 1][1])
        out += [esc(text[last : m.start()]), marked]
        last = m.end()
    return "".join([*out, esc(text[last:])])


def samples_section(samples: Sequence[Sample]) -> str:
    """All studies, and the legend of their boxes."""
    if not samples:
        return empty("No sample studies were given to this report.")
    colours = Colours()
    cards = "".join(sample_card(s, colours) for s in samples)
    return colours.key() + tag("div", cards, class_="studies")


def rejects_section(rejects: Sequence[Reject]) -> str:
    """Examples of what was refused, with the reason on top."""
    cards = []
    for r in rejects:
        picture = ""
        if r.image is not None:
            picture = inlined(to_pil(r.image), f"refused image {r.id}")
        words = [tag("p", tag("b", esc(section)), " ", esc(text)) for section, text in r.texts]
        heading = [tag("span", esc(r.reason), class_="chip bad")]
        heading += [tag("code", esc(r.id))] if r.id else []
        cards.append(tag("article", picture, tag("header", *heading), *words, class_="reject"))
    return tag("div", *cards, class_="rejects")
