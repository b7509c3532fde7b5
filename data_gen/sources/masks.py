"""Masks as data sets give them: image files, or run lengths in a table."""

import dataclasses
import pathlib
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool

from medvlp_jax.data.image import ImageError, decode, sniff


@dataclasses.dataclass(frozen=True)
class MaskFile:
    """A picture whose pixels above 0 are the region."""

    path: pathlib.Path
    label: str
    image: int = 0


@dataclasses.dataclass(frozen=True)
class MaskRuns:
    """Run-length codes of one region, which is their union; ``shape`` is (height, width)."""

    runs: tuple[str, ...]
    label: str
    shape: tuple[int, int] = (1024, 1024)
    image: int = 0


def read_mask(mask: MaskFile | MaskRuns) -> Bool[np.ndarray, "h w"]:
    """The region as booleans.

    Raises:
      OSError: the file cannot be read.
      ImageError: the file does not decode, or the runs do not fit their shape.
    """
    if isinstance(mask, MaskRuns):
        return decode_runs(mask.runs, mask.shape)
    data = mask.path.read_bytes()
    pixels = decode(data, sniff(data) or "png")
    return (pixels if pixels.ndim == 2 else pixels.max(axis=2)) > 0


def decode_runs(runs: Sequence[str], shape: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """The union of run-length codes in the form of SIIM-ACR.

    A code is ``"start length start length ..."``. Pixels are counted down the columns, and a start
    counts from the end of the run before it (the first one from the first pixel).

    Raises:
      ImageError: not pairs of numbers, or a run that leaves the image.
    """
    height, width = shape
    flat = np.zeros(height * width, bool)
    for code in runs:
        try:
            numbers = np.array(code.split(), np.int64)
        except ValueError as e:
            raise ImageError(f"run lengths {code[:40]!r} are no numbers") from e
        if numbers.size == 0 or numbers.size % 2 or (numbers < 0).any():
            raise ImageError(f"run lengths {code[:40]!r} are no pairs of start and length")
        ends = np.cumsum(numbers)[1::2]
        if ends[-1] > flat.size:
            raise ImageError(f"run lengths end at pixel {ends[-1]} of {width} x {height}")
        for end, length in zip(ends, numbers[1::2], strict=True):
            flat[end - length : end] = True
    return flat.reshape(width, height).T


def encode_mask(mask: Bool[np.ndarray, "h w"], size: tuple[int, int]) -> bytes:
    """PNG of 0 and 255, ``size`` = (width, height), nearest neighbour."""
    pixels = mask.astype(np.uint8) * 255
    if (mask.shape[1], mask.shape[0]) != size:
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_NEAREST_EXACT)
    ok, data = cv2.imencode(".png", pixels)
    if not ok:
        raise ImageError(f"cannot encode a mask of {pixels.shape} pixels")
    return data.tobytes()
