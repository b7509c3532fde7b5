"""The conversation of a record as token ids."""

from collections.abc import Mapping

import numpy as np

from medvlp_jax.data.columns.base import Batch, Cells, Visit
from medvlp_jax.data.columns.text import TokenColumn
from medvlp_jax.data.texts.tokenizer import TokenizerError

#: The role whose words are learnt.
ASSISTANT = "assistant"


class ChatColumn(TokenColumn):
    """The turns of a record, one after the other, cut at the length of the batch's texts.

    A turn is one place for each of its images that the batch shows, "role: ", its text, and the
    tokenizer's end token. Arrays:

    * ``chat`` int32 [b, t]: token ids; the tokenizer's pad in the places of images, which a model
      fills with what it makes of them;
    * ``chat_mask`` bool [b, t]: True = no padding;
    * ``chat_loss`` bool [b, t]: True = the assistant's own words and the end token behind them,
      which is what a model is to predict;
    * ``chat_image`` int32 [b, t]: where an image stands, its slot among the batch's images (see
      :meth:`medvlp_jax.data.columns.base.Visit.slot`); -1 elsewhere.
    """

    name = "chat"
    about = "the conversation of the record: token ids, the assistant's words, places of images"

    def check(self) -> None:
        if self.tokens.end_id is None:
            raise TokenizerError(
                f"the tokenizer {self.tokens.name!r} has no token that ends a text, which a "
                "conversation needs behind each turn; choose another"
            )

    def arrays(self, rows: int, text_len: int) -> Mapping[str, Cells]:
        return {
            "chat": Cells((rows, text_len), np.int32, self.pad_id),
            "chat_mask": Cells((rows, text_len), np.bool_),
            "chat_loss": Cells((rows, text_len), np.bool_),
            "chat_image": Cells((rows, text_len), np.int32, -1),
        }

    def fill(self, batch: Batch, row: int, visit: Visit) -> None:
        tokens, end = self.tokens, self.tokens.end_id
        ids: list[int] = []
        images: list[int] = []
        learnt: list[bool] = []
        for turn in visit.record.turns:
            slots = [s for s in map(visit.slot, turn.images) if s is not None]
            head = tokens.pieces(f"{turn.role}: ")
            said = [*tokens.pieces(turn.text), *([] if end is None else [end])]
            ids += [tokens.pad_id] * len(slots) + head + said
            images += slots + [-1] * len(head + said)
            learnt += [False] * len(slots + head) + [turn.role == ASSISTANT] * len(said)
        count = min(len(ids), batch["chat"].shape[1])
        batch["chat"][row, :count] = ids[:count]
        batch["chat_mask"][row, :count] = True
        batch["chat_loss"][row, :count] = learnt[:count]
        batch["chat_image"][row, :count] = images[:count]
