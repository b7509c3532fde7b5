"""An image as somebody hands it in, as a stored one that the pipeline reads.

Files keep their bytes, so that they are decoded exactly as in training and evaluation. What the
pipeline does not read (TIFF, WebP, arrays, images of Pillow) becomes a PNG. Refusals are one line.
"""

import io
import os
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
import PIL.Image
from jaxtyping import Shaped, UInt8

from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.core.files.opening import read_bytes, shown
from medvlp_jax.data.images.base import MAX_PIXELS, ImageError, Pixels
from medvlp_jax.data.images.decoding import decode, probe_size, sniff
from medvlp_jax.data.images.value_tables import quantiles, stretch
from medvlp_jax.data.store.record import Image

#: One image: a file, its bytes, pixels, or an image of a record.
ImageLike = str | os.PathLike[str] | bytes | np.ndarray | PIL.Image.Image | Image
#: One image or several.
ImagesLike = ImageLike | Iterable[ImageLike]
_ONE = (str, os.PathLike, bytes, bytearray, memoryview, PIL.Image.Image, Image)

_MEND = "give a PNG, JPEG, TIFF, WebP or DICOM file"
#: First bytes of what Pillow reads here -> its name for it.
_FOREIGN = {b"II*\0": "TIFF", b"MM\0*": "TIFF", b"II+\0": "TIFF", b"MM\0+": "TIFF"}


def one_by_one(images: ImagesLike) -> list[ImageLike]:
    """The images as a list; a single one is a list of one.

    An array [h, w], [h, w, 1], [h, w, 3] or [h, w, 4] is one image, [n, h, w, c] are n.

    Raises:
      UserError: there is none, or an array of another shape.
    """
    found: list[Any]
    if isinstance(images, _ONE):
        found = [images]
        return found
    if hasattr(images, "__array__"):
        array = np.asarray(images)
        if array.dtype.kind in "US":  # paths
            found = [str(path) for path in array.ravel()]
        elif array.ndim == 4:
            found = list(array)
        elif array.ndim == 3 and array.shape[-1] not in (1, 3, 4):
            raise UserError(
                f"an array of shape {array.shape} may be one image or many: give one as [h, w] or "
                "[h, w, 3] (channels last), many as [n, h, w, 1] or as a list"
            )
        else:
            return [array]
    elif isinstance(images, Iterable) and not isinstance(images, dict):
        found = list(images)
    else:
        raise UserError(
            f"{type(images).__name__} is no image: give a path, the bytes of a file, a NumPy "
            "array, an image of Pillow, or a list of them"
        )
    if not found:
        raise UserError("there is no image: the list is empty; give one or more")
    return found


def called(image: Any, index: int) -> str:
    """How a message names one image of a list."""
    return shown(image) if isinstance(image, str | os.PathLike) else f"image {index}"


def as_image(image: Any) -> Image:
    """One image as the pipeline stores it.

    Raises:
      UserError: it is no image that is read here, or cannot be read.
    """
    if isinstance(image, Image):
        return image
    if isinstance(image, str | os.PathLike):
        return to_image(read_bytes(image))[0]
    if isinstance(image, bytes | bytearray | memoryview):
        return to_image(bytes(image))[0]
    if isinstance(image, PIL.Image.Image):
        with one_net("the image", "open it again", ImageError):
            return _png(_to_grey_or_rgb(image))
    if hasattr(image, "__array__"):
        return _png(_plain(np.asarray(image)))
    raise ImageError(
        f"{type(image).__name__} is no image: give a path, the bytes of a file, a NumPy array or "
        "an image of Pillow"
    )


def film(image: Image, side: int = 0) -> Pixels:
    """The pixels of a whole image.

    Args:
      side: of the longer side in pixels; 0: as it is.
    """
    pixels = decode(image.data, image.format, side or None)
    if not side:
        return pixels
    scale = side / max(pixels.shape[:2])
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(pixels, size, interpolation=way)


def to_image(data: bytes) -> tuple[Image, str]:
    """An image of a format that training reads too, and what was read, in words.

    TIFF and WebP become PNG: 16-bit greys are spread as those of PNG are, alpha is dropped, of
    several pages the first is taken, and it is said.

    Raises:
      ImageError: no image that is read here, damaged, or too large.
    """
    kind = sniff(data)
    if kind is None:
        if foreign := _foreign(data):
            return _with_pillow(data, foreign)
        if not _may_be_dicom(data):
            raise ImageError(f"this is {_what(data)}; {_MEND}")
        kind = "dicom"
    size = probe_size(data)
    words = {"png": "PNG", "jpeg": "JPEG", "dicom": "DICOM, as its window shows it"}[kind]
    return Image(data, kind), words + (f", {size[0]} x {size[1]}" if size else "")


