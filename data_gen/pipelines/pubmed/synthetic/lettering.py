"""Printed labels: fonts, forms and places, and the box of the ink."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

#: Where labels stand, relative to the panel.
PLACES = ("top left", "bottom left", "top right", "bottom right", "outside")
FORMS = ("{}", "{}", "{}", "({})", "{}.", "{})")

Box = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True)
class Lettering:
    """How the labels of a figure look.

    Attributes:
      place: one of :data:`PLACES`.
      form: what stands around the letter.
      size: of the font in pixels.
      font: index into :func:`fonts`.
      plate: whether a filled box lies behind each letter.
    """

    place: str
    form: str
    size: int
    font: int
    plate: bool


@functools.cache
def fonts() -> tuple[str, ...]:
    """Files of fonts that come with Matplotlib; "" is the one of Pillow."""
    folder = pathlib.Path(matplotlib.get_data_path(), "fonts", "ttf")
    names = ("DejaVuSans-Bold", "DejaVuSans", "STIXGeneralBol", "STIXGeneral")
    return ("", "", *(str(folder / f"{name}.ttf") for name in names))


@functools.lru_cache(maxsize=256)
def _font(index: int, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    every = fonts()
    path = every[index % len(every)]
    return ImageFont.truetype(path, size) if path else ImageFont.load_default(size)


def box_of(text: str, lettering: Lettering, panel: Box) -> Box:
    """Left, top, right and bottom of the ink of a label that belongs to a panel."""
    x0, y0, x1, y1 = panel
    left, top, right, bottom = _font(lettering.font, lettering.size).getbbox(text)
    width, height = round(right - left), round(bottom - top)
    pad = max(3, lettering.size // 4)
    x, y = x0 + pad, y0 + pad
    if lettering.place == "outside":
        x, y = x0 + 1, y0 - height - max(2, pad // 2)
    if "right" in lettering.place:
        x = x1 - pad - width
    if "bottom" in lettering.place:
        y = y1 - pad - height
    return x, max(y, 0), x + width, max(y, 0) + height


def print_on(
    image: np.ndarray, texts: Sequence[tuple[str, Box]], lettering: Lettering
) -> np.ndarray:
    """Prints labels at their boxes in black or white, whichever can be read.

    Args:
      image: uint8 [h, w, 3].
      texts: what is printed, and :func:`box_of` it.
    """
    canvas = Image.fromarray(image)
    pen = ImageDraw.Draw(canvas)
    font = _font(lettering.font, lettering.size)
    for text, (x0, y0, x1, y1) in texts:
        under = image[max(y0, 0) : y1, max(x0, 0) : x1]
        dark = under.size > 0 and float(under.mean()) < 128
        ink, plate = ("white", "black") if dark else ("black", "white")
        if lettering.plate:
            pad = max(2, lettering.size // 8)
            pen.rectangle((x0 - pad, y0 - pad, x1 + pad, y1 + pad), fill=plate)
        elif under.size > 0 and float(under.std()) > 60:
            pen.text(
                _origin(font, text, x0, y0), text, fill=ink, font=font, stroke_width=1,
                stroke_fill=plate,
            )  # fmt: skip
            continue
        pen.text(_origin(font, text, x0, y0), text, fill=ink, font=font)
    return np.asarray(canvas)


def _origin(
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont, text: str, x: int, y: int
) -> tuple[float, float]:
    left, top, _, _ = font.getbbox(text)
    return x - left, y - top
