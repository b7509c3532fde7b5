"""Radiographs in the page: inlined, with boxes and heat drawn as vectors and layers on top."""

import base64
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, features

from medvlp_jax.eval.report.html import empty, esc, tag
from medvlp_jax.eval.report.inputs import Heatmap, LabelledBox, Pixels, Reject, Sample

#: Longest side of an inlined picture in pixels, and of the coordinate system of its overlay.
SIDE = 288
#: Heat from cold to hot: blue, violet, red, orange, yellow. No white, which is bone here.
_RAMP = np.array(
    [(24, 20, 140), (110, 0, 168), (190, 40, 130), (235, 95, 60), (253, 165, 20), (255, 225, 40)],
    np.float64,
)


def data_uri(image: Image.Image) -> str:
    """WebP where this Pillow can write it, PNG otherwise; as a ``data:`` address."""
    kind = "webp" if features.check("webp") else "png"
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 84, "method": 6} if kind == "webp" else {}))
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def to_pil(pixels: Pixels) -> Image.Image:
    """Grey or RGB, at most ``SIDE`` pixels long."""
    pixels = np.asarray(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    image = Image.fromarray(pixels)
    if max(image.size) > SIDE:
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return image


def heat_layer(heat: Float[np.ndarray, "s s"]) -> UInt8[np.ndarray, "s s 4"]:
    """RGBA: colour by heat, transparent where cold so that the anatomy stays visible."""
    position = np.clip(heat, 0, 1) * (len(_RAMP) - 1)
    low = np.minimum(position.astype(int), len(_RAMP) - 2)
    share = (position - low)[..., None]
    colour = _RAMP[low] * (1 - share) + _RAMP[low + 1] * share
    x = np.clip((heat - 0.35) / 0.65, 0, 1)
    alpha = 170 * x * (2 - x)
    return np.concatenate([colour, alpha[..., None]], -1).round().astype(np.uint8)


class Colours:
    """A colour class per label, by order of first use."""

    COUNT = 12

    def __init__(self) -> None:
        self._of: dict[str, int] = {}

    def __getitem__(self, label: str) -> str:
        return f"k{self._of.setdefault(label, len(self._of)) % self.COUNT}"

    def key(self) -> str:
        """The legend of what was drawn."""
        chips = (tag("span", esc(label), class_=f"chip {self[label]}") for label in self._of)
        return tag("p", *chips, class_="key")


#: Width of a letter of a box's name, in units of the picture (page.css: 10 px, bold).
_LETTER = 6.2


def boxes_svg(
    boxes: Iterable[LabelledBox], width: float, height: float, colours: Colours, names: bool = True
) -> str:
    """Rectangles with their names, in a coordinate system of width x height."""
    out = []
    for b in boxes:
        x, y, w, h = b.x0 * width, b.y0 * height, (b.x1 - b.x0) * width, (b.y1 - b.y0) * height
        kind = colours[b.label]
        title = f"<title>{esc(b.phrase or b.label)}</title>"
        out.append(
            f'<rect class="box {kind}" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" '
            f'rx="2">{title}</rect>'
        )
        if names:
            above = y - 4 if y > 14 else y + h + 11 if y + h < height - 14 else y + 11
            at = max(min(x, width - 2 - _LETTER * len(b.label)), 2)
            out.append(
                f'<text class="box-name {kind}" x="{at:.1f}" y="{above:.1f}">{esc(b.label)}</text>'
            )
    return tag("g", *out, class_="boxes")


def sample_card(sample: Sample, colours: Colours) -> str:
    """Picture with boxes beside the report; phrases of boxes are marked in the text."""
    picture = to_pil(sample.image)
    width, height = picture.size
    svg = tag(
        "svg",
        f'<image href="{data_uri(picture)}" width="{width}" height="{height}"/>',
        boxes_svg(sample.boxes, width, height, colours),
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=f"radiograph {sample.id}",
        class_="film",
    )
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
    kinds = {b.phrase.lower(): colours[b.label] for b in boxes if b.phrase}
    if not kinds:
        return esc(text)
    longest_first = sorted(kinds, key=len, reverse=True)
    # By the number of the group: what matches without regard to case need not be equal in lower
    # case (the micro sign and the Greek letter).
    pattern = re.compile("|".join(f"({re.escape(p)})" for p in longest_first), re.IGNORECASE)
    out, last = [], 0
    for m in pattern.finditer(text):
        kind = kinds[longest_first[(m.lastindex or 1) - 1]]
        out += [esc(text[last : m.start()]), tag("mark", esc(m[0]), class_=kind)]
        last = m.end()
    return "".join([*out, esc(text[last:])])


def heatmap_card(picture: Heatmap, number: int, colours: Colours) -> str:
    """The film, and beside it the same film under the heat of the phrase, its peak marked."""
    film = to_pil(picture.image)
    width, height = film.size
    gap = 6
    layer = data_uri(Image.fromarray(heat_layer(picture.heat), "RGBA"))
    row, column = np.unravel_index(int(np.argmax(picture.heat)), picture.heat.shape)
    x = (column + 0.5) / picture.heat.shape[1] * width + width + gap
    y = (row + 0.5) / picture.heat.shape[0] * height
    boxes = [LabelledBox(*b.tolist(), label=picture.label) for b in picture.boxes]
    drawn = boxes_svg(boxes, width, height, colours, names=False)
    svg = tag(
        "svg",
        f'<image id="film{number}" href="{data_uri(film)}" width="{width}" height="{height}"/>',
        f'<g id="boxes{number}">{drawn}</g>',
        f'<use class="under" href="#film{number}" x="{width + gap}"/>',
        f'<g transform="translate({width + gap} 0)"><image class="heat" id="heat{number}" '
        f'href="{layer}" width="{width}" height="{height}" preserveAspectRatio="none"/></g>',
        f'<use href="#boxes{number}" x="{width + gap}"/>',
        f'<path class="peak" d="M{x - 6:.1f} {y:.1f}h12M{x:.1f} {y - 6:.1f}v12"/>',
        viewBox=f"0 0 {2 * width + gap} {height}",
        role="img",
        aria_label=f"heat-map of {picture.phrase}",
        class_="film",
    )
    chips = []
    if not math.isnan(picture.hit):
        kind, word = ("good", "inside") if picture.hit >= 0.5 else ("bad", "outside")
        chips.append(tag("span", f"peak {word}", class_=f"chip {kind}"))
    chips += [
        tag("span", esc(picture.label), class_=f"chip {colours[picture.label]}"),
        tag("code", esc(picture.id)),
    ]  # fmt: skip
    caption = tag("figcaption", tag("q", esc(picture.phrase)), tag("span", *chips, class_="key"))
    return tag("figure", svg, caption, class_="grounded")


def strip(heatmaps: Sequence[Heatmap], most: int = 6) -> str:
    """The first picture of each of the first classes, without new image data.

    The pictures themselves are those of :func:`heatmaps_section` further down the page.
    """
    first: dict[str, int] = {}
    for number, picture in enumerate(heatmaps):
        first.setdefault(picture.label, number)
    figures = []
    for number in list(first.values())[:most]:
        width, height = to_pil(heatmaps[number].image).size
        phrase = heatmaps[number].phrase
        svg = tag(
            "svg",
            f'<use class="under" href="#film{number}"/><use href="#heat{number}"/>',
            f'<use href="#boxes{number}"/>',
            viewBox=f"0 0 {width} {height}",
            role="img",
            aria_label=f"heat-map of {phrase}",
            class_="film",
        )
        figures.append(tag("figure", svg, tag("figcaption", esc(phrase))))
    return tag("div", *figures, class_="strip") if figures else ""


def samples_section(samples: Sequence[Sample]) -> str:
    """All studies, and the legend of their boxes."""
    if not samples:
        return empty("No sample studies were given to this report.")
    colours = Colours()
    cards = "".join(sample_card(s, colours) for s in samples)
    return colours.key() + tag("div", cards, class_="studies")


def heatmaps_section(heatmaps: Mapping[int, Heatmap]) -> str:
    """Heat-maps by their number on the page, with a word on how they were chosen."""
    colours = Colours()
    cards = "".join(heatmap_card(h, number, colours) for number, h in heatmaps.items())
    how = (
        "The first records of each class in the order of the set, not a selection. Left the film, "
        "right the same film under the heat of the phrase; + marks its peak."
    )
    if all(math.isnan(h.hit) for h in heatmaps.values()):
        how += (
            " This set has no boxes: where the heat belongs is for the reader to judge. Films "
            "without any label are shown with the finding whose words are nearest to them."
        )
    return tag("p", how, class_="how") + tag("div", cards, class_="grounded-grid")


def rejects_section(rejects: Sequence[Reject]) -> str:
    """Examples of what was refused, with the reason on top."""
    cards = []
    for r in rejects:
        picture = ""
        if r.image is not None:
            film = to_pil(r.image)
            w, h = film.size
            alt = f"refused image {r.id}"
            picture = tag("img", src=data_uri(film), alt=alt, width=w, height=h)
        words = [tag("p", tag("b", esc(section)), " ", esc(text)) for section, text in r.texts]
        heading = [tag("span", esc(r.reason), class_="chip bad")]
        heading += [tag("code", esc(r.id))] if r.id else []
        cards.append(tag("article", picture, tag("header", *heading), *words, class_="reject"))
    return tag("div", *cards, class_="rejects")
