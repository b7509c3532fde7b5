"""Sentences whose labels follow what they are about: "axial (a) and coronal (b) views"."""

import itertools
import re
from collections.abc import Sequence

from data_gen.pipelines.pubmed.captions.vote import Marker

#: Starts of a stretch that goes on to the next thing.
_NEXT = re.compile(
    r"\s*(?:[,;]\s*(?:and|or|but|while|whereas|as\s+well\s+as|followed\s+by|&)?|and|or|but|while|"
    r"whereas|versus|vs\.?|as\s+well\s+as|&|/)(?:\s|$)"
)
_LAST_CUT = re.compile(
    r"(?:[,;:]\s+(?:(?:and|but|while|whereas)\s+)?|\s(?:and|while|whereas|but)\s)"
)
_SHOWING = re.compile(
    r"[^,;]{0,40},?\s*\b(?:showing|demonstrating|revealing|depicting|illustrating|with|show|shows"
    r"|demonstrate|demonstrates|reveal|reveals)\b\s*"
)
_CONJUNCTION = re.compile(r"\W*(?:(?:and|or|but|not|while|whereas|the)\s+)*")

_OF = re.compile(r"\b(?:of|stained\s+with|with|using)\s+")
_BEFORE = frozenset(["for", "of", "in", "with", "by", "at", "on", "from", "to", "between", "the"])

#: Start, end, number of a marker; -1 for what all labels of the sentence share.
Stretch = tuple[int, int, int]


def stretches(text: str, start: int, end: int, markers: Sequence[Marker]) -> list[Stretch]:
    """Cuts a sentence between its labels, all of it but the labels themselves.

    With one label the sentence is about it as a whole. With several, what stands between two goes
    to the later one where a comma or conjunction opens it, and is cut before the last of those
    where the earlier label's clause goes on. What follows the last label of an enumeration is
    shared, and so is its start where the things enumerated are shorter.
    """
    if len(markers) == 1:
        return [(start, markers[0].start, 0), (markers[0].end, end, 0)]
    gaps = [(a.end, b.start) for a, b in itertools.pairwise(markers)]
    opened = [bool(_NEXT.match(text[a:b])) for a, b in gaps]
    again = _second_round(markers)
    head = _head_cut(
        text, start, markers[0].start, [g for g, o in zip(gaps, opened, strict=True) if o]
    )
    found: list[Stretch] = [(start, head, -1), (head, markers[0].start, 0)]
    for index, ((a, b), is_open) in enumerate(zip(gaps, opened, strict=True)):
        cut = a
        if index + 1 == again:
            showing = _SHOWING.match(text, a, b)
            cut = showing.end() if showing else a
            found.append((a, cut, -1))
        elif not is_open:
            cuts = list(_LAST_CUT.finditer(text, a, b))
            cut = cuts[-1].start() if cuts else a
            found.append((a, cut, index))
        found.append((cut, b, index + 1))
    last = len(markers) - 1
    tail = text[markers[-1].end : end]
    own = not re.search(r"\w", tail) or (not all(opened) and again is None)
    found.append((markers[-1].end, end, last if own else -1))
    return [s for s in found if s[1] > s[0]]


def _second_round(markers: Sequence[Marker]) -> int | None:
    """Number of the first marker that repeats an earlier one."""
    seen: set[tuple[str, ...]] = set()
    for index, marker in enumerate(markers):
        if marker.labels in seen:
            return index
        seen.add(marker.labels)
    return None


def _head_cut(text: str, start: int, end: int, gaps: Sequence[tuple[int, int]]) -> int:
    """Where the first thing of an enumeration starts, judged by the length of the others."""
    if not gaps:
        return start
    others = [_CONJUNCTION.sub("", text[a:b], count=1) for a, b in gaps]
    most = max(len(other.split()) for other in others)
    head = text[start:end]
    words = len(head.split())
    if most > 6:
        return start
    signs = [m.end() for m in re.finditer(r"[,;:]\s+", head)]
    if words > most and signs and 0 < len(head[signs[-1] :].split()) <= max(most + 2, 3):
        return start + signs[-1]
    if cut := _after_of(head, words, most, others):
        return start + cut
    if words <= most:
        return start
    matches = list(re.finditer(r"\S+", head))
    cut = matches[-most].start()
    # Without a sign only one or two words, after a preposition or behind a short start.
    near = {m[0].lower() for m in matches[-most - 1 : -most + 1 or None]}
    close = words <= most + 3 or not near.isdisjoint(_BEFORE)
    return start + cut if most <= 2 and close else start


def _after_of(head: str, words: int, most: int, others: Sequence[str]) -> int:
    """Where "Micrographs of" ends in "Micrographs of the liver (a) and spleen (b)", 0 for nowhere.

    Not where the others have an "of" or the same noun: "axial image of the brain (a) and coronal
    image (b)" are two images.
    """
    long = {word for other in others for word in other.split() if len(word) > 3}
    if any(" of " in f" {other} " for other in others):
        return 0
    for match in _OF.finditer(head):
        before = head[: match.start()].split()
        rest = len(head[match.end() :].split())
        short = len(before) == 1 or words > most
        if short and 0 < rest <= most + 1 and long.isdisjoint(before):
            return match.end()
    return 0
