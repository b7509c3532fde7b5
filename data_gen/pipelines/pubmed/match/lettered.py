"""Panels get the letters of the caption: by what they read, then by order where that is sure."""

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from data_gen.pipelines.pubmed.base import Separated, Status
from data_gen.pipelines.pubmed.match import reasons
from data_gen.pipelines.pubmed.match.config import MatchConfig
from data_gen.pipelines.pubmed.match.evidence import evidence, foreign
from data_gen.pipelines.pubmed.match.order import (
    Anchor,
    Gap,
    best_order,
    gaps,
    in_order,
    inversions,
    is_exchange,
)
from data_gen.pipelines.pubmed.match.reasons import said
from data_gen.pipelines.pubmed.match.slots import Slot

#: What a pair by order is worth: as many panels as parts, between labels, and as the last two.
_BY_COUNT, _BETWEEN, _LAST = 0.7, 0.8, 0.6
#: What a label that is out of order loses against another panel that reads it, less where it fits
#: once exchanged with another one; and what is left of it at least.
_AGAINST, _EXCHANGED, _LEAST = 0.3, 0.1, 0.01
#: Factor where another reading order contradicts the labels as little and pairs otherwise.
_TWO_ORDERS = 0.7


@dataclasses.dataclass
class Taken:
    """Who got what.

    Attributes:
      pairs: (panel, slot) -> status, reason, score.
      panels, slots: why one got none.
    """

    pairs: dict[tuple[int, int], tuple[Status, str, float]]
    panels: dict[int, str]
    slots: dict[int, str]


def assign(
    separated: Separated, slots: Sequence[Slot], lower: bool | None, config: MatchConfig
) -> Taken:
    """One panel a slot, one slot a panel; whatever stays without says why.

    1. The assignment of most evidence over labels read (Hungarian method), the order deciding only
    between panels that read one label. 2. A label that contradicts the order is believed if it is
    sure, if it has changed places with another one, or if no label is left that could stand there
    instead. 3. Panels and labels that are left between two labels are paired in order where their
    counts agree.
    """
    scores = evidence(separated, slots, lower)
    others = foreign(separated, slots, config.sure_at)
    read = _assigned(scores, config)
    order, _ = best_order(separated.panels, dict(read))
    place = {panel: i for i, panel in enumerate(order)}
    read = _assigned(scores - _contradiction(scores, read, place), config, scores)
    order, rival = best_order(separated.panels, dict(read))
    place = {panel: i for i, panel in enumerate(order)}
    anchors = sorted(Anchor(place[p], s, float(scores[p, s])) for p, s in read)
    follow = in_order(anchors)
    doubtful = _doubtful(anchors, follow, len(order), len(slots), config)
    kept = [a for a in anchors if a not in doubtful]
    taken = Taken({}, {}, {})
    against = bool(inversions([a.slot for a in kept]))
    for a in kept:
        reason = reasons.AGAINST_ORDER if against and a.place not in follow else reasons.LABEL
        if slots[a.slot].of and reason == reasons.LABEL:
            reason = reasons.SUB_LABEL
        taken.pairs[order[a.place], a.slot] = ("label_match", reason, a.score)
    for a in doubtful:
        why = said(reasons.DOUBTFUL, f"{slots[a.slot].label} with score {a.score:.2f}")
        taken.panels[order[a.place]] = taken.slots[a.slot] = why
    _fill(taken, kept, follow, order, slots, others, config, doubtful)
    if rival and read:
        _weaken(taken, order, rival)
    _say_rest(taken, slots, len(order), others, separated)
    return taken


def _assigned(
    worth: Float[np.ndarray, "p s"],
    config: MatchConfig,
    scores: Float[np.ndarray, "p s"] | None = None,
) -> list[tuple[int, int]]:
    """The pairs of most worth in all; of ``scores`` (default: ``worth``) that count as read."""
    read = (worth if scores is None else scores) >= config.read_at
    panels, slots = worth.shape
    if not worth.size:
        return []
    across = np.arange(panels)[:, None] / max(panels - 1, 1)
    along = np.arange(slots)[None, :] / max(slots - 1, 1)
    near = config.order_weight * (1 - np.abs(across - along))
    value = np.where(read, np.maximum(worth + near, _LEAST), 0.0)
    rows, columns = linear_sum_assignment(value, maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(p, s) for p, s in pairs if read[p, s]]


def _contradiction(
    scores: Float[np.ndarray, "p s"], read: Sequence[tuple[int, int]], place: dict[int, int]
) -> Float[np.ndarray, "p s"]:
    """What a pair loses for standing out of order among labels that others read.

    It decides between two panels that read one label; a label that one panel reads is not lost.
    """
    out = np.zeros_like(scores)
    for p, s in zip(*np.nonzero(scores), strict=True):
        one = Anchor(place[int(p)], int(s), float(scores[p, s]))
        beside = [Anchor(place[q], t, 1.0) for q, t in read if q != p and t != s]
        wrong = any((one.place - a.place) * (one.slot - a.slot) < 0 for a in beside)
        if wrong:
            out[p, s] = _EXCHANGED if is_exchange([*beside, one], one) else _AGAINST
    return out


