"""Which pixels of a mask file are the region.

A mask is a label image: its values are names, not brightness, and are never windowed as a film is.
The rule, by what the file holds:

  * one channel without loss (PNG of 1, 2, 4, 8 or 16 bits, DICOM of one frame by its stored
    values): every value above 0 is region, be it 1, 255, a class or the number of an instance;
  * a palette: every index above 0, where that is every entry that is not black, too;
  * colours: every pixel that is not black;
  * alpha: where one colour fills the picture, what is not transparent; otherwise a transparent
    pixel is background, and the rule for colours decides on the others;
  * JPEG, which keeps no labels, and PNG that was JPEG before or has blurred edges: a
    black-and-white picture whose greys lie along the edge of the white is read as what is brighter
    than the middle.

What else holds grey levels in place of labels (a film, a map of probabilities, labels as JPEG) is
refused, and so is a picture of several values without background.
"""

import io

import cv2
import numpy as np
import PIL.Image
from jaxtyping import Bool, Shaped

from medvlp_jax.data.images.base import ImageError
from medvlp_jax.data.images.decoding import decode, decode_unchanged, sniff

Region = Bool[np.ndarray, "h w"]

_MIDDLE = 127
_BLACK, _WHITE = 32, 223  # how far JPEG at low quality leaves black and white
_EDGE = 5  # pixels: side of the square that makes an edge out of an outline
_ALONG = 0.98  # share of the greys that lie along the edge, at least
_VARIED = 1 / 3  # share of neighbours that differ above which values are no labels
_FEW = 16  # pairs of neighbours that say nothing
_PALETTE = 3  # PNG's number for this type of colour, in byte _COLOUR
_COLOUR = 25


def region_of(data: bytes) -> Region:
    """The region of an encoded mask, by the rule above, bool [H, W].

    Raises:
      ImageError: damaged, of a kind that the rule does not know, or no label image; says the mend.
    """
    kind = sniff(data)
    if kind == "jpeg":
        return _black_and_white(decode(data, "jpeg", gray=True), "JPEG does not keep labels")
    if kind == "dicom":
        from medvlp_jax.data.images.dicom import stored_values  # pydicom is slow to import

        return _labels(stored_values(data))
    if kind != "png":
        raise ImageError(
            f"a mask is a PNG, JPEG or DICOM file, not {len(data)} bytes starting "
            f"{data[:8].hex(' ')}; save it as PNG"
        )
    pixels = decode_unchanged(data)
    if data[_COLOUR] == _PALETTE:
        return _palette(data, pixels)
    return _labels(pixels) if pixels.ndim == 2 else _colours(pixels)


def _palette(data: bytes, pixels: np.ndarray) -> Region:
    with PIL.Image.open(io.BytesIO(data)) as picture:
        index = np.asarray(picture)
    shown = pixels[:, :, :3].any(axis=2)
    if pixels.shape[2] == 4:
        shown &= pixels[:, :, 3] > 0
    if picture.mode != "P" or ((index > 0) != shown).any():
        raise ImageError(
            "the palette's entry 0 is not the only black one, so index and colour disagree about "
            "the background; save the mask in grey, 0 outside of the region"
        )
    return _labels(index)


def _colours(pixels: Shaped[np.ndarray, "h w c"]) -> Region:
    """Colours with or without alpha, or grey with alpha (which decodes as colours, too)."""
    colours, seen = pixels[:, :, :3], np.ones(pixels.shape[:2], bool)
    if pixels.shape[2] == 4:
        alpha = pixels[:, :, 3]
        if (colours == colours[0, 0]).all() and (alpha != alpha[0, 0]).any():
            return _labels(alpha)
        seen = alpha > 0
        if not seen.any():
            raise ImageError("every pixel of the mask is transparent; save it without alpha")
    if (colours == colours[:, :, :1]).all():
        return _labels(np.where(seen, colours[:, :, 0], 0))
    # One number per colour; equal neighbours are all that is asked of it.
    packed = (colours.astype(np.uint64) << np.array([32, 16, 0], np.uint64)).sum(2)
    return _labels(np.where(seen, packed, 0), colours=True)


def _labels(values: Shaped[np.ndarray, "h w"], colours: bool = False) -> Region:
    if values.dtype.kind not in "buif":
        raise ImageError(f"a mask of {values.dtype} values is of an unknown kind; save it as PNG")
    if values.dtype.kind == "f" and (values != np.rint(values)).any():
        raise ImageError("the mask holds fractions, no labels; threshold it and save it as PNG")
    if not colours and values.dtype == np.uint8 and (_was_jpeg(values) or _varied(values)):
        return _black_and_white(values, "the mask holds grey levels, no labels")
    if _varied(values):
        raise ImageError("the mask holds levels like a film, no labels; threshold it")
    if (values < 0).any():
        raise ImageError("the mask holds values below 0; save it as PNG with 0 as background")
    region = values > 0
    if region.all() and (values != values[0, 0]).any():
        raise ImageError(
            "no pixel of the mask is background (0, black), although it has several values; set "
            "what is outside of the region to 0"
        )
    return region


def _was_jpeg(values: np.ndarray) -> bool:
    """Whether all values are near 0 or 255 and some beside either: black and white by way of JPEG.

    One side alone is labels: classes from 1, with 255 for what nobody judged.
    """
    found = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    dark = ((found > 0) & (found <= _BLACK)).any()
    light = ((found >= _WHITE) & (found < 255)).any()
    return bool(dark and light and not ((found > _BLACK) & (found < _WHITE)).any())


def _varied(values: Shaped[np.ndarray, "h w"]) -> bool:
    """Whether neighbours in a row or a column differ as in a film: labels come in areas.

    Background and the largest value, which a blurred mask of 0 and 255 has inside, say nothing.
    """
    inner = (values > 0) & (values < values.max(initial=0))
    for a, b, both in (
        (values[1:], values[:-1], inner[1:] & inner[:-1]),
        (values[:, 1:], values[:, :-1], inner[:, 1:] & inner[:, :-1]),
    ):
        pairs = int(both.sum())
        if pairs >= _FEW and (both & (a != b)).sum() > _VARIED * pairs:
            return True
    return False


def _black_and_white(values: np.ndarray, otherwise: str) -> Region:
    if not values.any():
        return np.zeros(values.shape, bool)
    white = (values > _MIDDLE).astype(np.uint8)
    kernel = np.ones((_EDGE, _EDGE), np.uint8)
    along = cv2.morphologyEx(white, cv2.MORPH_GRADIENT, kernel) > 0
    grey = (values > _BLACK) & (values < _WHITE)
    if values.max() < _WHITE or (grey & along).sum() < _ALONG * grey.sum():
        raise ImageError(
            f"{otherwise}, and the picture is not black and white; save the mask as PNG, 0 outside "
            "of the region"
        )
    return white > 0
