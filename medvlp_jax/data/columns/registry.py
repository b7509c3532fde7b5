"""The columns by name: what a task, an evaluator or a caller of the pipeline may ask for."""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from medvlp_jax.core.config import ConfigError, unknown_word
from medvlp_jax.data.columns.base import Column
from medvlp_jax.data.columns.boxes import BoxesColumn, BoxPhrasesColumn
from medvlp_jax.data.columns.chat import ChatColumn
from medvlp_jax.data.columns.image import ImageColumn
from medvlp_jax.data.columns.labels import LabelsColumn, StatementsColumn
from medvlp_jax.data.columns.latents import LatentsColumn
from medvlp_jax.data.columns.masks import MasksColumn
from medvlp_jax.data.columns.record_keys import RecordKeysColumn
from medvlp_jax.data.columns.text import TextColumn
from medvlp_jax.data.columns.text_key import TextKeyColumn
from medvlp_jax.data.columns.text_variant import TextVariantColumn
from medvlp_jax.data.columns.texts import TextsColumn
from medvlp_jax.data.columns.views import ViewsColumn
from medvlp_jax.data.columns.words import WordsColumn
from medvlp_jax.data.config import DataConfig
from medvlp_jax.data.texts.tokenizer import Tokenizer

#: Name -> ``(config, tokenizer or None) -> Column``. Rows are filled in this order, whatever the
#: order of the names: those that draw random numbers must always draw them in the same one.
COLUMNS: dict[str, Callable[[DataConfig, Tokenizer | None], Column]] = {
    "image": ImageColumn,
    "views": ViewsColumn,
    "masks": MasksColumn,
    "boxes": BoxesColumn,
    "box_phrases": BoxPhrasesColumn,
    "text": TextColumn,
    "text_key": TextKeyColumn,
    "record_keys": RecordKeysColumn,
    "texts": TextsColumn,
    "words": WordsColumn,
    "text_variant": TextVariantColumn,
    "statements": StatementsColumn,
    "labels": LabelsColumn,
    "chat": ChatColumn,
    "latents": LatentsColumn,
}
#: Columns that say nothing without ``data.labels``.
_OF_LABELS = ("labels", "statements")


def make_columns(
    names: Sequence[str], config: DataConfig, tokenizer: Tokenizer | None = None
) -> tuple[Column, ...]:
    """The columns of these names, each once, in the order in which they are filled.

    Raises:
      ConfigError: there is no such column, or the config lacks what one needs.
    """
    for name in names:
        if name not in COLUMNS:
            raise ConfigError(unknown_word("column", name, COLUMNS, "column"))
    return tuple(make(config, tokenizer) for name, make in COLUMNS.items() if name in names)


def batch_spec(
    names: Sequence[str], config: DataConfig, rows: int, text_len: int
) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and types of the arrays of a batch that go to a device: those of the columns, and
    ``valid``.

    Raises:
      ConfigError: see :func:`make_columns`.
    """
    spec = {"valid": jax.ShapeDtypeStruct((rows,), np.bool_)}
    for column in make_columns(names, config):
        spec |= column.spec(rows, text_len)
    return spec


def require_columns(names: Sequence[str], config: DataConfig) -> None:
    """Refuses a config from which nothing could be learnt that a task with these columns reads.

    Raises:
      ConfigError: see :func:`make_columns`; or a loss reads labels, and there are none.
    """
    make_columns(names, config)
    found = [name for name in names if name in _OF_LABELS]
    if found and not config.labels:
        raise ConfigError(
            f"the task reads the column {found[0]}, and config.data.labels is empty; name the "
            "labels to learn from"
        )
