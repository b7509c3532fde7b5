"""A caption cut at offsets: what is about every panel, and what is about which."""

import itertools
import re
from collections.abc import Iterator, Sequence

from data_gen.pipelines.pubmed.base import Mark, Part, Span, SplitCaption
from data_gen.pipelines.pubmed.captions.common import common_clause, is_common
from data_gen.pipelines.pubmed.captions.items import split_items
from data_gen.pipelines.pubmed.captions.labels import read_list
from data_gen.pipelines.pubmed.captions.trailing import stretches
from data_gen.pipelines.pubmed.captions.vote import Marker, Reading, read

#: Longer ones are no captions; they are kept whole.
MAX_LENGTH = 20_000

#: Owner of a stretch: labels it is about and whether it is a label itself; () for all panels.
_Stretch = tuple[int, int, tuple[str, ...], bool]


def split(text: str, marks: Sequence[Mark] = ()) -> SplitCaption:
    """Takes a caption apart.

    The spans of parts, preface and suffix cover ``text`` once, without overlap, whatever it is. A
    label can be in several parts, for what several panels share ("(A, B) Two views. (A) …"); the
    part with the fewest labels is its own, and :func:`panel_text` gathers the others.

    Args:
      text: the caption.
      marks: how it is set; bold labels and items of lists are found by them.
    """
    if not text or len(text) > MAX_LENGTH:
        return _whole(text)
    marks = [m for m in marks if 0 <= m.start < m.end <= len(text)]
    items = split_items(text, marks)
    if items is not None:
        return _gather(text, "list", *items)
    reading = read(text, marks)
    if reading is None:
        return _whole(text)
    preface_end, found = _cut(text, marks, reading)
    return _gather(text, reading.style, preface_end, found)


def _whole(text: str) -> SplitCaption:
    return SplitCaption(text, preface=(Span(0, len(text)),) if text else ())


def _cut(text: str, marks: Sequence[Mark], reading: Reading) -> tuple[int, list[_Stretch]]:
    """All stretches in order, and up to where what is shared stands before the first part."""
    groups: list[list[Marker]] = []
    for marker in reading.markers:
        same = groups and groups[-1][-1].place == marker.place
        if same and groups[-1][-1].leads == marker.leads:
            groups[-1].append(marker)
        else:
            groups.append([marker])
    ends = [*reading.starts[1:], len(text)]
    every = tuple(dict.fromkeys(label for m in reading.markers for label in _upper(m)))
    found: list[_Stretch] = []
    position = 0
    for number, group in enumerate(groups):
        first = group[0]
        start = first.start if first.leads else reading.starts[first.place]
        start = max(start, position)
        before = _upper(groups[number - 1][-1]) if number else ()
        if first.leads and number and firm_start(text, reading.starts[first.place], first):
            start = max(position, reading.starts[first.place])
            found.append((position, start, before, False))
            found.append((start, first.start, _upper(first), False))
        else:
            found.append((position, start, before, False))
        position = start
        if first.leads:
            position = _leading(group, found)
        else:
            end = ends[first.place]
            shared = tuple(dict.fromkeys(label for m in group for label in _upper(m)))
            shared = () if shared == every else shared
            position = start
            pieces = stretches(text, start, end, group)
            marked = [(m.start, m.end, _upper(m), True) for m in group]
            owned = [(a, b, _upper(group[i]) if i >= 0 else shared, False) for a, b, i in pieces]
            found += sorted([*marked, *owned])
            position = end
    last = groups[-1][-1]
    if last.leads:
        cut = _suffix_start(text, marks, reading, last)
        found.append((last.end, cut, _upper(last), False))
        position = cut
    found += _rest(text, position, reading, frozenset(every))
    return found[0][1] if found else 0, [s for s in found if s[1] > s[0]]


def firm_start(text: str, start: int, marker: Marker) -> bool:
    """Whether a sentence starts with a few words before its first label ("In (B), …")."""
    return marker.start - start > 0 and len(text[start : marker.start].split()) <= 12


def _leading(group: Sequence[Marker], found: list[_Stretch]) -> int:
    """Adds labels and what they lead up to the last one; returns where its own words start."""
    for one, following in zip(group, [*group[1:], None], strict=True):
        found.append((one.start, one.end, _upper(one), True))
        if following is not None:
            found.append((one.end, following.start, _upper(one), False))
    return group[-1].end


def _upper(marker: Marker) -> tuple[str, ...]:
    if read_list(marker.labels[0]) is None:  # a position
        return marker.labels
    return tuple(dict.fromkeys(label.upper() for label in marker.labels))


def _suffix_start(text: str, marks: Sequence[Mark], reading: Reading, last: Marker) -> int:
    """Where, behind the last label, the sentences about all panels start."""
    limit = len(text)
    for mark in marks:
        if mark.kind == "paragraph" and mark.start > last.end:
            limit = min(limit, mark.start)
    others = frozenset(x for m in reading.markers for x in _upper(m)) - set(_upper(last))
    starts = [s for s in reading.starts if last.end < s < limit]
    cut = limit
    while starts:
        start = starts.pop()
        sentence = text[start:cut]
        if is_common(sentence) or _named(sentence, others):
            cut = start
        else:
            break
    clause = common_clause(text, last.end, cut)
    return clause if re.search(r"\w", text[last.end : clause]) else cut


def _rest(text: str, start: int, reading: Reading, known: frozenset[str]) -> Iterator[_Stretch]:
    """The end of a caption, sentence by sentence: about all panels, or the only one it names."""
    starts = [start, *(s for s in reading.starts if s > start), len(text)]
    for a, b in itertools.pairwise(starts):
        named = _named(text[a:b], known)
        yield a, b, tuple(named) if len(named) == 1 else (), False


def _named(sentence: str, known: frozenset[str]) -> set[str]:
    """Labels in brackets within a sentence, of those that the caption has."""
    named: set[str] = set()
    for match in re.finditer(r"\(([^()]{1,20})\)", sentence):
        labels = {label.upper() for label in read_list(match[1]) or ()}
        if labels and known.issuperset(labels):
            named |= labels
    return named


def _gather(text: str, style: str, preface_end: int, found: Sequence[_Stretch]) -> SplitCaption:
    """Stretches to parts: one for each set of labels, in the order of the text."""
    bodies: dict[tuple[str, ...], list[Span]] = {}
    labels_at: dict[tuple[str, ...], list[Span]] = {}
    preface: list[Span] = []
    suffix: list[Span] = []
    begun = False
    for start, end, labels, is_label in found:
        if not labels:
            _extend(preface if not begun else suffix, start, end)
            continue
        begun = True
        bodies.setdefault(labels, [])
        _extend(labels_at.setdefault(labels, []) if is_label else bodies[labels], start, end)
    parts = tuple(
        Part(labels, tuple(body), tuple(labels_at.get(labels, ())))
        for labels, body in bodies.items()
    )
    return SplitCaption(text, style, parts, tuple(preface), tuple(suffix))


def _extend(spans: list[Span], start: int, end: int) -> None:
    if spans and spans[-1].end == start:
        spans[-1] = Span(spans[-1].start, end)
    else:
        spans.append(Span(start, end))
