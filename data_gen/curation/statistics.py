"""What can be said of an image without a model: exposure, colour, sharpness, text, layout."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from data_gen.curation.candidate import Pixels

#: Longer side, in pixels, that all but the compression is measured at.
SIDE = 256


@dataclasses.dataclass(frozen=True)
class Limits:
    """What an image may measure. Set a limit to 0 (or a share to 1) to switch its check off.

    Attributes:
      min_side: pixels of the shorter side.
      max_aspect: longer by shorter side.
    """

    min_side: int = 64
    max_aspect: float = 1.6


def measure(image: Pixels) -> dict[str, float]:
    """All statistics of an image, by name."""
    height, width = image.shape[:2]
    return {
        "size/shorter": float(min(height, width)),
        "size/aspect": max(height, width) / min(height, width),
    }


def objections(scores: Mapping[str, float], limits: Limits, view: str = "") -> Iterator[str]:
    """The reasons to refuse an image of these scores."""
    if limits.min_side and scores["size/shorter"] < limits.min_side:
        yield "size"
    if limits.max_aspect and scores["size/aspect"] > limits.max_aspect:
        yield "aspect"
