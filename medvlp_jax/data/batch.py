"""One record to one row of a batch's arrays."""

from collections.abc import Sequence

import numpy as np

from medvlp_jax.data.columns.base import Batch, Picture, Visit
from medvlp_jax.data.columns.registry import make_columns
from medvlp_jax.data.columns.views import choose_views
from medvlp_jax.data.config import DataConfig
from medvlp_jax.data.images.augment import load_image
from medvlp_jax.data.images.base import ImageError
from medvlp_jax.data.store.record import Record
from medvlp_jax.data.texts.text_index import eligible_images
from medvlp_jax.data.texts.tokenizer import Tokenizer


class BatchBuilder:
    """Allocates batches and fills their rows; holds no state, so rows may be filled in threads.

    Args:
      names: of the columns; batches have ``valid`` besides.
      tokenizer: for columns that hold tokens.

    Raises:
      ConfigError, DataError: a column is unknown, or lacks what it needs.
    """

    def __init__(
        self, names: Sequence[str], config: DataConfig, tokenizer: Tokenizer | None = None
    ):
        self.config = config
        self.columns = make_columns(names, config, tokenizer)
        for column in self.columns:
            column.check()
        self.shows_picture = any(column.shows == "picture" for column in self.columns)
        self._shows_views = any(column.shows == "views" for column in self.columns)

    def empty(self, rows: int, length: int) -> Batch:
        """``rows`` padding rows (``valid`` False) with texts of ``length`` tokens."""
        batch: Batch = {"valid": np.zeros(rows, bool)}
        for column in self.columns:
            batch |= column.empty(rows, length)
        return batch

    def fill(
        self, batch: Batch, row: int, record: Record, text: str, rng: np.random.Generator | None
    ) -> None:
        """Fills one row; without ``rng`` as evaluation does, without any chance.

        Raises:
          ImageError, RecordError: the image, a mask or another part cannot be read; the row is
            then left as padding.
        """
        visit = self._visit(record, text, rng)
        try:
            for column in self.columns:
                column.fill(batch, row, visit)
        except BaseException:
            # Another record may take the row; padding is the same in every place of a text.
            for column in self.columns:
                for name, padding in column.empty(1, 1).items():
                    batch[name][row] = padding[0]
            raise
        batch["valid"][row] = True

    def finish(self, batch: Batch) -> None:
        """Turns the strings of the host's columns into arrays of one width."""
        for column in self.columns:
            for name in column.host:
                batch[name] = batch[name].astype(np.str_)

    def _visit(self, record: Record, text: str, rng: np.random.Generator | None) -> Visit:
        # What is drawn, and in which order, decides what all runs before this one were trained on:
        # the image, what becomes of it, then whatever the columns draw.
        picture, config = None, self.config.image
        if self.shows_picture:
            images = eligible_images(record, config)
            if not images:
                raise ImageError(f"no image of the views {config.views}")
            image = images[int(rng.integers(len(images)))] if rng is not None else images[0]
            at = record.images.index(image)
            picture = Picture(at, *load_image(image.data, image.format, config, rng))
        views = choose_views(record, config.views, rng) if self._shows_views else ()
        return Visit(record, text, rng, picture, views)
