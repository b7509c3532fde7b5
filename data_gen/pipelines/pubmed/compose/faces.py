"""Typefaces of panel labels: those that come with Pillow and Matplotlib, so that every install has
them. Figures are mostly set in a grotesque; of these Pillow's built-in one is nearest, and its bold
cut is made by widening the strokes."""

import functools
import pathlib

import matplotlib
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

#: Name -> file of Matplotlib ("" is Pillow's own), width added to strokes as a share of the height.
FACES: dict[str, tuple[str, float]] = {
    "grotesque": ("", 0.0),
    "grotesque medium": ("", 0.018),
    "grotesque bold": ("", 0.038),
    "sans": ("DejaVuSans.ttf", 0.0),
    "sans bold": ("DejaVuSans-Bold.ttf", 0.0),
    "sans oblique": ("DejaVuSans-Oblique.ttf", 0.0),
    "serif": ("STIXGeneral.ttf", 0.0),
    "serif bold": ("STIXGeneralBol.ttf", 0.0),
    "serif italic": ("STIXGeneralItalic.ttf", 0.0),
    "book": ("DejaVuSerif.ttf", 0.0),
    "book bold": ("DejaVuSerif-Bold.ttf", 0.0),
    "modern": ("cmr10.ttf", 0.0),
    "modern bold": ("cmb10.ttf", 0.0),
    "modern sans": ("cmss10.ttf", 0.0),
    "modern sans bold": ("cmss10.ttf", 0.035),
    "mono": ("DejaVuSansMono.ttf", 0.0),
    "mono bold": ("DejaVuSansMono-Bold.ttf", 0.0),
}
#: How often labels are set in each.
WEIGHTS: dict[str, float] = {
    "grotesque": 4.0,
    "grotesque medium": 2.0,
    "grotesque bold": 5.0,
    "sans": 1.5,
    "sans bold": 2.0,
    "serif": 1.5,
    "serif bold": 2.0,
}
_FINER = 4


@functools.lru_cache(maxsize=512)
def font(face: str, pixels: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font of :data:`FACES`, ``pixels`` an em."""
    file, _ = FACES[face]
    if not file:
        return ImageFont.load_default(pixels)
    folder = pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / file), pixels)


def draw_face(rng: np.random.Generator) -> str:
    """A face at random, common ones more often."""
    names = list(FACES)
    weights = np.array([WEIGHTS.get(name, 0.5) for name in names])
    return names[rng.choice(len(names), p=weights / weights.sum())]


@functools.lru_cache(maxsize=4096)
def ink(text: str, face: str, pixels: int) -> UInt8[np.ndarray, "h w"]:
    """The text's coverage 0..255, cut to its ink; ``pixels`` is the em, at least 4.

    Drawn four times larger and averaged, so that strokes may be widened by parts of a pixel.
    """
    large = pixels * _FINER
    wider = round(FACES[face][1] * large)
    drawn = font(face, large)
    # Wider strokes take wider steps, as in a bold cut; otherwise letters would touch.
    steps = [drawn.getlength(text[:i]) + 2 * wider * i for i in range(len(text))]
    boxes = [drawn.getbbox(sign, stroke_width=wider) for sign in text]
    left, right = steps[0] + boxes[0][0], steps[-1] + boxes[-1][2]
    top, bottom = min(box[1] for box in boxes), max(box[3] for box in boxes)
    edge = _FINER
    size = (max(round(right - left), 1) + 2 * edge, max(round(bottom - top), 1) + 2 * edge)
    sheet = Image.new("L", size, 0)
    pen = ImageDraw.Draw(sheet)
    for sign, step in zip(text, steps, strict=True):
        at = (edge + step - left, edge - top)
        pen.text(at, sign, fill=255, font=drawn, stroke_width=wider)
    small = np.asarray(sheet.reduce(_FINER))
    rows, columns = (np.flatnonzero(small.max(axis) > 24) for axis in (1, 0))
    if not len(rows):
        return np.zeros((1, 1), np.uint8)
    return small[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
