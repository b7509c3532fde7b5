"""A page with the images of two folders side by side, modality by modality."""

import pathlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from medvlp_jax.core.errors import UserError
from medvlp_jax.data.images.base import Pixels
from medvlp_jax.data.images.decoding import decode, to_gray
from medvlp_jax.data.store.dataset import RecordSource
from medvlp_jax.data.unreadable import BAD_RECORD
from medvlp_jax.pages import page as kit
from medvlp_jax.pages.html import empty, esc, facts, tag
from medvlp_jax.pages.pictures import inlined, to_pil
from medvlp_jax.pages.tables import name_cell, nth, table, td, th

#: Side of the pictures whose fine detail is compared: folders differ in size.
_SIDE = 96
_MEASURED = 200  # images of a modality that the numbers are of


class Measures(NamedTuple):
    """What a picture is like in numbers, grey levels 0 to 1.

    brightness: mean. contrast: standard deviation. detail: what is finer than three pixels of 96,
    as a share of the contrast. colour: mean distance of the channels from grey.
    """

    brightness: float
    contrast: float
    detail: float
    colour: float


def measure(pixels: Pixels) -> Measures:
    """Measures of one picture."""
    small = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    gray = cv2.resize(to_gray(pixels), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) / 255
    gray = gray.astype(np.float32)
    contrast = float(gray.std())
    fine = float((gray - cv2.GaussianBlur(gray, (0, 0), 1.5)).std())
    colour = float(np.abs(small - small.mean(-1, keepdims=True)).mean() / 255)
    return Measures(
        float(gray.mean()),
        contrast,
        fine / max(contrast, 1e-6),
        colour if small.ndim == 3 else 0.0,
    )


def write_beside(
    out: pathlib.Path, sides: Mapping[str, RecordSource], count: int, command: str
) -> pathlib.Path:
    """Writes the page.

    Args:
      out: of the page, ``.html``.
      sides: words -> split, two of them; images without a modality are left out and counted.
      count: images of each side and modality, evenly spaced over the split.

    Raises:
      UserError: a side has no image with a modality.
    """
    found = {words: _by_modality(words, source) for words, source in sides.items()}
    modalities = sorted(set().union(*(places for places, _ in found.values())))
    header = (
        tag("p", "medvlp_jax · data", class_="eyebrow")
        + tag("h1", "Side by side")
        + facts({words: str(source.directory) for words, source in sides.items()})
    )
    sections = []
    for modality in modalities:
        parts, rows = [], []
        for words, source in sides.items():
            places = found[words][0].get(modality, [])
            shown = [p for _, p in _decoded(source, _spaced(places, count))]
            measured = [measure(p) for _, p in _decoded(source, _spaced(places, _MEASURED))]
            pictures = "".join(tag("figure", inlined(to_pil(p), words)) for p in shown)
            parts.append(tag("h3", esc(f"{words}, {len(places)} images")))
            parts.append(tag("div", pictures, class_="panels") if shown else empty("It has none."))
            rows.append((name_cell(words), *map(td, _spread(measured))))
        parts.append(table((th(""), *map(nth, Measures._fields)), rows))
        sections.append((modality, modality, "".join(parts)))
    left_out = {words: missing for words, (_, missing) in found.items() if missing}
    said = "".join(
        tag("p", esc(f"{n} images of {words} name no modality and are not shown."), class_="how")
        for words, n in left_out.items()
    )
    how = (
        "Images evenly spaced over each split, not a selection. Numbers: mean and, in brackets, "
        f"standard deviation over at most {_MEASURED} images, grey levels 0 to 1; detail is what "
        f"is finer than three pixels of {_SIDE}, as a share of the contrast."
    )
    about = tag("p", esc(how), class_="how") + said + tag("pre", esc(command))
    return kit.write_page(out, "side by side", header, [*sections, ("how", "How", about)])


def _by_modality(words: str, source: RecordSource) -> tuple[dict[str, list[tuple[int, int]]], int]:
    places: dict[str, list[tuple[int, int]]] = defaultdict(list)
    missing = 0
    for index in range(len(source)):
        try:
            record = source[index]
        except BAD_RECORD:
            missing += 1
            continue
        for number, image in enumerate(record.images):
            if image.modality:
                places[image.modality].append((index, number))
            else:
                missing += 1
    if not places:
        raise UserError(
            f"{words}: no image of {source!r} names its modality; import it with config.modality"
        )
    return dict(places), missing


def _spaced(places: Sequence[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    if len(places) <= count:
        return list(places)
    return [places[int(i)] for i in np.linspace(0, len(places) - 1, count)]


def _decoded(
    source: RecordSource, places: Sequence[tuple[int, int]]
) -> Iterator[tuple[tuple[int, int], Pixels]]:
    for index, number in places:
        try:
            image = source[index].images[number]
            yield (index, number), decode(image.data, image.format)
        except BAD_RECORD:
            continue


def _spread(measured: Sequence[Measures]) -> list[str]:
    if not measured:
        return ["–"] * len(Measures._fields)
    values = np.array(measured)
    pairs = zip(values.mean(0), values.std(0), strict=True)
    return [f"{mean:.2f} ({spread:.2f})" for mean, spread in pairs]
