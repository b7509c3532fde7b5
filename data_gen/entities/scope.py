"""What a sentence says of a thing that it names: there, not there, or perhaps there; and the side.

Rules over words, in the manner of NegEx (Chapman et al. 2001): triggers before or after a thing,
words that look like a negation and are none, and ends of scope.
"""

import dataclasses
import json
import pathlib

from data_gen.entities.tokens import Tokens

#: Kind of trigger -> word sequences, in the normalised spelling of :mod:`data_gen.entities.tokens`.
#: ``pseudo`` are no triggers, though they begin like one.
_KINDS: dict[str, list[str]] = json.loads(
    (pathlib.Path(__file__).parent / "triggers.json").read_text()
)
_END_WORDS = """
but however although though except apart nevertheless yet whereas while because since which who
there demonstrating showing shows reveals despite besides aside . ; : ? !
"""
_ENDS = frozenset(_END_WORDS.split())
_STOPS = frozenset(".;:?!")
_VERBS = frozenset(
    {"is", "are", "was", "were", "has", "have", "appear", "appears", "remain", "remains"}
)
_ARTICLES = frozenset({"a", "an", "the", "there", "this", "these"})
_SIDES = {
    "left": "left",
    "right": "right",
    "bilateral": "bilateral",
    "bilaterally": "bilateral",
    "both": "bilateral",
    "bibasilar": "bilateral",
    "bibasal": "bilateral",
    "biapical": "bilateral",
    "bihilar": "bilateral",
    "lingula": "left",
    "lingular": "left",
}


def _table() -> dict[str, list[tuple[tuple[str, ...], frozenset[str]]]]:
    """First word -> sequences that begin with it and their kinds, longest first."""
    kinds: dict[tuple[str, ...], set[str]] = {}
    for kind, texts in _KINDS.items():
        for text in texts:
            kinds.setdefault(tuple(Tokens(text).words), set()).add(kind)
    table: dict[str, list[tuple[tuple[str, ...], frozenset[str]]]] = {}
    for words, found in kinds.items():
        table.setdefault(words[0], []).append((words, frozenset(found)))
    for entries in table.values():
        entries.sort(key=lambda entry: -len(entry[0]))
    return table


_TRIGGERS = _table()


@dataclasses.dataclass
class Span:
    """A thing that a text names, words ``start`` to ``stop`` (exclusive)."""

    start: int
    stop: int
    is_anatomy: bool = False
    negated: bool = False
    hedged: bool = False
    side: str = ""


def judge(tokens: Tokens, spans: list[Span]) -> None:
    """Fills ``negated``, ``hedged`` and ``side`` of ``spans``, which are in order and disjoint."""
    words = tokens.words
    inside = [-1] * len(words)
    for number, span in enumerate(spans):
        for at in range(span.start, span.stop):
            inside[at] = number
    at = 0
    while at < len(words):
        step = 1
        # "Not" within a thing ("the heart is not enlarged") is the matcher's business.
        if words[at] in _TRIGGERS and inside[at] < 0:
            for sequence, kinds in _TRIGGERS[words[at]]:
                stop = at + len(sequence)
                if tuple(words[at:stop]) == sequence and all(i < 0 for i in inside[at:stop]):
                    _apply(words, spans, inside, at, stop, kinds)
                    step = len(sequence)
                    break
        at += step
    for number, span in enumerate(spans):
        span.side = _side(words, spans, inside, number)


def _apply(
    words: list[str],
    spans: list[Span],
    inside: list[int],
    start: int,
    stop: int,
    kinds: frozenset[str],
) -> None:
    if "pseudo" in kinds:
        return
    after = _earlier(words, spans, inside, start)
    for kind, name in (("after", "negated"), ("hedge after", "hedged")):
        if kind in kinds and after:
            for number in after:
                setattr(spans[number], name, True)
            if name == "hedged":  # "cannot be excluded"
                for number in after:
                    spans[number].negated = False
            return
    for kind, name in (("before", "negated"), ("hedge before", "hedged")):
        if kind in kinds:
            for number in _later(words, spans, inside, stop):
                setattr(spans[number], name, True)


