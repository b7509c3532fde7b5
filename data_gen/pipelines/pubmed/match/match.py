"""The stage: panels and parts of a caption in, pairs out; nothing is left without a status."""

from collections.abc import Sequence

from data_gen.pipelines.pubmed.base import Pair, Separated, SplitCaption, Status
from data_gen.pipelines.pubmed.match import position, reasons
from data_gen.pipelines.pubmed.match.config import MatchConfig
from data_gen.pipelines.pubmed.match.lettered import assign
from data_gen.pipelines.pubmed.match.reasons import said
from data_gen.pipelines.pubmed.match.slots import in_lower_case, slots_of

#: What the whole figure is worth where more was to be had: parts that no panel was found for.
_FALLEN_BACK = 0.5
#: What a place is worth that the caption names in words.
_BY_PLACE = 0.9


def match(
    separated: Separated, split: SplitCaption, config: MatchConfig | None = None
) -> tuple[Pair, ...]:
    """Pairs panels with the parts of the caption that are about them.

    A part with several labels has a pair for all panels of one status; a panel whose label stands
    in two parts is in a pair of each. The whole figure with the whole caption is one pair without
    panels and without a part. A panel or part that was not paired, and a label of a part that no
    panel has, is a rejected pair of its own.

    Args:
      separated: panels in reading order, with the labels read in them.
      split: the caption.

    Returns:
      Pairs in the order of the caption, rejected panels last.
    """
    config = config or MatchConfig()
    panels = separated.panels
    if not split.text.strip():
        return (Pair((), -1, "rejected", reasons.NO_CAPTION, 0.0),)
    if not panels:
        return (_whole(reasons.NO_PANELS, _FALLEN_BACK, split),)
    if not split.parts:
        several = f"{len(panels)} panels" if len(panels) > 1 else ""
        return (Pair((), -1, "whole_figure", said(reasons.NO_PARTS, several)),)
    if len(panels) == 1:
        several = len(split.parts) > 1
        score = _FALLEN_BACK if several else panels[0].score
        return (_whole(reasons.ONE_PANEL, score, split),)
    pairs = [*_by_letter(separated, split, config)]
    pairs += _by_place(separated, split, pairs)
    if all(pair.status == "rejected" for pair in pairs) and config.unmatched == "whole_figure":
        return (_whole(reasons.NOTHING_PAIRED, _FALLEN_BACK, split),)
    pairs.sort(key=lambda pair: (pair.part < 0, pair.part, pair.status == "rejected", pair.panels))
    return tuple(pairs)


def _whole(reason: str, score: float, split: SplitCaption) -> Pair:
    count = len(split.parts)
    return Pair((), -1, "whole_figure", said(reason, f"{count} parts" if count > 1 else ""), score)


def _by_letter(separated: Separated, split: SplitCaption, config: MatchConfig) -> list[Pair]:
    """Pairs of parts with letters or numbers; all panels that got none, unless places follow."""
    read = [label for _, label in separated.labels]
    slots = slots_of(split, read, config.read_at)
    if not slots:
        return []
    taken = assign(separated, slots, in_lower_case(split), config)
    found: dict[tuple[int, Status, str], list[tuple[int, float]]] = {}
    for (panel, slot), (status, reason, score) in sorted(taken.pairs.items()):
        for part in slots[slot].parts:
            found.setdefault((part, status, reason), []).append((panel, score))
    out = [
        Pair(
            tuple(panel for panel, _ in members),
            part,
            status,
            reason,
            round(min(score for _, score in members), 4),
        )
        for (part, status, reason), members in found.items()
    ]
    for slot, why in sorted(taken.slots.items()):
        out += [Pair((), part, "rejected", why, 0.0) for part in slots[slot].parts]
    if not any(_places(split)):
        out += [Pair((p,), -1, "rejected", why, 0.0) for p, why in sorted(taken.panels.items())]
    return out


def _places(split: SplitCaption) -> list[tuple[int, str]]:
    """(part, label) of all labels that are position words."""
    return [
        (i, label)
        for i, part in enumerate(split.parts)
        for label in dict.fromkeys(part.labels)
        if position.is_position(label)
    ]


def _by_place(separated: Separated, split: SplitCaption, others: Sequence[Pair]) -> list[Pair]:
    """Pairs of parts with position words, among panels that no letter has."""
    places = _places(split)
    if not places:
        return []
    busy = {panel for pair in others for panel in pair.panels}
    free = [p for p in range(len(separated.panels)) if p not in busy]
    every = [label for _, label in places]
    out, had = [], set(busy)
    for part, label in places:
        if not position.is_known(label):
            out.append(Pair((), part, "rejected", said(reasons.UNKNOWN_POSITION, label), 0.0))
            continue
        at = position.panels_at(label, every, [separated.panels[p] for p in free])
        if not at:
            out.append(Pair((), part, "rejected", said(reasons.NO_SUCH_POSITION, label), 0.0))
            continue
        chosen = tuple(free[i] for i in at)
        score = _BY_PLACE * min(separated.panels[p].score for p in chosen)
        reason = said(reasons.POSITION, label)
        out.append(Pair(chosen, part, "label_match", reason, round(score, 4)))
        had.update(chosen)
    left = [p for p in range(len(separated.panels)) if p not in had]
    return out + [Pair((p,), -1, "rejected", reasons.NO_LABEL, 0.0) for p in left]


def uncovered(
    separated: Separated, split: SplitCaption, pairs: Sequence[Pair]
) -> tuple[list[int], list[int]]:
    """Panels and parts that no pair speaks of; both are empty for what :func:`match` returns."""
    if any(not pair.panels and pair.part < 0 for pair in pairs):
        return [], []
    panels = {panel for pair in pairs for panel in pair.panels}
    parts = {pair.part for pair in pairs}
    return (
        [p for p in range(len(separated.panels)) if p not in panels],
        [i for i in range(len(split.parts)) if i not in parts],
    )
