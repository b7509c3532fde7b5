"""Training on labels instead of texts: which records, and their batches.

A labelled subset (1 %, 10 %) is drawn by patient, so that no patient is on both sides of a line,
and by label, so that a rare finding keeps its share; subsets of one seed are nested. Published code
draws images, often without a seed.
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int, Int8

from medvlp_jax.core.processes import distributed
from medvlp_jax.data.batch import BatchBuilder
from medvlp_jax.data.config import DataConfig
from medvlp_jax.data.held_out import HeldOut
from medvlp_jax.data.images.augment import ImageConfig
from medvlp_jax.data.loaders import RowThreads, TrainLoader
from medvlp_jax.data.pipeline import TrainIterator, process_rows
from medvlp_jax.data.plan import Plan
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.kept_arrays import read_arrays, write_arrays
from medvlp_jax.data.store.record import Source
from medvlp_jax.data.texts.choice import TextConfig, names_a_side
from medvlp_jax.data.texts.text_index import TextIndex, eligible_images
from medvlp_jax.data.unreadable import MAX_BAD_FRACTION, DataError, Readable, still_unreadable
from medvlp_jax.data.workers import threads_of

_ARRAYS = ("records", "labels", "patients", "ids", "masks", "boxes")
_LEFT_OUT = "unreadable"  # of the kept file: indices of records that are out of the index
#: No text has so many words: none is chosen.
NO_TEXT = TextConfig(min_words=1 << 30, missing="empty", buckets=(4,), window=0)


@dataclasses.dataclass(frozen=True)
class LabelIndex:
    """The usable records of one source, with what a subset is drawn by.

    Attributes:
      records: indices into the source, ascending; those without an image of a wanted view are out.
      labels: [n, k] in the order asked for: 1, 0, -1 uncertain, -2 absent.
      patients: whose study it is; a record that does not say is a patient of its own.
      ids: of the records.
      masks, boxes: names of the masks, and of the boxes, that some record has.
      content: identifies source and options; "" for a source without identity.
    """

    records: Int[np.ndarray, "n"]
    labels: Int8[np.ndarray, "n k"]
    patients: np.ndarray
    ids: np.ndarray
    masks: tuple[str, ...] = ()
    boxes: tuple[str, ...] = ()
    content: str = ""

    def kept(self, keep: Bool[np.ndarray, "n"]) -> "LabelIndex":
        """The index of those of its records that ``keep`` says; itself where that is all."""
        if keep.all():
            return self
        return dataclasses.replace(
            self,
            records=self.records[keep],
            labels=self.labels[keep],
            patients=self.patients[keep],
            ids=self.ids[keep],
            content=f"{self.content}:{_digest(np.flatnonzero(keep))}",
        )

    def subset(self, fraction: float, seed: int) -> Int[np.ndarray, "m"]:
        """Positions (into :attr:`records`, ascending) of about ``fraction`` of the patients.

        A patient belongs to the rarest label that one of their records has; of each such group at
        least one patient is taken. A larger fraction of the same seed holds the smaller one.

        Raises:
          ValueError: ``fraction`` is not in (0, 1].
        """
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction={fraction} must be above 0 and at most 1")
        if fraction == 1:
            return np.arange(len(self.records))
        names, of = np.unique(self.patients, return_inverse=True)
        has = np.zeros((len(names), self.labels.shape[1]), bool)
        np.logical_or.at(has, of, self.labels == 1)
        rarity = np.argsort(has.sum(0), kind="stable")
        stratum = np.where(has.any(1), has[:, rarity].argmax(1), -1)
        chosen = np.zeros(len(names), bool)
        order = np.array([_rank(str(name), seed) for name in names])
        for s in np.unique(stratum):
            members = np.flatnonzero(stratum == s)
            count = max(int(len(members) * fraction + 0.5), 1)
            chosen[members[np.argsort(order[members], kind="stable")[:count]]] = True
        return np.flatnonzero(chosen[of])


def _rank(name: str, seed: int) -> int:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


def label_index(
    source: Source,
    labels: Sequence[str],
    image: ImageConfig,
    cache_dir: str = "",
    max_bad_fraction: float = MAX_BAD_FRACTION,
) -> LabelIndex:
    """Reads every record once; kept beside the data as ``labels-<split>-<key>.npz``.

    Raises:
      DataError: no record has an image of the wanted views, or more than ``max_bad_fraction`` of
        them cannot be read; fewer are left out.
    """
    shards = getattr(source, "shards", None)
    if shards is None:
        return _scan(source, labels, image, max_bad_fraction)[0]
    parts = [2, [s.sha256 for s in shards], list(labels), image.views]
    content = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    folder = pathlib.Path(cache_dir or source.directory)  # type: ignore[attr-defined]
    path = folder / f"labels-{source.split}-{content}.npz"  # type: ignore[attr-defined]
    kept = read_arrays(path, "reading the labels again")
    if kept is not None and {*_ARRAYS} <= {*kept}:
        left_out = kept.get(_LEFT_OUT, np.zeros(0, np.int64))
        if still_unreadable(source, left_out.tolist()):
            records, values, patients, ids, masks, boxes = (kept[name] for name in _ARRAYS)
            drawn = tuple(masks.tolist()), tuple(boxes.tolist())
            return LabelIndex(records, values, patients, ids, *drawn, content)
    index, left_out = _scan(source, labels, image, max_bad_fraction)
    arrays = {name: np.array(getattr(index, name)) for name in _ARRAYS}
    for name in ("masks", "boxes"):  # of strings, also where there is none
        arrays[name] = arrays[name].astype(np.str_)
    if left_out:
        arrays[_LEFT_OUT] = np.array(left_out)
    write_arrays(path, arrays, "labels are read at each start; set data.cache_dir")
    return dataclasses.replace(index, content=content)


def _scan(
    source: Source, labels: Sequence[str], image: ImageConfig, max_bad_fraction: float
) -> tuple[LabelIndex, list[int]]:
    records, rows, patients, ids = [], [], [], []
    masks, boxes = set(), set()
    readable = Readable(source, max_bad_fraction)
    for i, record in readable:
        if eligible_images(record, image):
            records.append(i)
            rows.append([record.labels.get(name, -2) for name in labels])
            patients.append(record.patient_id or f"record {record.id}")
            ids.append(record.id)
            masks.update(mask.label for mask in record.masks)
            boxes.update(box.label for box in record.boxes)
    if not records:
        raise DataError(f"no record of {source!r} has an image of the views {image.views}")
    index = LabelIndex(
        np.array(records),
        np.array(rows, np.int8).reshape(len(records), len(labels)),
        np.array(patients, np.str_),
        np.array(ids, np.str_),
        tuple(sorted(masks)),
        tuple(sorted(boxes)),
    )
    return index, readable.left_out


def label_indices(config: DataConfig, labels: Sequence[str]) -> list[LabelIndex]:
    """The label index of every source of a config; one process reads, the others find it."""

    held_out = HeldOut.load(config.held_out) if config.held_out else None

    def read() -> list[LabelIndex]:
        out = []
        for s in config.sources:
            source = open_dataset(s.path, s.split)
            index = label_index(
                source, labels, config.image, config.cache_dir, config.max_bad_fraction
            )
            out.append(index.kept(held_out.kept(source, index.records)) if held_out else index)
        return out

    if distributed.is_main():
        read()
    distributed.barrier("label index")
    return read()


def labelled_iterator(
    config: DataConfig,
    steps: int,
    sources: Sequence[Source],
    indices: Sequence[LabelIndex],
    rows: Sequence[Int[np.ndarray, "m"]],
    process_index: int = 0,
    process_count: int = 1,
    *,
    columns: Sequence[str],
) -> TrainIterator:
    """Batches of chosen records, without texts.

    As :func:`medvlp_jax.data.pipeline.train_iterator`, which it shares all else with.

    Args:
      indices, rows: of each source, its index and the positions in it to visit.
      columns: names of what the batches hold; none of them holds tokens.

    Raises:
      ConfigError: there is no such column, or the config lacks what one needs.
      DataError: a source without a row, a column that needs a tokenizer, or flips where a mask or
        label names a side.
    """
    config = dataclasses.replace(config, text=NO_TEXT)
    if config.mixture.knows_modalities:
        raise DataError(
            "data.mixture.by='modality' and data.mixture.batches='one_modality' are for image-text "
            "pairs; labelled records are mixed by source"
        )
    named = [n for n in (*config.labels, *config.masks) if names_a_side(n)]
    if config.image.geometry.flip > 0 and named and not config.image.allow_flip:
        raise DataError(
            f"image.geometry.flip={config.image.geometry.flip} would make {named[0]!r} wrong; set "
            "it to 0, or image.allow_flip=True if you mean it"
        )
    for source, chosen in zip(sources, rows, strict=True):
        if not len(chosen):
            raise DataError(f"no record of {source!r} is left to train on")
    groups = len(NO_TEXT.groups)
    visited = [
        TextIndex(
            index.records[chosen],
            np.zeros((len(chosen), groups), np.int32),
            np.zeros(0, np.int32),
            {"records": len(chosen)},
            f"{index.content}:{_digest(np.asarray(chosen, np.int64))}",
        )
        for index, chosen in zip(indices, rows, strict=True)
    ]
    weights = [s.weight for s in config.sources]
    plan = Plan(visited, weights, NO_TEXT, config.batch_size, config.seed, config.mixture)
    share = process_rows(config.batch_size, process_index, process_count)
    builder = BatchBuilder(columns, config)
    loader = TrainLoader(builder, plan, sources, share, RowThreads(threads_of(config)))
    return TrainIterator(loader, plan, config, steps)


def _digest(values: np.ndarray) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()[:16]
