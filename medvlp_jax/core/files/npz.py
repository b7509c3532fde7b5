"""``.npz`` files: every array as it was written, or an error; written whole or not at all."""

import io
import os
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from medvlp_jax.core.files.opening import read_bytes
from medvlp_jax.core.files.writing import whole

_LIMIT = 1 << 36  # bytes; millions of records take megabytes


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of a file, each compared with its CRC-32.

    ``numpy.load`` alone stops reading at the last value, and for some bits that are turned in a
    deflate stream it never gets to that comparison: other numbers come back.

    Raises:
      FileNotFoundError: there is no such file.
      zipfile.BadZipFile: or almost any other kind, if the file is damaged.
    """
    with zipfile.ZipFile(io.BytesIO(read_bytes(path, _LIMIT))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}  # whole: compared
    return {
        name.removesuffix(".npy"): np.load(io.BytesIO(data), allow_pickle=False)
        for name, data in members.items()
    }


def write(
    path: str | os.PathLike[str], arrays: Mapping[str, Any], *, compressed: bool = False
) -> None:
    """Writes a file that appears whole or not at all; one that is there is replaced.

    Raises:
      OSError: the folder is not there or cannot be written, or the disk is full.
    """
    save: Any = np.savez_compressed if compressed else np.savez
    with whole(path) as out:
        save(out, **arrays)
