"""Images through the pipeline of evaluation: decoded in threads, ahead of the model."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from medvlp_jax.core.errors import UserError
from medvlp_jax.data.columns.base import Batch
from medvlp_jax.data.images.augment import ImageConfig, load_image
from medvlp_jax.data.images.base import ImageError
from medvlp_jax.data.pipeline import eval_batches
from medvlp_jax.data.store.record import Record, Source
from medvlp_jax.data.texts.text_index import eligible_images
from medvlp_jax.data.unreadable import BAD_RECORD, first_line
from medvlp_jax.run.api.images import as_image, called
from medvlp_jax.run.api.opened import Opened

#: A batch to a row for each of its images.
ReadFn = Callable[[Batch], Shaped[np.ndarray, "b ..."]]


class Given:
    """Images that somebody hands in, as a source of records."""

    def __init__(self, images: Sequence[Any]):
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Record:
        image = self._images[index]
        try:
            return Record(self.called(index), (as_image(image),))
        except UserError as error:
            raise ImageError(str(error)) from error

    def called(self, index: int) -> str:
        return called(self._images[index], index)


class Files(Given):
    """The image files of a folder and of the folders in it, in the order of their names.

    Hidden ones are left out. Every other file is taken for an image: what is none is refused.

    Raises:
      UserError: there is no such folder, or no file in it.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self._folder = pathlib.Path(folder)
        found = []
        for where, folders, names in os.walk(self._folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            found += [pathlib.Path(where, name) for name in names if not name.startswith(".")]
        if not found:
            there = "has no file" if self._folder.is_dir() else "is no folder"
            raise UserError(f"{folder} {there}: give a data folder, or a folder of image files")
        super().__init__(sorted(found))

    def called(self, index: int) -> str:
        return self._images[index].relative_to(self._folder).as_posix()


class Records:
    """The records of a source, by their ids."""

    def __init__(self, source: Source):
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Record:
        return self._source[index]

    def called(self, index: int) -> str:
        try:
            return self._source[index].id
        except BAD_RECORD:
            return f"record {index}"


@dataclasses.dataclass(frozen=True)
class Pass:
    """What one pass over images found.

    Attributes:
      rows: of the images that could be read, in their order.
      places: which ones these are.
      ids: their names.
      refused: name -> why, of the others.
    """

    rows: Shaped[np.ndarray, "m ..."]
    places: Int[np.ndarray, "m"]
    ids: list[str]
    refused: dict[str, str]


def look(
    opened: Opened,
    source: Given | Records,
    read: ReadFn,
    batch_size: int = 0,
    any_view: bool = True,
    all_or_none: bool = False,
) -> Pass:
    """Reads every image of a source once.

    Args:
      read: a batch that holds ``image`` to its rows.
      batch_size: images that the model sees at once; 0: as evaluation.
      any_view: take the first image of a record whatever its view, not one of ``image.views``.
      all_or_none: refuse all images for one that cannot be read.

    Raises:
      UserError: no image can be read, or not each of them.
    """
    image = opened.data.image
    if any_view:
        image = dataclasses.replace(image, views=())
    # What cannot be read is told at the end, however much it is.
    data = dataclasses.replace(opened.data, image=image, workers=0, max_bad_fraction=1.0)
    size = opened.batch_size(len(source), batch_size)
    rows, places, ids = [], [], []
    for number, batch in enumerate(eval_batches(data, source, size, columns=("image",))):
        valid = np.flatnonzero(batch["valid"])
        found = read({"image": batch["image"]})
        rows.append(found[valid])
        places.append(number * size + valid)
        ids += batch["id"][valid].tolist()
    where = np.concatenate(places)
    refused = {
        source.called(i): _why(source, i, data.image)
        for i in np.setdiff1d(np.arange(len(source)), where).tolist()
    }
    if refused and all_or_none:
        name, why = next(iter(refused.items()))
        raise ImageError(why if why.startswith(name) else f"{name}: {why}")
    if not len(where):
        name, why = next(iter(refused.items()))
        raise UserError(f"none of {len(source)} images can be read; the first was {name}: {why}")
    return Pass(np.concatenate(rows), where, ids, refused)


def _why(source: Given | Records, index: int, config: ImageConfig) -> str:
    """Why an image is not among those that were read: it is tried once more."""
    try:
        images = eligible_images(source[index], config)
        if not images:
            views = f" of the views {', '.join(config.views)}" if config.views else ""
            return f"it has no image{views}"
        load_image(images[0].data, images[0].format, config, None)
    except BAD_RECORD as error:
        return first_line(error)
    return "it could not be read at first; try again"
