"""A file that somebody hands in, as an image that the pipeline reads; refusals are one line."""

import io
import os
import pathlib
import stat

import cv2
import numpy as np
import PIL.Image

from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.data.images.base import MAX_PIXELS, ImageError
from medvlp_jax.data.images.decoding import probe_size, sniff
from medvlp_jax.data.images.value_tables import quantiles, stretch
from medvlp_jax.data.store.record import Image

#: Largest upload.
MAX_BYTES = 64 << 20
_MEND = "give a PNG, JPEG, TIFF, WebP or DICOM file"
#: First bytes of what Pillow reads here -> its name for it.
_FOREIGN = {b"II*\0": "TIFF", b"MM\0*": "TIFF", b"II+\0": "TIFF", b"MM\0+": "TIFF"}


def read_upload(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file of bounded size.

    Raises:
      UserError: it is gone, no ordinary file, empty, or larger than ``MAX_BYTES``.
    """
    path = pathlib.Path(path)
    name = _printable(path.name)
    with one_net(name, "drop the file again"):
        # Without O_NONBLOCK a named pipe would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise UserError(f"{name} is no ordinary file; {_MEND}")
            if found.st_size > MAX_BYTES:
                raise UserError(
                    f"{name} has {found.st_size / 2**20:.0f} MiB, more than {MAX_BYTES >> 20}; "
                    "make the image smaller"
                )
            data = file.read(MAX_BYTES + 1)
    if not data:
        raise UserError(f"{name} is empty; {_MEND}")
    return data[:MAX_BYTES]


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
    done, png = cv2.imencode(".png", pixels if pixels.ndim == 2 else pixels[..., ::-1])
    assert done
    more = f", the first of {pages} pages" if pages > 1 else ""
    return Image(png.tobytes(), "png"), f"{name}, {width} x {height}{more}"


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


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)[:80]
