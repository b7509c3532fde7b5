"""Which candidates are a caption's labels: one style and one family win the caption."""

import bisect
import dataclasses
import re
from collections.abc import Sequence

from data_gen.pipelines.pubmed.base import Mark
from data_gen.pipelines.pubmed.captions.candidates import STYLES, Candidate, Style, joined
from data_gen.pipelines.pubmed.captions.labels import Family, number_in
from data_gen.pipelines.pubmed.captions.positions import POSITION
from data_gen.pipelines.pubmed.captions.sentences import (
    firmness,
    paragraph_edges,
    sentence_starts,
    word_before,
)

_FAMILIES: tuple[Family, ...] = ("upper", "lower", "roman_upper", "roman_lower", "digit")
_SHOWN = {"upper": "A", "lower": "a", "roman_upper": "I", "roman_lower": "i", "digit": "1"}
_CLOSES = re.compile(r"\s*(?:$|[.,;:)\]]|(?:and|or|&)\b)")
#: Words after which a label refers to a panel and names none.
_REFERS_WORDS = """
see in from of as panel panels figure figures fig than to like cf
"""
_REFERS = frozenset(_REFERS_WORDS.split())
_INTRODUCED = re.compile(r"(?:^|[.;:]\s+(?:and\s+)?)([Ii]n\s+)$")
_SUB = re.compile(r"(\D)(\d+|[ivx]+|['′″])")
_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6, "vii": 7, "viii": 8}


@dataclasses.dataclass(frozen=True)
class Marker:
    """A label of the caption: its place, its labels, and whether it leads what it is about.

    ``place`` is the number of its sentence.
    """

    start: int
    end: int
    labels: tuple[str, ...]
    leads: bool
    place: int
    firm: float


@dataclasses.dataclass(frozen=True)
class Reading:
    """The labels of a caption under one style; ``starts`` are those of its sentences."""

    style: str
    markers: tuple[Marker, ...]
    starts: tuple[int, ...]
    score: float


def read(text: str, marks: Sequence[Mark]) -> Reading | None:
    """The reading that wins the vote, None for a caption without labels.

    What a reading counts is the number of different labels, times the weight of its style, times
    how firmly they are set off. Positions are asked only where letters and numbers say nothing.
    """
    edges = frozenset(paragraph_edges(text, marks))
    best: Reading | None = None
    for style in STYLES:
        candidates = joined(text, list(style.find(text, marks)))
        if not candidates or (style.least > 1 and len(candidates) < 2 and style.name == "a"):
            continue
        for family in _FAMILIES:
            if style.name == "a" and family != "upper" and family != "lower":
                continue
            reading = _reading(text, marks, edges, style, family, candidates)
            if reading and (best is None or reading.score > best.score):
                best = reading
    if best is None:
        candidates = list(POSITION.find(text, marks))
        if len({c.labels for c in candidates}) >= 2:
            best = _reading(text, marks, edges, POSITION, None, candidates)
    return best


def _reading(
    text: str,
    marks: Sequence[Mark],
    edges: frozenset[int],
    style: Style,
    family: Family | None,
    candidates: Sequence[Candidate],
) -> Reading | None:
    kept = list(candidates)
    if family is not None:
        kept = in_sequence(candidates, family)
        if not kept or (len(kept) == 1 and len(kept[0].labels) < style.least):
            return None
    if not style.leading:
        kept = [_introduced(text, one) for one in kept]
    firm = [firmness(text, c.start, edges) for c in kept]
    starts = sentence_starts(
        text, marks, [c.start for c, f in zip(kept, firm, strict=True) if f == 3]
    )
    # A sentence does not start within a label, whatever the typesetting says.
    starts = _outside(starts, kept)
    markers = _markers(text, style, family, kept, firm, starts)
    labels = {label for m in markers for label in m.labels}
    if len(labels) < style.least or not markers:
        return None
    if len(labels) == 1 and not _alone(text, markers[0], family, candidates, kept):
        return None
    worth = sum(1.0 if m.firm == 3 or not m.leads else 0.85 for m in markers) / len(markers)
    shown = _SHOWN.get(family or "", "a")
    name = style.name
    if style.name not in ("bold", "position"):
        name = re.sub(r"a(?=\W*$)", shown, style.name)
    return Reading(name, tuple(markers), tuple(starts), len(labels) * style.weight * worth)


def _outside(starts: Sequence[int], kept: Sequence[Candidate]) -> list[int]:
    """Offsets that are not within a candidate; these are in order and do not overlap."""
    begins = [c.start for c in kept]
    places = [bisect.bisect_left(begins, start) - 1 for start in starts]
    return [s for s, i in zip(starts, places, strict=True) if i < 0 or s >= kept[i].end]


def _introduced(text: str, one: Candidate) -> Candidate:
    """ "In (A), …" at the start of a sentence or clause: the label starts with its "in"."""
    match = _INTRODUCED.search(text, max(0, one.start - 12), one.start)
    if match is None or not re.match(r"\s*[,:]", text[one.end : one.end + 3]):
        return one
    return Candidate(match.start(1), one.end, one.labels)


