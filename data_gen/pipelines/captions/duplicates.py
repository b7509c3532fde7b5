"""Captions of one label that say the same in nearly the same words."""

import difflib

from data_gen.pipelines.captions.lexicon import words_of

#: Words that make no difference.
_EMPTY = frozenset(
    (
        *("a", "an", "the", "of", "on", "in", "at", "is", "are"),
        *("be", "this", "that", "it", "its", "to", "as", "by", "with"),
    )
)
#: Share of two captions' words, in order, above which they are one.
ALIKE = 0.9


class Kept:
    """The captions of a label that are kept, to compare the next with."""

    def __init__(self) -> None:
        self._kept: list[tuple[tuple[str, ...], str]] = []

    def add(self, text: str) -> None:
        self._kept.append((_content(text), text))

    def like(self, text: str) -> str:
        """The kept caption that ``text`` repeats; empty if there is none."""
        words = _content(text)
        for other, said in self._kept:
            if words == other or _ratio(words, other) >= ALIKE:
                return said
        return ""


def _content(text: str) -> tuple[str, ...]:
    return tuple(w for w in words_of(text) if w[0].isalnum() and w not in _EMPTY)


def _ratio(first: tuple[str, ...], second: tuple[str, ...]) -> float:
    longest = max(len(first), len(second))
    if 2 * min(len(first), len(second)) < ALIKE * (len(first) + len(second)) or not longest:
        return 0.0
    return difflib.SequenceMatcher(None, first, second, autojunk=False).ratio()
