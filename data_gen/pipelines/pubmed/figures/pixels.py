"""A figure's file to pixels, within bounds, and parts of it at full resolution."""

import io
import os
import warnings
from collections.abc import Sequence

import numpy as np
import PIL.Image
from jaxtyping import UInt8

from data_gen.pipelines.pubmed.base import Region
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.files.opening import FileError, read_bytes

#: Pixels of the largest figure that is decoded.
MAX_PIXELS = 80_000_000
_LARGEST_FILE = 512 * 2**20
#: A figure with a shorter side than this has no panels that anybody could see.
_SMALLEST = 16


class FigureError(UserError, ValueError):
    """A figure's file cannot be used; one line that names it and why."""


def read_figure(
    path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS
) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes a figure's file: see :func:`decode_figure`."""
    try:
        data = read_bytes(path, _LARGEST_FILE)
    except FileError as error:
        raise FigureError(str(error)) from error
    return decode_figure(data, os.fspath(path), max_pixels)


def decode_figure(
    data: bytes, name: str, max_pixels: int = MAX_PIXELS
) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes JPEG, PNG, GIF (its first frame) or TIFF to RGB; what is transparent becomes white.

    Args:
      name: of the figure, for messages.
      max_pixels: a larger one is refused by its header, before anything is decoded.

    Raises:
      FigureError: no such image, broken, too large or too small.
    """
    try:
        with warnings.catch_warnings():
            # Ours is the bound; Pillow's would only warn.
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
            image = PIL.Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "GIF", "TIFF"))
            width, height = image.size
            if width * height > max_pixels:
                raise FigureError(
                    f"{name}: {width} x {height} pixels are more than {max_pixels}; scale the "
                    "figure down, or raise config.figures.max_pixels"
                )
            if min(width, height) < _SMALLEST:
                raise FigureError(f"{name}: {width} x {height} pixels are too few for a figure")
            return _rgb(image)
    except FigureError:
        raise
    except PIL.Image.DecompressionBombError as error:
        raise FigureError(f"{name}: {error}; scale the figure down") from error
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:
        raise FigureError(f"{name} cannot be decoded ({error}); fetch it again") from error


def _rgb(image: PIL.Image.Image) -> np.ndarray:
    if image.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        values = np.asarray(image).astype(np.float32)
        low, high = float(values.min()), float(values.max())
        grey = ((values - low) * (255.0 / max(high - low, 1e-9)) + 0.5).astype(np.uint8)
        return np.repeat(grey[..., None], 3, 2)
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA"):
        own = image.convert("RGBA")
        sheet = PIL.Image.new("RGBA", own.size, (255, 255, 255, 255))
        image = PIL.Image.alpha_composite(sheet, own)
    return np.array(image.convert("RGB"))


def crop(
    image: UInt8[np.ndarray, "h w 3"], region: Region | Sequence[float], margin: float = 0.0
) -> UInt8[np.ndarray, "y x 3"]:
    """The pixels of a box at full resolution, at least one.

    Args:
      region: in fractions of the image.
      margin: added on every side, as a share of the box's longer side; cut at the image.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (
        (region.x0, region.y0, region.x1, region.y1) if isinstance(region, Region) else region
    )
    more = margin * max((x1 - x0) * width, (y1 - y0) * height)
    left = int(np.clip(np.floor(x0 * width - more + 1e-6), 0, width - 1))
    top = int(np.clip(np.floor(y0 * height - more + 1e-6), 0, height - 1))
    right = int(np.clip(np.ceil(x1 * width + more - 1e-6), left + 1, width))
    bottom = int(np.clip(np.ceil(y1 * height + more - 1e-6), top + 1, height))
    return image[top:bottom, left:right]
