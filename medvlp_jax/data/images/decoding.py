"""Encoded bytes to pixels: PNG (8 and 16 bit) and JPEG here, DICOM in :mod:`.dicom`.

Everything comes out as uint8, [H, W] for one channel and [H, W, 3] in RGB order otherwise. The
format is read from the bytes, because a PNG named ``.jpg`` is common; the declared one only serves
error messages and DICOM files that lack the preamble.
"""

import struct

import cv2
import numpy as np
import simplejpeg
from jaxtyping import Shaped, UInt8

from medvlp_jax.data.images.base import MAX_PIXELS, ImageError, Pixels
from medvlp_jax.data.images.value_tables import quantiles, stretch


def sniff(data: bytes) -> str | None:
    """ "png", "jpeg", "dicom" or, where the first bytes are none of these, ``None``."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data[128:132] == b"DICM" or _is_bare_dicom(data if data[:128].strip(b"\0") else data[128:]):
        return "dicom"
    return None


def _is_bare_dicom(data: bytes) -> bool:
    """Whether bytes begin as a data set without preamble does: an element of group 2 or 8.

    Group and element number (below 0x100), then a value representation of two letters or, where
    it is implicit, a length of four bytes, which is short for the first elements there are.
    """
    if len(data) < 8:
        return False
    group, element = struct.unpack("<HH", data[:4])
    if group in (0x0200, 0x0800):
        group, element = struct.unpack(">HH", data[:4])
    if group not in (2, 8) or element >= 0x100:
        return False
    return (data[4:6].isalpha() and data[4:6].isupper()) or struct.unpack("<L", data[4:8])[0] <= 256


def probe_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels from the header alone; ``None`` for DICOM.

    Raises:
      ImageError: a JPEG or PNG whose header is broken, or asks for more than ``MAX_PIXELS``.
    """
    kind = sniff(data)
    if kind == "png":
        if len(data) < 24:
            raise ImageError(f"PNG of {len(data)} bytes is cut short in its header")
        width, height = struct.unpack(">II", data[16:24])
    elif kind == "jpeg":
        try:
            height, width, _, _ = simplejpeg.decode_jpeg_header(data, strict=False)
        except ValueError as e:
            raise ImageError(f"JPEG of {len(data)} bytes has a broken header ({e})") from e
        except KeyError as e:  # simplejpeg looks up a colour space that it never read
            raise ImageError(f"JPEG of {len(data)} bytes is cut short in its header") from e
    else:
        return None
    width, height = int(width), int(height)
    if not 0 < width * height <= MAX_PIXELS:
        raise ImageError(
            f"{kind.upper()} of {len(data)} bytes claims {width} x {height} pixels; the header is "
            f"broken, or the image needs tiling (limit {MAX_PIXELS} pixels)"
        )
    return width, height


def decode(data: bytes, fmt: str, size_hint: int | None = None, *, gray: bool = False) -> Pixels:
    """Pixels of one encoded image.

    16-bit PNG (PadChest) has no window of its own, and its files differ in how many of the 16 bits
    they use: values between the 0.1 % and the 99.9 % quantile map linearly to 0..255. An alpha
    channel is dropped, EXIF orientation is ignored (boxes and masks refer to stored pixels).

    Args:
      data: the file.
      fmt: "png", "jpeg" or "dicom" as declared; the bytes win where they say otherwise.
      size_hint: the shorter side that is needed, in pixels. A JPEG is then decoded by scaled DCT
        to the smallest size of n/8 whose shorter side is at least that; others come in full.
      gray: one channel is enough: colour becomes luminance, which for JPEG skips the chroma.

    Returns:
      uint8 [H, W] or [H, W, 3] (RGB).

    Raises:
      ImageError: empty, truncated, corrupt, or none of the three formats.
    """
    kind = sniff(data) or ("dicom" if fmt == "dicom" else None)
    if not data:
        raise ImageError(f"the {fmt} file is empty (0 bytes)")
    probe_size(data)  # refuses broken headers before anything is allocated
    if kind == "jpeg":
        return _decode_jpeg(data, size_hint or 0, gray)
    if kind == "png":
        pixels = _decode_png(data)
    elif kind == "dicom":
        from medvlp_jax.data.images.dicom import decode_dicom  # pydicom is slow to import

        pixels = decode_dicom(data)
    else:
        raise ImageError(
            f"declared {fmt}, but the {len(data)} bytes starting {data[:8].hex(' ')} are no PNG, "
            "JPEG or DICOM; convert the file to one of these"
        )
    return to_gray(pixels) if gray else pixels


