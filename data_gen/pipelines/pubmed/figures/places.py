"""Where words stand with respect to panels: labels of one figure stand alike."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

#: Usual places of labels: in a corner of the panel, or outside of it.
SLOTS = (
    "top left", "top right", "bottom left", "bottom right",
    "above", "above centre", "above right", "above left", "left", "below centre",
)  # fmt: skip
#: Those whose label comes before all of its panel.
FIRST = frozenset({"top left", "above", "above left", "left"})
#: Heights of the word by which it may reach over a side of the panel.
_OVER = 0.6


class Places(NamedTuple):
    """For every word and panel the nearest usual place.

    Attributes:
      slot: index into :data:`SLOTS`.
      distance: from it, in heights of the word; infinite where the word is nowhere near.
    """

    slot: Int[np.ndarray, "w p"]
    distance: Float[np.ndarray, "w p"]


def places(words: Float[np.ndarray, "w 4"], panels: Float[np.ndarray, "p 4"]) -> Places:
    """The places of words at panels, boxes in pixels.

    Within a panel its four corners count; outside its upper side, the middle of its lower side and
    the upper end of its left side.
    """
    x0, y0, x1, y1 = (words[:, None, i] for i in range(4))
    a, b, c, d = (panels[None, :, i] for i in range(4))
    height = np.maximum(y1 - y0, 1.0)
    left, top, right, bottom = x0 - a, y0 - b, c - x1, d - y1
    middle = np.abs((x0 + x1) / 2 - (a + c) / 2)
    over, under, aside = b - y1, y0 - d, a - x1
    inside = np.minimum(np.minimum(left, top), np.minimum(right, bottom)) > -0.5 * height
    above, below, before = (~inside & (side > -_OVER * height) for side in (over, under, aside))
    options = [
        (inside, np.hypot(left, top)),
        (inside, np.hypot(right, top)),
        (inside, np.hypot(left, bottom)),
        (inside, np.hypot(right, bottom)),
        (above, np.hypot(left, over)),
        (above, np.hypot(middle, over)),
        (above, np.hypot(right, over)),
        (above, np.hypot(np.maximum(aside, 0), over) + 0.25 * height),
        (before, np.hypot(aside, top)),
        (below, np.hypot(middle, under)),
    ]
    away = np.stack([np.where(allowed, distance, np.inf) for allowed, distance in options])
    slot = away.argmin(0)
    return Places(slot, np.take_along_axis(away, slot[None], 0)[0] / height)
