"""MedMNIST: the twelve sets of two-dimensional images, at 28, 64, 128 or 224 pixels.

Layout: ``<root>/pathmnist.npz`` or ``<root>/pathmnist_224.npz`` with the arrays ``train_images``,
``train_labels``, ``val_images``, ``val_labels``, ``test_images``, ``test_labels``; images are uint8
[N, S, S] or [N, S, S, 3], labels [N, 1], or [N, 14] of ``chestmnist``. Tasks, names in the order of
their numbers and published sizes stand in ``medmnist.json`` (Yang et al., Scientific Data 2023, and
release 3.0 of 2024, which left out some images of the organ sets).
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from data_gen.sources.containers import npz
from data_gen.sources.importing.base import Item, Rejects, SourceConfig, SourceError
from data_gen.sources.importing.source import Source
from medvlp_jax.data.store.croissant import Origin
from medvlp_jax.data.store.record import Text

_SPLITS = {"train": "train", "val": "validation", "test": "test"}
_CITATION = (
    "Yang et al., MedMNIST v2: a large-scale lightweight benchmark for 2D and 3D biomedical image "
    "classification, Scientific Data 10:41, 2023"
)
_URL = "https://medmnist.com"


@functools.cache
def sets() -> dict[str, dict[str, Any]]:
    """``{name: facts}`` of the twelve sets: title, task, labels, counts, words for captions."""
    return json.loads(pathlib.Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))


@dataclasses.dataclass(frozen=True)
class MedMnistConfig(SourceConfig):
    """The keys of every importer, and these.

    Attributes:
      name: of the data set in the names of its shards.
      set: which of the twelve.
      pixels: side of the images.
    """

    name: str = "medmnist"
    set: Literal[
        "pathmnist",
        "chestmnist",
        "dermamnist",
        "octmnist",
        "pneumoniamnist",
        "retinamnist",
        "breastmnist",
        "bloodmnist",
        "tissuemnist",
        "organamnist",
        "organcmnist",
        "organsmnist",
    ] = "pathmnist"
    pixels: Literal[28, 64, 128, 224] = 28


def items(config: MedMnistConfig, rejects: Rejects) -> Iterator[Item]:
    """One item an image."""
    facts = sets()[config.set]
    file = config.set + (f"_{config.pixels}.npz" if config.pixels != 28 else ".npz")
    path = pathlib.Path(config.root, file)
    if not path.exists():
        raise SourceError(f"{path} is missing; check config.root, config.set and config.pixels")
    npz.check(path)
    sizes = []
    for part, split in _SPLITS.items():
        labels = _labels(path, part, facts)
        images = npz.Rows(path, f"{part}_images")
        wanted = (len(labels), config.pixels, config.pixels)
        if images.shape[:3] != wanted or images.shape[3:] not in ((), (3,)):
            raise SourceError(
                f"{path}: {part}_images is {images.shape}, not {wanted} or {(*wanted, 3)}; "
                "download it again, or set config.pixels"
            )
        sizes.append(len(labels))
        for i, row in enumerate(labels):
            where = f"{file} {part} {i}"
            rejects.rows += 1
            found = _named(row, facts)
            if found is None:
                rejects.refuse(where, "class without a name", f"label {row.tolist()}")
                continue
            yield Item(
                id=f"{config.set}/{part}/{i}",
                where=where,
                images=(
                    npz.NpzImage(path, "", facts["modality"], array=f"{part}_images", index=i),
                ),
                split=split,
                texts=(_caption(found, facts),),
                labels=found,
                provenance={"source": config.set, "task": facts["task"], "split_name": "official"},
            )
    _check_sizes(config, sizes, facts, rejects)


def _labels(path: pathlib.Path, part: str, facts: dict[str, Any]) -> np.ndarray:
    labels = npz.array(path, f"{part}_labels")
    width = len(facts["labels"]) if facts["task"] == "multi-label" else 1
    if labels.ndim != 2 or labels.shape[1] != width:
        raise SourceError(
            f"{path}: {part}_labels is {labels.shape}, not (N, {width}); another set?"
        )
    return labels


def _named(row: np.ndarray, facts: dict[str, Any]) -> dict[str, int] | None:
    """``{label: 1 or 0}``; None for a number without a name."""
    names = facts["labels"]
    if facts["task"] == "multi-label":
        return dict(zip(names, row.tolist(), strict=True)) if set(row.tolist()) <= {0, 1} else None
    if not float(row[0]).is_integer() or not 0 <= row[0] < len(names):
        return None
    number = int(row[0])
    return {name: int(i == number) for i, name in enumerate(names)}


def _caption(labels: dict[str, int], facts: dict[str, Any]) -> Text:
    """One sentence: what the image is, and what it shows."""
    positive = tuple(name for name, value in labels.items() if value)
    if positive == ("normal",):
        shows = facts["normal"]
    elif positive:
        said = ", ".join(positive[:-1])
        shows = facts["show"].format(f"{said} and {positive[-1]}" if said else positive[-1])
    else:
        shows = facts["none"]
    sentence = f"{facts['image']} {shows}."
    return Text(sentence[0].upper() + sentence[1:], "caption", "labels", positive)


def _check_sizes(
    config: MedMnistConfig, sizes: list[int], facts: dict[str, Any], rejects: Rejects
) -> None:
    """Compares the parts with the published sizes; all are read by now.

    Raises:
      SourceError: they differ.
    """
    if not config.check_counts or sizes in facts["counts"]:
        return
    raise SourceError(
        f"{config.set} has {sizes} images in train, val and test, published "
        f"{' or '.join(map(str, facts['counts']))}; download it again, or set "
        "config.check_counts=False to import a part"
    )


def _origin(config: MedMnistConfig) -> Origin:
    return Origin(sets()[config.set]["license"], _CITATION, _URL)


SOURCE = Source(MedMnistConfig, items, origin=_origin)
