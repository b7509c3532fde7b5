"""The chosen text of a record as token ids."""

from collections.abc import Mapping

import numpy as np

from medvlp_jax.data.columns.base import ArrayColumn, Batch, Cells, Visit
from medvlp_jax.data.texts.tokenizer import Tokenizer
from medvlp_jax.data.unreadable import DataError


class TokenColumn(ArrayColumn):
    """A column of token ids."""

    @property
    def pad_id(self) -> int:
        """0 without a tokenizer, where only shapes are asked for; :meth:`check` sees to that."""
        return 0 if self.tokenizer is None else self.tokenizer.pad_id

    @property
    def tokens(self) -> Tokenizer:
        """The tokenizer.

        Raises:
          DataError: none was given.
        """
        if self.tokenizer is None:
            raise DataError(f"the column {self.name} needs a tokenizer; give one")
        return self.tokenizer

    def check(self) -> None:
        self.tokens  # noqa: B018 - raises


class TextColumn(TokenColumn):
    """``text`` int32 [b, t], ``text_mask`` bool [b, t] (True = a real token)."""

    name = "text"
    about = "the token ids of one text of the record, and which of them are no padding"

    def arrays(self, rows: int, text_len: int) -> Mapping[str, Cells]:
        return {
            "text": Cells((rows, text_len), np.int32, self.pad_id),
            "text_mask": Cells((rows, text_len), np.bool_),
        }

    def fill(self, batch: Batch, row: int, visit: Visit) -> None:
        if visit.text:
            length = batch["text"].shape[1]
            batch["text"][row], batch["text_mask"][row] = self.tokens.pad(visit.text, length)
