"""Splits as tables and paths spell them."""

import difflib
import re
from collections.abc import Mapping

from medvlp_jax.core.files.opening import shown
from medvlp_jax.data.store.record import SPLIT_PATTERN

#: Other words for splits.
SPELLINGS = {
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validate": "validation",
    "dev": "validation",
    "testing": "test",
}
_USUAL = ("train", "validation", "test")


def spelled_split(cell: str, column: str, more: Mapping[str, str] | None = None) -> str:
    """The split that a cell names, in the spelling of ``more`` or one of the usual ones.

    Raises:
      ValueError: it is no split name, or one of the usual ones with an error of spelling. ``more``
        may give a word as itself.
    """
    name = (more or {}).get(cell) or SPELLINGS.get(cell.lower(), cell.lower())
    if cell not in (more or {}) and not name.startswith(_USUAL):
        near = difflib.get_close_matches(name, (*_USUAL, *SPELLINGS), 1, 0.7)
        if near:
            raise ValueError(
                f"column {column!r} is {shown(cell, 40)!r}, which looks like {near[0]!r}; correct "
                "the cell, or say what it is with config.splits"
            )
    if not SPLIT_PATTERN.fullmatch(name):
        raise ValueError(
            f"column {column!r} is {shown(cell, 40)!r}, no split name; see config.splits"
        )
    return name


def split_of_path(path: str) -> str:
    """The split that a path names with a word of its own: ``chest-val-000003.tar`` is validation.

    The word nearest to the end counts; "" where there is none.
    """
    words = [word for word in re.split(r"[^a-z]+", path.lower()) if word]
    named = [SPELLINGS.get(word, word) for word in reversed(words)]
    return next((name for name in named if name in _USUAL), "")
