"""A rule without training: drawings stand on paper, pictures do not."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float

from data_gen.pipelines.pubmed.screen.images import PICTURE, Pixels

#: Longer side at which a picture is looked at.
_SIDE = 160
#: A pixel is paper if all its channels are as bright as this, and its surroundings as even.
_BRIGHT, _EVEN = 225, 6
#: Share of paper at which the rule is undecided, and how far from it it is sure.
_MIDDLE, _SPREAD = 0.3, 0.15


class Rule:
    """Implements :class:`data_gen.pipelines.pubmed.screen.images.Backend`.

    It tells charts, diagrams and tables from radiographs, and nothing else: a photograph of a
    landscape is a picture for it, and a blot on black is one too. It is what the classifier is held
    against.
    """

    classes = (PICTURE, "drawing")

    def probabilities(self, pictures: Sequence[Pixels]) -> Float[np.ndarray, "n 2"]:
        """Rows that sum to 1."""
        shares = np.array([paper(one) for one in pictures])
        drawing = 1 / (1 + np.exp(-4 * (shares - _MIDDLE) / _SPREAD))
        return np.stack([1 - drawing, drawing], 1)


def paper(picture: Pixels) -> float:
    """Share of a picture that is bright and even."""
    scale = _SIDE / max(picture.shape[:2])
    if scale < 1:
        height, width = (max(1, round(v * scale)) for v in picture.shape[:2])
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    least = picture.min(2)
    box = np.ones((3, 3), np.uint8)
    spread = cv2.dilate(least, box).astype(int) - cv2.erode(least, box)
    return float(((least >= _BRIGHT) & (spread <= _EVEN)).mean())
