"""Boxes on a picture, and where their names can stand: inside of it and not on each other."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from PIL import ImageFont

from medvlp_jax.pages.html import esc, tag

#: Size of the letters of a name in units of the picture, and what its line takes in any font.
_SIZE, LINE = 10, 15
#: The shortest name worth writing, in letters; shorter ones are left to the legend.
_LEAST = 3


class LabelledBox(NamedTuple):
    """Corners as fractions of the image, origin top left."""

    x0: float
    y0: float
    x1: float
    y1: float
    label: str
    phrase: str = ""


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


class Place(NamedTuple):
    """Corners of something drawn, in units of the picture."""

    x0: float
    y0: float
    x1: float
    y1: float

    def meets(self, other: "Place") -> bool:
        return (
            self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1
        )


def boxes_svg(
    boxes: Iterable[LabelledBox],
    width: float,
    height: float,
    colours: Colours,
    *,
    names: bool = True,
    kind: str = "box",
) -> str:
    """Rectangles with their names, in a coordinate system of width x height.

    A name that finds no free place inside of the picture is left out: the pointer and the legend
    still tell it.

    Args:
      kind: class of the style sheet: ``box``, or ``box dash``.
    """
    rectangles, texts, taken = [], [], []
    for b in boxes:
        left, right = (min(max(v, 0.0), 1.0) * width for v in (b.x0, b.x1))
        top, bottom = (min(max(v, 0.0), 1.0) * height for v in (b.y0, b.y1))
        colour = colours[b.label]
        title = f"<title>{esc(b.phrase or b.label)}</title>"
        rectangles.append(
            f'<rect class="{kind} {colour}" x="{left:.1f}" y="{top:.1f}" '
            f'width="{right - left:.1f}" height="{bottom - top:.1f}" rx="2">{title}</rect>'
        )
        if not names:
            continue
        name, wide = fitted(b.label, width - 4)
        place = free_place(Place(left, top, right, bottom), wide, width, height, taken)
        if name and place is not None:
            taken.append(place)
            # textLength makes the name as wide as was planned, in whatever font there is.
            texts.append(
                f'<text class="box-name {colour}" x="{place.x0:.1f}" y="{place.y1 - 4.5:.1f}" '
                f'textLength="{wide:.1f}" lengthAdjust="spacingAndGlyphs">{esc(name)}</text>'
            )
    return tag("g", *rectangles, *texts, class_="boxes")


@functools.cache
def _font() -> "ImageFont.FreeTypeFont | ImageFont.ImageFont":
    return ImageFont.load_default(_SIZE)


@functools.lru_cache(maxsize=4096)
def text_width(text: str) -> float:
    """About how wide a name is in bold letters of ``_SIZE``."""
    return 1.12 * _font().getlength(text)


def fitted(text: str, most: float) -> tuple[str, float]:
    """The name, shortened to at most ``most`` units, and its width; empty where nothing fits."""
    text = " ".join(text.split())
    if text_width(text) <= most:
        return text, text_width(text)
    for end in range(len(text) - 1, _LEAST - 1, -1):
        short = text[:end].rstrip() + "…"
        if text_width(short) <= most:
            return short, text_width(short)
    return "", 0.0


def free_place(
    box: Place, wide: float, width: float, height: float, taken: Sequence[Place]
) -> Place | None:
    """Where a name of that width can stand near its box; None where there is no room."""
    for x, y in _wanted(box, wide, height):
        x = min(max(x, 2.0), width - 2 - wide)
        place = Place(x, y, x + wide, y + LINE)
        inside = x >= 0 and y >= 0 and place.y1 <= height
        if inside and not any(place.meets(other) for other in taken):
            return place
    return None


def _wanted(box: Place, wide: float, height: float) -> Iterator[tuple[float, float]]:
    """Left and top of a name: above the box, below, inside, then ever farther away from it."""
    starts = (box.x0, box.x1 - wide)
    for y in (box.y0 - LINE, box.y1 + 1, box.y0 + 1, box.y1 - LINE):
        for x in starts:
            yield x, y
    for away in range(1, int(height // 4)):
        for y in (box.y0 - LINE - 4.0 * away, box.y1 + 1 + 4.0 * away, box.y0 + 1 + 4.0 * away):
            for x in starts:
                yield x, y
