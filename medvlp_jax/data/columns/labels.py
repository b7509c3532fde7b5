"""The labels of a record, and those that its text states."""

from collections.abc import Mapping

import numpy as np

from medvlp_jax.data.columns.base import ArrayColumn, Batch, Cells, Visit, known_labels
from medvlp_jax.data.config import DataConfig
from medvlp_jax.data.store.record import MODALITIES, Record
from medvlp_jax.data.texts.choice import stated_labels
from medvlp_jax.data.texts.tokenizer import Tokenizer


def modality_labels(record: Record) -> dict[str, int]:
    """The modalities as labels, 1 or 0; none where no image names one that is known."""
    shown = {image.modality for image in record.images} & set(MODALITIES)
    return {name: int(name in shown) for name in MODALITIES} if shown else {}


class LabelsColumn(ArrayColumn):
    """``labels`` int8 [b, k], in the order of ``data.labels``: 1 positive, 0 negative, -1
    uncertain, -2 absent. A modality among them ("ct") is known from the image."""

    name = "labels"
    about = "the labels of the record: positive, negative, uncertain or absent"

    def __init__(self, config: DataConfig, tokenizer: Tokenizer | None = None):
        super().__init__(config, tokenizer)
        self._at = known_labels(config)

    def arrays(self, rows: int, text_len: int) -> Mapping[str, Cells]:
        return {"labels": Cells((rows, len(self._at)), np.int8, -2)}

    def fill(self, batch: Batch, row: int, visit: Visit) -> None:
        for name, value in (modality_labels(visit.record) | visit.record.labels).items():
            if name in self._at:
                batch["labels"][row, self._at[name]] = value


class StatementsColumn(LabelsColumn):
    """``text_labels`` uint8 [b, k]: 1 where the text affirms the label, as far as known, else for
    every positive label of the record; 0 for a record without text. Every text affirms the modality
    where that is among ``data.labels``: "no finding" then is no statement about images of others.
    """

    name = "statements"
    about = "the labels that the text affirms"

    def arrays(self, rows: int, text_len: int) -> Mapping[str, Cells]:
        return {"text_labels": Cells((rows, len(self._at)), np.uint8)}

    def fill(self, batch: Batch, row: int, visit: Visit) -> None:
        if not visit.text:
            return
        shown = [name for name, value in modality_labels(visit.record).items() if value]
        for name in (*stated_labels(visit.record, visit.text), *shown):
            if name in self._at:
                batch["text_labels"][row, self._at[name]] = 1
