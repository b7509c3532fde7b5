"""Arrays that were made of the records beforehand, such as the latents of an autoencoder.

A folder of them holds ``ids.npy``, the ids of the records in ascending order, and ``latents.npy``,
[n, *shape], one row for each, which is mapped into memory and not read as a whole.
"""

import os
import pathlib
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.errors import one_net
from medvlp_jax.data.columns.base import ArrayColumn, Batch, Cells, Visit
from medvlp_jax.data.config import DataConfig, LatentsConfig
from medvlp_jax.data.store.record import RecordError
from medvlp_jax.data.store.shards import whole_file
from medvlp_jax.data.texts.tokenizer import Tokenizer
from medvlp_jax.data.unreadable import DataError

_IDS, _VALUES = "ids.npy", "latents.npy"
_MEND = "make it anew with write_latents"


class LatentsColumn(ArrayColumn):
    """``latents`` [b, *shape] of the type and shape that ``data.latents`` says."""

    name = "latents"
    about = "an array that was made of the record beforehand"

    def __init__(self, config: DataConfig, tokenizer: Tokenizer | None = None):
        super().__init__(config, tokenizer)
        if config.latents is None:
            raise ConfigError("the column latents needs config.data.latents: folder and shape")
        self._kept = KeptLatents(config.latents)
        self._said = config.latents

    def check(self) -> None:
        self._kept.open()

    def arrays(self, rows: int, text_len: int) -> Mapping[str, Cells]:
        return {"latents": Cells((rows, *self._said.shape), np.dtype(self._said.dtype))}

    def fill(self, batch: Batch, row: int, visit: Visit) -> None:
        batch["latents"][row] = self._kept[visit.record.id]


class KeptLatents:
    """A folder of latents; opened when first touched, in each process that does."""

    def __init__(self, config: LatentsConfig):
        self.__setstate__({"config": config})

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.config}  # a mapped array would be pickled as a whole

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.config: LatentsConfig = state["config"]
        self._opened: tuple[np.ndarray, np.ndarray] | None = None
        self._lock = threading.Lock()

    def open(self) -> tuple[np.ndarray, np.ndarray]:
        """(ids, values).

        Raises:
          DataError: the folder is not whole, or holds another shape or type than declared.
        """
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> tuple[np.ndarray, np.ndarray]:
        folder, said = pathlib.Path(self.config.folder), self.config
        with one_net(folder, _MEND, DataError, "holds no latents"):
            ids = np.load(folder / _IDS, mmap_mode="r", allow_pickle=False)
            values = np.load(folder / _VALUES, mmap_mode="r", allow_pickle=False)
        if values.shape[1:] != said.shape or values.dtype != said.dtype:
            raise DataError(
                f"{folder / _VALUES} holds arrays {values.dtype} {values.shape[1:]}, and "
                f"config.data.latents says {said.dtype} {said.shape}; correct the config, or "
                + _MEND
            )
        if ids.dtype.kind != "U" or ids.shape != values.shape[:1]:
            raise DataError(f"{folder} has {len(values)} arrays for {len(ids)} ids; {_MEND}")
        return ids, values

    def __getitem__(self, name: str) -> np.ndarray:
        """The array of a record.

        Raises:
          RecordError: it has none.
        """
        ids, values = self.open()
        at = int(np.searchsorted(ids, name))
        if at == len(ids) or ids[at] != name:
            raise RecordError(f"record {name!r} has no latents in {self.config.folder}; {_MEND}")
        return values[at]


def write_latents(folder: str | os.PathLike[str], ids: Sequence[str], values: np.ndarray) -> None:
    """Writes a folder that :class:`LatentsColumn` reads; each file appears whole.

    Args:
      ids: of the records, each once.
      values: [n, *shape], float16 or float32.

    Raises:
      DataError: an id occurs twice, or there are not as many ids as arrays.
      ShardError: the folder cannot be written.
    """
    names, order = np.unique(np.array(ids, np.str_), return_index=True)
    if len(names) != len(ids) or len(ids) != len(values):
        raise DataError(
            f"{len(values)} arrays for {len(ids)} ids, of which {len(names)} differ; give each "
            "record one"
        )
    for file, array in ((_VALUES, values[order]), (_IDS, names)):
        with whole_file(pathlib.Path(folder) / file) as temporary, open(temporary, "wb") as f:
            np.save(f, array, allow_pickle=False)
