"""The JSON file of a prompt bank, checked entry by entry before anything is made of it.

Whatever is wrong with a file ends in one :class:`PromptError` that names the file and the entry: a
bank that is only nearly right would be scored without a word, one letter a prompt.
"""

import dataclasses
import json
import pathlib
import re
import string
from collections.abc import Mapping
from typing import Any

from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files import opening as files
from medvlp_jax.eval.base import EvalError

#: Bytes of a file, and characters of a text in it or made of it: more than any text tower reads.
MAX_BYTES, MAX_CHARACTERS = 1 << 22, 4000

#: Never filled into the templates: "no no finding" would be the opposite of what it says
#: (CheXzero's AUC of 0.07 for this class).
NO_FINDING = "no finding"

_BANK_KEYS = ("name", "description", "positive", "negative", "slots", "classes")
_LISTED_KEYS = ("class", "prompts")
_CLASS_KEYS = ("names", "slots", "positive", "negative")
#: What a template may name beside the slots.
NAME_FIELDS = ("a", "c")


class PromptError(EvalError):
    """A bank is malformed; the message names the file and the entry."""


Texts = tuple[str, ...]
Slots = Mapping[str, Texts]


@dataclasses.dataclass(frozen=True)
class ClassEntry:
    """A class as the file gives it; ``None`` where it does not."""

    names: Texts | None
    slots: Slots
    positive: Texts | None
    negative: Texts | None


@dataclasses.dataclass(frozen=True)
class BankFile:
    """A bank as the file gives it."""

    name: str
    positive: Texts
    negative: Texts
    slots: Slots
    classes: Mapping[str, ClassEntry]


def read_bank(path: pathlib.Path) -> BankFile:
    """Reads and checks a file; see :mod:`medvlp_jax.eval.zeroshot.promptbank` for what is in it.

    Raises:
      PromptError: no regular file, no JSON in UTF-8, a key twice or unknown, a value of another
        type, an empty list, a blank text, a template with more than plain fields.
    """
    shown = files.shown(path)
    with one_net(shown, "give a prompt bank: a JSON file in UTF-8", PromptError):
        # Saved by an editor of Windows, it may begin with a byte order mark.
        text = files.read_bytes(path, MAX_BYTES).decode("utf-8-sig")
        raw = json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_constant)
    with one_net(
        shown, "mend it (medvlp_jax/eval/prompts has examples)", PromptError, "is no bank"
    ):
        return _bank(raw, path.stem)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = next((n for i, n in enumerate(names) if n in names[:i]), None)
    if twice is not None:
        raise ValueError(f"the key {twice!r} stands twice")
    return dict(pairs)


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _bank(given: Any, stem: str) -> BankFile:
    listed = isinstance(given, list) and given and all(isinstance(e, dict) for e in given)
    raw: Any = _listed(given) if listed else given
    _check_object("the bank", raw, _BANK_KEYS)
    if "classes" not in raw:
        raise ValueError("the bank lacks the key 'classes'")
    for key in ("name", "description"):
        if key in raw:
            _check_text(f"{key!r}", raw[key])
    slots = _slots("the bank", raw)
    positive, negative = (_templates("the bank", raw, side) or () for side in _CLASS_KEYS[2:])
    classes = {name: _class(name, entry) for name, entry in _classes(raw["classes"])}
    return BankFile(raw.get("name", stem), positive, negative, slots, classes)


def _listed(raw: list[Any]) -> dict[str, Any]:
    """A bank of finished sentences alone, as others hand them on: an entry for each class."""
    classes: list[tuple[str, Any]] = []
    for number, entry in enumerate(raw, 1):
        what = f"entry {number}"
        _check_object(what, entry, _LISTED_KEYS)
        if missing := [key for key in _LISTED_KEYS if key not in entry]:
            raise KeyError(f"{what} lacks the key {missing[0]!r}")
        _check_text(f"{what}: 'class'", entry["class"])
        sentences = _texts(what, entry, "prompts") or ()
        # Sentences are no templates: a brace is a brace.
        plain = [s.replace("{", "{{").replace("}", "}}") for s in sentences]
        classes.append((entry["class"], {"positive": plain}))
    return {"classes": _distinct(classes)}


