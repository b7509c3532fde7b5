"""Captions whose parts are items of a list: "A", "B" stand in the list, not in the text."""

import re
from collections.abc import Sequence

from data_gen.pipelines.pubmed.base import Mark
from data_gen.pipelines.pubmed.captions.candidates import Candidate
from data_gen.pipelines.pubmed.captions.labels import Family, read_list
from data_gen.pipelines.pubmed.captions.vote import in_sequence

_FAMILIES: tuple[Family, ...] = ("upper", "lower", "roman_upper", "roman_lower", "digit")
_Stretch = tuple[int, int, tuple[str, ...], bool]


def split_items(text: str, marks: Sequence[Mark]) -> tuple[int, list[_Stretch]] | None:
    """Stretches of a caption by the labels of its list items, None where there are none.

    What stands before the first item is about all panels, and so is what stands after the last one
    or between two.
    """
    items = [m for m in marks if m.kind == "list_item" and m.label]
    found: list[Candidate] = []
    last = 0
    for item in items:
        labels = read_list(re.sub(r"^[\W_]+|[\W_]+$", "", item.label))
        if labels and item.start >= last:
            found.append(Candidate(item.start, item.end, labels))
            last = item.end
    if len(found) < 2:
        return None
    kept = max((in_sequence(found, family) for family in _FAMILIES), key=len)
    if len(kept) < 2:
        return None
    stretches: list[_Stretch] = []
    position = 0
    for one in kept:
        labels = tuple(label.upper() for label in one.labels)
        stretches += [(position, one.start, (), False), (one.start, one.end, labels, False)]
        position = one.end
    stretches.append((position, len(text), (), False))
    return kept[0].start, [s for s in stretches if s[1] > s[0]]
