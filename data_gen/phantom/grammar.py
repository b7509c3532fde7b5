"""A small weighted context-free grammar with slots, and the joinery of sentences.

A rule maps a symbol to alternatives; an alternative is a string, or ``(string, weight)``. In it

* ``<symbol>`` is expanded in turn,
* ``{slot}`` is replaced by a value; an alternative whose slot is missing (absent or None) is not
  eligible, so a table can offer wordings that only some findings can fill,
* ``{?slot}`` and ``{!slot}`` write nothing and make the alternative eligible only if the slot is
  filled with something, or is not,
* ``[...]`` is written half of the time, and left out where it cannot be filled.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
Slots = Mapping[str, str | None]
Alternatives = Sequence[str | tuple[str, float]]

_TOKEN = re.compile(
    r"<(?P<symbol>[^<>]+)>|\{(?P<test>[?!]?)(?P<slot>[a-z_]+)\}|(?P<open>\[)|(?P<close>\])"
    r"|(?P<text>[^<>{}\[\]]+)"
)


class Chooser:
    """Deterministic choices from a key; uses only ``random()``, whose stream Python guarantees."""

    def __init__(self, key: str) -> None:
        self._random = random.Random(key)

    def chance(self, p: float) -> bool:
        return self._random.random() < p

    def pick(self, items: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """One item, with probability proportional to its weight (equal without weights)."""
        chosen = [1.0] * len(items) if weights is None else weights
        x = self._random.random() * sum(chosen)
        for item, weight in zip(items, chosen, strict=True):
            x -= weight
            if x < 0:
                return item
        return items[-1]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        keys = [self._random.random() for _ in items]
        return [item for _, item in sorted(zip(keys, items, strict=True), key=lambda p: p[0])]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """``count`` different items (or all, if there are fewer) in random order."""
        return self.shuffled(items)[:count]


@dataclass(frozen=True)
class _Text:
    text: str


@dataclass(frozen=True)
class _Slot:
    name: str
    test: str  # "" writes the value, "?" and "!" only test it


@dataclass(frozen=True)
class _Symbol:
    name: str


@dataclass(frozen=True)
class _Optional:
    parts: tuple["_Part", ...]


_Part = _Text | _Slot | _Symbol | _Optional


class Grammar:
    """Rules parsed and checked once; :meth:`expand` is a pure function of its arguments.

    Raises ``ValueError`` on construction for a rule that cannot be read, a reference to a symbol
    that has no rule, or a symbol that can reach itself.
    """

    def __init__(self, rules: Mapping[str, Alternatives]) -> None:
        self._rules: dict[str, tuple[list[tuple[_Part, ...]], list[float]]] = {}
        for symbol, alternatives in rules.items():
            pairs = [a if isinstance(a, tuple) else (a, 1.0) for a in alternatives]
            if not pairs:
                raise ValueError(f"grammar: <{symbol}> has no alternative")
            parsed = [_parse(text, symbol) for text, _ in pairs]
            self._rules[symbol] = (parsed, [weight for _, weight in pairs])
        for symbol in self._rules:
            self._check(symbol, ())

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._rules

    def expand(self, symbol: str, slots: Slots, chooser: Chooser) -> str:
        """One expansion with single spaces; ``ValueError`` if no alternative is eligible."""
        text = self._expand(symbol, slots, chooser)
        if text is None:
            raise ValueError(f"grammar: no alternative of <{symbol}> fits the slots {dict(slots)}")
        return tidy(text)

    def _expand(self, symbol: str, slots: Slots, chooser: Chooser) -> str | None:
        alternatives, weights = self._rules[symbol]
        left = list(range(len(alternatives)))
        while left:
            choice = chooser.pick(left, [weights[i] for i in left])
            text = self._join(alternatives[choice], slots, chooser)
            if text is not None:
                return text
            left.remove(choice)
        return None

    def _join(self, parts: tuple[_Part, ...], slots: Slots, chooser: Chooser) -> str | None:
        # Slots first: a missing one must not cost random draws, or a table edit that adds an
        # ineligible wording would change every report.
        for part in parts:
            if isinstance(part, _Slot):
                value = slots.get(part.name)
                fits = {"": value is not None, "?": bool(value), "!": not value}[part.test]
                if not fits:
                    return None
        out = []
        for part in parts:
            if isinstance(part, _Text):
                out.append(part.text)
            elif isinstance(part, _Slot):
                out.append(str(slots[part.name]) if part.test == "" else "")
            elif isinstance(part, _Symbol):
                text = self._expand(part.name, slots, chooser)
                if text is None:
                    return None
                out.append(text)
            elif chooser.chance(0.5):
                out.append(self._join(part.parts, slots, chooser) or "")
        return "".join(out)

    def _check(self, symbol: str, path: tuple[str, ...]) -> None:
        if symbol in path:
            raise ValueError(f"grammar: <{symbol}> can reach itself: {' > '.join(path)}")
        if symbol not in self._rules:
            raise ValueError(f"grammar: <{path[-1]}> refers to <{symbol}>, which has no rule")
        for alternative in self._rules[symbol][0]:
            for name in _references(alternative):
                self._check(name, (*path, symbol))


def _references(parts: tuple[_Part, ...]) -> list[str]:
    names = []
    for part in parts:
        if isinstance(part, _Symbol):
            names.append(part.name)
        elif isinstance(part, _Optional):
            names.extend(_references(part.parts))
    return names


def _parse(text: str, symbol: str) -> tuple[_Part, ...]:
    stack: list[list[_Part]] = [[]]
    at = 0
    for match in _TOKEN.finditer(text):
        if match.start() != at:
            break
        at = match.end()
        if match["symbol"]:
            stack[-1].append(_Symbol(match["symbol"]))
        elif match["slot"]:
            stack[-1].append(_Slot(match["slot"], match["test"]))
        elif match["open"]:
            stack.append([])
        elif match["close"]:
            if len(stack) == 1:
                break
            group = tuple(stack.pop())
            stack[-1].append(_Optional(group))
        else:
            stack[-1].append(_Text(match["text"]))
    if at != len(text) or len(stack) != 1:
        raise ValueError(f"grammar: <{symbol}> has an alternative that cannot be read: {text!r}")
    return tuple(stack[0])


def tidy(text: str) -> str:
    """Single spaces, none before punctuation, and "an" before a vowel."""
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r" ([,.;:])", r"\1", text)
    return re.sub(r"\b([Aa]) (?=[aeioAEIO8]|11 |18 |un[^i]|ul)", r"\1n ", text)


def sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    text = tidy(text)
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def listing(items: Sequence[str], conjunction: str) -> str:
    """``a, b, or c``."""
    if len(items) < 3:
        return f" {conjunction} ".join(items)
    return ", ".join(items[:-1]) + f", {conjunction} {items[-1]}"
