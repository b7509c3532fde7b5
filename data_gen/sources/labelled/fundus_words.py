"""What the categories of fundus collections mean: labels, and one sentence that states them."""

import ast
import dataclasses
import functools
import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from data_gen.sources.importing.labels import plain

NORMAL = "no finding"
_FOLDED = ((re.compile(r"haem(?=[aeo])"), "hem"), (re.compile(r"oedem"), "edem"))
_SEPARATORS = re.compile(r"[，;]")


@functools.cache
def facts() -> dict[str, Any]:
    """``fundus.json``."""
    return json.loads(pathlib.Path(__file__).with_name("fundus.json").read_text(encoding="utf-8"))


def listed(cell: str) -> list[str]:
    """The categories of a cell: a list as Python prints it, or one name.

    Raises:
      ValueError: the cell begins like a list and is none.
    """
    if not cell.startswith("["):
        return [cell] if cell else []
    try:
        found = ast.literal_eval(cell)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as e:
        raise ValueError(f"{cell[:60]!r} is no list of names; a list is ['one', 'two']") from e
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ValueError(f"{cell[:60]!r} holds what is no name; a list is ['one', 'two']")
    return found


@dataclasses.dataclass(frozen=True)
class Meaning:
    """What the categories of one photograph say.

    Attributes:
      labels: 1 holds, 0 is denied, -1 is suspected; with what a label implies.
      stated: labels that the categories name themselves, in their order.
      unknown: categories that no table has.
      quality: what is said of the picture.
      ungradable: the picture shows too little.
    """

    labels: Mapping[str, int]
    stated: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    quality: tuple[str, ...] = ()
    ungradable: bool = False


class Words:
    """Reads categories by ``fundus.json`` and names of one's own."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """``names``: category -> label, before those of the table."""
        table = facts()
        self._values: dict[str, tuple[str, int]] = {}
        self._implied: dict[str, str] = {}
        self._said: dict[str, str] = {NORMAL: ""}
        for label, entry in table["labels"].items():
            for word in (label, *entry.get("spelled", ())):
                self._values[_fold(word)] = (label, 1)
                self._values[f"no {_fold(word)}"] = (label, 0)
            for word in entry.get("absent", ()):
                self._values[_fold(word)] = (label, 0)
            if "implies" in entry:
                self._implied[label] = entry["implies"]
            self._said[label] = entry.get("say", label)
        self._values |= {_fold(word): (NORMAL, 1) for word in table["normal"]}
        self._values |= {_fold(word): (plain(label), 1) for word, label in names.items()}
        self._ungradable, self._quality, self._vague = (
            frozenset(map(_fold, table[key])) for key in ("ungradable", "quality", "vague")
        )
        self._doubts = tuple(f"{word} " for word in table["uncertain"])

    def read(self, categories: Sequence[str]) -> Meaning:
        """What the categories of a photograph mean.

        Raises:
          ValueError: they affirm and deny one label.
        """
        stated: dict[str, int] = {}
        unknown, quality, ungradable = [], [], False
        for category in (part for name in categories for part in _SEPARATORS.split(name)):
            word = _fold(category)
            found = self._value(word)
            if found is not None:
                label, value = found
                if {stated.get(label, value), value} == {0, 1}:
                    raise ValueError(f"{label!r} is affirmed and denied in one list")
                stated[label] = value
            elif word in self._ungradable:
                ungradable = True
            elif word in self._quality:
                quality.append(word)
            elif word and word not in self._vague:
                unknown.append(category.strip())
        labels = dict(stated)
        for label in [name for name, value in stated.items() if value == 1]:
            while label := self._implied.get(label, ""):
                if labels.setdefault(label, 1) == 0:
                    raise ValueError(f"{label!r} is denied beside a kind of it")
        if any(value == 1 for name, value in labels.items() if name != NORMAL):
            labels.pop(NORMAL, None)  # of another structure, as "normal" of one of two eyes
        kept = tuple(name for name in stated if name in labels)
        return Meaning(labels, kept, tuple(unknown), tuple(quality), ungradable)

    def _value(self, word: str) -> tuple[str, int] | None:
        for doubt in self._doubts:
            if word.startswith(doubt) and self._values.get(word[len(doubt) :], ("", 0))[1] == 1:
                return self._values[word[len(doubt) :]][0], -1
        return self._values.get(word)

    def sentence(self, meaning: Meaning) -> str:
        """One sentence with all that is stated; "" where nothing is held or denied."""
        names: dict[int, list[str]] = {1: [], 0: [], -1: []}
        for label in meaning.stated:
            if said := self._said.get(label, label):
                names[meaning.labels[label]].append(said)
        normal = meaning.labels.get(NORMAL) == 1
        if not normal and not names[1] and not names[0]:
            return ""
        text = f"A {'normal ' if normal else ''}color fundus photograph"
        text += f" with {_joined(names[1], 'and')}" if names[1] else ""
        denied = [re.sub(r"^an? ", "", name) for name in names[0]]
        text += f", without {_joined(denied, 'or')}" if denied and names[1] else ""
        text += f" without {_joined(denied, 'or')}" if denied and not names[1] else ""
        return f"{text}."


def _joined(names: Sequence[str], word: str) -> str:
    head = ", ".join(names[:-1])
    return f"{head} {word} {names[-1]}" if head else names[-1]


def _fold(text: str) -> str:
    """Lower case with single blanks, without points at the ends, in American spelling."""
    word = " ".join(text.replace("_", " ").lower().split()).strip(" .,")
    for pattern, other in _FOLDED:
        word = pattern.sub(other, word)
    return word
