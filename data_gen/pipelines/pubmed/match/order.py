"""Reading orders of panels, and whether labels follow one."""

import bisect
import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from data_gen.pipelines.pubmed.base import Region
from data_gen.pipelines.pubmed.match.position import bands


class Anchor(NamedTuple):
    """A panel whose label was read.

    Attributes:
      place: of the panel in the reading order.
      slot: rank of its label.
      score: of the label.
    """

    place: int
    slot: int
    score: float


def orders(panels: Sequence[Region]) -> list[list[int]]:
    """Orders in which panels may be read, each a list of their indices; the likeliest first.

    Rows first, as the panels come; then columns first, where the panels stand in clear columns and
    that is another order.
    """
    rows = list(range(len(panels)))
    columns = bands(panels, "across")
    if len(columns) < 2:
        return [rows]
    down = [i for column in columns for i in sorted(column, key=lambda i: (panels[i].y0, i))]
    return [rows] if down == rows else [rows, down]


def best_order(
    panels: Sequence[Region], slots: Mapping[int, int]
) -> tuple[list[int], Sequence[int]]:
    """The order that labels contradict least, and another that they contradict as little.

    Args:
      slots: panel -> rank of its label, of those that were read.

    Returns:
      The order, and the other one (empty where there is none).
    """
    found = orders(panels)
    wrong = [inversions([slots[p] for p in order if p in slots]) for order in found]
    least = min(wrong)
    equal = [order for order, count in zip(found, wrong, strict=True) if count == least]
    return equal[0], equal[1] if len(equal) > 1 else ()


def inversions(ranks: Sequence[int]) -> int:
    """Pairs that stand in the wrong order."""
    return sum(a > b for i, a in enumerate(ranks) for b in ranks[i + 1 :])


def in_order(anchors: Sequence[Anchor]) -> set[int]:
    """Places of the anchors that follow the order: the increasing run of most score.

    Args:
      anchors: sorted by place.
    """
    best: list[tuple[float, tuple[int, ...]]] = []
    for i, one in enumerate(anchors):
        before = [best[j] for j in range(i) if anchors[j].slot < one.slot]
        score, run = max(before, default=(0.0, ()))
        # More anchors beat better ones: the score decides between runs of one length.
        best.append((score + 1 + 0.1 * one.score, (*run, one.place)))
    return set(max(best, default=(0.0, ()))[1])


def is_exchange(anchors: Sequence[Anchor], one: Anchor) -> bool:
    """Whether ``one`` and another anchor have changed places and nothing else is wrong with them.

    A misread label lies across anchors that are where they belong; two labels that were exchanged
    fit once they are put back.
    """
    for other in anchors:
        if (other.place < one.place) == (other.slot < one.slot) or other is one:
            continue
        back = [
            a._replace(slot=other.slot if a is one else one.slot if a is other else a.slot)
            for a in anchors
        ]
        moved = [a for a in back if a.place in (one.place, other.place)]
        if not any(_inverted(a, m) for m in moved for a in back):
            return True
    return False


def _inverted(a: Anchor, b: Anchor) -> bool:
    return (a.place - b.place) * (a.slot - b.slot) < 0


class Gap(NamedTuple):
    """What lies between two neighbouring anchors that follow the order.

    Attributes:
      places: of panels without a label, in order.
      slots: ranks of labels that no panel reads.
      before, after: the anchors; None at an end.
    """

    places: tuple[int, ...]
    slots: tuple[int, ...]
    before: Anchor | None
    after: Anchor | None


def gaps(
    anchors: Sequence[Anchor], free_places: Sequence[int], free_slots: Sequence[int]
) -> list[Gap]:
    """The free panels and labels between anchors that follow the order, from end to end.

    Args:
      anchors: those that follow the order, sorted by place.
      free_places, free_slots: sorted.
    """
    ends = [None, *anchors, None]
    out = []
    for before, after in itertools.pairwise(ends):
        cut = []
        for free, of in ((free_places, "place"), (free_slots, "slot")):
            low = 0 if before is None else bisect.bisect(free, getattr(before, of))
            high = len(free) if after is None else bisect.bisect(free, getattr(after, of))
            cut.append(tuple(free[low:high]))
        out.append(Gap(cut[0], cut[1], before, after))
    return out
