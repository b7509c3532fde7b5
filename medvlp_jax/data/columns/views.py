"""Several images of a record: one of each view."""

from collections.abc import Mapping

import numpy as np

from medvlp_jax.core.config import ConfigError
from medvlp_jax.data.columns.base import ArrayColumn, Batch, Cells, Visit
from medvlp_jax.data.config import DataConfig
from medvlp_jax.data.images.augment import load_image
from medvlp_jax.data.store.record import Record
from medvlp_jax.data.texts.tokenizer import Tokenizer


class ViewsColumn(ArrayColumn):
    """``views`` uint8 [b, n, s, s, c], ``view_given`` bool [b, n]: slot ``i`` has an image of the
    ``i``-th of ``data.image.views``, each augmented by itself; black where the record has none."""

    name = "views"
    about = "the pixels of one image of each of data.image.views, and which of them there are"
    shows = "views"

    def __init__(self, config: DataConfig, tokenizer: Tokenizer | None = None):
        super().__init__(config, tokenizer)
        if not config.image.views:
            raise ConfigError(
                "the column views needs config.data.image.views, the views that a record may have"
            )

    def arrays(self, rows: int, text_len: int) -> Mapping[str, Cells]:
        image = self.config.image
        slots = (rows, len(image.views))
        return {
            "views": Cells((*slots, image.size, image.size, image.channels), np.uint8),
            "view_given": Cells(slots, np.bool_),
        }

    def fill(self, batch: Batch, row: int, visit: Visit) -> None:
        for slot, at in enumerate(visit.views):
            if at >= 0:
                image = visit.record.images[at]
                pixels, _ = load_image(image.data, image.format, self.config.image, visit.rng)
                batch["views"][row, slot] = pixels
                batch["view_given"][row, slot] = True


def choose_views(
    record: Record, views: tuple[str, ...], rng: np.random.Generator | None
) -> tuple[int, ...]:
    """Place in the record's images of one image of each view, -1 where it has none.

    Of several images of a view training draws one; evaluation takes the first.
    """
    chosen = []
    for view in views:
        of = [i for i, image in enumerate(record.images) if image.view == view]
        draw = int(rng.integers(len(of))) if rng is not None and of else 0
        chosen.append(of[draw] if of else -1)
    return tuple(chosen)
