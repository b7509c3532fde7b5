"""Evaluation sets that are named on a command line."""

import pathlib
import re
from collections.abc import Collection, Sequence
from typing import Literal

from medvlp_jax.core.config import ConfigError, unknown_key
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.eval.config import EvalSetConfig
from medvlp_jax.eval.registry import EVALUATORS
from medvlp_jax.eval.zeroshot.chosen import RANKED, class_names, scorable


def set_configs(
    folders: Sequence[str],
    *,
    split: str,
    validation: str,
    evaluators: Sequence[str],
    classes: Sequence[str],
    truth: Literal["boxes", "masks"] = "boxes",
    per_class: int = 0,
) -> dict[str, EvalSetConfig]:
    """Sets given on a command line, named after their folders.

    Args:
      folders: ``FOLDER`` or ``FOLDER:SPLIT``.
      split: of those that name none.
      validation: ``FOLDER:SPLIT`` or empty; it is scored as well, under ``validation``, where the
        set is.

    Raises:
      ConfigError: an unknown evaluator, or a malformed ``validation``.
    """
    for word in evaluators:
        if word not in EVALUATORS:
            raise ConfigError(unknown_key("evaluators", word, EVALUATORS))
    if not evaluators:
        raise ConfigError(f"evaluators is empty: name one or more of {', '.join(EVALUATORS)}")
    words = tuple(dict.fromkeys(evaluators))
    classes = class_names(classes)
    sets = {}
    for place in folders:
        folder, part = place, split
        # A folder whose name has a colon is taken as it is.
        if re.fullmatch(r".+:\w+", place) and not pathlib.Path(place).exists():
            folder, part = _folder_and_split("data", place)
        name = pathlib.Path(folder).name
        if name in sets:
            raise ConfigError(f"two data folders are called {name!r}; rename one")
        sets[name] = EvalSetConfig(
            folder, part, "validation" if validation else "", words, classes,
            truth, per_class,
        )  # fmt: skip
    if validation:
        folder, part = _folder_and_split("validation", validation)
        scored = ("zeroshot",) if set(words) & set(RANKED) else ()
        sets["validation"] = EvalSetConfig(folder, part, "", scored, classes, truth)
    return sets


def film_configs(
    places: Sequence[str], taken: Collection[str], labels: Sequence[str]
) -> dict[str, EvalSetConfig]:
    """Films (``FOLDER:SPLIT``) that are shown with heat-maps beside the sets of a run.

    Where some of ``labels`` have positives and negatives there, these are scored too.

    Args:
      taken: names of the sets of the run; a folder of that name gets another one.

    Raises:
      ConfigError: a malformed place.
      ShardError: no such data folder or split.
    """
    sets: dict[str, EvalSetConfig] = {}
    for place in places:
        folder, part = _folder_and_split("films", place)
        name = pathlib.Path(folder).name
        while name in taken or name in sets:
            name += "-films"
        scored = scorable(open_dataset(folder, part).label_counts, labels)
        words = ("zeroshot", "baseline", "pictures") if scored else ("pictures",)
        sets[name] = EvalSetConfig(folder, part, evaluators=words)
    return sets


def _folder_and_split(flag: str, place: str) -> tuple[str, str]:
    folder, colon, part = place.rpartition(":")
    if not colon or not folder or not part:
        raise ConfigError(f"{flag}={place!r} must be FOLDER:SPLIT")
    return folder, part