def _foreign(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return _FOREIGN.get(data[:4])


def _may_be_dicom(data: bytes) -> bool:
    """Without its preamble a DICOM file begins with a group of 2 or 8, in either byte order."""
    return data[:2] in (b"\2\0", b"\0\2", b"\x08\0", b"\0\x08") and len(data) > 128


def _what(data: bytes) -> str:
    if not data:
        return "an empty file"
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in data[:256]):
        return "a text"
    return f"no image that is known here (it begins {data[:8].hex(' ')})"


def _with_pillow(data: bytes, kind: str) -> tuple[Image, str]:
    name = {"WEBP": "WebP"}.get(kind, kind)
    with (
        one_net(f"this {name} file", "save it again, or as PNG", ImageError),
        PIL.Image.open(io.BytesIO(data), formats=[kind]) as image,
    ):
        width, height = image.size
        if not 0 < width * height <= MAX_PIXELS:
            raise ImageError(
                f"this {name} file claims {width} x {height} pixels, more than {MAX_PIXELS}; make "
                "it smaller"
            )
        pages = int(getattr(image, "n_frames", 1))
        pixels = _to_grey_or_rgb(image)
    more = f", the first of {pages} pages" if pages > 1 else ""
    return _png(pixels), f"{name}, {width} x {height}{more}"


def _to_grey_or_rgb(image: PIL.Image.Image) -> np.ndarray:
    """uint8 greys or RGB of any mode of Pillow."""
    if image.mode.startswith(("I", "F")):  # 16 or 32 bits, whole numbers or fractions
        values = np.asarray(image, np.float64)
        if not np.isfinite(values).all():
            raise ImageError("the image holds values that are not finite; save it as 16-bit TIFF")
        low, high = values.min(), values.max()
        if low >= 0 and high <= 65535 and image.mode != "F":
            greys = values.astype(np.uint16)
        else:
            greys = ((values - low) / max(high - low, 1e-12) * 65535).astype(np.uint16)
        return stretch(greys, *quantiles(greys))
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"))
    pixels = np.asarray(image.convert("RGB"))
    # WebP has no greys of its own.
    return pixels[..., 0] if (pixels == pixels[..., :1]).all() else pixels


def _plain(pixels: np.ndarray) -> UInt8[np.ndarray, "h w *c"] | Shaped[np.ndarray, "h w *c"]:
    """uint8, or uint16 for more than 256 values, grey or RGB, of an array.

    Fractions must be in 0..1 and become 0..255; whole numbers must be in 0..65535, and above 255
    they are spread as those of a 16-bit PNG are.

    Raises:
      ImageError: another shape or other values.
    """
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.ndim not in (2, 3) or channels not in (1, 3, 4) or not pixels.size:
        raise ImageError(
            f"an array of shape {pixels.shape} is no image; give [h, w], [h, w, 1] or [h, w, 3]"
        )
    if pixels.ndim == 3:
        pixels = pixels[..., 0] if channels == 1 else pixels[..., :3]
    if pixels.dtype.kind not in "uif":
        raise ImageError(f"an array of {pixels.dtype} is no image; give uint8 or uint16")
    low, high = pixels.min(), pixels.max()
    if pixels.dtype.kind == "f":
        if not 0 <= low <= high <= 1:  # false for NaN too
            raise ImageError(
                f"an array of fractions has values from {low:g} to {high:g}; bring them to 0..1, "
                "or give uint8"
            )
        return np.rint(pixels.astype(np.float64) * 255).astype(np.uint8)
    if not 0 <= low <= high <= 65535:
        raise ImageError(
            f"an array has values from {low} to {high}; choose a window and bring it to 0..255"
        )
    wide = high > 255 or pixels.dtype == np.uint16
    return pixels.astype(np.uint16 if wide else np.uint8)


def _png(pixels: np.ndarray) -> Image:
    if not 0 < pixels.shape[0] * pixels.shape[1] <= MAX_PIXELS:
        raise ImageError(f"an image of shape {pixels.shape} is too large; make it smaller")
    ordered = pixels if pixels.ndim == 2 else pixels[..., ::-1]
    # It is read again at once: not worth the time of compressing it.
    done, png = cv2.imencode(".png", ordered, [cv2.IMWRITE_PNG_COMPRESSION, 0])
    assert done
    return Image(png.tobytes(), "png")
