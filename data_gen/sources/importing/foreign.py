"""Images in formats that records do not hold (TIFF, BMP), as PNG with the very same pixels."""

import io

import numpy as np
import PIL.Image

from medvlp_jax.data.images.base import MAX_PIXELS, ImageError

_STARTS = {b"II*\0": "TIFF", b"MM\0*": "TIFF", b"BM": "BMP"}


def foreign(data: bytes) -> str:
    """``TIFF`` or ``BMP``; "" for all else."""
    return next((name for start, name in _STARTS.items() if data.startswith(start)), "")


def to_png(data: bytes) -> bytes:
    """A file of one page of 8 bits in gray or colour; alpha is dropped, as of PNG.

    Raises:
      ImageError: several pages, other pixels, too many of them, or a damaged file.
    """
    kind = foreign(data)
    limit, PIL.Image.MAX_IMAGE_PIXELS = PIL.Image.MAX_IMAGE_PIXELS, None
    try:
        with PIL.Image.open(io.BytesIO(data)) as image:
            pages = getattr(image, "n_frames", 1)
            if pages != 1:
                raise ImageError(f"the {kind} has {pages} pages; save the one that is meant")
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(
                    f"the {kind} has {image.width} x {image.height} pixels, more than {MAX_PIXELS}"
                )
            if image.mode not in ("L", "1", "P", "RGB", "RGBA", "LA"):
                raise ImageError(
                    f"the {kind} has pixels of mode {image.mode}; save it with 8 bits a channel"
                )
            gray = image.mode in ("L", "1", "LA")
            pixels = np.asarray(image.convert("L" if gray else "RGB"))
    finally:
        PIL.Image.MAX_IMAGE_PIXELS = limit
    out = io.BytesIO()
    PIL.Image.fromarray(pixels).save(out, "png", compress_level=3)
    return out.getvalue()
