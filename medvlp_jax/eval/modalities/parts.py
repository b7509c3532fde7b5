"""The records of one modality of a set, and the classes that can be scored among them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from medvlp_jax.data.store.record import MODALITIES
from medvlp_jax.eval.base import PredictFn
from medvlp_jax.eval.embedded import Column, Embedded, FromBatch, Rows
from medvlp_jax.eval.zeroshot.promptbank import NO_FINDING, PromptBank
from medvlp_jax.eval.zeroshot.recipes import Recipe

#: The modality of a record's image, as the data say it.
MODALITY = FromBatch("modality")


class Part(Embedded):
    """A set without the records of other modalities; it reads through the cache of the whole."""

    def __init__(self, whole: Embedded, modality: str):
        super().__init__(
            f"{whole.name}, {modality}",
            whole.batches,
            whole.label_names,
            split=whole.split,
            mask_names=whole.mask_names,
            groups=whole._groups,
            gather=whole._gather,
        )
        self.whole, self.modality = whole, modality
        whole.want(MODALITY)

    def want(self, column: Column) -> Column:
        return self.whole.want(column)

    def alike(self) -> "Part":
        return Part(self.whole.alike(), self.modality)

    def rows(self, predict: PredictFn) -> Rows:
        """As of the whole, which is read if need be; maybe none."""
        rows = self.whole.rows(predict)
        return rows.take(np.flatnonzero(rows[MODALITY] == self.modality))


def modalities_of(rows: Rows) -> dict[str, Int[np.ndarray, "m"]]:
    """Modality -> its rows, in alphabetical order; a record that says none is in none."""
    found = np.asarray(rows[MODALITY], str)
    return {str(name): np.flatnonzero(found == name) for name in np.unique(found) if name}


class Scorable(NamedTuple):
    """The classes of a modality.

    Attributes:
      classes: those with a positive and a negative record, and prompts.
      left: other classes that some record was judged for -> why they are not scored.
    """

    classes: tuple[str, ...]
    left: dict[str, str]


def scorable(
    names: Sequence[str], labels: Int[np.ndarray, "n l"], bank: PromptBank, recipe: Recipe
) -> Scorable:
    """What of ``names`` (the columns of ``labels``) can be scored on some records."""
    classes, left = [], {}
    for name, y in zip(names, labels.T, strict=True):
        if name in MODALITIES:
            continue  # all of its records, or none
        lacks = [
            word for word, value in (("positive", 1), ("negative", 0)) if not (y == value).any()
        ]
        derived = name == NO_FINDING and recipe.rule != "multiclass"
        if len(lacks) == 2 and not (y == -1).any():
            continue  # no record of this modality was judged for it
        if lacks:
            left[name] = f"no {' and no '.join(lacks)} record"
        elif name not in bank.classes and not derived:
            left[name] = f"not in prompt bank {bank.name!r}"
        else:
            classes.append(name)
    if recipe.rule == "multiclass" and len(classes) == 1:
        left[classes.pop()] = "protocol 'multiclass' weighs two classes or more"
    if set(classes) == {NO_FINDING} and NO_FINDING not in bank.classes:
        left[classes.pop()] = "no other class that it could be derived from"
    return Scorable(tuple(classes), left)
