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

or, of finished sentences that only affirm, a list::

    [{"class": "nodule", "prompts": ["A nodule of the lung."]}, ...]

``{a}`` is a name as written, ``{c}`` the same without a leading article. A template is filled with
every name and every combination of the slots that it uses; equal results are kept once.

``no finding`` is never filled into the templates of the bank, because their denial would be denied
twice: it gives its own sentences, or is left out of the bank.
"""

import dataclasses
import itertools
import math
import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from medvlp_jax.eval.zeroshot.promptfile import (
    MAX_CHARACTERS,
    NAME_FIELDS,
    NO_FINDING,
    BankFile,
    PromptError,
    fields_of,
    read_bank,
)

__all__ = ["NO_FINDING", "ClassPrompts", "PromptBank", "PromptError", "load_bank"]

#: The banks that come with the package.
FOLDER = pathlib.Path(__file__).parent / "prompts"
#: Sentences of one side of a class, and of a whole bank, before some are drawn.
MAX_SENTENCES, MAX_ALL = 20_000, 100_000


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
      name: name without ``.json``, also one in a folder (``suites/PCAM``), or a path that ends in
        ``.json``.
      max_prompts: keep at most so many sentences per class and side, drawn once with ``seed``;
        0 keeps all. Slots multiply quickly.

    Raises:
      PromptError: no such bank; a malformed file, see :func:`promptfile.read_bank`; a template that
        names an unknown slot; more sentences than :data:`MAX_SENTENCES`; a class without an
        affirming sentence, or with one that also denies it.
    """
    path = _path(str(name))
    raw = read_bank(path)
    try:
        _check_size(raw)
        classes = {c: _prompts(raw, c, max_prompts, seed) for c in raw.classes}
    except ValueError as error:
        raise PromptError(f"{path}: {error}") from error
    return PromptBank(raw.name, classes)


def first_prompts(bank: PromptBank, count: int) -> PromptBank:
    """The bank with the first ``count`` sentences of each side, as protocols have it that read one.

    Raises:
      ValueError: ``count`` is below 1.
    """
    if count < 1:
        raise ValueError(f"first_prompts={count} must be positive")
    classes = {
        name: ClassPrompts(p.positive[:count], p.negative[:count])
        for name, p in bank.classes.items()
    }
    return PromptBank(f"{bank.name}, first {count}", classes)


def _path(name: str) -> pathlib.Path:
    """The file of a bank: a path, or a name below :data:`FOLDER`."""
    if name.endswith(".json"):
        return pathlib.Path(name)
    known = {p.relative_to(FOLDER).with_suffix("").as_posix(): p for p in FOLDER.rglob("*.json")}
    if name in known:
        return known[name]
    shown = sorted(n for n in known if "/" not in n)
    suites = sorted({n.split("/")[0] for n in known if "/" in n})
    raise PromptError(
        f"no prompt bank {name!r}: give a .json file or one of {', '.join(shown)}, or "
        f"{' or '.join(f'{s}/SET' for s in suites)} of a set of a suite"
    )


def _sides(raw: BankFile, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The templates that affirm and deny a class."""
    entry = raw.classes[name]
    if name == NO_FINDING:
        if entry.positive is None:
            raise ValueError(
                f"class {NO_FINDING!r} must give its own 'positive' sentences (and 'negative' "
                "ones), because the denying templates would deny it twice; or leave it out, and it "
                "is one minus the most likely finding"
            )
        return entry.positive, entry.negative or ()
    return (
        raw.positive if entry.positive is None else entry.positive,
        raw.negative if entry.negative is None else entry.negative,
    )


def _check_size(raw: BankFile) -> None:
    """Counts the sentences before any is made: a few slots are a billion of them."""
    total = 0
    for name, entry in raw.classes.items():
        slots = {**raw.slots, **entry.slots}
        for templates in _sides(raw, name):
            count = 0
            for template in templates:
                fields = fields_of(template)
                for slot in sorted(fields - {*NAME_FIELDS, *slots}):
                    raise ValueError(
                        f"class {name!r}: template {template!r} names the slot {slot!r}; there are "
                        f"{sorted(slots) or 'none'}"
                    )
                names = len(entry.names or [name]) if fields & {*NAME_FIELDS} else 1
                count += names * math.prod(len(slots[s]) for s in fields - {*NAME_FIELDS})
            if count > MAX_SENTENCES:
                raise ValueError(
                    f"class {name!r}: its slots make {count} sentences of one side, more than "
                    f"{MAX_SENTENCES}; leave out some of their words"
                )
            total += count
    if total > MAX_ALL:
        raise ValueError(f"the bank makes {total} sentences, more than {MAX_ALL}; split it")


def _prompts(raw: BankFile, name: str, max_prompts: int, seed: int) -> ClassPrompts:
    entry = raw.classes[name]
    names, slots = entry.names or (name,), {**raw.slots, **entry.slots}
    positive, negative = (_expand(side, names, slots, name) for side in _sides(raw, name))
    if not positive:
        raise ValueError(f"class {name!r} has no positive prompt")
    both = [p for p in positive if p in negative]
    if both:
        raise ValueError(f"class {name!r}: {both[0]!r} affirms and denies it")
    return ClassPrompts(_thin(positive, max_prompts, seed), _thin(negative, max_prompts, seed))


def _expand(
    templates: Sequence[str],
    names: Sequence[str],
    slots: Mapping[str, Sequence[str]],
    class_name: str,
) -> tuple[str, ...]:
    out: dict[str, None] = {}
    for template in templates:
        fields = fields_of(template)
        used = sorted(fields - {*NAME_FIELDS})
        for name in names if fields & {*NAME_FIELDS} else [""]:
            bare = re.sub(r"^(an?|the) ", "", name)
            for words in itertools.product(*(slots[s] for s in used)):
                filled = template.format(a=name, c=bare, **dict(zip(used, words, strict=True)))
                sentence = _tidy(filled)
                if not sentence or len(sentence) > MAX_CHARACTERS:
                    raise ValueError(
                        f"class {class_name!r}: template {template[:80]!r} makes a sentence of "
                        f"{len(sentence)} characters; 1 to {MAX_CHARACTERS} are of use"
                    )
                out[sentence] = None
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
