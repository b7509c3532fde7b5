"""Paragraphs that refer to a figure, and the panels that they name."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from data_gen.pipelines.pubmed.base import Mention
from data_gen.pipelines.pubmed.captions.labels import join_ranges
from data_gen.pipelines.pubmed.jats.figures import OTHERS, Found
from data_gen.pipelines.pubmed.jats.flow import FLOATS, plain, with_places
from data_gen.pipelines.pubmed.jats.references import is_range, read_reference

#: Its own texts are no running text.
_BESIDE = OTHERS | {"caption", "table", "fig", "table-wrap-foot", "ref-list"}
_SKIP = FLOATS | {"list"}
#: How far behind a reference its letters may stand.
_REACH = 60
_NUMBER = re.compile(r"(?:[A-Za-z]{1,2}\.?)?\d+")

#: Figures by place, panel letters, start, end.
_Hit = tuple[list[int], dict[int, tuple[str, ...]], int, int]


def mentions_of(article: Any, found: Sequence[Found]) -> dict[str, list[Mention]]:
    """Mentions by the figure's own id, in the order of the text.

    A reference is an ``xref`` in a paragraph of the running text (captions, tables and letters are
    none). One to several figures is a mention of each; two that "to" joins are one: of a panel to a
    panel of the same figure, or of a figure to another with all between them.
    """
    result: dict[str, list[Mention]] = {one.figure.id: [] for one in found}
    by_id: dict[str, list[int]] = {}
    for place, one in enumerate(found):
        for name in dict.fromkeys((*one.ids, one.figure.id)):
            by_id.setdefault(name, []).append(place)
    by_number = _numbers(found)
    for paragraph, refs in _paragraphs(article, by_id).items():
        text, refs = with_places(paragraph, refs, _SKIP)
        section = _section(paragraph)
        for places, letters, start, end in _read(text, refs, by_id, by_number):
            for place in places:
                mention = Mention(text, start, end, letters.get(place, ()), section)
                result[found[place].figure.id].append(mention)
    return result


def _paragraphs(article: Any, by_id: dict[str, list[int]]) -> dict[Any, list[Any]]:
    """References to figures by their paragraph."""
    grouped: dict[Any, list[Any]] = {}
    for ref in article.iter("xref"):
        if ref.get("ref-type") not in ("fig", None, "other", "figure"):
            continue
        if not any(name in by_id for name in (ref.get("rid") or "").split()):
            continue
        paragraph = None
        for above in ref.iterancestors():
            if above.tag in _BESIDE:
                paragraph = None
                break
            if above.tag == "p" and paragraph is None:
                paragraph = above
        if paragraph is not None:
            grouped.setdefault(paragraph, []).append(ref)
    return grouped


def _numbers(found: Sequence[Found]) -> dict[str, int]:
    """Place of the figure with this number; a number of several figures is left out."""
    numbers: dict[str, list[int]] = {}
    for place, one in enumerate(found):
        if match := _NUMBER.search(one.figure.label):
            numbers.setdefault(_key(match[0]), []).append(place)
    return {key: places[0] for key, places in numbers.items() if len(places) == 1}


def _key(number: str) -> str:
    return number.upper().replace(".", "")


def _read(
    text: str,
    refs: Sequence[tuple[Any, int, int]],
    by_id: dict[str, list[int]],
    by_number: dict[str, int],
) -> Iterable[_Hit]:
    hits: list[_Hit] = []
    for index, (element, start, end) in enumerate(refs):
        floor = refs[index - 1][2] if index else 0
        ceiling = refs[index + 1][1] if index + 1 < len(refs) else len(text)
        before = text[max(floor, start - _REACH) : start]
        read = read_reference(text[start:end], before, text[end : min(ceiling, end + _REACH)])
        names = (element.get("rid") or "").split()
        places = list(dict.fromkeys(p for name in names for p in by_id.get(name, ())))
        letters: dict[int, tuple[str, ...]] = {}
        for number, panels in read.targets:
            place = by_number.get(_key(number)) if number else None
            if place is None and len(read.targets) == 1:
                letters.update(dict.fromkeys(places, panels))
            elif place is not None and len(read.targets) == 1 and place not in places:
                letters.update(dict.fromkeys(places, panels))  # the rid knows better
            elif place is not None:
                if place not in places:
                    places.append(place)
                letters[place] = (*letters.get(place, ()), *panels)
        if read.ranged and len(places) >= 2 and not any(letters.values()):
            places = list(range(min(places), max(places) + 1))
        hit = (places, letters, start - read.before, end + read.after)
        joined = _joined(hits[-1], hit, text) if hits else None
        if joined:
            hits[-1] = joined
        else:
            hits.append(hit)
    return hits


def _joined(first: _Hit, second: _Hit, text: str) -> _Hit | None:
    """Two references with "to" between them as one; None where they are two."""
    if not is_range(text[first[3] : second[2]]) or len(first[0]) != 1 or len(second[0]) != 1:
        return None
    (a,), (b,) = first[0], second[0]
    ends = first[1].get(a, ()), second[1].get(b, ())
    if a == b and ends[0] and ends[1]:
        letters = join_ranges(*ends)
        return ([a], {a: letters}, first[2], second[3]) if letters else None
    if a < b and not ends[0] and not ends[1]:
        return list(range(a, b + 1)), {}, first[2], second[3]
    return None


def _section(paragraph: Any) -> str:
    for above in paragraph.iterancestors("sec", "abstract", "app", "ack"):
        if title := plain(above.find("title")):
            return title
    return ""
