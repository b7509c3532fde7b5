"""What may be a panel label in a caption, for each way of setting them off."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence

from data_gen.pipelines.pubmed.base import Mark
from data_gen.pipelines.pubmed.captions.labels import (
    BETWEEN,
    DASHES,
    LIST,
    join_ranges,
    read_list,
)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A possible label: where it stands with its signs, and what is printed."""

    start: int
    end: int
    labels: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Style:
    """A way of setting labels off.

    Attributes:
      name: of the style; the letter in it is made to fit the case.
      weight: what a label of this style counts in the vote.
      least: labels that it must have to count as labels at all.
      leading: labels lead what they are about; otherwise each sentence is asked.
      loose: stands amid text without any sign, so that only the sequence tells.
      find: the candidates in a text, in order.
    """

    name: str
    weight: float
    least: int
    leading: bool
    loose: bool
    find: Callable[[str, Sequence[Mark]], Iterator[Candidate]]


_THING = (
    r"(?:arrow ?heads?|arrows?|asterisks?|stars?|circles?|box(?:es)?|insets?|panels?|rows?|columns?"
    r"|images?|views?|lines?|bars?|left|right|top|bottom|middle|center|upper|lower)"
)
_SPECIFIED = rf"(?i:\s*[,;:]\s*(?:[a-z]+[ -]){{0,3}}{_THING}(?:\s+{_THING})?)?"
_KIND = r"(?i:(?:panels?|figures?|figs?\.?|part)\s+)?"
_PAREN = re.compile(rf"(?<![A-Za-z0-9])\(\s*{_KIND}({LIST}){_SPECIFIED}\s*\)")
_BRACKET = re.compile(rf"(?<![A-Za-z0-9])\[\s*{_KIND}({LIST}){_SPECIFIED}\s*\]")
_HALF = re.compile(rf"(?<![\w(\[./{DASHES}])({LIST})\)")
_SIGN_START = r"(?:(?<=[.;:!?]\s)|(?<=[,)]\s)|(?<=\sand\s)|^)"
_SIGNS = {
    ",": re.compile(rf"(?:(?<=[.;:!?]\s)|^)({LIST})\s?,(?=\s)"),
    ".": re.compile(rf"(?:(?<=[.;:!?]\s)|^)({LIST})\s?\.(?=\s)"),
    ":": re.compile(rf"{_SIGN_START}({LIST})\s?:(?=\s)"),
    "=": re.compile(rf"{_SIGN_START}({LIST})\s?=(?=\s)"),
    "-": re.compile(rf"{_SIGN_START}({LIST})\s[{DASHES}](?=\s)"),
}
_BARE = re.compile(rf"(?:(?<=[.;:!?]\s)|^)({LIST})(?=\s+[A-Z0-9])")
_PANEL = re.compile(rf"\b(?:[Ii]n\s+)?(?:[Tt]he\s+)?[Pp]anels?\s+\(?({LIST})\)?\s?[:.,]?")
_OWN_NUMBER = re.compile(
    rf"(?:(?<=[.;:!?]\s)|^)(?:Fig(?:ure|s|\.)?\.?\s*)?(\d{{1,2}})\s?\(?([A-Za-z](?:{BETWEEN}[A-Za-z])*)"
    r"(?![A-Za-z0-9])\)?\s?[:.,]?(?=\s)"
)
_JOIN_TO = re.compile(rf"\s*(?:[{DASHES}]|to|through)\s*")
_JOIN_AND = re.compile(r"\s*(?:,\s*(?:and|&)?|and|&)\s*")


def _by_pattern(pattern: re.Pattern) -> Callable[[str, Sequence[Mark]], Iterator[Candidate]]:
    def find(text: str, marks: Sequence[Mark]) -> Iterator[Candidate]:
        for match in pattern.finditer(text):
            labels = read_list(match[1])
            if labels:
                yield Candidate(match.start(), match.end(), labels)

    return find


def _half(text: str, marks: Sequence[Mark]) -> Iterator[Candidate]:
    """ "a)" where no bracket is open."""
    for match in _HALF.finditer(text):
        start = match.start()
        if text.rfind("(", 0, start) > text.rfind(")", 0, start):
            continue
        labels = read_list(match[1])
        if labels:
            yield Candidate(start, match.end(), labels)


def _set(text: str, marks: Sequence[Mark]) -> Iterator[Candidate]:
    """Stretches in bold or italics that are labels and nothing else, signs apart."""
    last = -1
    for mark in marks:
        if mark.kind not in ("bold", "italic") or mark.start < last:
            continue
        piece = text[mark.start : mark.end]
        bare = piece.strip(" .,:;()[]" + DASHES)
        # A bracket around it makes it another style.
        if not bare or len(bare) > 24 or text[max(0, mark.start - 1) : mark.start] in ("(", "["):
            continue
        labels = read_list(bare)
        if labels:
            last = mark.end
            yield Candidate(mark.start, mark.end, labels)


def _own_number(text: str, marks: Sequence[Mark]) -> Iterator[Candidate]:
    """ "Fig. 1a", "1A:" at the start of sentences, all with one number."""
    found = list(_OWN_NUMBER.finditer(text))
    if len({match[1] for match in found}) != 1:
        return
    for match in found:
        labels = read_list(match[2])
        if labels:
            yield Candidate(match.start(), match.end(), labels)


#: In the order in which a tie is decided.
STYLES = (
    Style("(a)", 1.0, 1, False, False, _by_pattern(_PAREN)),
    Style("[a]", 1.0, 2, False, False, _by_pattern(_BRACKET)),
    Style("bold", 1.0, 2, False, True, _set),
    Style("a)", 0.95, 2, False, False, _half),
    Style("a:", 0.9, 2, True, False, _by_pattern(_SIGNS[":"])),
    Style("a,", 0.9, 2, True, False, _by_pattern(_SIGNS[","])),
    Style("a.", 0.9, 2, True, False, _by_pattern(_SIGNS["."])),
    Style("a -", 0.9, 2, True, False, _by_pattern(_SIGNS["-"])),
    Style("a =", 0.85, 2, True, False, _by_pattern(_SIGNS["="])),
    Style("panel a", 0.95, 2, True, False, _by_pattern(_PANEL)),
    Style("figure a", 0.9, 2, True, False, _own_number),
    Style("a", 0.8, 2, True, False, _by_pattern(_BARE)),
)


def joined(text: str, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Neighbours with nothing but "to", "and" or a comma between them as one."""
    result: list[Candidate] = []
    for one in candidates:
        if result:
            last = result[-1]
            between = text[last.end : one.start]
            labels: tuple[str, ...] | None = None
            if _JOIN_TO.fullmatch(between):
                labels = join_ranges(last.labels, one.labels)
            elif _JOIN_AND.fullmatch(between):
                labels = tuple(dict.fromkeys((*last.labels, *one.labels)))
            if labels:
                result[-1] = Candidate(last.start, one.end, labels)
                continue
        result.append(one)
    return result
