"""Configs that checkpoints of older versions hold, read as this version would have written them."""

import copy
from collections.abc import Mapping
from typing import Any

from medvlp_jax.core.config import ConfigError

_COLUMNS = "the task says now which columns its batches have"
_DATA = "it is said once, as config.data"
#: Group -> key that is gone -> where what it said is said now.
_GONE: dict[tuple[str, ...], dict[str, str]] = {
    ("data",): {"with_boxes": _COLUMNS, "with_masks": _COLUMNS},
    ("data", "text"): {"with_words": _COLUMNS},
    ("task",): {
        "image_size": f"{_DATA}.image.size",
        "num_labels": f"{_DATA}.labels",
        "max_boxes": f"{_DATA}.max_boxes",
    },
}
#: Group -> key that is new -> what it means where it is absent.
_NEW: dict[tuple[str, ...], dict[str, Any]] = {
    ("data",): {
        "group_by": "figure",
        "latents": None,
        "mixture": {
            "by": "source",
            "temperature": 1.0,
            "weights": {},
            "batches": "mixed",
            "period": 4096,
        },
    },
    ("data", "image"): {"filter": "fast"},
}


def forget_old_keys(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a stored config without the keys that are gone, and with those that are new.

    Args:
      stored: the resolved config of a checkpoint, as plain values.
    """
    tree = copy.deepcopy(dict(stored))
    for path, gone in _GONE.items():
        for key in gone:
            _group(tree, path).pop(key, None)
    for path, new in _NEW.items():
        for key, value in new.items():
            _group(tree, path).setdefault(key, value)
    return tree


def refuse_old_keys(tree: Mapping[str, Any]) -> None:
    """Refuses a key that is gone in a config that somebody wrote.

    Raises:
      ConfigError: names the key, and says where it is said now.
    """
    for path, gone in _GONE.items():
        for key, why in gone.items():
            if key in _group(tree, path):
                where = ".".join(("config", *path, key))
                raise ConfigError(f"{where} is not a known key; {why}: leave it out")


def _group(tree: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    at: Any = tree
    for name in path:
        at = at.get(name) if isinstance(at, Mapping) else None
    return at if isinstance(at, dict) else {}
