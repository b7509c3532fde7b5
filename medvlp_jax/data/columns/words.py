"""Which word of the text each token belongs to."""

from collections.abc import Mapping

import numpy as np

from medvlp_jax.data.columns.base import Batch, Cells, Visit
from medvlp_jax.data.columns.text import TokenColumn


class WordsColumn(TokenColumn):
    """``word_ids`` int32 [b, t]: see :meth:`medvlp_jax.data.texts.tokenizer.Tokenizer.word_ids`."""

    name = "words"
    about = "the number of the word that each token of the text belongs to"

    def arrays(self, rows: int, text_len: int) -> Mapping[str, Cells]:
        return {"word_ids": Cells((rows, text_len), np.int32, -1)}

    def fill(self, batch: Batch, row: int, visit: Visit) -> None:
        if visit.text:
            length = batch["word_ids"].shape[1]
            batch["word_ids"][row] = self.tokens.word_ids([visit.text], length)[0]
