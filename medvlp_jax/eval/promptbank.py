"""Prompt banks: data files that say how each class is put into words.

A bank is a JSON file::

    {
      "name": "...", "description": "...",
      "positive": ["There is {a}.", ...],     templates that affirm a class
      "negative": ["No {c}.", ...],           templates that deny it
      "slots": {"degree": ["", "mild"]},      optional words that templates may name
      "classes": {
        "nodule": {
          "names": ["a pulmonary nodule", "a lung nodule"],
          "slots": {"site": ["left upper zone"]},      optional, over those of the bank
          "positive": ["..."], "negative": ["..."]     optional: INSTEAD of the bank's templates
        }
      }
    }

``{a}`` is a name as written, ``{c}`` the same without a leading article. A template is filled with
every name and every combination of the slots that it uses; equal results are kept once.

``no finding`` is never filled into the templates of the bank, because their denial would be denied
twice: it gives its own sentences, or is left out of the bank.
"""

import dataclasses
import itertools
import json
import pathlib
import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medvlp_jax.eval.protocol import EvalError

#: The banks that come with the package.
FOLDER = pathlib.Path(__file__).parent / "prompts"

#: Never filled into the templates: "no no finding" would be the opposite of what it says
#: (CheXzero's AUC of 0.07 for this class).
NO_FINDING = "no finding"

_BANK_KEYS = {"name", "description", "positive", "negative", "slots", "classes"}
_CLASS_KEYS = {"names", "slots", "positive", "negative"}


class PromptError(EvalError):
    """A bank is malformed; the message names the file and the entry."""


@dataclasses.dataclass(frozen=True)
class ClassPrompts:
    """The finished sentences of one class. ``negative`` is empty where the class has none."""

    positive: tuple[str, ...]
    negative: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class PromptBank:
    """A bank by class name; see :func:`load_bank`."""

    name: str
    classes: Mapping[str, ClassPrompts]

    def select(self, classes: Sequence[str]) -> list[ClassPrompts]:
        """Prompts of ``classes`` in order.

        Raises:
          PromptError: a class is not in the bank.
        """
        for c in classes:
            if c not in self.classes:
                known = ", ".join(self.classes)
                raise PromptError(f"prompt bank {self.name!r} has no class {c!r}; it has {known}")
        return [self.classes[c] for c in classes]


def load_bank(name: str | pathlib.Path, *, max_prompts: int = 0, seed: int = 0) -> PromptBank:
    """Reads a bank of the package by name (``reports``), or any JSON file by path.

    Args:
      name: name without ``.json``, or a path that ends in ``.json``.
      max_prompts: keep at most so many sentences per class and side, drawn once with ``seed``;
        0 keeps all. Slots multiply quickly.

    Raises:
      PromptError: no such bank, unknown or missing keys, a template that names an unknown slot.
    """
    path = pathlib.Path(name) if str(name).endswith(".json") else FOLDER / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.json")))
        raise PromptError(f"no prompt bank {str(name)!r}: give a .json file or one of {known}")
    try:
        raw = json.loads(path.read_text())
    except json.JSONDecodeError as e:
        raise PromptError(f"{path}: not JSON: {e}") from e
    _check_keys(path, "the bank", raw, _BANK_KEYS, required={"classes"})
    classes = {}
    for class_name, entry in raw["classes"].items():
        _check_keys(path, f"class {class_name!r}", entry, _CLASS_KEYS, required=set())
        if class_name == NO_FINDING and "positive" not in entry:
            raise PromptError(
                f"{path}: class {NO_FINDING!r} must give its own 'positive' sentences (and "
                "'negative' ones), because the denying templates would deny it twice; or leave it "
                "out, and it is one minus the most likely finding"
            )
        slots = raw.get("slots", {}) | entry.get("slots", {})
        names = entry.get("names", [class_name])
        sides = [
            _thin(
                _expand(
                    entry.get(side, [] if class_name == NO_FINDING else raw.get(side, [])),
                    names,
                    slots,
                    path,
                    class_name,
                ),
                max_prompts,
                seed,
            )
            for side in ("positive", "negative")
        ]
        if not sides[0]:
            raise PromptError(f"{path}: class {class_name!r} has no positive prompt")
        classes[class_name] = ClassPrompts(*sides)
    return PromptBank(raw.get("name", path.stem), classes)


def _check_keys(
    path: pathlib.Path, what: str, entry: Any, known: set[str], required: set[str]
) -> None:
    if not isinstance(entry, dict):
        raise PromptError(f"{path}: {what} must be an object, not {entry!r}")
    for key in entry:
        if key not in known:
            raise PromptError(f"{path}: {what} has the unknown key {key!r}; valid: {sorted(known)}")
    for key in required - set(entry):
        raise PromptError(f"{path}: {what} lacks the key {key!r}")


def _expand(
    templates: Sequence[str],
    names: Sequence[str],
    slots: Mapping[str, Sequence[str]],
    path: pathlib.Path,
    class_name: str,
) -> tuple[str, ...]:
    out: dict[str, None] = {}
    for template in templates:
        fields = {f for _, f, _, _ in string.Formatter().parse(template) if f is not None}
        used = sorted(fields - {"a", "c"})
        for slot in used:
            if slot not in slots:
                raise PromptError(
                    f"{path}: class {class_name!r}: template {template!r} names the slot "
                    f"{slot!r}; there are {sorted(slots) or 'none'}"
                )
        for name in names if fields & {"a", "c"} else [""]:
            bare = re.sub(r"^(an?|the) ", "", name)
            for words in itertools.product(*(slots[s] for s in used)):
                filled = template.format(a=name, c=bare, **dict(zip(used, words, strict=True)))
                out[_tidy(filled)] = None
    return tuple(out)


def _tidy(sentence: str) -> str:
    """One space between words, none before a stop, a capital at the start."""
    sentence = re.sub(r"\s+([.,;:])", r"\1", re.sub(r"\s+", " ", sentence).strip())
    return sentence[:1].upper() + sentence[1:]


def _thin(prompts: tuple[str, ...], at_most: int, seed: int) -> tuple[str, ...]:
    if not at_most or len(prompts) <= at_most:
        return prompts
    kept = np.random.default_rng(seed).choice(len(prompts), at_most, replace=False)
    return tuple(prompts[i] for i in sorted(kept))
