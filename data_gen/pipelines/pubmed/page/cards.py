"""A figure with its boxes beside its caption, and galleries of what was cut out of figures."""

from collections.abc import Iterator, Sequence

from data_gen.pipelines.pubmed.base import Pair, SplitCaption
from data_gen.pipelines.pubmed.match import reasons
from data_gen.pipelines.pubmed.match.words import body_text
from data_gen.pipelines.pubmed.page.shown import PartColours, Shown, reduced, status_of
from data_gen.pipelines.pubmed.records.pixels import crop, rectangle
from medvlp_jax.pages.boxes import LINE, LabelledBox, Place, boxes_svg, fitted
from medvlp_jax.pages.html import esc, tag
from medvlp_jax.pages.pictures import film_svg, inlined, shown_size

#: Longest side of a figure and of a sub-figure on the page, and characters of a sub-caption there.
_FIGURE, _SUB, _LONG = 640, 220, 180
_GOOD = {"label_match": "good", "order_match": "plain", "whole_figure": "plain", "rejected": "bad"}


def figure_card(shown: Shown) -> str:
    """Boxes, letters and words of one part in one colour; every pair with status and reason."""
    figure = shown.figure
    colours = PartColours(figure)
    picture = reduced(shown.pixels, _FIGURE)
    size = shown_size(picture)
    panels = [
        LabelledBox(p.x0, p.y0, p.x1, p.y1, colours.name(i), f"panel {i + 1}, {p.score:.2f}")
        for i, p in enumerate(figure.separated.panels)
    ]
    letters = [
        LabelledBox(
            one.box.x0,
            one.box.y0,
            one.box.x1,
            one.box.y1,
            colours.name(panel),
            f"reads {one.text}, {one.score:.2f}",
        )
        for panel, one in figure.separated.labels
    ]
    name = f"figure {figure.key} with its panels"
    svg = film_svg(
        picture,
        boxes_svg(letters, *size, colours, names=False, kind="box dash"),
        boxes_svg(panels, *size, colours, names=False),
        _names(panels, size, colours),
        name=name,
    )
    licence = figure.article.licence
    heading = [
        tag("span", esc(status_of(figure.pairs)), class_=f"chip {_GOOD[status_of(figure.pairs)]}"),
        tag("span", esc(licence.code or licence.group), class_="chip plain"),
        tag("span", esc(figure.separated.method), class_="chip plain"),
        tag("code", esc(figure.key)),
    ]
    words = tag(
        "div",
        tag("header", *heading),
        tag("p", caption_html(figure.split, colours), class_="caption"),
        tag("ul", *_pairs(figure.pairs, colours), class_="pairs"),
    )
    return tag("article", svg, words, class_="article-figure")


def _names(panels: Sequence[LabelledBox], size: tuple[float, float], colours: PartColours) -> str:
    """The labels of the panels inside of them at the right: printed letters stand at the left."""
    texts, taken = [], []
    for one in panels:
        left, right = one.x0 * size[0], one.x1 * size[0]
        top, bottom = one.y0 * size[1], one.y1 * size[1]
        name, wide = fitted(one.label, right - left - 6)
        place = Place(right - wide - 3, top + 2, right - 3, top + 2 + LINE)
        if not name or place.y1 > bottom or any(place.meets(other) for other in taken):
            continue  # the pointer tells it
        taken.append(place)
        texts.append(
            f'<text class="box-name {colours[one.label]}" x="{place.x0:.1f}" '
            f'y="{place.y1 - 4.5:.1f}" textLength="{wide:.1f}" '
            f'lengthAdjust="spacingAndGlyphs">{esc(name)}</text>'
        )
    return tag("g", *texts, class_="boxes")


def caption_html(split: SplitCaption, colours: PartColours) -> str:
    """The caption, each part underlined in its colour, what all panels share in grey."""
    stretches = [(s.start, s.end, "shared", False) for s in (*split.preface, *split.suffix)]
    for i, part in enumerate(split.parts):
        stretches += [(s.start, s.end, colours.of_part(i), False) for s in part.body]
        stretches += [(s.start, s.end, colours.of_part(i), True) for s in part.marks]
    out, last = [], 0
    for start, end, kind, bold in sorted(stretches):
        out.append(esc(split.text[last:start]))
        text = esc(split.text[start:end])
        text = tag("b", text) if bold else text
        out.append(tag("span" if kind == "shared" else "mark", text, class_=kind))
        last = end
    return "".join([*out, esc(split.text[last:])]) or tag("span", "no caption", class_="shared")


def _pairs(pairs: Sequence[Pair], colours: PartColours) -> Iterator[str]:
    for pair in pairs:
        name = colours.names[pair.part] if pair.part >= 0 else ""
        what = name or ("panel" if pair.panels else "whole figure")
        at = ", ".join(str(panel + 1) for panel in pair.panels)
        kind = colours.of_part(pair.part if pair.status != "rejected" else -1)
        told = f"panel {at} · " if at else ""
        yield tag(
            "li",
            tag("span", esc(what), class_=f"chip {kind}"),
            tag("span", esc(pair.status), class_=f"chip {_GOOD[pair.status]}"),
            tag("small", esc(f"{told}{pair.reason} · {pair.score:.2f}")),
        )


def gallery(shown: Sequence[Shown], status: str, most: int, reason: str = "") -> str:
    """Sub-figures (or parts without one, or whole figures) of a status, with their words.

    Args:
      most: so many at most, from different figures first; with and without a picture, by halves.
      reason: only those with this reason; "" for all.
    """
    found = [
        (nth, one, pair)
        for one in shown
        for nth, pair in enumerate(
            p
            for p in one.figure.pairs
            if p.status == status and (not reason or reasons.kind(p.reason) == reason)
        )
    ]
    found.sort(key=lambda item: item[0])
    seen = [item for item in found if item[2].panels or item[2].part < 0]
    told = [item for item in found if not (item[2].panels or item[2].part < 0)]
    seen = seen[: max(most - len(told), (most + 1) // 2)]
    chosen = [*seen, *told[: most - len(seen)]]
    return tag("div", *(_sub(one, pair) for _, one, pair in chosen), class_="subs")


def _sub(shown: Shown, pair: Pair) -> str:
    figure = shown.figure
    split = figure.split
    picture = ""
    if pair.panels or pair.part < 0:
        pixels = shown.pixels
        if pair.panels:
            height, width = pixels.shape[:2]
            rect = rectangle(figure.separated.panels[pair.panels[0]], width, height)
            pixels = crop(pixels, rect)
        picture = inlined(reduced(pixels, _SUB), f"cut out of {figure.key}")
    words = split.text if pair.part < 0 else body_text(split, pair.part)
    if pair.status == "rejected" and pair.part < 0:
        words = ""  # a panel that no words belong to
    labels = ", ".join(split.parts[pair.part].labels) if pair.part >= 0 else ""
    text = (tag("b", esc(labels)) + " " if labels else "") + esc(shortened(words))
    notes = [tag("small", esc(f"{pair.reason} · {pair.score:.2f}")), tag("small", esc(figure.key))]
    return tag("figure", picture, tag("figcaption", text, *notes), class_="sub")


def shortened(text: str) -> str:
    """At most :data:`_LONG` characters, cut at a blank."""
    text = " ".join(text.split())
    return text if len(text) <= _LONG else text[:_LONG].rpartition(" ")[0] + " …"
