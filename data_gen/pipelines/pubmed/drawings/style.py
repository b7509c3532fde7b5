"""Looks that figures of papers share: fonts, colours, colour maps."""

import dataclasses
import functools
import pathlib

import matplotlib
import numpy as np
from jaxtyping import UInt8
from PIL import ImageFont

Colour = tuple[int, int, int]

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)

#: Those that come with Pillow ("") and Matplotlib: the same on every machine.
FONTS = {
    "sans": "",
    "dejavu": "DejaVuSans.ttf",
    "dejavu bold": "DejaVuSans-Bold.ttf",
    "serif": "STIXGeneral.ttf",
    "serif bold": "STIXGeneralBol.ttf",
    "serif italic": "STIXGeneralItalic.ttf",
    "book": "DejaVuSerif.ttf",
    "modern": "cmr10.ttf",
    "modern sans": "cmss10.ttf",
    "mono": "DejaVuSansMono.ttf",
    "symbols": "DejaVuSans.ttf",
}
#: How often a figure's text is set in each.
_TEXT_FONTS = {"sans": 0.5, "dejavu": 0.2, "serif": 0.12, "modern sans": 0.1, "book": 0.08}

_HEX = (
    "0072b2 d55e00 009e73 cc79a7 e69f00 56b4e9",
    "1f77b4 ff7f0e 2ca02c d62728 9467bd 8c564b",
    "4f81bd c0504d 9bbb59 8064a2 4bacc6 f79646",
    "f8766d 00bfc4 7cae00 c77cff cd9600 00a9ff",
    "000000 e60000 0000e6 008c00 e600e6 ff8c00",
    "141414 787878 bebebe 464646 e1e1e1 969696",
    "e31a1c 1f78b4 33a02c ff7f00 6a3d9a b15928",
    "e64b35 4dbbd5 00a087 3c5488 f39b7f 8491b4",
    "8da0cb fc8d62 66c2a5 e78ac3 a6d854 ffd92f",
)
PALETTES: tuple[tuple[Colour, ...], ...] = tuple(
    tuple((int(h[:2], 16), int(h[2:4], 16), int(h[4:], 16)) for h in row.split()) for row in _HEX
)

#: Anchors of colour maps, evenly spaced.
MAPS: dict[str, tuple[Colour, ...]] = {
    "viridis": ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)),
    "jet": ((0, 0, 143), (0, 60, 255), (0, 255, 255), (255, 255, 0), (255, 40, 0), (128, 0, 0)),
    "hot": ((0, 0, 0), (170, 0, 0), (255, 100, 0), (255, 220, 60), (255, 255, 255)),
    "diverging": ((5, 48, 97), (67, 147, 195), (247, 247, 247), (214, 96, 77), (103, 0, 31)),
    "red green": ((0, 220, 0), (0, 0, 0), (230, 0, 0)),
    "blues": ((247, 251, 255), (158, 202, 225), (8, 48, 107)),
    "reds": ((255, 255, 255), (252, 146, 114), (103, 0, 13)),
    "magma": ((0, 0, 4), (81, 18, 124), (183, 55, 121), (252, 137, 97), (252, 253, 191)),
    "grey": ((255, 255, 255), (0, 0, 0)),
}


#: Fonts whose letters are those of English alone.
_NARROW = frozenset({"sans", "modern", "modern sans"})
_BOLD = {"dejavu": "dejavu bold", "serif": "serif bold"}


def face(words: str, name: str, bold: bool = False) -> str:
    """The font in which a text can be set: ``name``, or one that has its letters."""
    name = "dejavu" if name in _NARROW and not words.isascii() else name
    return _BOLD.get(name, name) if bold else name


@functools.lru_cache(maxsize=512)
def font(name: str, pixels: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font of :data:`FONTS`, ``pixels`` high."""
    file = FONTS[name]
    if not file:
        return ImageFont.load_default(pixels)
    folder = pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / file), pixels)


def mapped(values: np.ndarray, name: str) -> UInt8[np.ndarray, "*shape 3"]:
    """Values from 0 to 1 in the colours of a map."""
    table = np.asarray(MAPS[name], np.float32)
    at = np.linspace(0, 1, len(table))
    fine = np.stack([np.interp(np.linspace(0, 1, 256), at, table[:, c]) for c in range(3)], -1)
    return fine.astype(np.uint8)[(np.clip(values, 0, 1) * 255).astype(np.uint8)]


@dataclasses.dataclass(frozen=True)
class Style:
    """How one figure is set.

    Attributes:
      font: of its text, of :data:`FONTS`.
      text: height of small text as a share of the figure's shorter side.
      colours: in the order in which groups take them.
      line: width of axes as a share of the shorter side.
      frame: which sides of the axes are drawn.
      grid: grey lines behind the data ("", "y" or "xy").
      backdrop: colour behind the data.
      ticks: length of the marks, negative inwards.
    """

    font: str
    text: float
    colours: tuple[Colour, ...]
    line: float
    frame: str
    grid: str
    backdrop: Colour
    ticks: float

    def colour(self, index: int) -> Colour:
        return self.colours[index % len(self.colours)]


def sample_style(rng: np.random.Generator) -> Style:
    """A style as papers have it."""
    names, weights = list(_TEXT_FONTS), list(_TEXT_FONTS.values())
    palette = PALETTES[rng.integers(len(PALETTES))]
    first = int(rng.integers(len(palette))) if rng.random() < 0.3 else 0
    grid = str(rng.choice(["", "y", "xy"], p=[0.62, 0.2, 0.18]))
    shaded = grid and rng.random() < 0.3
    return Style(
        font=str(rng.choice(names, p=weights)),
        text=float(rng.uniform(0.032, 0.058)),
        colours=palette[first:] + palette[:first],
        line=float(rng.uniform(0.003, 0.0085)),
        frame="none" if shaded else str(rng.choice(["box", "left bottom"], p=[0.4, 0.6])),
        grid=grid,
        backdrop=(235, 235, 235) if shaded else WHITE,
        ticks=float(rng.choice([0.012, 0.018, -0.012, 0.0], p=[0.5, 0.25, 0.15, 0.1])),
    )