def _doubtful(
    anchors: Sequence[Anchor], follow: Collection[int], panels: int, slots: int, config: MatchConfig
) -> set[Anchor]:
    """Anchors that are not sure and that the order speaks against."""
    unsure = [a for a in anchors if a.score < config.sure_at]
    all_read = len(anchors) == slots == panels
    out = {
        a for a in unsure if a.place not in follow and not all_read and not is_exchange(anchors, a)
    }
    # A panel too many on one side and one too few on the other: the label may stand one off.
    steady = [a for a in anchors if a.place in follow]
    taken_places, taken_slots = {a.place for a in anchors}, {a.slot for a in anchors}
    free = [i for i in range(panels) if i not in taken_places]
    found = gaps(steady, free, [s for s in range(slots) if s not in taken_slots])
    for a, left, right in zip(steady, found[:-1], found[1:], strict=True):
        spare = len(left.places) - len(left.slots), len(right.places) - len(right.slots)
        if a.score < config.sure_at and spare[0] * spare[1] < 0:
            out.add(a)
    return out


def _fill(
    taken: Taken,
    kept: Sequence[Anchor],
    follow: Collection[int],
    order: Sequence[int],
    slots: Sequence[Slot],
    others: dict[int, str],
    config: MatchConfig,
    doubtful: Collection[Anchor],
) -> None:
    """Pairs by order; writes what cannot be paired, and why."""
    used = {a.place for a in kept}
    busy = set(taken.slots) | {a.slot for a in kept}
    free = [i for i, p in enumerate(order) if i not in used and p not in taken.panels]
    open_ = [s for s in range(len(slots)) if s not in busy]
    if not config.fill or not free or not open_:
        return
    swapped = inversions([a.slot for a in kept]) > 0
    if len(free) == len(open_) == 1 and swapped and not doubtful and order[free[0]] not in others:
        score = _LAST * min(a.score for a in kept)
        taken.pairs[order[free[0]], open_[0]] = ("order_match", reasons.LAST_LEFT, score)
        return
    steady = [a for a in kept if a.place in follow]
    for gap in gaps(steady, free, open_):
        if not gap.places or not gap.slots:
            continue
        ends = [a for a in (gap.before, gap.after) if a is not None]
        panels = [order[i] for i in gap.places]
        if any(_is_between(a, gap) for a in doubtful):
            why = said(reasons.DOUBTFUL, "beside it")
            taken.panels |= dict.fromkeys((p for p in panels if p not in others), why)
            taken.slots |= dict.fromkeys(gap.slots, why)
            continue
        if len(panels) != len(gap.slots):
            why = said(reasons.COUNTS_DIFFER, _counts(gap.slots, panels, ends, slots))
            taken.panels |= dict.fromkeys((p for p in panels if p not in others), why)
            taken.slots |= dict.fromkeys(gap.slots, why)
            continue
        reason = reasons.BETWEEN if ends else reasons.COUNTS_AGREE
        worth = _BETWEEN * min(a.score for a in ends) if ends else _BY_COUNT
        for panel, slot in zip(panels, gap.slots, strict=True):
            if panel not in others:
                taken.pairs[panel, slot] = ("order_match", reason, worth)


def _is_between(one: Anchor, gap: Gap) -> bool:
    """Whether the panel or the label of an anchor lies in a gap."""
    low, high = gap.before, gap.after
    return any(
        (low is None or getattr(low, of) < getattr(one, of))
        and (high is None or getattr(one, of) < getattr(high, of))
        for of in ("place", "slot")
    )


def _counts(
    open_: Sequence[int], panels: Sequence[int], ends: Sequence[Anchor], slots: Sequence[Slot]
) -> str:
    where = " and ".join(slots[a.slot].label for a in ends)
    text = f"{len(panels)} panels for {', '.join(slots[s].label for s in open_)}"
    if not ends:
        return text
    return f"{text} {'between' if len(ends) > 1 else 'beside'} {where}"


def _weaken(taken: Taken, order: Sequence[int], rival: Sequence[int]) -> None:
    """Pairs by order count less where columns could be meant as well as rows."""
    for (panel, slot), (status, reason, score) in taken.pairs.items():
        if status == "order_match" and order.index(panel) != rival.index(panel):
            taken.pairs[panel, slot] = (status, reason, _TWO_ORDERS * score)


def _say_rest(
    taken: Taken, slots: Sequence[Slot], panels: int, others: dict[int, str], separated: Separated
) -> None:
    with_panel = {s for _, s in taken.pairs}
    with_slot = {p for p, _ in taken.pairs}
    for s, slot in enumerate(slots):
        if s not in with_panel:
            taken.slots.setdefault(s, said(reasons.NO_PANEL, slot.label))
    for p in range(panels):
        if p in with_slot:
            continue
        if p in others:
            taken.panels[p] = said(reasons.OTHER_LABEL, others[p])
        taken.panels.setdefault(p, reasons.NO_LABEL)
