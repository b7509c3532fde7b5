"""What is true of a figure, and which of its true panels was found where."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from data_gen.pipelines.pubmed.base import Region
from medvlp_jax.eval.metrics.boxes import iou

#: Overlap from which a panel that was found is a true one.
FOUND = 0.5


@dataclasses.dataclass(frozen=True)
class TruePanel:
    """A panel as it is.

    Attributes:
      box: fractions of the figure.
      labels: of the caption's parts that are about it, as the caption splitter writes them; none
        where the caption names none.
      text: the caption's own words about it; "" where that is not known.
      exchanged: whether its label stands out of the reading order on purpose.
    """

    box: Region
    labels: tuple[str, ...] = ()
    text: str = ""
    exchanged: bool = False


@dataclasses.dataclass(frozen=True)
class TrueFigure:
    """A figure as it is; one panel, or panels without labels, go with the whole caption.

    Attributes:
      article: what bootstrap keeps together.
    """

    panels: tuple[TruePanel, ...]
    article: str = ""

    @property
    def is_compound(self) -> bool:
        """Whether there are pairs of panels and labels to be found."""
        return len(self.panels) > 1 and any(panel.labels for panel in self.panels)


def found_panels(
    found: Sequence[Region], truth: Sequence[TruePanel], least: float = FOUND
) -> dict[int, int]:
    """Index of a found panel -> of the true one, one to one, the best overlaps first.

    Args:
      least: intersection over union that it takes.
    """
    if not found or not truth:
        return {}
    overlaps = iou(_corners(found), _corners([panel.box for panel in truth]))
    out: dict[int, int] = {}
    for flat in np.argsort(-overlaps, axis=None, kind="stable").tolist():
        i, j = divmod(flat, len(truth))
        if overlaps[i, j] < least:
            break
        if i not in out and j not in out.values():
            out[i] = j
    return out


def _corners(regions: Sequence[Region]) -> np.ndarray:
    return np.array([(r.x0, r.y0, r.x1, r.y1) for r in regions], np.float64)
