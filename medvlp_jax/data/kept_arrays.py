"""Arrays that are kept beside the data so that a pass over it is made once: .npz files."""

import contextlib
import io
import os
import pathlib
import zipfile
from collections.abc import Mapping

import numpy as np
from absl import logging

from medvlp_jax.core.errors import reason
from medvlp_jax.core.files import MissingFileError, read_bytes

_LIMIT = 1 << 36  # bytes; millions of records take megabytes


def read_arrays(path: pathlib.Path, again: str) -> dict[str, np.ndarray] | None:
    """The arrays of a file, or None: it is not there, or damaged, which is said in one line.

    Args:
      path: of the file.
      again: what is done in place of reading it: "counting again".
    """
    try:
        return load_arrays(path)
    except MissingFileError:
        return None
    except Exception as error:  # whatever a damaged file leads to: it can be made again
        logging.warning("%s is damaged (%s); %s", path, reason(error), again)
        return None


def load_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, each compared with its checksum; raises for any damage."""
    with zipfile.ZipFile(io.BytesIO(read_bytes(path, _LIMIT))) as file:
        # Whole members: zipfile compares the checksum only where it reads to the end.
        members = {name: file.read(name) for name in file.namelist()}
    return {
        name.removesuffix(".npy"): np.load(io.BytesIO(data), allow_pickle=False)
        for name, data in members.items()
    }


def write_arrays(path: pathlib.Path, arrays: Mapping[str, np.ndarray], mend: str) -> None:
    """Writes a file whole; one that cannot be written costs a warning that ends in ``mend``."""
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as f:
            np.savez_compressed(f, **arrays)  # pyright: ignore[reportArgumentType]
        os.replace(temporary, path)
    except OSError as error:
        logging.warning("%s cannot be written (%s); %s", path, reason(error), mend)
    finally:
        with contextlib.suppress(OSError):  # renamed, or never made
            temporary.unlink()
