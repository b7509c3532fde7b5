"""Arrays that are kept beside the data so that a pass over it is made once: .npz files."""

import pathlib
from collections.abc import Mapping

import numpy as np
from absl import logging

from medvlp_jax.core.errors import reason
from medvlp_jax.core.files import npz
from medvlp_jax.core.files.opening import MissingFileError
from medvlp_jax.core.files.replacing import replacing


def read_arrays(path: pathlib.Path, again: str) -> dict[str, np.ndarray] | None:
    """The arrays of a file, or None: it is not there, or damaged, which is said in one line.

    Args:
      path: of the file.
      again: what is done in place of reading it: "counting again".
    """
    try:
        return npz.read(path)
    except MissingFileError:
        return None
    except Exception as error:  # whatever a damaged file leads to: it can be made again
        logging.warning("%s is damaged (%s); %s", path, reason(error), again)
        return None


def write_arrays(path: pathlib.Path, arrays: Mapping[str, np.ndarray], mend: str) -> None:
    """Writes a file whole; one that cannot be written costs a warning that ends in ``mend``."""
    try:
        with replacing(path) as temporary, open(temporary, "wb") as f:
            np.savez_compressed(f, **arrays)  # pyright: ignore[reportArgumentType]
    except OSError as error:
        logging.warning("%s cannot be written (%s); %s", path, reason(error), mend)
