"""What a column of a batch is: some arrays that it declares, pads, and fills row by row.

A batch is a dict of numpy arrays whose first dimension is the rows. A task names the columns that
it reads; :mod:`.registry` has them by name.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jaxtyping import UInt8

from medvlp_jax.data.config import DataConfig
from medvlp_jax.data.images.geometry import Matrix
from medvlp_jax.data.store.record import Record
from medvlp_jax.data.texts.tokenizer import Tokenizer

Batch = dict[str, np.ndarray]


class Picture(NamedTuple):
    """The image that a visit shows.

    at: its place in the record's images.
    pixels: decoded, cropped, resized and augmented, uint8 [s, s, c].
    matrix: see :mod:`medvlp_jax.data.images.geometry`; boxes and masks must follow it.
    """

    at: int
    pixels: UInt8[np.ndarray, "s s c"]
    matrix: Matrix


@dataclasses.dataclass(frozen=True)
class Visit:
    """What one row is filled from.

    Attributes:
      record: the study.
      text: the chosen text; "" for none.
      rng: of training; None in evaluation, where nothing is left to chance.
      picture: the chosen image; None where no column of the batch shows it.
      views: place in the record's images of each slot of ``views``, -1 for an empty one; () where
        no column of the batch shows several images.
    """

    record: Record
    text: str = ""
    rng: np.random.Generator | None = None
    picture: Picture | None = None
    views: tuple[int, ...] = ()

    @property
    def shown(self) -> Picture:
        """The chosen image, for a column that says that it ``shows`` it."""
        assert self.picture is not None, "a column that reads the image must say so in `shows`"
        return self.picture

    def slot(self, image: int) -> int | None:
        """Where the batch has one of the record's images: its slot among ``views``, or 0 for the
        chosen one; None where it is not in the batch."""
        if self.views:
            return self.views.index(image) if image in self.views else None
        return 0 if self.picture is not None and self.picture.at == image else None


class Cells(NamedTuple):
    """One array of a column: its shape, its type (``object`` for strings), and its padding."""

    shape: tuple[int, ...]
    dtype: Any
    padding: Any = 0


class Column(Protocol):
    """Allocates, pads and fills its arrays of a batch.

    Attributes:
      name: what a task calls it.
      about: one sentence on what it holds.
      shows: what of the images must be chosen and loaded for it: "" nothing, ``picture`` the chosen
        image, ``views`` one image a view.
      host: names of its arrays that never go to a device (strings).
    """

    name: str
    about: str
    shows: str

    @property
    def host(self) -> tuple[str, ...]: ...

    def check(self) -> None:
        """Raises, before the first batch, what filling it would raise for every record."""
        ...

    def spec(self, rows: int, text_len: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of the arrays that go to a device; needs neither data nor tokenizer."""
        ...

    def empty(self, rows: int, text_len: int) -> Batch:
        """All its arrays for rows that hold nothing."""
        ...

    def fill(self, batch: Batch, row: int, visit: Visit) -> None:
        """Fills one row of padding.

        Raises:
          ImageError, RecordError: something of this record cannot be read; the caller makes the
            row padding again.
        """
        ...


class ArrayColumn:
    """A column whose ``spec`` and ``empty`` come from one table, so that they cannot disagree.

    Args:
      config: shapes and options; a column takes what concerns it.
      tokenizer: for those that hold tokens.
    """

    name = ""
    about = ""
    shows = ""

    def __init__(self, config: DataConfig, tokenizer: Tokenizer | None = None):
        self.config = config
        self.tokenizer = tokenizer

    def arrays(self, rows: int, text_len: int) -> Mapping[str, Cells]:
        """The arrays of the column for so many rows and tokens."""
        raise NotImplementedError(f"{type(self).__name__} describes no arrays")

    @property
    def host(self) -> tuple[str, ...]:
        return tuple(k for k, cells in self.arrays(1, 1).items() if cells.dtype is object)

    def check(self) -> None:
        """Nothing is needed beyond the config."""

    def spec(self, rows: int, text_len: int) -> dict[str, jax.ShapeDtypeStruct]:
        return {
            name: jax.ShapeDtypeStruct(cells.shape, cells.dtype)
            for name, cells in self.arrays(rows, text_len).items()
            if cells.dtype is not object
        }

    def empty(self, rows: int, text_len: int) -> Batch:
        return {
            name: np.zeros(cells.shape, cells.dtype)  # of large ones no page is touched yet
            if cells.padding == 0
            else np.full(cells.shape, cells.padding, cells.dtype)
            for name, cells in self.arrays(rows, text_len).items()
        }


def known_labels(config: DataConfig) -> dict[str, int]:
    """Label -> its place in ``config.labels``."""
    return {name: i for i, name in enumerate(config.labels)}
