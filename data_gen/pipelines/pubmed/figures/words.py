"""Signs that were read next to each other, as panel labels: A, (b), iv, 3, A1."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from data_gen.pipelines.pubmed.figures.alphabet import SAME_FORM, SIGNS

Series = Literal["letter", "roman", "digit", "letter and digit"]
Case = Literal["upper", "lower", ""]

#: Roman numerals that number panels.
ROMAN = (
    "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii", "xiii", "xiv",
    "xv", "xvi",
)  # fmt: skip
#: Most signs of a label with its brackets.
LONGEST = 6
#: A sign counts as a possibility from this probability on.
_POSSIBLE = 0.12
_MOST_READINGS = 12


class Reading(NamedTuple):
    """One way to understand a word.

    Attributes:
      series: what it counts in.
      case: of its letters; "" where their form does not tell.
      text: in lower case, without brackets.
      place: in its series, from 0; letter and digit count 100 a letter.
      score: 0 to 1, the least certain sign's.
    """

    series: Series
    case: Case
    text: str
    place: int
    score: float


@dataclasses.dataclass(frozen=True)
class Answers:
    """The reader's answers about one glyph.

    Attributes:
      signs: probability of each of :data:`SIGNS`.
      upper: probability that it is a capital.
    """

    signs: Float[np.ndarray, "k"]
    upper: float

    def possible(self) -> list[tuple[str, float]]:
        order = np.argsort(-self.signs)[:3]
        return [(SIGNS[i], float(self.signs[i])) for i in order if self.signs[i] >= _POSSIBLE]


def readings(glyphs: Sequence[Answers]) -> list[Reading]:
    """Every way to understand a word as a label, the likeliest first; none for other words."""
    if not 1 <= len(glyphs) <= LONGEST:
        return []
    options = [g.possible() for g in glyphs]
    if not all(options):
        return []
    out: dict[tuple[Series, str], Reading] = {}
    for choice in itertools.islice(itertools.product(*options), _MOST_READINGS * 4):
        text = "".join(sign for sign, _ in choice)
        score = min(p for _, p in choice)
        start, end = _core(text)
        if start is None:
            continue
        for series, place in _series(text[start:end]):
            case = _case(text[start:end], glyphs[start:end])
            one = Reading(series, case, text[start:end], place, score)
            key = (series, one.text)
            if key not in out or out[key].score < score:
                out[key] = one
    return sorted(out.values(), key=lambda r: -r.score)[:_MOST_READINGS]


def _core(text: str) -> tuple[int | None, int]:
    """Where the label stands between its brackets and before its full stop."""
    start, end = 0, len(text)
    if text.startswith("("):
        start = 1
        if not text.endswith(")") and len(text) > 1:
            end = len(text)
    if end - start > 1 and text[end - 1] in ").":
        end -= 1
    core = text[start:end]
    return (start, end) if core and core.isalnum() else (None, 0)


def _series(text: str) -> list[tuple[Series, int]]:
    out: list[tuple[Series, int]] = []
    if len(text) == 1 and text.isalpha():
        out.append(("letter", ord(text) - ord("a")))
    if text in ROMAN:
        out.append(("roman", ROMAN.index(text)))
    if text.isdigit() and len(text) <= 2 and not text.startswith("0"):
        out.append(("digit", int(text) - 1))
    if len(text) in (2, 3) and text[0].isalpha() and text[1:].isdigit() and text[1] != "0":
        out.append(("letter and digit", 100 * (ord(text[0]) - ord("a")) + int(text[1:]) - 1))
    return out


def _case(text: str, glyphs: Sequence[Answers]) -> Case:
    told = [g.upper for sign, g in zip(text, glyphs, strict=True) if sign.isalpha()
            and sign not in SAME_FORM]  # fmt: skip
    if not told:
        return ""
    return "upper" if np.mean(told) > 0.5 else "lower"
