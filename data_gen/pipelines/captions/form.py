"""Faults of a caption that need no medicine: marks, run-together words, other languages, length."""

import functools
import re
import unicodedata
from collections.abc import Iterator

from data_gen.entities.tokens import normal
from data_gen.pipelines.captions.lexicon import Lexicon, fold
from data_gen.pipelines.captions.reasons import FOREIGN, GLUED, LENGTH, PUNCTUATION

#: Least and most words of a caption.
SHORTEST, LONGEST = 4, 40
_MARKS = re.compile(r"\.\s*\.|[,;:!?]\s*[,;:!?.]|\.\s*[,;:]|\s[,;:!?](?:\s|$)|\s\.\s*$|\(\s*\)")
_TWICE = re.compile(r"\b([A-Za-z]+) \1\b", re.I)
_NO_SPACE = re.compile(r"[a-z][.,;:!?][A-Za-z]{2,}")
_CAMEL = re.compile(r"\b[a-z]+[A-Z]\w*|\b[A-Z][a-z]+[A-Z]\w*")
_MARKUP = re.compile(r"[<>{}\[\]|\\#*_^=~@\n\t`]|https?:|^\s*(?:\d+[.)]|[-•])\s|\"\s*$|^\s*\"")
_TALK = re.compile(
    r"^\s*(?:here (?:are|is)\b|sure\b|certainly\b|caption\b|as an ai\b|note:|i (?:can|am|will)\b)",
    re.I,
)
_WORD = re.compile(r"[A-Za-z]+")


def faults_of_form(text: str, lexicon: Lexicon) -> Iterator[tuple[str, str]]:
    """(reason, detail) of everything that is wrong with how a caption is written."""
    count = len(text.split())
    if not SHORTEST <= count <= LONGEST:
        yield LENGTH, f"{count} words"
    marks = _MARKS.search(text)
    if marks:
        yield PUNCTUATION, repr(marks[0])
    twice = _TWICE.search(text)
    if twice:
        yield PUNCTUATION, repr(twice[0])
    foreign = _foreign(text, lexicon)
    if foreign:
        yield FOREIGN, foreign
    glued = _glued(text, lexicon)
    if glued:
        yield GLUED, repr(glued)


def _foreign(text: str, lexicon: Lexicon) -> str:
    for pattern in (_MARKUP, _TALK):
        found = pattern.search(text)
        if found:
            return repr(found[0])
    for c in text:
        if c.isalpha() and not unicodedata.name(c, "").startswith("LATIN"):
            return repr(c)
    return next((repr(w) for w in _WORD.findall(fold(text)) if w in lexicon.foreign), "")


def _glued(text: str, lexicon: Lexicon) -> str:
    """The first place where a space is missing; empty if there is none."""
    for pattern in (_NO_SPACE, _CAMEL):
        found = pattern.search(text)
        if found:
            return found[0]
    for word in _WORD.findall(fold(text)):
        if not _known(word, lexicon) and _parts(word, lexicon):
            return word
    return ""


def _known(word: str, lexicon: Lexicon) -> bool:
    return word in lexicon.words or normal(word) in lexicon.words


@functools.lru_cache(maxsize=1 << 14)
def _parts(word: str, lexicon: Lexicon) -> bool:
    """Whether an unknown word is two known ones; one letter counts before a long one alone."""
    for cut in range(1, len(word) - 1):
        first, second = word[:cut], word[cut:]
        if first in lexicon.prefixes or not (_known(first, lexicon) and _known(second, lexicon)):
            continue
        if len(first) == 1 and not (first == "a" and len(second) >= 4):
            continue
        if len(second) == 2 and second not in lexicon.small:
            continue
        if len(second) > 2 or len(first) > 2:
            return True
    return False
