"""From texts to entities: the protocol, and the lexicon that needs no model.

The token classifier of the paper is in :mod:`data_gen.entities.ner`.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from data_gen.entities.entity import Entity, EntityType, Mention, negated, stated
from data_gen.entities.ontology import Concept, Ontology, ontology
from data_gen.entities.scope import Span, judge
from data_gen.entities.tokens import ARTICLES, Tokens, content_words


class EntityExtractor(Protocol):
    """What finds entities in texts."""

    @property
    def name(self) -> str: ...

    def extract(self, text: str) -> tuple[Mention, ...]:
        """The entities that ``text`` names, in order, disjoint."""
        ...


#: May stand within a thing ("the heart is mildly enlarged"); the words that negate it too.
_NOT = frozenset({"not", "no", "never"})
_WITHIN = """
is are was were appear be been being remain has have both left right bilateral sided in at
mildly slightly moderately markedly severely grossly minimally massively borderline
mild slight minimal minor moderate severe marked small tiny trace large sizeable subtle
first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth
1st 2nd 3rd 4th 5th 6th 7th 8th 9th 10th 11th 12th posterior lateral anterior healing acute
longer significantly definitely new also again
"""
_SKIP = ARTICLES | _NOT | frozenset(_WITHIN.split())
_MOST_SKIPS = 5
_OTHERWISE = frozenset({"other", "remaining", "otherwise", "rest", "remainder", "additional"})
_NO = frozenset({"no", "without", "any"})
#: Belong to a thing that follows them, in what a bank keeps of it.
_BEFORE = """
left right bilateral sided small tiny trace large sizeable moderate medium sized mild slight
minimal minor severe marked massive extensive pronounced advanced subtle faint dense early florid
apical basal basilar bibasilar bibasal biapical upper lower mid middle perihilar retrocardiac
diffuse focal multifocal patchy acute chronic displaced minimally slightly mildly clearly markedly
third fourth fifth sixth seventh eighth ninth tenth old new spiculated lobulated smooth calcified
healing posterior lateral zone lung definite
"""
_MODIFIERS = frozenset(_BEFORE.split())


class _Node:
    __slots__ = ("children", "found")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.found: Any = None


class LexiconExtractor:
    """Longest matches of an ontology's words, with negation, hedging and side.

    A wording may be interrupted by words of degree, side and the like, so that "heart enlarged"
    finds "the heart is mildly enlarged". Headings ("LINES AND TUBES:") are no mentions.
    """

    def __init__(self, words: Ontology | None = None, entities: Iterable[Entity] = ()) -> None:
        """``entities``: of a bank; the concepts among them that ``words`` lacks are learned."""
        self.ontology = words or ontology()
        self._root = _Node()
        for concept in self.ontology.concepts.values():
            for form in concept.forms:
                self._add(form.text, (concept.name, concept.type, concept.label, False))
            for text in concept.patterns:
                self._add(text, (concept.name, concept.type, concept.label, False))
            for text in concept.normal:
                self._add(text, (concept.name, concept.type, concept.label, True))
            if concept.numbered:
                for text in numbered_forms(concept):
                    self._add(text, (concept.name, concept.type, "", False))
        for entity in entities:
            if entity.canonical not in self.ontology.concepts:
                self._add(entity.text, (entity.canonical, stated(entity.type), "", False))

    @property
    def name(self) -> str:
        return "lexicon"

    def _add(self, text: str, found: tuple[str, EntityType, str, bool]) -> None:
        node = self._root
        words = content_words(text)
        if not words:
            return
        for word in words:
            node = node.children.setdefault(word, _Node())
        # The first concept keeps a wording that two share after normalisation.
        node.found = node.found or found

    def extract(self, text: str) -> tuple[Mention, ...]:
        """See :class:`EntityExtractor`."""
        tokens = Tokens(text)
        words = tokens.words
        spans: list[Span] = []
        kinds: list[tuple[str, EntityType, str, bool]] = []
        children = self._root.children
        at, count = 0, len(words)
        while at < count:
            node = children.get(words[at])
            match = _longest(node, words, at + 1) if node is not None else None
            if match is None:
                at += 1
                continue
            at, match = self._reaching(words, at, match)
            stop, found, inner = match
            if _is_heading(words, at, stop):
                at = stop
                continue
            if _of_the_rest(words, at, found[3]):
                at = stop
                continue
            span = Span(at, stop, found[1] == "ANATOMY")
            spans.append(span)
            kinds.append((*found[:3], found[3] != inner))
            at = stop
        judge(tokens, spans)
        return tuple(
            self._mention(tokens, span, kind) for span, kind in zip(spans, kinds, strict=True)
        )

    def _reaching(self, words: list[str], at: int, match: "_Match") -> "tuple[int, _Match]":
        """``match`` at ``at``, or one that begins within it and reaches further.

        "Left fifth rib fracture" is a rib fracture, not a fifth rib.
        """
        for later in range(at + 1, match[0]):
            node = self._root.children.get(words[later])
            other = _longest(node, words, later + 1) if node is not None else None
            if other is not None and other[0] > match[0]:
                return later, other
        return at, match

    def _mention(
        self, tokens: Tokens, span: Span, kind: tuple[str, EntityType, str, bool]
    ) -> Mention:
        canonical, type_, label, denied = kind
        # A denial of a denial ("not clear of") is left to the sentence around it.
        absent = denied or span.negated
        start = span.start
        while start > 0 and tokens.words[start - 1] in _MODIFIERS:
            start -= 1
        begin, end = tokens.starts[start], tokens.ends[span.stop - 1]
        return Mention(
            " ".join(tokens.text[begin:end].lower().split()),
            negated(type_) if absent else type_,
            canonical,
            tokens.starts[span.start],
            end,
            span.hedged and not absent,
            span.side or self.side_of(canonical),
            label,
        )

    def side_of(self, canonical: str) -> str:
        """The side that a concept has by itself (the lingula's is left)."""
        concept = self.ontology.concepts.get(canonical)
        return concept.fixed if concept else ""


#: Where a wording ends, what it is (canonical, type, label, denies), and a negation within it.
_Match = tuple[int, tuple[str, EntityType, str, bool], bool]


def _longest(node: _Node, words: list[str], at: int) -> _Match | None:
    """The longest wording from ``node`` on: its end, what it is, and whether it is negated."""
    best = None if node.found is None else (at, node.found, False)
    negation, skipped, count = False, 0, len(words)
    while at < count and skipped <= _MOST_SKIPS:
        word = words[at]
        child = node.children.get(word)
        if child is not None:
            node, skipped = child, 0
            at += 1
            if node.found is not None:
                best = (at, node.found, negation)
            continue
        if word not in _SKIP or not node.children:
            break
        negation = negation or word in _NOT
        skipped += 1
        at += 1
    return best


def _of_the_rest(words: Sequence[str], at: int, denies: bool) -> bool:
    """Whether a thing is denied of the rest only, which says nothing of it.

    "The remaining ribs are intact", "no other opacity".
    """
    if not at or words[at - 1] not in _OTHERWISE:
        return False
    return denies or (at > 1 and words[at - 2] in _NO)


def _is_heading(words: Sequence[str], start: int, stop: int) -> bool:
    """Whether words ``start`` to ``stop`` belong to "Lines and tubes:" at the start of a line."""
    end = stop
    while end < len(words) and end - stop < 4 and words[end] not in ".;,?!:":
        end += 1
    if end >= len(words) or words[end] != ":":
        return False
    if end + 1 < len(words) and words[end + 1] in ("none", "absent", "present", "yes", "no"):
        return end + 2 < len(words) and words[end + 2] != "."
    begin = start
    while begin > 0 and start - begin < 5 and words[begin - 1] not in ".;?!":
        begin -= 1
    return begin == 0 or words[begin - 1] in ".;?!"


_ORDINALS = (
    *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"),
    *("tenth", "eleventh", "twelfth"),
)
_SUFFIXES = ("st", "nd", "rd", *["th"] * 9)


def numbered_forms(concept: Concept) -> list[str]:
    """The twelve of a counted place, in words and in figures; vertebrae by their letter."""
    if concept.numbered == "vertebra":
        return [f"t{n} vertebra" for n in range(1, 13)] + [
            f"t{n} vertebral body" for n in range(1, 13)
        ]
    return [
        *(f"{ordinal} {concept.numbered}" for ordinal in _ORDINALS),
        *(f"{n}{_SUFFIXES[n - 1]} {concept.numbered}" for n in range(1, 13)),
    ]


@functools.lru_cache(maxsize=1)
def default_extractor() -> LexiconExtractor:
    """The lexicon of the package, built once per process."""
    return LexiconExtractor()
