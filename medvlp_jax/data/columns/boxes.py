"""The boxes of the chosen image, and their phrases."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from medvlp_jax.data.columns.base import ArrayColumn, Batch, Cells, Visit, known_labels
from medvlp_jax.data.config import DataConfig
from medvlp_jax.data.images import geometry
from medvlp_jax.data.store.record import Box
from medvlp_jax.data.texts.tokenizer import Tokenizer


class BoxesColumn(ArrayColumn):
    """``boxes`` float32 [b, m, 4] (x0, y0, x1, y1 in fractions of the input), ``box_label`` int32
    [b, m] (place in ``data.labels``, -1 padding), of at most ``data.max_boxes`` boxes; of more the
    largest stay."""

    name = "boxes"
    about = "boxes of the labels in the image, moved as it was cropped and turned"
    shows = "picture"

    def __init__(self, config: DataConfig, tokenizer: Tokenizer | None = None):
        super().__init__(config, tokenizer)
        self._at = known_labels(config)

    def arrays(self, rows: int, text_len: int) -> Mapping[str, Cells]:
        count = self.config.max_boxes
        return {
            "boxes": Cells((rows, count, 4), np.float32),
            "box_label": Cells((rows, count), np.int32, -1),
        }

    def fill(self, batch: Batch, row: int, visit: Visit) -> None:
        corners, kept = self.visible(visit)
        batch["boxes"][row, : len(kept)] = corners
        batch["box_label"][row, : len(kept)] = [self._at[box.label] for box in kept]

    def visible(self, visit: Visit) -> tuple[Float[np.ndarray, "n 4"], list[Box]]:
        """The boxes that a batch has of a visit: their corners in the input, and as recorded."""
        picture, config = visit.shown, self.config
        wanted = [b for b in visit.record.boxes if b.image == picture.at and b.label in self._at]
        if not wanted:
            return np.zeros((0, 4), np.float32), []
        corners = np.array([[b.x0, b.y0, b.x1, b.y1] for b in wanted], np.float32)
        moved, kept = geometry.move_boxes(
            corners, picture.matrix, config.image.geometry.min_visible
        )
        if len(kept) > config.max_boxes:
            # The largest stay: a lost small box costs the least area.
            area = (moved[:, 2] - moved[:, 0]) * (moved[:, 3] - moved[:, 1])
            largest = np.sort(np.argsort(-area, kind="stable")[: config.max_boxes])
            moved, kept = moved[largest], kept[largest]
        return moved, [wanted[k] for k in kept]


class BoxPhrasesColumn(BoxesColumn):
    """``box_phrase`` str [b, m], on the host alone: the phrase of each box of ``boxes``."""

    name = "box_phrases"
    about = "the phrases of the boxes"

    def arrays(self, rows: int, text_len: int) -> Mapping[str, Cells]:
        return {"box_phrase": Cells((rows, self.config.max_boxes), object, "")}

    def fill(self, batch: Batch, row: int, visit: Visit) -> None:
        _, kept = self.visible(visit)
        batch["box_phrase"][row, : len(kept)] = [box.phrase for box in kept]
