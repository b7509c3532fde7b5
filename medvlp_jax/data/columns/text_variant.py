"""A second version of the text."""

from collections.abc import Mapping

import numpy as np

from medvlp_jax.data.columns.base import Batch, Cells, Visit
from medvlp_jax.data.columns.text import TokenColumn
from medvlp_jax.data.texts.vary import vary


class TextVariantColumn(TokenColumn):
    """``text_variant``, ``text_variant_mask`` as ``text``: the same text with a share
    (``data.text.variant``) of its words replaced, added, exchanged or gone; in evaluation as it is.
    """

    name = "text_variant"
    about = "the token ids of the same text with a few words changed"

    def arrays(self, rows: int, text_len: int) -> Mapping[str, Cells]:
        return {
            "text_variant": Cells((rows, text_len), np.int32, self.pad_id),
            "text_variant_mask": Cells((rows, text_len), np.bool_),
        }

    def fill(self, batch: Batch, row: int, visit: Visit) -> None:
        text, share = visit.text, self.config.text.variant
        if not text:
            return
        if visit.rng is not None and share:
            text = vary(text, share, visit.rng)
        ids, mask = self.tokens.pad(text, batch["text_variant"].shape[1])
        batch["text_variant"][row], batch["text_variant_mask"][row] = ids, mask
