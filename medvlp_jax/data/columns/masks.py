"""The masks of the chosen image."""

from collections.abc import Mapping

import numpy as np

from medvlp_jax.core.config import ConfigError
from medvlp_jax.data.columns.base import ArrayColumn, Batch, Cells, Visit
from medvlp_jax.data.config import DataConfig
from medvlp_jax.data.images import geometry
from medvlp_jax.data.images.decoding import decode_mask
from medvlp_jax.data.texts.tokenizer import Tokenizer


class MasksColumn(ArrayColumn):
    """``masks`` uint8 [b, s, s, l] of 0 and 1, in the order of ``data.masks``, ``mask_given`` bool
    [b, l] (the image has that mask); several masks of one name are one region."""

    name = "masks"
    about = "masks of the image, moved as it was cropped and turned, and which of them there are"
    shows = "picture"

    def __init__(self, config: DataConfig, tokenizer: Tokenizer | None = None):
        super().__init__(config, tokenizer)
        if not config.masks:
            raise ConfigError("the column masks needs config.data.masks, the names of the masks")
        self._at = {name: i for i, name in enumerate(config.masks)}

    def arrays(self, rows: int, text_len: int) -> Mapping[str, Cells]:
        side, count = self.config.image.size, len(self._at)
        return {
            "masks": Cells((rows, side, side, count), np.uint8),
            "mask_given": Cells((rows, count), np.bool_),
        }

    def fill(self, batch: Batch, row: int, visit: Visit) -> None:
        picture = visit.shown
        for mask in visit.record.masks:
            if mask.image == picture.at and mask.label in self._at:
                pixels = decode_mask(mask.data)
                moved = geometry.warp_mask(pixels, picture.matrix, self.config.image.size)
                batch["masks"][row, :, :, self._at[mask.label]] |= moved
                batch["mask_given"][row, self._at[mask.label]] = True