def in_sequence(candidates: Sequence[Candidate], family: Family) -> list[Candidate]:
    """Candidates whose labels count on from the first of the family without a hole.

    One label may be missing where three or more are there. A caption that goes on with another one
    may start later, with two in a row. Labels with sub-numbers need a first one.
    """
    numbers: list[list[int] | None] = []
    subs: set[tuple[str, int]] = set()
    for one in candidates:
        found = [number_in(label, family) for label in one.labels]
        numbers.append(None if None in found else [n for n in found if n is not None])
        subs |= {sub for label in one.labels if (sub := _sub(label))}
    present = {n for found in numbers if found for n in found}
    run = _run(present)
    return [
        one
        for one, found in zip(candidates, numbers, strict=True)
        if found
        and run.issuperset(found)
        and all(sub is None or sub[1] == 1 or (sub[0], 1) in subs for sub in map(_sub, one.labels))
    ]


def _run(present: set[int]) -> set[int]:
    if not present:
        return set()
    first = 1
    if 1 not in present:
        first = min(present)
        if first + 1 not in present or first > 12:
            return set()
    run, last = {first}, first
    while True:
        if last + 1 in present:
            last += 1
        elif last + 2 in present and len(present) >= 3 and len(run) >= 2:
            last += 2
        else:
            return run
        run.add(last)


def _sub(label: str) -> tuple[str, int] | None:
    match = _SUB.fullmatch(label)
    if match is None:
        return None
    value = match[2]
    return match[1], int(value) if value.isdecimal() else _ROMAN.get(value, 1)


def _markers(
    text: str,
    style: Style,
    family: Family | None,
    kept: Sequence[Candidate],
    firm: Sequence[float],
    starts: Sequence[int],
) -> list[Marker]:
    """The candidates that name panels; those that refer to one named before are left out."""
    places = _places([c.start for c in kept], starts)
    directions = _directions(text, style, kept, firm, places, starts)
    highest, seen = 0, set()
    markers: list[Marker] = []
    for index, one in enumerate(kept):
        leads, hard = directions[places[index]], firm[index] == 3
        numbers = [number_in(label, family) or 0 for label in one.labels] if family else [0]
        new = not seen.issuperset(one.labels)
        refers = word_before(text, one.start) in _REFERS and not hard
        if style.loose and leads:
            accepted = new and min(numbers) == highest + 1 and (not refers or not markers)
        elif leads:
            weak = firm[index] == 0 or (firm[index] == 1 and family is not None)
            following = not family or (min(numbers) <= highest + 1 and max(numbers) >= highest)
            inside = markers and markers[-1].place == places[index]
            accepted = (
                (new and (not weak or following) and (firm[index] > 0 or not inside))
                or (hard and style.name not in ("a", "a.", "a,") and not _closing(text, one.end))
            ) and (firm[index] > 0 or style.leading)
        else:
            again = not new and firm[index] == 0 and not refers
            accepted = (new and not (refers and firm[index] > 0)) or again
        if accepted:
            markers.append(
                Marker(one.start, one.end, one.labels, leads, places[index], firm[index])
            )
            seen |= set(one.labels)
            highest = max(highest, *numbers)
    return markers


def _places(offsets: Sequence[int], starts: Sequence[int]) -> list[int]:
    places, place = [], 0
    for offset in offsets:
        while place + 1 < len(starts) and starts[place + 1] <= offset:
            place += 1
        places.append(place)
    return places


def _directions(
    text: str,
    style: Style,
    kept: Sequence[Candidate],
    firm: Sequence[float],
    places: Sequence[int],
    starts: Sequence[int],
) -> dict[int, bool]:
    """Per sentence, whether its labels lead; asked of its first label, and of what follows it."""
    if style.leading:
        return dict.fromkeys(places, True)
    if style.loose:
        closed = sum(bool(_CLOSES.match(text, c.end)) for c in kept[:-1])
        trails = firm[0] == 0 and _closing(text, kept[-1].end, 40) and closed * 2 >= len(kept) - 1
        return dict.fromkeys(places, not trails)
    directions: dict[int, bool] = {}
    for index, (one, place) in enumerate(zip(kept, places, strict=True)):
        if place in directions:
            continue
        leads = firm[index] > 0
        if firm[index] == 1 and word_before(text, one.start) in _REFERS:
            leads = not _CLOSES.match(text, one.end)
        if firm[index] == 3 and _closing(text, one.end) and not leads:
            leads = False
        directions[place] = leads
    return directions


def _closing(text: str, end: int, reach: int = 0) -> bool:
    """Whether nothing but a full stop follows, or no more than ``reach`` characters."""
    rest = text[end:].strip(" .)")
    return len(rest) <= reach and (reach > 0 or not rest)


def _alone(
    text: str,
    marker: Marker,
    family: Family | None,
    candidates: Sequence[Candidate],
    kept: Sequence[Candidate],
) -> bool:
    """Whether a single label is one: letters of other things in brackets speak against it."""
    if family not in ("upper", "lower") or marker.labels[0] not in ("A", "a"):
        return False
    if len(candidates) != len(kept):
        return False
    return not re.search(r"\((?:[A-Za-z]{1,3}|%)\)", text[: marker.start] + text[marker.end :])
