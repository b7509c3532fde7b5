"""The images of a folder as vectors, in one file."""

import dataclasses
import os
import pathlib
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.core.files import npz
from medvlp_jax.core.files.folders import output_file
from medvlp_jax.data.columns.base import Batch
from medvlp_jax.data.store.dataset import open_dataset, splits
from medvlp_jax.data.store.manifest import MANIFEST
from medvlp_jax.run.api.batches import Files, Records, look
from medvlp_jax.run.api.opened import Opened


@dataclasses.dataclass(frozen=True)
class Features:
    """Vectors of the images of a folder.

    Attributes:
      ids: of the records; of image files their paths in the folder.
      vectors: unit vectors, float32.
      refused: id -> why, of what could not be read and has no vector.
      path: the file that was written; None if none was asked for.
    """

    ids: list[str]
    vectors: Float[np.ndarray, "n e"]
    refused: dict[str, str]
    path: pathlib.Path | None = None

    def __str__(self) -> str:
        where = f" in {self.path}" if self.path else ""
        left = f"; {len(self.refused)} could not be read" if self.refused else ""
        first = next((f", the first: {name} ({why})" for name, why in self.refused.items()), "")
        return f"{len(self.ids)} vectors of {self.vectors.shape[1]} numbers{where}{left}{first}"


def features(
    opened: Opened,
    folder: str | os.PathLike[str],
    split: str | None = None,
    out: str | os.PathLike[str] | None = None,
    batch_size: int = 0,
) -> Features:
    """Reads every image of a folder once; see ``Model.features``."""
    file = None if out is None else _target(out)
    records = (pathlib.Path(folder) / MANIFEST).is_file()
    if records:
        source = Records(open_dataset(folder, _split(folder, split)))
    elif split is None:
        source = Files(folder)
    else:
        raise UserError(
            f"{folder} has no {MANIFEST}, so it is no data folder and has no split {split!r}: "
            "leave split out to read it as a folder of image files"
        )
    found = look(opened, source, _embed(opened), batch_size, any_view=not records)
    result = Features(found.ids, found.rows.astype(np.float32), found.refused, file)
    if file is not None:
        with one_net(file, "give another out=", verb="cannot be written"):
            npz.write(
                file,
                {
                    "ids": np.array(result.ids, np.str_),
                    "vectors": result.vectors,
                    "refused": np.array(list(result.refused), np.str_),
                    "reasons": np.array(list(result.refused.values()), np.str_),
                    "model": np.array(opened.name),
                },
            )
    return result


def _embed(opened: Opened) -> Callable[[Batch], np.ndarray]:
    return lambda batch: np.asarray(opened.predict("image_embed", batch))


def _target(out: str | os.PathLike[str]) -> pathlib.Path:
    """The file to write, looked at before the work begins."""
    file = output_file(out, "out")
    if file.suffix != ".npz":
        raise UserError(f"out={file} must end in .npz")
    with one_net(file.parent, "give another out=", verb="cannot be made"):
        file.parent.mkdir(parents=True, exist_ok=True)
    return file


def _split(folder: str | os.PathLike[str], split: str | None) -> str:
    if split is not None:
        return split
    there = list(splits(folder))
    if len(there) > 1:
        raise UserError(f"{folder} has the splits {', '.join(there)}: choose one with split=")
    return there[0]
