"""What a reference to figures says: "Fig. 2A,B" is panels A and B of figure 2."""

import dataclasses
import functools
import re

from data_gen.pipelines.pubmed.captions.labels import BETWEEN, DASHES, join_ranges, read_list

_LETTER = r"[A-Za-z](?:[1-9]|[ivx]{1,3}|['′])?(?![A-Za-z0-9])"
_LETTERS = rf"{_LETTER}(?:{BETWEEN}{_LETTER})*"
_PAREN = rf"\(\s*{_LETTERS}\s*\)"
_ONE_OR_PAREN = rf"(?:{_PAREN}|{_LETTERS})"
#: Letters behind a number: "A", "A,B", "(a, b)", "(a)–(d)".
_GROUPS = rf"{_ONE_OR_PAREN}(?:{BETWEEN}{_ONE_OR_PAREN})*"
_WORD = (
    r"(?:(?:supplement(?:ary|al)|extended\s+data|suppl?\.?|online|appendix)\s+)?"
    r"(?:figures?|figs?\.?|panels?|part)"
)
_NUMBERED = re.compile(rf"((?:[A-Z]{{1,2}}\.?)?\d+)(?:,?\s?({_GROUPS}))?", re.ASCII)
_HEAD = re.compile(rf"^\W*{_WORD}\s*", re.I)
_BEFORE = re.compile(rf"\b{_WORD}\s*$", re.I)
_ALONE = re.compile(rf"\s*({_GROUPS})\W*")
#: Letters that follow the reference at once.
_AFTER = re.compile(rf"({_GROUPS})")
#: Letters set off by a space or comma: in brackets, or capital letters that a sign closes.
_LATER = re.compile(
    rf"\s?({_PAREN}(?:{BETWEEN}{_PAREN})*)"
    rf"|,?\s*panels?\s+({_GROUPS})"
    r"|,?\s((?:[A-HJ-Z](?:\s*[,&" + DASHES + r"]\s*|\s*,?\s+and\s+))*[A-HJ-Z])(?=[,;)\].:]|$)"
)
_MORE = re.compile(rf"({BETWEEN})({_GROUPS})(?!\w)")
_TO = re.compile(rf"^\s*(?:[{DASHES}]|to|through)\s*$")
#: Nothing of a reference comes after these.
_ENDS = frozenset(").;:]")
#: How far before a reference its word may start.
_WORDS = 32


@dataclasses.dataclass(frozen=True)
class Reference:
    """``targets``: numbers of figures as printed ("3", "S2"; "" for none) with panel letters."""

    targets: tuple[tuple[str, tuple[str, ...]], ...]
    #: Characters before and after the text of the reference that belong to it.
    before: int = 0
    after: int = 0
    #: From the first to the last number, those between meant too.
    ranged: bool = False


def read_reference(text: str, before: str = "", after: str = "") -> Reference:
    """Reads the text of a reference and what stands around it.

    Args:
      text: of the reference itself, "Figures 3A–C and 4B", "2", "B".
      before, after: the running text on both sides, up to the next reference.
    """
    targets, ranged, headed = _inside(text)
    head = None if headed else _BEFORE.search(before[-_WORDS:])
    left = min(len(before), _WORDS) - head.start() if head else 0
    number, letters = targets[-1]
    letters, used = (letters, 0) if after[:1] in _ENDS else _following(letters, after)
    found = (*targets[:-1], (number, letters))
    cleaned = tuple((n, tuple(letter.upper() for letter in group)) for n, group in found)
    return Reference(cleaned, left, used, ranged)


@functools.lru_cache(4096)
def _inside(text: str) -> tuple[tuple[tuple[str, tuple[str, ...]], ...], bool, bool]:
    """Numbers with letters of a reference, whether it is a range, and whether it says "figure"."""
    stripped = text.strip()
    head = _HEAD.match(stripped)
    text = stripped[head.end() :] if head else stripped
    matches = list(_NUMBERED.finditer(text))
    targets = [(m[1], _letters(m[2] or "")) for m in matches]
    ranged = len(matches) == 2 and bool(_TO.match(text[matches[0].end() : matches[1].start()]))
    if ranged and targets[0][0] == targets[1][0] and targets[0][1] and targets[1][1]:
        joined = join_ranges(targets[0][1], targets[1][1])
        if joined:
            targets, ranged = [(targets[0][0], joined)], False
    if not targets:
        alone = _ALONE.fullmatch(text)
        targets = [("", _letters(alone[1]) if alone else ())]
    return tuple(targets), ranged, head is not None


def is_range(between: str) -> bool:
    """Whether the text between two references means "to"."""
    return _TO.match(between) is not None


def _letters(text: str) -> tuple[str, ...]:
    """As printed, ranges expanded; none where it counts backwards."""
    return read_list(re.sub(r"[()]", "", text)) or () if text else ()


def _following(letters: tuple[str, ...], after: str) -> tuple[tuple[str, ...], int]:
    if letters:
        more = _MORE.match(after)
        extra = _letters(more[2]) if more else ()
        # "2a, a patient" goes on with a word, "2a,b" with a panel: later, and of the same case.
        if (
            more
            and extra
            and extra[0].isupper() == letters[-1].isupper()
            and extra[0].upper() > letters[-1].upper()
            and extra[0] != "I"
        ):
            joined = join_ranges(letters, extra) if is_range(more[1]) else (*letters, *extra)
            if joined:
                return joined, more.end()
        return letters, 0
    for pattern in (_AFTER, _LATER):
        match = pattern.match(after)
        if match:
            found = _letters(next(group for group in match.groups() if group))
            if found:
                return found, match.end()
    return (), 0
