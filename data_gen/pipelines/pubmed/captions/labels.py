"""Panel labels as papers print them: lists, conjunctions, ranges, sub-numbers, roman numerals."""

import re
from collections.abc import Sequence
from typing import Literal

#: How a set of labels counts on.
Family = Literal["upper", "lower", "roman_upper", "roman_lower", "digit"]

#: All that stands for "to": hyphens, dashes, minus, tilde.
DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2212\u301c\uff5e~\u223c"
#: A letter, perhaps with a sub-number, a small roman one or a prime; a roman numeral; a number.
LABEL = r"(?:[A-Za-z](?:[1-9]\d?|[ivx]{1,4}|['′″])?|[IVX]{1,5}|[ivx]{1,5}|[1-9]\d?)(?![\w'’′])"
_AND = r"(?:,?\s*(?:and|&|or|und|et)\s*|\s*[,;/+]\s*)"
_TO = rf"(?:\s*[{DASHES}]\s*|\s+(?:to|through|thru)\s+)"
#: What stands between two labels of a list.
BETWEEN = rf"(?:{_AND}|{_TO})"
#: One label or several; a list that is itself a range is still one.
LIST = rf"{LABEL}(?:{BETWEEN}{LABEL}){{0,25}}"

_PIECES = re.compile(rf"({LABEL})|({_TO})|({_AND})")
_ONE = re.compile(r"([A-Za-z]|[IVX]+|[ivx]+|\d+)(\d*|[ivx]*|['′″]?)")
_ROMAN_WORDS = """
I II III IV V VI VII VIII IX X XI XII XIII XIV XV XVI XVII XVIII XIX XX
"""
_ROMAN = _ROMAN_WORDS.split()
_VALUE = {roman: i + 1 for i, roman in enumerate(_ROMAN)}
#: No figure has more panels of one kind.
_MOST = 60


def read_list(text: str) -> tuple[str, ...] | None:
    """The labels of a list as printed, ranges expanded; None where it is no list of labels.

    "A–C" gives A, B, C; "a, c and d" gives a, c, d; "A1-A3" and "A1-3" give A1, A2, A3; "i-iii"
    gives i, ii, iii. A range that does not count upwards is no list.
    """
    labels: list[str] = []
    position, ranged = 0, False
    text = text.strip()
    while position < len(text):
        match = _PIECES.match(text, position)
        if match is None:
            return None
        position = match.end()
        if match[1] is None:
            ranged = match[2] is not None
        elif ranged and labels:
            between = _range(labels[-1], match[1])
            if not between:
                return None
            labels += between[1:]
            ranged = False
        else:
            labels.append(match[1])
    return tuple(dict.fromkeys(labels)) or None


def join_ranges(first: Sequence[str], last: Sequence[str]) -> tuple[str, ...] | None:
    """Labels of "(first)–(last)"; None where that does not count upwards."""
    between = _range(first[-1], last[0])
    if not between:
        return None
    return tuple(dict.fromkeys((*first[:-1], *between, *last[1:])))


def _range(first: str, last: str) -> list[str]:
    """From ``first`` to ``last``, both included; empty where they do not count upwards."""
    a, b = re.fullmatch(r"(\D+)(\d+)", first), re.fullmatch(r"(\D*)(\d+)", last)
    if a and b and b[1] in ("", a[1]):
        return [f"{a[1]}{n}" for n in _numbers(int(a[2]), int(b[2]))]
    if a and b and a[2] == b[2] and len(a[1]) == len(b[1]) == 1:  # A1–C1
        return [f"{chr(n)}{a[2]}" for n in _numbers(ord(a[1]), ord(b[1]))]
    if first.isdecimal() and last.isdecimal():
        return [str(n) for n in _numbers(int(first), int(last))]
    roman = [_VALUE.get(label.upper()) for label in (first, last)]
    same_case = first.isupper() == last.isupper()
    letters = len(first) == len(last) == 1 and first.isalpha() and last.isalpha()
    # "I–V" and "i–v" count in Roman numerals; "C–I" in letters.
    if roman[0] and roman[1] and same_case and (not letters or first.upper() == "I"):
        found = [_ROMAN[n - 1] for n in _numbers(roman[0], roman[1])]
        return found if first.isupper() else [label.lower() for label in found]
    if letters and same_case:
        return [chr(n) for n in _numbers(ord(first), ord(last))]
    return []


def _numbers(first: int, last: int) -> range:
    return range(first, last + 1) if first < last <= first + _MOST else range(0)


def number_in(label: str, family: Family) -> int | None:
    """Where a label stands in its family, from 1; None where it is of another one.

    Sub-numbers, small roman ones and primes are not counted: "B2" is the second letter.
    """
    if family == "digit":
        return int(label) if label.isdecimal() else None
    if family in ("roman_upper", "roman_lower"):
        same = label.isupper() if family == "roman_upper" else label.islower()
        return _VALUE.get(label.upper()) if same else None
    if not label[:1].isalpha():
        return None
    letter, rest = label[0], label[1:]
    if letter.isupper() != (family == "upper"):
        return None
    if rest and not (rest.isdecimal() or rest in "'′″" or (rest.islower() and letter.isupper())):
        return None
    return ord(letter.upper()) - ord("A") + 1
