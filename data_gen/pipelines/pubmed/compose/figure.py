"""One compound figure and all that is known of it."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from data_gen.pipelines.pubmed.compose import paint
from data_gen.pipelines.pubmed.compose.content import Theme
from data_gen.pipelines.pubmed.compose.decoys import Decorator
from data_gen.pipelines.pubmed.compose.layouts import (
    Layout,
    RealLayout,
    Rect,
    draw_layout,
    place_real,
)
from data_gen.pipelines.pubmed.compose.lettering import Lettering, draw_lettering, series
from data_gen.pipelines.pubmed.compose.pool import Pool
from data_gen.pipelines.pubmed.figures.order import reading_order, rows_of

#: Letters of the alphabet: more panels are numbered.
_LETTERS = 26


@dataclasses.dataclass(frozen=True)
class Panel:
    """A panel: around all its images, in pixels; ``label`` is "" where none is drawn."""

    box: Rect
    images: tuple[Rect, ...]
    label: str = ""
    label_box: Rect | None = None


@dataclasses.dataclass(frozen=True)
class Composite:
    """A drawn figure.

    Attributes:
      pixels: uint8 RGB.
      panels: in reading order.
      decoys: single letters and numbers that are no labels, with their boxes.
      lettering: how the labels are set; None where there are none.
      gutter: pixels between panels.
      real: drawn in the layout of a real figure.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    panels: tuple[Panel, ...]
    decoys: tuple[tuple[Rect, str], ...]
    lettering: Lettering | None
    gutter: float
    real: bool


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Longer side of a figure in pixels, drawn evenly; the em of labels in thousandths of it."""

    longer: tuple[int, int] = (600, 1600)
    letters: tuple[float, float] = (14.0, 34.0)


#: The smallest em of a label in pixels: smaller ones cannot be told apart by eye either.
_SMALLEST = 12


def compose(
    rng: np.random.Generator,
    pool: Pool,
    sizes: Sizes,
    real: Sequence[RealLayout] = (),
    vary: bool = False,
) -> Composite:
    """Draws a figure; a pure function of the state of ``rng`` and the rest.

    Args:
      real: layouts to draw one of; a layout of our own where there are none.
      vary: see :func:`place_real`.
    """
    longer = int(rng.integers(sizes.longer[0], sizes.longer[1] + 1))
    labelled = rng.random() < 0.8
    inside = bool(rng.random() < 0.5)
    low, high = (max(v * longer / 1000, _SMALLEST) for v in sizes.letters)
    pixels = (low, max(high, low + 1))
    if real:
        layout = place_real(rng, real[int(rng.integers(len(real)))], longer, vary)
        smallest = min(min(r.width, r.height) for slot in layout.slots for r in slot)
        inside = True  # nothing was left free for labels
        labelled = labelled and smallest >= 3 * _SMALLEST
        pixels = (low, max(min(high, smallest / 2.5), low + 1))
        lettering = draw_lettering(rng, pixels, inside, len(layout.slots) > _LETTERS)
    else:
        lettering = draw_lettering(rng, pixels, inside, many=False)
        strip = 0.0 if inside or not labelled else round(1.25 * lettering.pixels) + 2.0
        layout = draw_layout(rng, longer, strip, labelled)
        if len(layout.slots) > _LETTERS and lettering.scheme not in ("A1", "a1"):
            lettering = dataclasses.replace(lettering, scheme="digits")
    if not layout.real and len(layout.slots) == 1:
        labelled = labelled and rng.random() < 0.15
    return _draw(rng, pool, layout, lettering if labelled else None)


def _draw(
    rng: np.random.Generator, pool: Pool, layout: Layout, lettering: Lettering | None
) -> Composite:
    background = _background(rng, layout)
    canvas = np.empty((layout.height, layout.width, 3), np.uint8)
    canvas[:] = background
    touching = layout.gutter < 2 and not layout.real
    theme = Theme(rng, pool, layout.gutter >= 4 or rng.random() < 0.3, exposures=touching)
    slots = list(layout.slots)
    hulls = [hull(slot) for slot in slots]
    order = reading_order(hulls)
    slots = [slots[i] for i in order]
    below = lettering is not None and not lettering.inside and lettering.beside == "below centre"
    lift = -layout.strip if below else 0.0
    bordered = rng.random() < 0.15
    border = (int(rng.integers(1, 3)), int(rng.choice([0, 0, 128, 255])))
    drawn: list[tuple[tuple[Rect, ...], bool]] = []
    for slot in slots:
        name = theme.name()
        images = tuple(Rect(r.x0, r.y0 + lift, r.x1, r.y1 + lift) for r in slot)
        chart = False
        for k, rect in enumerate(images):
            place = _chart_place(rect, layout, lettering) if theme.is_chart(name) else rect
            shown = (
                theme.fill(name, place) if len(images) == 1 or not theme.is_chart(name) else None
            )
            if shown is None:
                pictures = [n for n in pool.names if not theme.is_chart(n)]
                name = pictures[rng.integers(len(pictures))]
                place, shown = rect, theme.fill(name, rect)
                assert shown is not None
            chart = theme.is_chart(name)
            if place != rect:
                images = (*images[:k], place, *images[k + 1 :])
            x0, y0 = round(place.x0), round(place.y0)
            canvas[y0 : y0 + shown.shape[0], x0 : x0 + shown.shape[1]] = shown
            if bordered and min(place.width, place.height) > 12 and not chart:
                paint.frame(canvas, place, (border[1], border[1], border[1]), border[0])
        drawn.append((images, chart))
    decorator = Decorator(rng, canvas, [images for images, _ in drawn], layout, lettering)
    texts = _labels(rng, lettering, [hull(images) for images, _ in drawn])
    if texts and not layout.grouped and len(texts) > 2 and rng.random() < 0.1:
        texts[rng.integers(len(texts))] = ""
    charts = [chart for _, chart in drawn]
    boxes = decorator.labels(texts, charts) if lettering else [None] * len(drawn)
    decoys = decorator.decorate(charts)
    panels = tuple(
        Panel(hull(images), images, text if box else "", box)
        for (images, _), text, box in zip(drawn, texts or [""] * len(drawn), boxes, strict=True)
    )
    return Composite(canvas, panels, tuple(decoys), lettering, layout.gutter, layout.real)


def hull(rects: Sequence[Rect]) -> Rect:
    """The box around rectangles."""
    x0, y0, x1, y1 = zip(*rects, strict=True)
    return Rect(min(x0), min(y0), max(x1), max(y1))


def _background(rng: np.random.Generator, layout: Layout) -> tuple[int, int, int]:
    """The colour of gutters; black ones hold no letters outside."""
    black = rng.random() < (0.2 if layout.strip else 0.3)
    if layout.real:
        black = rng.random() < 0.15
    if black:
        return (0, 0, 0)
    if rng.random() < 0.06:
        grey = int(rng.integers(200, 255))
        return (grey, grey, grey)
    return (255, 255, 255)


def _chart_place(rect: Rect, layout: Layout, lettering: Lettering | None) -> Rect:
    """Where a drawing stands: apart from its neighbours, and below a label that stands inside."""
    edge = max(round((10 - layout.gutter) / 2), 0)
    top = round(1.4 * lettering.pixels) if lettering is not None and lettering.inside else edge
    place = Rect(rect.x0 + edge, rect.y0 + top, rect.x1 - edge, rect.y1 - edge)
    return place if place.width > 60 and place.height > 60 else rect


def _labels(
    rng: np.random.Generator, lettering: Lettering | None, boxes: Sequence[Rect]
) -> list[str]:
    """The text of each panel's label; most are counted in reading order, some by columns."""
    if lettering is None:
        return []
    rows = rows_of(boxes)
    texts = series(lettering.scheme, rows)
    if rng.random() < 0.1 and lettering.scheme not in ("A1", "a1"):
        turned = reading_order([(b.y0, b.x0, b.y1, b.x1) for b in boxes])
        by_column = [""] * len(boxes)
        for text, i in zip(texts, turned, strict=True):
            by_column[i] = text
        return by_column
    return texts
