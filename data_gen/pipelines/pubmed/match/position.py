"""Parts of a caption that name a place: which panels lie at "left", "upper right", "middle"."""

import re
from collections.abc import Sequence

from data_gen.pipelines.pubmed.base import Region

_ACROSS = {"left": -1, "right": 1}
_DOWN = {"upper": -1, "top": -1, "above": -1, "lower": 1, "bottom": 1, "below": 1}
_MIDDLE = {"middle", "center", "centre", "central"}
_EMPTY = {"row", "rows", "column", "columns", "panel", "panels", "side", "hand", "half", "image"}
_EMPTY |= {"images", "most", "far", "the", "of", "part", "parts", "corner"}
_ROWS, _COLUMNS = {"row", "rows"}, {"column", "columns"}
#: Share of the smaller of two extents from which they are of one row or column.
_SHARED = 0.5
#: Rows or columns for each of which there is a word: first, middle, last.
_THREE = 3


def words(label: str) -> list[str]:
    """The words of a label, lower case."""
    return re.findall(r"[a-z]+", label.lower())


def is_position(label: str) -> bool:
    """Whether a label of a part is about a place and no letter or number."""
    found = words(label)
    named = any(w in _ACROSS or w in _DOWN or w in _MIDDLE for w in found)
    return named or any(len(w) > 1 and w in label for w in found)  # in lower case: no label


def is_known(label: str) -> bool:
    """Whether :func:`panels_at` knows all of its words."""
    found = [w for w in words(label) if w not in _EMPTY]
    return bool(found) and all(w in _ACROSS or w in _DOWN or w in _MIDDLE for w in found)


def panels_at(label: str, every: Sequence[str], panels: Sequence[Region]) -> list[int]:
    """Indices of the panels that lie where a label says; none where the layout does not tell.

    Args:
      label: "left", "upper right", "middle row", ...
      every: all position labels of the caption: "left" beside "middle" is the first of three
        columns, beside "right" it may be the first two of four.
    """
    found = set(words(label))
    across = next((_ACROSS[w] for w in words(label) if w in _ACROSS), None)
    down = next((_DOWN[w] for w in words(label) if w in _DOWN), None)
    if found & _MIDDLE:
        if across is None and down is None:
            across, down = _middle(found, every)
        elif across is None:
            across = 0
        elif down is None:
            down = 0
    others = {w for one in every for w in words(one)}
    middle = bool(others & _MIDDLE)
    for first in ("down", "across"):
        chosen = list(range(len(panels)))
        for axis in (first, "across" if first == "down" else "down"):
            where = down if axis == "down" else across
            if where is not None:
                chosen = _at(where, axis, chosen, panels, middle)
        if chosen:
            return chosen
    return []


def _middle(found: set[str], every: Sequence[str]) -> tuple[int | None, int | None]:
    """The axis that a lone "middle" is about: that of the words beside it."""
    if found & _ROWS:
        return None, 0
    if found & _COLUMNS:
        return 0, None
    others = {w for one in every for w in words(one)}
    vertical = bool(others & set(_DOWN)) and not others & set(_ACROSS)
    return (None, 0) if vertical else (0, None)


def _at(
    where: int, axis: str, chosen: Sequence[int], panels: Sequence[Region], middle: bool
) -> list[int]:
    """Of the chosen panels those in the first (-1), middle (0) or last (1) rows or columns."""
    groups = bands([panels[i] for i in chosen], axis)
    count = len(groups)
    if count < 2 or (where == 0 and count < _THREE):
        return []
    half = count // 2
    if where == 0:
        kept = groups[1:-1]
    elif middle and count >= _THREE:
        kept = groups[:1] if where < 0 else groups[-1:]
    else:
        kept = groups[:half] if where < 0 else groups[count - half :]
    return sorted(chosen[i] for group in kept for i in group)


def bands(panels: Sequence[Region], axis: str) -> list[list[int]]:
    """Rows (``axis`` "down") or columns ("across") of panels, as indices, first to last.

    Panels that overlap by half of the smaller one along the axis are in one band.
    """
    ends = [(p.y0, p.y1) if axis == "down" else (p.x0, p.x1) for p in panels]
    left = sorted(range(len(panels)), key=lambda i: (ends[i][0] + ends[i][1], i))
    groups: list[list[int]] = []
    for i in left:
        meeting = [g for g in groups if any(_overlap(ends[i], ends[j]) > _SHARED for j in g)]
        groups = [g for g in groups if g not in meeting]
        groups.append([*(j for g in meeting for j in g), i])
    return sorted(groups, key=lambda g: min(ends[i][0] for i in g))


def _overlap(a: tuple[float, float], b: tuple[float, float]) -> float:
    shared = min(a[1], b[1]) - max(a[0], b[0])
    shorter = min(a[1] - a[0], b[1] - b[0])
    return shared / shorter if shorter > 0 else 0.0
