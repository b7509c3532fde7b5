"""Radiographs in the page: inlined, with boxes and heat drawn as vectors and layers on top."""

import base64
import io
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, features

from medvlp_jax.eval.page.boxes import Colours, boxes_svg
from medvlp_jax.eval.page.inputs import Heatmap, LabelledBox, Pixels, Reject, Sample
from medvlp_jax.pages.html import empty, esc, tag

#: Longest side of an inlined picture in pixels, and of the coordinate system of its overlay.
SIDE = 288
#: Width of the colour bar beside a heat-map, with its words.
BAR = 62
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


def colour_bar(height: float) -> str:
    """The colours of :func:`heat_layer` from the largest value of a map to its smallest."""
    steps = np.linspace(1, 0, 33)[:-1]
    tall = height / len(steps)
    out = []
    for i, (r, g, b, alpha) in enumerate(heat_layer(steps)):
        out.append(
            f'<rect x="0" y="{i * tall:.2f}" width="12" height="{tall + 0.3:.2f}" '
            f'fill="rgb({r},{g},{b})" fill-opacity="{alpha / 255:.2f}"/>'
        )
    for text, y in (("max", 18.0), ("min", height - 6)):
        out.append(f'<text class="bar-end" x="17" y="{y:.1f}">{text}</text>')
    return (
        f'<rect class="bar-ground" width="12" height="{height:.1f}"/>'
        + "".join(out)
        + f'<rect class="bar-frame" width="12" height="{height:.1f}"/>'
    )


def shown_size(picture: Image.Image) -> tuple[float, float]:
    """Width and height in the coordinates of an overlay: small pictures are shown larger.

    The names of boxes have one size in these coordinates; on 32 pixels they would not fit.
    """
    factor = SIDE / max(picture.size)
    return picture.width * factor, picture.height * factor


def film_svg(picture: Image.Image, *layers: str, name: str) -> str:
    """A picture under layers in the coordinates of :func:`shown_size`."""
    width, height = shown_size(picture)
    return tag(
        "svg",
        f'<image href="{data_uri(picture)}" width="{width:g}" height="{height:g}" '
        'preserveAspectRatio="none"/>',
        *layers,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=name,
        class_="film",
    )


def heat_layer(heat: Float[np.ndarray, "*s"]) -> UInt8[np.ndarray, "*s 4"]:
    """RGBA: colour by heat, transparent where cold so that the anatomy stays visible."""
    position = np.clip(heat, 0, 1) * (len(_RAMP) - 1)
    low = np.minimum(position.astype(int), len(_RAMP) - 2)
    share = (position - low)[..., None]
    colour = _RAMP[low] * (1 - share) + _RAMP[low + 1] * share
    x = np.clip((heat - 0.35) / 0.65, 0, 1)
    alpha = 170 * x * (2 - x)
    return np.concatenate([colour, alpha[..., None]], -1).round().astype(np.uint8)


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


def heatmap_card(picture: Heatmap, number: int, colours: Colours) -> str:
    """The film, and beside it the same film under the heat of the phrase, its peak marked."""
    film = to_pil(picture.image)
    width, height = shown_size(film)
    gap = 6
    layer = data_uri(Image.fromarray(heat_layer(picture.heat), "RGBA"))
    row, column = np.unravel_index(int(np.argmax(picture.heat)), picture.heat.shape)
    x = (column + 0.5) / picture.heat.shape[1] * width + width + gap
    y = (row + 0.5) / picture.heat.shape[0] * height
    boxes = [LabelledBox(*b.tolist(), label=picture.label) for b in picture.boxes]
    drawn = boxes_svg(boxes, width, height, colours, names=False)
    size = f'width="{width:g}" height="{height:g}" preserveAspectRatio="none"'
    svg = tag(
        "svg",
        f'<image id="film{number}" href="{data_uri(film)}" {size}/>',
        f'<g id="boxes{number}">{drawn}</g>',
        f'<use class="under" href="#film{number}" x="{width + gap:g}"/>',
        f'<g transform="translate({width + gap:g} 0)"><image class="heat" id="heat{number}" '
        f'href="{layer}" {size}/></g>',
        f'<use href="#boxes{number}" x="{width + gap:g}"/>',
        f'<path class="peak" d="M{x - 6:.1f} {y:.1f}h12M{x:.1f} {y - 6:.1f}v12"/>',
        f'<g transform="translate({2 * width + 2 * gap:g} 0)">{colour_bar(height)}</g>',
        viewBox=f"0 0 {2 * width + 2 * gap + BAR:g} {height:g}",
        role="img",
        aria_label=f"heat-map of {picture.phrase}",
        class_="film wide",
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
        width, height = shown_size(to_pil(heatmaps[number].image))
        phrase = heatmaps[number].phrase
        svg = tag(
            "svg",
            f'<use class="under" href="#film{number}"/><use href="#heat{number}"/>',
            f'<use href="#boxes{number}"/>',
            viewBox=f"0 0 {width:g} {height:g}",
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
        "right the same film under the heat of the phrase; + marks its peak. The colours of every "
        "map reach from its own smallest value (min) to its own largest (max): they say where, "
        "not how sure."
    )
    if any(len(h.boxes) for h in heatmaps.values()):
        how += " Rectangles are the boxes that the set gives to the finding."
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