def _classes(raw: Any) -> list[tuple[str, Any]]:
    if not isinstance(raw, dict) or not raw:
        raise TypeError(
            f"'classes' must be an object with an entry per class, like "
            f'{{"nodule": {{"names": ["a nodule"]}}}}, not {_shown(raw)}'
        )
    spelled: dict[str, str] = {}
    for name in raw:
        _check_text("the name of a class", name)
        if name != " ".join(name.split()):
            raise ValueError(f"the class {name!r} has needless blanks in its name")
        plain = " ".join(name.casefold().replace("_", " ").split())
        if plain in spelled:
            raise ValueError(f"the classes {spelled[plain]!r} and {name!r} are one")
        if plain == NO_FINDING and name != NO_FINDING:
            raise ValueError(f"the class {name!r} is spelled {NO_FINDING!r}")
        spelled[plain] = name
    return list(raw.items())


def _class(name: str, raw: Any) -> ClassEntry:
    what = f"class {name!r}"
    _check_object(what, raw, _CLASS_KEYS)
    names = _texts(what, raw, "names")
    positive, negative = (_templates(what, raw, side) for side in _CLASS_KEYS[2:])
    return ClassEntry(names, _slots(what, raw), positive, negative)


def _check_object(what: str, raw: Any, known: tuple[str, ...]) -> None:
    if not isinstance(raw, dict):
        raise TypeError(f"{what} must be an object, not {_shown(raw)}")
    for key in raw:
        if key not in known:
            raise KeyError(f"{what} has the unknown key {key!r}; valid: {', '.join(known)}")


def _texts(what: str, raw: dict[str, Any], key: str, blank: bool = False) -> Texts | None:
    if key not in raw:
        return None
    given = raw[key]
    if not isinstance(given, list) or not given:
        hint = f"; write [{_shown(given)}]" if isinstance(given, str) else ""
        raise TypeError(f"{what}: {key!r} must be a list of texts, not {_shown(given)}{hint}")
    for text in given:
        _check_text(f"{what}: a text of {key!r}", text, blank)
    return tuple(given)


def _check_text(what: str, text: Any, blank: bool = False) -> None:
    if not isinstance(text, str):
        raise TypeError(f"{what} must be a text, not {_shown(text)}")
    if not text.strip() and not (blank and text == ""):
        raise ValueError(f"{what} is blank")
    if not all(c.isprintable() or c.isspace() for c in text):
        raise ValueError(f"{what}, {text[:60]!r}, has characters that cannot be printed")
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"{what} has {len(text)} characters, more than {MAX_CHARACTERS}")


def _slots(what: str, raw: dict[str, Any]) -> dict[str, Texts]:
    given = raw.get("slots", {})
    if not isinstance(given, dict):
        raise TypeError(f"{what}: 'slots' must be an object of lists, not {_shown(given)}")
    out = {}
    for slot in given:
        if not re.fullmatch(r"[A-Za-z_]\w*", slot) or slot in NAME_FIELDS:
            raise ValueError(f"{what}: a slot cannot be called {slot!r}")
        out[slot] = _texts(f"{what}: 'slots'", given, slot, blank=True) or ()
    return out


def _templates(what: str, raw: dict[str, Any], side: str) -> Texts | None:
    found = _texts(what, raw, side)
    for template in found or ():
        fields_of(template, what)
    return found


def fields_of(template: str, what: str = "template") -> set[str]:
    """The fields that a template names.

    Raises:
      ValueError: braces that do not close, or more in them than a name.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{what}: {template[:80]!r}: {error}; write {{{{ for a brace") from error
    for _, field, form, conversion in parts:
        if field is not None and (not re.fullmatch(r"[A-Za-z_]\w*", field) or form or conversion):
            raise ValueError(
                f"{what}: {template[:80]!r}: a field is a name in braces, like {{a}}; write {{{{ "
                "for a brace"
            )
    return {field for _, field, _, _ in parts if field is not None}


def _shown(value: Any) -> str:
    text = repr(value)[:60] if not isinstance(value, str) else json.dumps(value)[:60]
    return f"{type(value).__name__} {text}" if not isinstance(value, str) else text
