"""How strongly each panel reads each label of the caption."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from data_gen.pipelines.pubmed.base import ReadLabel, Region, Separated
from data_gen.pipelines.pubmed.match.slots import Slot, likeness, normal

#: What a reading counts away from the corner where the figure has its labels, and in the middle of
#: a panel, where letters are arrows' names and words of the picture.
_ELSEWHERE, _INSIDE = 0.8, 0.6
#: Share of the readings from which a corner is the figure's.
_MOST = 0.6
#: Fractions of a panel between which a place is its middle.
_MIDDLE = (0.28, 0.72)


def evidence(
    separated: Separated, slots: Sequence[Slot], lower: bool | None = None
) -> Float[np.ndarray, "p s"]:
    """Scores from 0 to 1 of every panel for every slot.

    Args:
      lower: whether the caption's labels are in lower case; see :func:`.slots.likeness`.
    """
    out = np.zeros((len(separated.panels), len(slots)))
    weights = _place_weights(separated)
    for (panel, label), weight in zip(separated.labels, weights, strict=True):
        for s, slot in enumerate(slots):
            score = label.score * weight * likeness(label.text, slot.label, lower)
            out[panel, s] = max(out[panel, s], score)
    return np.clip(out, 0.0, 1.0)


def foreign(separated: Separated, slots: Sequence[Slot], least: float) -> dict[int, str]:
    """Panel -> the label that it reads best, where the caption has no such label.

    Args:
      least: score of a reading that counts.
    """
    known = {slot.label for slot in slots}
    best: dict[int, tuple[float, str]] = {}
    weights = _place_weights(separated)
    for (panel, label), weight in zip(separated.labels, weights, strict=True):
        score = label.score * weight
        if score >= best.get(panel, (0.0, ""))[0]:
            best[panel] = (score, label.text)
    return {
        panel: text
        for panel, (score, text) in best.items()
        if score >= least and normal(text) not in known
    }


def _place_weights(separated: Separated) -> list[float]:
    """What each reading counts for where it stands: labels of a figure stand in one corner."""
    places = [_place(label, separated.panels[panel]) for panel, label in separated.labels]
    votes: defaultdict[str, float] = defaultdict(float)
    for place, (_, label) in zip(places, separated.labels, strict=True):
        votes[place] += label.score
    corners = {k: v for k, v in votes.items() if k != "middle"}
    total = sum(votes.values())
    usual = max(corners, key=lambda k: corners[k]) if corners else ""
    agreed = bool(usual) and corners[usual] >= _MOST * total
    weights = {"middle": _INSIDE}
    if agreed:
        weights |= {k: _ELSEWHERE for k in corners if k != usual}
    return [weights.get(place, 1.0) for place in places]


def _place(label: ReadLabel, panel: Region) -> str:
    """The corner that a label stands nearest to, or ``middle``."""
    u, v = (
        ((a + b) / 2 - low) / max(high - low, 1e-6)
        for a, b, low, high in (
            (label.box.x0, label.box.x1, panel.x0, panel.x1),
            (label.box.y0, label.box.y1, panel.y0, panel.y1),
        )
    )
    if all(_MIDDLE[0] < x < _MIDDLE[1] for x in (u, v)):
        return "middle"
    return ("top" if v < 0.5 else "bottom") + (" left" if u < 0.5 else " right")
