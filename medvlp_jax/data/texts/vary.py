"""A second version of a text: the four operations of EDA (Wei & Zou 2019, arXiv:1901.11196)."""

import functools
import json
import pathlib
from collections.abc import Callable

import numpy as np

#: Groups of words that may stand for each other in a report without changing what it finds. EDA's
#: own thesaurus is a general one, which does change findings.
_SYNONYMS = pathlib.Path(__file__).parent / "synonyms.json"


def vary(text: str, share: float, rng: np.random.Generator) -> str:
    """The text with a few words replaced, added, exchanged or gone; one kind of change a call.

    Args:
      text: words are what stands between blanks.
      share: of the words: so many (at least one) are replaced by a synonym, get the synonym of a
        random word put in somewhere, or change places in pairs; or each is deleted with this
        probability. One word always stays, and a text without synonyms is left as it is by the
        first two.
      rng: draws the kind of change and the places.
    """
    words = text.split()
    if len(words) < 2:
        return text
    change = _CHANGES[int(rng.integers(len(_CHANGES)))]
    return " ".join(change(words, share, rng))


def synonyms(word: str) -> tuple[str, ...]:
    """Words that may stand for this one: its case and the marks after it are kept."""
    bare = word.rstrip(".,;:")
    found = _table().get(bare.lower(), ())
    tail = word[len(bare) :]
    return tuple((s.capitalize() if bare[:1].isupper() else s) + tail for s in found)


@functools.cache
def _table() -> dict[str, tuple[str, ...]]:
    groups = json.loads(_SYNONYMS.read_text(encoding="utf-8"))["groups"]
    table: dict[str, list[str]] = {}
    for group in groups:
        for word in group:
            table.setdefault(word, []).extend(w for w in group if w != word)
    return {word: tuple(dict.fromkeys(others)) for word, others in table.items()}


def _count(words: list[str], share: float) -> int:
    return max(1, round(share * len(words)))


def _draw(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _replaced(words: list[str], share: float, rng: np.random.Generator) -> list[str]:
    places = [i for i, word in enumerate(words) if synonyms(word)]
    out = list(words)
    for i in rng.permutation(places)[: _count(words, share)].astype(int):
        out[i] = _draw(synonyms(words[i]), rng)
    return out


def _inserted(words: list[str], share: float, rng: np.random.Generator) -> list[str]:
    known = [word.rstrip(".,;:").lower() for word in words if synonyms(word)]
    out = list(words)
    for _ in range(_count(words, share) if known else 0):
        new = _draw(synonyms(known[int(rng.integers(len(known)))]), rng)
        out.insert(int(rng.integers(len(out) + 1)), new)
    return out


def _swapped(words: list[str], share: float, rng: np.random.Generator) -> list[str]:
    out = list(words)
    for _ in range(_count(words, share)):
        i, j = rng.choice(len(out), 2, replace=False)
        out[i], out[j] = out[j], out[i]
    return out


def _deleted(words: list[str], share: float, rng: np.random.Generator) -> list[str]:
    kept = [word for word, u in zip(words, rng.random(len(words)), strict=True) if u >= share]
    return kept or [words[int(rng.integers(len(words)))]]


_CHANGES: tuple[Callable[[list[str], float, np.random.Generator], list[str]], ...] = (
    _replaced, _inserted, _swapped, _deleted,
)  # fmt: skip
