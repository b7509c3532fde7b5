"""Masks as data sets give them: image files, or run lengths in a table."""

import dataclasses
import pathlib
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool

from data_gen.sources.importing.mask_pixels import region_of
from medvlp_jax.core.files.opening import read_bytes
from medvlp_jax.data.images.base import MAX_PIXELS, ImageError


@dataclasses.dataclass(frozen=True)
class MaskFile:
    """A label image; :mod:`.mask_pixels` says which of its pixels are the region."""

    path: pathlib.Path
    label: str
    image: int = 0

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.path)

    @property
    def stored(self) -> bool:
        """Whether it is as records hold masks already, and is kept byte for byte."""
        return False

    def read(self) -> bytes:
        """The encoded mask; errors as :func:`medvlp_jax.core.files.opening.read_bytes`."""
        return read_bytes(self.path)


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
      FileError: the file is missing, special or too large.
      ImageError: the file is no label image, or the runs do not fit their shape.
    """
    if isinstance(mask, MaskRuns):
        return decode_runs(mask.runs, mask.shape)
    return region_of(mask.read())


def decode_runs(runs: Sequence[str], shape: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """The union of run-length codes in the form of SIIM-ACR.

    A code is ``"start length start length ..."``. Pixels are counted down the columns, and a start
    counts from the end of the run before it (the first one from the first pixel).

    Raises:
      ImageError: not pairs of numbers, or a run that leaves the image.
    """
    height, width = shape
    if not 0 < height * width <= MAX_PIXELS:
        raise ImageError(f"run lengths of {width} x {height} pixels (limit {MAX_PIXELS})")
    flat = np.zeros(height * width, bool)
    for code in runs:
        try:
            numbers = np.array(code.split(), np.int64)
        except (ValueError, OverflowError) as e:
            raise ImageError(f"run lengths {code[:40]!r} are no numbers") from e
        if numbers.size == 0 or numbers.size % 2 or (numbers < 0).any():
            raise ImageError(f"run lengths {code[:40]!r} are no pairs of start and length")
        total = sum(numbers.tolist())  # of Python's integers, which do not overflow
        if total > flat.size:
            raise ImageError(f"run lengths end at pixel {total} of {width} x {height}")
        ends = np.cumsum(numbers)[1::2]
        for end, length in zip(ends, numbers[1::2], strict=True):
            flat[end - length : end] = True
    return flat.reshape(width, height).T


def resize_mask(region: Bool[np.ndarray, "h w"], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """The region at ``size`` = (width, height), nearest neighbour: a mask follows its image."""
    if (region.shape[1], region.shape[0]) == size:
        return region
    pixels = region.astype(np.uint8)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_NEAREST_EXACT) > 0


def encode_mask(region: Bool[np.ndarray, "h w"]) -> bytes:
    """PNG of 0 and 255."""
    ok, data = cv2.imencode(".png", region.astype(np.uint8) * 255)
    if not ok:
        raise ImageError(f"cannot encode a mask of {region.shape} pixels")
    return data.tobytes()
