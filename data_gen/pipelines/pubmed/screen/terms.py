"""Terms of a lexicon in a text: words and word sequences at word boundaries, longest first."""

import dataclasses
import functools
import re
from collections.abc import Iterable, Mapping

from data_gen.entities.scope import Span, judge
from data_gen.entities.tokens import Tokens

#: British spellings inside of words, and the American ones; plurals are undone by the tokens.
_SPELLINGS = (
    (re.compile(r"haem(?=[aeo])"), "hem"),
    (re.compile(r"isch?aem"), "ischem"),
    (re.compile(r"aemi(?=[ac])"), "emi"),
    (re.compile(r"oedem"), "edem"),
    (re.compile(r"tumour"), "tumor"),
    (re.compile(r"^grey$"), "gray"),
    (re.compile(r"leuco(?=[a-z])"), "leuko"),
    (re.compile(r"^ce?phalic$"), "cephalic"),
)
_STOPS = frozenset(".;?!")
_JOINTS = frozenset({"of", "for", "and", "the", "in", "on"})


@functools.lru_cache(maxsize=1 << 15)
def spelled(word: str) -> str:
    """A normalised word in American spelling, without the ending of a genitive."""
    word = word.removesuffix("'s")
    for pattern, other in _SPELLINGS:
        word = pattern.sub(other, word)
    return word


@dataclasses.dataclass(frozen=True)
class Found:
    """A term in a text.

    Attributes:
      term: as the lexicon has it.
      start, end: where, in characters.
      denied: whether the sentence says that it is not there.
    """

    term: str
    start: int
    end: int
    denied: bool = False


@dataclasses.dataclass(frozen=True)
class _Entry:
    term: str
    words: tuple[str, ...]
    open: bool  # the last word is the beginning of one
    tail: bool  # the one word is the end of one
    exact: bool  # an abbreviation: upper and lower case count


class Terms:
    """What a text is searched for.

    A term is a word or several; hyphens and spaces are the same, a plural is its singular, British
    spelling is American. ``*`` at the end stands for any ending of the last word; at the beginning
    of a single word, for any beginning. A word of capital letters alone is an abbreviation and
    stands as it is.
    """

    def __init__(
        self, terms: Iterable[str], ignored: Iterable[str], credits: Iterable[str]
    ) -> None:
        """Args:
        terms: what is looked for.
        ignored: word sequences in which no term counts ("brain drain").
        credits: what a sentence about sponsors and addresses says; no term counts in it.
        """
        self._first: dict[str, list[_Entry]] = {}
        self._open: dict[str, list[_Entry]] = {}
        self._tails: dict[str, list[_Entry]] = {}
        self._ignored: set[_Entry] = set()
        self._credits: set[_Entry] = set()
        for known, names in ((None, terms), (self._ignored, ignored), (self._credits, credits)):
            for name in names:
                entry = _entry(name)
                if known is not None:
                    known.add(entry)
                if entry.tail:
                    self._tails.setdefault(entry.words[0][-3:], []).append(entry)
                elif entry.open and len(entry.words) == 1:
                    self._open.setdefault(entry.words[0][:3], []).append(entry)
                else:
                    self._first.setdefault(entry.words[0], []).append(entry)
        for table in (self._first, self._open):
            for entries in table.values():
                entries.sort(key=lambda e: (-len(e.words), -len(e.words[-1])))

    def find(self, text: str, organisations: frozenset[str]) -> list[Found]:
        """The terms of a text in order, disjoint, without those in names of organisations.

        Args:
          organisations: normalised words that such a name has ("institute").
        """
        tokens = Tokens(text)
        words = [spelled(word) for word in tokens.words]
        spans: list[tuple[_Entry, int, int]] = []
        dropped: list[int] = []
        at = 0
        while at < len(words):
            entry = self._at(tokens, words, at)
            if entry is None:
                at += 1
                continue
            stop = at + len(entry.words)
            if entry in self._credits:
                dropped.append(at)
            elif entry not in self._ignored:
                spans.append((entry, at, stop))
            at = stop
        spans = [s for s in spans if not _in_name(tokens, words, s[1], s[2], organisations)]
        for at in dropped:
            low, high = _sentence(words, at)
            spans = [s for s in spans if not low <= s[1] < high]
        judged = [Span(start, stop) for _, start, stop in spans]
        judge(tokens, judged)
        return [
            Found(entry.term, tokens.starts[start], tokens.ends[stop - 1], span.negated)
            for (entry, start, stop), span in zip(spans, judged, strict=True)
        ]

    def _at(self, tokens: Tokens, words: list[str], at: int) -> _Entry | None:
        word = words[at]
        candidates = (
            *self._first.get(word, ()),
            *(e for e in self._first.get(word[:-1], ()) if e.exact),  # "CTs"
            *self._open.get(word[:3], ()),
            *self._tails.get(word[-3:], ()),
        )
        best: _Entry | None = None
        for entry in candidates:
            stop = at + len(entry.words)
            if best is not None and len(entry.words) <= len(best.words):
                continue
            if _fits(entry, tokens, words, at, stop):
                best = entry
        return best


def _entry(name: str) -> _Entry:
    plain = name.strip("*")
    if name.startswith("*"):
        if len(plain) < 3 or not plain.isalpha() or name.endswith("*"):
            raise ValueError(f"{name!r} is no term: the end of a word is three letters or more")
        return _Entry(name, (spelled(plain.lower()),), False, True, False)
    words = tuple(spelled(word) for word in Tokens(plain).words)
    if not words:
        raise ValueError(f"{name!r} is no term: it has no word")
    opened = name.endswith("*")
    if opened:  # what is cut off is no plural
        words = (*words[:-1], spelled(Tokens(plain).text.split()[-1].split("-")[-1].lower()))
    exact = any(c.isupper() for c in plain) and plain.upper() == plain
    return _Entry(name, words, opened, False, exact and len(words) == 1)


def _fits(entry: _Entry, tokens: Tokens, words: list[str], at: int, stop: int) -> bool:
    if stop > len(words) or tuple(words[at : stop - 1]) != entry.words[:-1]:
        return False
    last = words[stop - 1]
    if entry.tail:
        return last.endswith(entry.words[0]) and len(last) > len(entry.words[0]) + 1
    wanted = entry.words[-1]
    if not (last.startswith(wanted) if entry.open else last in (wanted, f"{wanted}s")):
        return False
    if last != wanted and not (entry.open or entry.exact):
        return False
    if entry.exact:
        said = tokens.text[tokens.starts[at] : tokens.ends[stop - 1]]
        return said in (entry.term, entry.term + "s")
    return True


def _sentence(words: list[str], at: int) -> tuple[int, int]:
    low = at
    while low > 0 and words[low - 1] not in _STOPS:
        low -= 1
    high = at
    while high < len(words) and words[high] not in _STOPS:
        high += 1
    return low, high


def _in_name(
    tokens: Tokens, words: list[str], start: int, stop: int, organisations: frozenset[str]
) -> bool:
    """Whether words are part of a name such as "Institute for Brain Research"."""

    def capital(at: int) -> bool:
        return tokens.text[tokens.starts[at]].isupper()

    if not capital(start):
        return False
    for step, first in ((1, stop), (-1, start - 1)):
        at = first
        while 0 <= at < len(words) and abs(at - first) < 6:
            if words[at] in organisations and capital(at):
                return True
            if not capital(at) and words[at] not in _JOINTS:
                break
            at += step
    return False


def all_terms(groups: Mapping[str, Iterable[str]]) -> list[str]:
    """The terms of all groups, each once."""
    return list(dict.fromkeys(term for terms in groups.values() for term in terms))
