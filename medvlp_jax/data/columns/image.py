"""The chosen image of a record."""

from collections.abc import Mapping

import numpy as np

from medvlp_jax.data.columns.base import ArrayColumn, Batch, Cells, Visit


class ImageColumn(ArrayColumn):
    """``image`` uint8 [b, s, s, c], of side ``data.image.size``."""

    name = "image"
    about = "the pixels of one image of the record, cropped, resized and augmented"
    shows = "picture"

    def arrays(self, rows: int, text_len: int) -> Mapping[str, Cells]:
        image = self.config.image
        return {"image": Cells((rows, image.size, image.size, image.channels), np.uint8)}

    def fill(self, batch: Batch, row: int, visit: Visit) -> None:
        batch["image"][row] = visit.shown.pixels
