"""Labels of a caption as places that a panel can take, and how they are compared with readings."""

import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Sequence

from data_gen.pipelines.pubmed.base import ReadLabel, SplitCaption
from data_gen.pipelines.pubmed.match.position import is_position

_AROUND = "()[]{}.,:;-–_ "
#: Characters that a reader takes for each other.
_ALIKE = str.maketrans("01582642LQ", "OISBZGAZIO")
#: What such a reading counts, and one in the other case where the cases look different.
_CONFUSED, _OTHER_CASE = 0.6, 0.9
_SAME_IN_BOTH_CASES = set("CKOPSUVWXZ")
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}


@dataclasses.dataclass(frozen=True)
class Slot:
    """A place for one panel.

    Attributes:
      label: as a panel would read it, upper case.
      parts: of the caption that have the label.
      of: the caption's label, where the panels read sub-labels of it ("A" for "A1").
    """

    label: str
    parts: tuple[int, ...]
    of: str = ""


def normal(text: str) -> str:
    """``"(a)"`` -> ``"A"``: upper case, without brackets and stops."""
    plain = unicodedata.normalize("NFKC", text).replace("’", "'").replace("′", "'")
    return "".join(plain.split()).strip(_AROUND).upper()


def likeness(read: str, label: str, lower: bool | None = None) -> float:
    """How well a reading stands for a label, from 0 to 1.

    Args:
      read: as printed.
      label: upper case.
      lower: whether the caption writes its labels in lower case; None where that is not known.
    """
    found = normal(read)
    if not found:
        return 0.0
    if found != label:
        alike = found.translate(_ALIKE) == label.translate(_ALIKE) and len(found) == len(label)
        return _CONFUSED if alike else 0.0
    letters = [c for c in unicodedata.normalize("NFKC", read) if c.isalpha()]
    telling = [c for c in letters if c.upper() not in _SAME_IN_BOTH_CASES]
    if lower is None or not telling or all(c.islower() == lower for c in telling):
        return 1.0
    return _OTHER_CASE


def in_lower_case(split: SplitCaption) -> bool | None:
    """Whether the caption's labels are lower case; None where it has both or none."""
    marks = [split.text[m.start : m.end] for part in split.parts for m in part.marks]
    letters = [c for mark in marks for c in mark if c.isalpha()]
    if not letters:
        return None
    lower = sum(c.islower() for c in letters)
    return None if 0 < lower < len(letters) else lower > 0


def slots_of(split: SplitCaption, labels: Iterable[ReadLabel], least: float) -> list[Slot]:
    """A slot for every letter, number or numeral of the caption, in the order of labels.

    A label that several parts have is one slot. Where the caption has A alone and panels read A1
    and A2, these are the slots.

    Args:
      labels: that were read in the figure.
      least: score of a reading that may be such a sub-label.
    """
    parts: dict[str, list[int]] = {}
    for i, part in enumerate(split.parts):
        for label in dict.fromkeys(map(normal, filter(_is_label, part.labels))):
            parts.setdefault(label, []).append(i)
    found = {normal(one.text) for one in labels if one.score >= least}
    out = []
    for label in in_order(list(parts)):
        own = tuple(parts[label])
        subs = [] if label in found else _subs(label, found - set(parts))
        out += [Slot(s, own, label) for s in subs] or [Slot(label, own)]
    return out


def _is_label(label: str) -> bool:
    return not is_position(label) and normal(label) != ""


def _subs(label: str, found: set[str]) -> list[str]:
    if not label.isalpha():
        return []
    subs = [one for one in found if re.fullmatch(re.escape(label) + r"\d{1,2}", one)]
    return in_order(subs) if len(subs) > 1 else []


def in_order(labels: Sequence[str]) -> list[str]:
    """Labels as a figure counts them; those of mixed kinds stay as they stand in the text."""
    if len(labels) > 1 and "I" in labels and all(map(_roman, labels)):
        return sorted(labels, key=_roman)
    keys = [_key(label) for label in labels]
    if len({kind for kind, *_ in keys}) != 1:
        return list(labels)
    return [label for _, label in sorted(zip(keys, labels, strict=True))]


def _key(label: str) -> tuple[str, int, str, int]:
    found = re.fullmatch(r"([A-Z]*)('*)(\d*)('*)", label)
    if not found or not label:
        return "other", 0, label, 0
    letters, number = found[1] + found[2], int(found[3] or 0)
    shape = ("letter" if letters else "") + ("number" if found[3] else "")
    return shape, len(letters), letters, number


def _roman(label: str) -> int:
    """Value of a numeral; 0 for what is none."""
    if not re.fullmatch(r"X{0,3}(IX|IV|V?I{0,3})", label):
        return 0
    values = [_ROMAN[c] for c in label]
    pairs = zip(values, [*values[1:], 0], strict=True)
    return sum(-v if v < after else v for v, after in pairs)
