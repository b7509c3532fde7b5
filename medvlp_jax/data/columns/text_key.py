"""A number by which equal texts are known."""

from collections.abc import Mapping

import numpy as np

from medvlp_jax.data.columns.base import ArrayColumn, Batch, Cells, Visit
from medvlp_jax.data.texts.choice import text_key


class TextKeyColumn(ArrayColumn):
    """``text_key`` uint32 [b]: equal texts have equal keys; 0 = no text."""

    name = "text_key"
    about = "a hash of the text, equal for equal texts"

    def arrays(self, rows: int, text_len: int) -> Mapping[str, Cells]:
        return {"text_key": Cells((rows,), np.uint32)}

    def fill(self, batch: Batch, row: int, visit: Visit) -> None:
        if visit.text:
            batch["text_key"][row] = text_key(visit.text)
