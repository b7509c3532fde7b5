"""Phrases on images: the film, and the same film under the heat of a phrase."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from medvlp_jax.eval.page.inputs import Heatmap
from medvlp_jax.eval.page.shown import Shown
from medvlp_jax.pages.boxes import Colours, LabelledBox, boxes_svg
from medvlp_jax.pages.charts import drawing
from medvlp_jax.pages.html import esc, tag
from medvlp_jax.pages.pictures import colour_bar, data_uri, heat_layer, shown_size, to_pil

#: Width of the colour bar beside a heat-map, with its words.
BAR = 62


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
    svg = drawing(
        2 * width + 2 * gap + BAR,
        height,
        f'<image id="film{number}" href="{data_uri(film)}" {size}/>',
        f'<g id="boxes{number}">{drawn}</g>',
        f'<use class="under" href="#film{number}" x="{width + gap:g}"/>',
        f'<g transform="translate({width + gap:g} 0)"><image class="heat" id="heat{number}" '
        f'href="{layer}" {size}/></g>',
        f'<use href="#boxes{number}" x="{width + gap:g}"/>',
        f'<path class="peak" d="M{x - 6:.1f} {y:.1f}h12M{x:.1f} {y - 6:.1f}v12"/>',
        f'<g transform="translate({2 * width + 2 * gap:g} 0)">{colour_bar(height)}</g>',
        name=f"heat-map of {picture.phrase}",
        class_="film wide",
    )
    chips = []
    if not math.isnan(picture.hit):
        kind, word = ("good", "inside") if picture.hit >= 0.5 else ("bad", "outside")
        chips.append(tag("span", f"peak {word}", class_=f"chip {kind}"))
    chips += [
        tag("span", esc(picture.label), class_=f"chip {colours[picture.label]}"),
        tag("code", esc(picture.id)),
    ]
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
        svg = drawing(
            width,
            height,
            f'<use class="under" href="#film{number}"/><use href="#heat{number}"/>',
            f'<use href="#boxes{number}"/>',
            name=f"heat-map of {phrase}",
            class_="film",
        )
        figures.append(tag("figure", svg, tag("figcaption", esc(phrase))))
    return tag("div", *figures, class_="strip") if figures else ""


def heatmaps_of_set(shown: Shown, name: str) -> str:
    """The pictures of one set; empty where it has none."""
    mine = {n: h for n, h in enumerate(shown.heatmaps) if h.set == name}
    return heatmaps_section(mine) if mine else ""


def other_heatmaps(shown: Shown) -> str:
    """The pictures of sets whose phrases were not scored, set by set."""
    scored = {
        entry.get("pictures_of", entry["set"])
        for kind in ("grounding", "gradcam")
        for entry in shown.of_kind.get(kind, {}).values()
    }
    names = dict.fromkeys(h.set for h in shown.heatmaps if h.set not in scored)
    return "".join(
        tag("h3", esc(name or "Heat-maps")) + heatmaps_of_set(shown, name) for name in names
    )


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
