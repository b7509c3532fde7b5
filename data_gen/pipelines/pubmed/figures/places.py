"""Where a word stands with respect to a panel: labels of one figure stand alike."""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

Slot = Literal[
    "top left", "top right", "bottom left", "bottom right",
    "above", "left", "above left", "above centre", "below centre", "above right",
]  # fmt: skip
SLOTS: tuple[Slot, ...] = (
    "top left", "top right", "bottom left", "bottom right",
    "above", "left", "above left", "above centre", "below centre", "above right",
)  # fmt: skip


class Place(NamedTuple):
    """The nearest usual place, and how far from it, in heights of the word."""

    slot: Slot
    distance: float


def place(word: Float[np.ndarray, "4"], panel: Float[np.ndarray, "4"]) -> Place:
    """The place of a word's box at a panel's box, both in pixels.

    Within the panel the four corners count; outside its top side, its upper left, and the middles
    above and below.
    """
    height = max(float(word[3] - word[1]), 1.0)
    left, top = word[0] - panel[0], word[1] - panel[1]
    right, bottom = panel[2] - word[2], panel[3] - word[3]
    middle = abs((word[0] + word[2]) / 2 - (panel[0] + panel[2]) / 2)
    inside = min(left, top, right, bottom) > -0.5 * height
    if inside:
        corners = ((left, top), (right, top), (left, bottom), (right, bottom))
        away = [float(np.hypot(x, y)) for x, y in corners]
        best = int(np.argmin(away))
        return Place(SLOTS[best], away[best] / height)
    over, under, aside = panel[1] - word[3], word[1] - panel[3], panel[0] - word[2]
    options: list[tuple[float, Slot]] = []
    if over > -0.6 * height:
        options += [
            (float(np.hypot(left, over)), "above"),
            (float(np.hypot(middle, over)), "above centre"),
            (float(np.hypot(right, over)), "above right"),
            (float(np.hypot(max(aside, 0), over)), "above left"),
        ]
    if aside > -0.6 * height:
        options.append((float(np.hypot(aside, top)), "left"))
    if under > -0.6 * height:
        options.append((float(np.hypot(middle, under)), "below centre"))
    if not options:
        return Place("top left", float("inf"))
    distance, slot = min(options)
    return Place(slot, distance / height)
