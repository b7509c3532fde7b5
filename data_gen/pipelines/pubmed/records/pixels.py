"""Pixels of a published figure, and its sub-figures as files of their own."""

import io

import cv2
import numpy as np
import PIL.Image
import simplejpeg

from data_gen.pipelines.pubmed.base import Region
from data_gen.pipelines.pubmed.records.config import RecordsConfig
from medvlp_jax.core.errors import one_net
from medvlp_jax.data.images.base import MAX_PIXELS, ImageError, Pixels
from medvlp_jax.data.images.decoding import decode, sniff

#: Rectangle in pixels: left, top, right, bottom; the last two are outside.
Rectangle = tuple[int, int, int, int]


def pixels_of(data: bytes) -> Pixels:
    """Pixels of a PNG, JPEG, GIF or TIFF (first picture): uint8 [h, w] or [h, w, 3].

    Raises:
      ImageError: none of these, damaged, or of more than 134 million pixels.
    """
    kind = sniff(data)
    if kind in ("png", "jpeg"):
        return decode(data, kind)
    what = f"the file of {len(data)} bytes"
    with one_net(what, "give the figure as PNG, JPEG, GIF or TIFF", ImageError):
        image = PIL.Image.open(io.BytesIO(data), formats=("GIF", "TIFF"))
        if image.width * image.height > MAX_PIXELS:
            raise ImageError(
                f"{image.format} claims {image.width} x {image.height} pixels; the limit is "
                f"{MAX_PIXELS}"
            )
        gray = image.mode in ("1", "L", "LA")
        return np.ascontiguousarray(image.convert("L" if gray else "RGB"))


def rectangle(region: Region, width: int, height: int) -> Rectangle:
    """A region in whole pixels of a figure, at least one wide and high."""
    x0 = min(max(round(region.x0 * width), 0), width - 1)
    y0 = min(max(round(region.y0 * height), 0), height - 1)
    x1 = min(max(round(region.x1 * width), x0 + 1), width)
    y1 = min(max(round(region.y1 * height), y0 + 1), height)
    return x0, y0, x1, y1


def crop(pixels: Pixels, rect: Rectangle) -> Pixels:
    """The rectangle at full resolution; gray where all of it is."""
    x0, y0, x1, y1 = rect
    out = np.ascontiguousarray(pixels[y0:y1, x0:x1])
    if out.ndim == 3 and (out == out[..., :1]).all():
        out = np.ascontiguousarray(out[..., 0])
    return out


def encode(pixels: Pixels, source: bytes, config: RecordsConfig) -> tuple[bytes, str]:
    """A crop as a file, and its format.

    A lossless source stays lossless. A crop of a JPEG has been quantised once: a second time at
    quality 95 without subsampled colour leaves 44 dB or more of it (five published figures), and
    takes a third of what PNG takes for the noise of the first.
    """
    kind = "jpeg" if sniff(source) == "jpeg" else "png"
    kind = kind if config.crops == "as_source" else config.crops
    return (as_jpeg(pixels, config.quality) if kind == "jpeg" else as_png(pixels)), kind


def as_png(pixels: Pixels) -> bytes:
    """Lossless."""
    bgr = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1])
    done, data = cv2.imencode(".png", bgr)
    if not done:
        raise ImageError(f"a picture of {pixels.shape} cannot be written as PNG")
    return data.tobytes()


def as_jpeg(pixels: Pixels, quality: int) -> bytes:
    """Without chroma subsampling."""
    if pixels.ndim == 2:
        return simplejpeg.encode_jpeg(pixels[:, :, None], quality, "GRAY", "Gray")
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, "RGB", "444")
