"""Resizing as Pillow does it, by the rules of the preprocessing that published weights come with.

The filters of Pillow widen where an image shrinks; OpenCV's do not, so that its pixels differ by
several gray values, and scores with them. The rounding of sizes and of the centre crop is that of
torchvision and open_clip (``open_clip/transform.py``: Resize and CenterCrop, ResizeKeepRatio and
CenterCropOrPad), so that a folder in the open_clip layout sees the very pixels it sees there.
"""

from typing import Literal

import numpy as np
import PIL.Image
from jaxtyping import UInt8

from medvlp_jax.data.images.geometry import Matrix, Resize

Filter = Literal["bilinear", "bicubic"]
_FILTERS = {
    "bilinear": PIL.Image.Resampling.BILINEAR,
    "bicubic": PIL.Image.Resampling.BICUBIC,
}


def resize(
    pixels: UInt8[np.ndarray, "h w *c"], how: Resize, size: int, filter: Filter
) -> tuple[UInt8[np.ndarray, "s s *c"], Matrix]:
    """The square of side ``size``, and the matrix (see :mod:`.geometry`) that leads to it.

    Args:
      how: ``shortest`` scales the shorter side and crops the middle, ``pad`` scales the longer one
        and adds black, ``stretch`` gives up the aspect ratio.
    """
    height, width = pixels.shape[:2]
    if how == "stretch":
        new = (size, size)
    elif how == "shortest":
        long = int(size * max(width, height) / min(width, height))
        new = (size, long) if width <= height else (long, size)
    else:
        ratio = max(width, height) / size
        new = (round(width / ratio), round(height / ratio))
    new = (max(new[0], 1), max(new[1], 1))
    image = PIL.Image.fromarray(pixels)
    if new != (width, height):
        image = image.resize(new, _FILTERS[filter])
    scaled = np.asarray(image)
    # Python rounds halves to even, as the crop of torchvision does; padding is rounded down.
    left, top = (
        round((n - size) / 2.0) if n >= size else -((size - n) // 2) for n in (new[0], new[1])
    )
    out = np.zeros((size, size, *pixels.shape[2:]), np.uint8)
    x0, y0 = max(left, 0), max(top, 0)
    piece = scaled[y0 : y0 + size, x0 : x0 + size]
    into_y, into_x = max(-top, 0), max(-left, 0)
    out[into_y : into_y + piece.shape[0], into_x : into_x + piece.shape[1]] = piece
    matrix = np.array(
        [[new[0] / size, 0.0, -left / size], [0.0, new[1] / size, -top / size], [0.0, 0.0, 1.0]]
    )
    return out, matrix
