"""What is true of a figure, and which of its true panels was found where."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from data_gen.pipelines.pubmed.base import Pair, Region, SplitCaption
from data_gen.pipelines.pubmed.match.words import body_text
from medvlp_jax.eval.metrics.boxes import iou

#: Overlap from which a panel that was found is a true one.
FOUND = 0.5


@dataclasses.dataclass(frozen=True)
class TruePanel:
    """A panel as it is.

    Attributes:
      box: fractions of the figure.
      parts: labels of each of the caption's parts that are about it, as the caption splitter writes
        them, a part of one label also as that; none where the caption names no panel.
      text: the caption's own words about it; "" where that is not known.
      exchanged: whether its label stands out of the reading order on purpose.
    """

    box: Region
    parts: tuple[tuple[str, ...] | str, ...] = ()
    text: str = ""
    exchanged: bool = False

    def __post_init__(self) -> None:
        parts = tuple((one,) if isinstance(one, str) else tuple(one) for one in self.parts)
        object.__setattr__(self, "parts", parts)


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
        return len(self.panels) > 1 and any(panel.parts for panel in self.panels)


def true_figure(
    panels: Sequence[Region],
    split: SplitCaption,
    pairs: Sequence[Pair],
    article: str = "",
    exchanged: Sequence[int] = (),
) -> TrueFigure:
    """The truth of a figure from its true panels, its true caption and its true pairs.

    Args:
      exchanged: panels whose label is out of the reading order on purpose.
    """
    parts: dict[int, list[tuple[str, ...]]] = {}
    said: dict[int, list[str]] = {}
    for pair in pairs:
        if pair.part < 0 or pair.status == "rejected":
            continue
        for panel in pair.panels:
            parts.setdefault(panel, []).append(split.parts[pair.part].labels)
            said.setdefault(panel, []).append(body_text(split, pair.part))
    return TrueFigure(
        tuple(
            TruePanel(box, tuple(parts.get(i, ())), " ".join(said.get(i, ())), i in exchanged)
            for i, box in enumerate(panels)
        ),
        article,
    )


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
