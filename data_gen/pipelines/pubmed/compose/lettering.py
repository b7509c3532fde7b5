"""How the panels of a figure are lettered: the series, how it is set, and where it stands."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from data_gen.pipelines.pubmed.compose.faces import draw_face

Scheme = Literal["upper", "lower", "digits", "roman", "Roman", "A1", "a1"]
Corner = Literal["top left", "top right", "bottom left", "bottom right"]
Beside = Literal["above", "above centre", "below centre", "left"]
Colour = tuple[int, int, int]

_SCHEMES: dict[Scheme, float] = {
    "upper": 0.42,
    "lower": 0.34,
    "digits": 0.06,
    "roman": 0.05,
    "Roman": 0.04,
    "A1": 0.05,
    "a1": 0.04,
}
_CORNERS: dict[Corner, float] = {
    "top left": 0.78,
    "bottom left": 0.09,
    "top right": 0.07,
    "bottom right": 0.06,
}
_BESIDE: dict[Beside, float] = {
    "above": 0.62,
    "left": 0.14,
    "below centre": 0.14,
    "above centre": 0.1,
}
_WRAPS = {"{}": 0.66, "({})": 0.2, "{})": 0.07, "{}.": 0.07}
_ROMAN = ((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))


@dataclasses.dataclass(frozen=True)
class Lettering:
    """How labels are set; all labels of a figure alike.

    Attributes:
      scheme: the series: A B C, a b c, 1 2 3, i ii iii, I II III, A1 A2 B1.
      wrap: what stands around the label, as a format ("({})").
      face, pixels: the typeface and its em in pixels.
      inside: in the image, or beside it on the gutter.
      corner: of the panel, inside.
      beside: where it stands outside.
      plate: whether a filled rectangle lies behind the label.
      colour: of the letters; None is black on light and white on dark ground.
    """

    scheme: Scheme
    wrap: str
    face: str
    pixels: int
    inside: bool
    corner: Corner
    beside: Beside
    plate: bool
    colour: Colour | None


def _choose(rng: np.random.Generator, weights: dict) -> object:
    names = list(weights)
    p = np.array(list(weights.values()), float)
    return names[rng.choice(len(names), p=p / p.sum())]


def draw_lettering(
    rng: np.random.Generator, pixels: tuple[float, float], inside: bool, many: bool
) -> Lettering:
    """A lettering at random.

    Args:
      pixels: range of the em.
      inside: whether labels stand in the images.
      many: there are more panels than letters of the alphabet.
    """
    scheme = _choose(rng, _SCHEMES)
    if many:
        scheme = _choose(rng, {"digits": 0.5, "A1": 0.3, "a1": 0.2})
    colour = None
    if rng.random() < 0.12:
        bright = ((255, 255, 0), (255, 60, 60), (0, 255, 255), (80, 255, 80), (255, 160, 0))
        deep = ((190, 0, 0), (0, 0, 190), (0, 110, 0), (90, 90, 90))
        colours = bright if inside else deep
        colour = colours[rng.integers(len(colours))]
    return Lettering(
        scheme=scheme,  # pyright: ignore[reportArgumentType]
        wrap=str(_choose(rng, _WRAPS)),
        face=draw_face(rng),
        pixels=max(round(rng.uniform(*pixels)), 9),
        inside=inside,
        corner=_choose(rng, _CORNERS) if inside else "top left",  # pyright: ignore[reportArgumentType]
        beside=_choose(rng, _BESIDE),  # pyright: ignore[reportArgumentType]
        plate=bool(inside and rng.random() < 0.2),
        colour=colour,
    )


def series(scheme: Scheme, rows: Sequence[int]) -> list[str]:
    """The labels of panels in reading order.

    Args:
      rows: row of each panel; A1 counts letters by rows and numbers within them.
    """
    count = len(rows)
    if scheme in ("A1", "a1"):
        first = "A" if scheme == "A1" else "a"
        out, seen = [], 0
        for i, row in enumerate(rows):
            seen = seen + 1 if i and rows[i - 1] == row else 1
            out.append(f"{chr(ord(first) + sorted(set(rows)).index(row))}{seen}")
        return out
    if scheme == "digits":
        return [str(i + 1) for i in range(count)]
    if scheme in ("roman", "Roman"):
        lower = [roman(i + 1) for i in range(count)]
        return lower if scheme == "roman" else [text.upper() for text in lower]
    first = "A" if scheme == "upper" else "a"
    return [chr(ord(first) + i) for i in range(count)]


def roman(number: int) -> str:
    """A number from 1 to 39 in lower-case Roman numerals."""
    out = ""
    for value, sign in _ROMAN:
        while number >= value:
            out += sign
            number -= value
    return out
