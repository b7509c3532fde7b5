"""The labels of a record, and those that its text states."""

from collections.abc import Mapping

import numpy as np

from medvlp_jax.data.columns.base import ArrayColumn, Batch, Cells, Visit, known_labels
from medvlp_jax.data.config import DataConfig
from medvlp_jax.data.texts.choice import stated_labels
from medvlp_jax.data.texts.tokenizer import Tokenizer


class LabelsColumn(ArrayColumn):
    """``labels`` int8 [b, k], in the order of ``data.labels``: 1 positive, 0 negative, -1
    uncertain, -2 absent."""

    name = "labels"
    about = "the labels of the record: positive, negative, uncertain or absent"

    def __init__(self, config: DataConfig, tokenizer: Tokenizer | None = None):
        super().__init__(config, tokenizer)
        self._at = known_labels(config)

    def arrays(self, rows: int, text_len: int) -> Mapping[str, Cells]:
        return {"labels": Cells((rows, len(self._at)), np.int8, -2)}

    def fill(self, batch: Batch, row: int, visit: Visit) -> None:
        for name, value in visit.record.labels.items():
            if name in self._at:
                batch["labels"][row, self._at[name]] = value


class StatementsColumn(LabelsColumn):
    """``text_labels`` uint8 [b, k]: 1 where the text affirms the label, as far as known, else for
    every positive label of the record; 0 for a record without text."""

    name = "statements"
    about = "the labels that the text affirms"

    def arrays(self, rows: int, text_len: int) -> Mapping[str, Cells]:
        return {"text_labels": Cells((rows, len(self._at)), np.uint8)}

    def fill(self, batch: Batch, row: int, visit: Visit) -> None:
        for name in stated_labels(visit.record, visit.text) if visit.text else ():
            if name in self._at:
                batch["text_labels"][row, self._at[name]] = 1