def decode_unchanged(data: bytes) -> Shaped[np.ndarray, "h w *c"]:
    """Values of a PNG as they are stored, uint8 or uint16, [H, W], or BGR and alpha last.

    Raises:
      ImageError: no PNG, truncated or corrupt.
    """
    if sniff(data) != "png":
        raise ImageError(f"{len(data)} bytes starting {data[:8].hex(' ')} are no PNG")
    probe_size(data)  # refuses broken headers before anything is allocated
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ImageError(f"PNG of {len(data)} bytes cannot be decoded (truncated or corrupt)")
    return pixels


def decode_mask(data: bytes) -> UInt8[np.ndarray, "h w"]:
    """A stored mask (see :class:`medvlp_jax.data.store.record.Mask`) as 0 and 255.

    Any value above 0 is region: masks of 0 and 1, or of 16 bits, are never windowed as films are.

    Raises:
      ImageError: no PNG, truncated or corrupt.
    """
    pixels = decode_unchanged(data)
    if pixels.ndim == 3:
        pixels = pixels[:, :, :3].max(axis=2)  # without alpha
    return (pixels > 0).astype(np.uint8) * np.uint8(255)


def to_gray(pixels: Pixels) -> UInt8[np.ndarray, "h w"]:
    """Luminance (ITU-R BT.601) of RGB; one channel is returned as it is."""
    return pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def _decode_jpeg(data: bytes, size_hint: int, gray: bool) -> Pixels:
    try:
        colorspace = simplejpeg.decode_jpeg_header(data, strict=False)[2]
        if colorspace in ("CMYK", "YCCK"):
            return _decode_cmyk(data, gray)
        target = "GRAY" if gray or colorspace == "Gray" else "RGB"
        try:
            pixels = _scaled(data, target, size_hint, strict=True)
        except ValueError as e:
            # libjpeg only warns of bytes between segments, which some scanners leave behind and
            # which damage no pixel; every other warning means that pixels are missing.
            if "extraneous bytes" not in str(e):
                raise
            pixels = _scaled(data, target, size_hint, strict=False)
    except ValueError as e:
        raise ImageError(f"JPEG of {len(data)} bytes cannot be decoded ({e})") from e
    return pixels[:, :, 0] if target == "GRAY" else pixels


def _scaled(data: bytes, colorspace: str, size_hint: int, strict: bool) -> np.ndarray:
    return simplejpeg.decode_jpeg(
        data, colorspace, min_height=size_hint, min_width=size_hint, strict=strict
    )


def _decode_cmyk(data: bytes, gray: bool) -> Pixels:
    # libjpeg-turbo leaves CMYK as it is; OpenCV knows Adobe's inverted inks.
    pixels = cv2.imdecode(
        np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    )
    if pixels is None:
        raise ValueError("corrupt CMYK data")
    return to_gray(pixels) if gray else pixels


def _decode_png(data: bytes) -> Pixels:
    pixels = decode_unchanged(data)
    if pixels.ndim == 3:
        if pixels.shape[2] == 2:
            pixels = pixels[:, :, 0]
        else:
            code = cv2.COLOR_BGRA2RGB if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
            pixels = cv2.cvtColor(pixels, code)
    if pixels.dtype == np.uint16:
        low, high = quantiles(pixels)
        pixels = stretch(pixels, low, high)
    return np.ascontiguousarray(pixels)