def _later(words: list[str], spans: list[Span], inside: list[int], stop: int) -> list[int]:
    """Things in the scope of a trigger that ends before word ``stop``."""
    found: list[int] = []
    verb = False
    first = words[stop] if stop < len(words) else ""
    listing = first in _ARTICLES  # "without a mass or an effusion"
    at = stop
    while at < len(words):
        number = inside[at]
        if number >= 0:
            if not spans[number].is_anatomy:
                found.append(number)
            at = spans[number].stop
            continue
        word = words[at]
        if word in _ENDS:
            break
        if word in _VERBS and found:
            verb = True
        elif found and word in (",", "and", "with"):
            following = words[at + 1] if at + 1 < len(words) else ""
            new_clause = following in _ARTICLES and not (listing and word != "with")
            if verb or new_clause or _predicate_follows(words, spans, inside, at + 1):
                break
        at += 1
    return found


_PREDICATES = frozenset(
    (
        *("present", "seen", "noted", "identified", "visible", "clear", "normal", "intact"),
        *("unremarkable", "unchanged", "evident", "demonstrated"),
    )
)


def _predicate_follows(words: list[str], spans: list[Span], inside: list[int], at: int) -> bool:
    """Whether "X is present" or a normal place begins at ``at``: a clause of its own."""
    while at < len(words) and inside[at] < 0:
        if words[at] in _ENDS or words[at] in (",", "and", "or"):
            return False
        at += 1
    if at >= len(words):
        return False
    following = spans[inside[at]].stop
    if following >= len(words) or words[following] not in ("is", "are", "appear", "remain"):
        return False
    then = words[following + 1] if following + 1 < len(words) else ""
    return then in _PREDICATES


_LINKS = frozenset({",", "and", "or", "nor"})


def _earlier(words: list[str], spans: list[Span], inside: list[int], start: int) -> list[int]:
    """Things of which a predicate at word ``start`` speaks: the nearest, and its whole list."""
    found: list[int] = []
    at = start - 1
    linked = True
    plural = start > 0 and words[start - 1] in ("are", "were", "cannot", "not", "be", "have")
    several = plural
    while at >= 0:
        number = inside[at]
        if number >= 0:
            if found and not (linked and several):
                break
            if not spans[number].is_anatomy:
                found.append(number)
                linked = False
            at = spans[number].start - 1
            continue
        word = words[at]
        if word in _STOPS or (word in _ENDS and word != "there"):
            # "Pneumothorax: none."
            if word == ":" and not found and at > 0 and inside[at - 1] >= 0:
                at -= 1
                continue
            break
        if word in _LINKS:
            if not found:
                return []  # another clause lies between
            linked = True
            several = several or word in ("or", "nor")
        elif found and (word in _VERBS or word in ("no", "without", "with")):
            break
        elif not found and word in ("with", "without", "no"):
            return []
        at -= 1
    return found


def _side(words: list[str], spans: list[Span], inside: list[int], number: int) -> str:
    """The side that a text gives a thing: within it, before it, or after it, the nearest first."""
    span = spans[number]
    for at in range(span.start, span.stop):
        if words[at] in _SIDES:
            return _SIDES[words[at]]
    at = span.start - 1
    while at >= 0 and inside[at] < 0 and words[at] not in _STOPS and words[at] not in (",", "and"):
        if words[at] in _SIDES:
            return _SIDES[words[at]]
        at -= 1
    if at >= 0 and inside[at] >= 0 and spans[inside[at]].is_anatomy and not span.is_anatomy:
        # "left lower lobe consolidation", "blunting of the left costophrenic angle from effusion"
        place = spans[inside[at]]
        between = words[place.stop : span.start]
        if not any(w in _LINKS or w in ("with", "without") for w in between):
            side = _side(words, spans, inside, inside[at])
            if side:
                return side
    if span.is_anatomy:
        return ""
    at = span.stop
    while at < len(words) and words[at] not in _ENDS:
        if inside[at] >= 0 and not spans[inside[at]].is_anatomy:
            break
        if words[at] in _SIDES:
            return _SIDES[words[at]]
        at += 1
    return ""
