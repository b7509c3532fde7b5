"""What can be said of an image without a model: exposure, colour, sharpness, text, layout."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping

import cv2
import numpy as np
from jaxtyping import UInt8

from data_gen.curation.candidate import Pixels
from data_gen.curation.layout import layout
from data_gen.phantom.registry import DEFAULT, find_phantom
from medvlp_jax.core.fields import AtLeastOne, Extent, Fraction, NonNegative
from medvlp_jax.data.images.decoding import to_gray

#: Longer side, in pixels, that a picture is reduced to before it is measured.
SIDE = 256
#: Longer side from which on strokes of print may be up to four pixels wide, not two.
_FINE = 200
#: In a smaller picture ribs look like strokes, and nobody could read print.
_READABLE = 96
#: Grey levels that a stroke of print stands out by, which thin anatomy seldom does.
_STROKE = 70
#: Share of such pixels in a window that makes it print.
_DENSE = 0.15
#: Difference of the colour channels of a pixel that calls it coloured.
_COLOURED = 40


@dataclasses.dataclass(frozen=True)
class Limits:
    """What an image may measure.

    The defaults were chosen for films of the chest, between procedural ones, real ones, and the
    faults of :mod:`.faults`. Of 1187 other procedural films they refuse 0.4 % (128 px) and 0.3 %
    (224 px), mostly for ribs so sharp that they look like print; of 205 real frontal films of three
    collections four: two colour photographs of films, two films far from frontal. They find 54 to
    64 % of films cropped to a corner and 95 % or more of every other fault. A hand passes: what is
    not a chest at all is for a judge to see.

    Attributes:
      min_side: pixels of the shorter side.
      max_aspect: longer by shorter side.
      min_bright, max_dark: grey level (0 to 1) that the brightest 1 % must exceed, and that the
        darkest 1 % must stay under.
      min_contrast: standard deviation of the grey levels (0 to 1).
      max_clipped: share of fully black or fully white pixels inside the empty border.
      max_chroma: mean difference between the strongest and the weakest colour channel (0 to 1).
      max_coloured: share of clearly coloured pixels.
      max_text: share of the picture that looks like print.
      min_detail: contrast of fine detail by that of coarser detail.
      max_noise: standard deviation of the noise by the range of grey levels.
      max_blocks: steps on the grid of JPEG's blocks by steps elsewhere.
      max_border: share of the area that lies in an empty border.
      margin: how much nearer to the modality's layout the negative or the turned picture must be
        than the picture itself (:mod:`.layout`) to call it inverted or rotated; 3 never does.
      max_layout: distance from that layout (3: any).
    """

    min_side: Extent = 64
    max_aspect: AtLeastOne = 1.8
    min_bright: Fraction = 0.1
    max_dark: Fraction = 0.9
    min_contrast: NonNegative = 0.04
    max_clipped: Fraction = 0.5
    max_chroma: NonNegative = 0.03
    max_coloured: Fraction = 0.002
    max_text: NonNegative = 0.04
    min_detail: NonNegative = 0.22
    max_noise: NonNegative = 0.08
    max_blocks: NonNegative = 2.4
    max_border: Fraction = 0.45
    margin: Fraction = 0.1
    max_layout: NonNegative = 0.75


def measure(image: Pixels, modality: str = DEFAULT) -> dict[str, float]:
    """All statistics of an image, by name."""
    height, width = image.shape[:2]
    gray = to_gray(image)
    small = _reduce(gray, SIDE)
    inner, border = _without_border(small)
    low, high = np.quantile(inner, (0.05, 0.95))
    full = float(((inner <= 1) | (inner >= 254)).mean())
    return {
        "size/shorter": float(min(height, width)),
        "size/aspect": max(height, width) / min(height, width),
        "grey/bright": float(np.quantile(small, 0.99)) / 255,
        "grey/dark": float(np.quantile(small, 0.01)) / 255,
        "grey/contrast": float(small.std()) / 255,
        "grey/clipped": full,
        **_colour(image),
        "text/share": _print_share(small),
        "focus/detail": _detail(inner),
        "focus/noise": _noise(inner) / max(float(high - low), 16.0),
        "focus/blocks": _blocks(gray),
        "border/share": border,
        **layout(small, modality),
    }


def objections(
    scores: Mapping[str, float], limits: Limits, view: str = "", modality: str = DEFAULT
) -> Iterator[str]:
    """The reasons to refuse an image of these scores.

    Args:
      scores: of :func:`measure`.
      limits: see there.
      view: as in a record; one that the modality lays out in another way is not compared.
      modality: see :data:`data_gen.phantom.registry.PHANTOMS`.
    """
    s, c = scores, limits
    if s["size/shorter"] < c.min_side:
        yield "size"
    if s["size/aspect"] > c.max_aspect:
        yield "aspect"
    if s["grey/bright"] < c.min_bright:
        yield "black"
        return  # the rest would only say so again
    if s["grey/dark"] > c.max_dark:
        yield "white"
        return
    if s["grey/contrast"] < c.min_contrast:
        yield "constant"
        return
    if s["grey/clipped"] > c.max_clipped:
        yield "clipped"
    if s["colour/chroma"] > c.max_chroma or s["colour/share"] > c.max_coloured:
        yield "colour"
    if s["focus/noise"] > c.max_noise:
        yield "noise"
    elif s["text/share"] > c.max_text:  # to which strong noise looks like print
        yield "text overlay"
    if s["focus/detail"] < c.min_detail:
        yield "blur"
    if s["focus/blocks"] > c.max_blocks:
        yield "blocks"
    if s["border/share"] > c.max_border:
        yield "border"
    review = find_phantom(modality).review
    if review.layout is None or view.upper() in review.other_views:
        return
    ways = ("negative", "quarter", "half")
    nearest = min(ways, key=lambda way: s[f"layout/{way}"])
    if s["layout/distance"] - s[f"layout/{nearest}"] > c.margin:
        yield "inverted" if nearest == "negative" else "rotated"
    elif s["layout/distance"] > c.max_layout:
        yield "layout"


def _reduce(gray: UInt8[np.ndarray, "y x"], side: int) -> UInt8[np.ndarray, "y x"]:
    """Area means so that the longer side has ``side`` pixels; small pictures stay as they are."""
    scale = side / max(gray.shape)
    if scale >= 1:
        return gray
    size = max(1, round(gray.shape[1] * scale)), max(1, round(gray.shape[0] * scale))
    return cv2.resize(gray, size, interpolation=cv2.INTER_AREA)


def _without_border(gray: np.ndarray) -> tuple[np.ndarray, float]:
    """The part inside constant rows and columns, and the share of the area outside of it."""
    busy = gray.astype(np.float32)
    rows, columns = (np.flatnonzero(busy.std(axis=a) > 2.0) for a in (1, 0))
    if not len(rows) or not len(columns):
        return gray, 1.0
    inner = gray[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return inner, 1 - inner.size / gray.size


def _colour(image: Pixels) -> dict[str, float]:
    if image.ndim == 2:
        return {"colour/chroma": 0.0, "colour/share": 0.0}
    small = _reduce(image, SIDE)
    chroma = small.max(2) - small.min(2)
    return {
        "colour/chroma": float(chroma.mean()) / 255,
        "colour/share": float((chroma > _COLOURED).mean()),
    }


def _print_share(gray: np.ndarray) -> float:
    """Share of the picture in windows that are dense with thin strokes, bright or dark."""
    side = max(gray.shape)
    if side < _READABLE:
        return 0.0
    kernel = np.ones((5, 5) if side >= _FINE else (3, 3), np.uint8)
    bright = cv2.morphologyEx(gray, cv2.MORPH_TOPHAT, kernel)
    dark = cv2.morphologyEx(gray, cv2.MORPH_BLACKHAT, kernel)
    strokes = (cv2.max(bright, dark) > _STROKE).astype(np.float32)
    window = max(5, side // 16)
    dense = cv2.boxFilter(strokes, -1, (window, window), borderType=cv2.BORDER_CONSTANT)
    return float((dense > _DENSE).mean())


def _detail(gray: np.ndarray) -> float:
    """How fast detail dies out towards fine scales: the product of the ratios of three successive
    octaves' mean contrast. Blur takes the finest first, whatever the contrast of the film."""
    levels = [gray.astype(np.float32)]
    levels += [cv2.GaussianBlur(levels[0], (0, 0), sigma) for sigma in (1.0, 2.0, 4.0)]
    fine, middle, coarse = (float(np.abs(a - b).mean()) for a, b in itertools.pairwise(levels))
    # Less what rounding to whole grey levels puts into each: else a smooth picture seems detailed.
    sharp = max(fine - 0.22, 0.0) / max(middle, 0.1)
    return sharp * max(middle - 0.05, 0.0) / max(coarse, 0.1)


def _noise(gray: np.ndarray) -> float:
    """Standard deviation of the noise in grey levels (Immerkaer 1996: a Laplacian that is blind to
    edges along the axes)."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = cv2.filter2D(gray.astype(np.float32), -1, kernel)[1:-1, 1:-1]
    return float(np.abs(response).mean() * np.sqrt(np.pi / 2) / 6) if response.size else 0.0


def _blocks(gray: np.ndarray) -> float:
    """Step across an edge of the grid of 8 x 8 blocks by the steps beside it: the median over the
    edges, so that one edge of anatomy on the grid counts little; the larger axis."""
    ratios = []
    for picture in (gray, gray.T):
        steps = np.abs(np.diff(picture.astype(np.int16), axis=1)).mean(0)
        at = np.arange(7, len(steps) - 2, 8)
        if len(at) >= 4:
            beside = (steps[at - 2] + steps[at - 1] + steps[at + 1] + steps[at + 2]) / 4
            ratios.append(np.median(steps[at] / np.maximum(beside, 0.2)))
    return float(max(ratios, default=1.0))
