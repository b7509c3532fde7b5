"""A finished data folder: its TFDS metadata, and random access to its records."""

import os
import pathlib
import threading
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import Any, SupportsIndex

from array_record.python import array_record_module  # pyright: ignore[reportAttributeAccessIssue]
from etils import epath

from medvlp_jax.core.checkpoints import digests
from medvlp_jax.core.errors import reason
from medvlp_jax.data.store import croissant
from medvlp_jax.data.store.layout import from_example
from medvlp_jax.data.store.manifest import (
    MANIFEST,
    LabelCounts,
    ShardError,
    ShardInfo,
    ShardName,
    damaged_shards,
    read_lines,
)
from medvlp_jax.data.store.metadata import write_metadata
from medvlp_jax.data.store.record import Record, RecordError

_REGENERATE = "delete it and rerun the command that made the folder"
#: The small files that stand beside the shards; ``digests.json`` has theirs.
BESIDE = (
    *("features.json", "dataset_info.json", croissant.CROISSANT),
    *("rejects.jsonl", "summary.json", "preview.png"),
)


def splits(directory: str | os.PathLike) -> dict[str, list[ShardInfo]]:
    """``{split: its shards in order}`` of a folder, complete ones only.

    Raises:
      ShardError: no manifest, a shard of a split is missing, or shards of two jobs are mixed.
    """
    directory = pathlib.Path(directory)
    infos, damaged = read_lines(directory)
    lines = f"; damaged lines of {MANIFEST}: {', '.join(map(str, damaged))}" if damaged else ""
    if not infos:
        raise ShardError(
            f"{directory} has no finished shard in {MANIFEST}{lines}; it is no data folder of this "
            "package, or its generation never got to the first shard"
        )
    _check_listed(directory, infos, lines)
    newest = {info.name.split: info.name for info in infos.values()}
    by_split: dict[str, list[ShardInfo]] = {}
    for info in infos.values():
        name, last = info.name, newest[info.name.split]
        current = (name.dataset, name.count) == (last.dataset, last.count)
        # Other lines are history, of a job whose files were deleted before this one ran.
        if current or (directory / info.file).exists():
            by_split.setdefault(name.split, []).append(info)
    for split, shards in by_split.items():
        shards.sort(key=lambda info: info.name)
        _check_split(directory, split, shards, lines)
        if damaged:  # an older line of a shard may stand for the one that is damaged
            for why in damaged_shards(directory, shards).values():
                raise ShardError(f"{directory}/{why}{lines}; {_REGENERATE}")
    return dict(sorted(by_split.items()))


def _check_listed(directory: pathlib.Path, infos: dict[str, ShardInfo], lines: str) -> None:
    """A split whose only line is lost must not be missed in silence."""
    for path in sorted(directory.glob("*.array_record-*-of-*")):
        if path.name not in infos and ShardName.parse(path.name):
            raise ShardError(
                f"{path} has no line in {MANIFEST}{lines}; rerun the command that made the folder, "
                "it makes what is missing, or delete the file"
            )


def _check_split(directory: pathlib.Path, split: str, shards: list[ShardInfo], lines: str) -> None:
    first = shards[0]
    for info in shards:
        a, b = first.name, info.name
        if (a.dataset, a.count) != (b.dataset, b.count) or first.fingerprint != info.fingerprint:
            raise ShardError(
                f"{directory}: {first.file} and {info.file} come from different jobs; delete the "
                f"stale shards of split {split!r} and rerun the generation command"
            )
    have = {info.name.index for info in shards}
    missing = [i for i in range(first.name.count) if i not in have]
    if missing:
        raise ShardError(
            f"{directory}: split {split!r} lacks {len(missing)} of {first.name.count} shards, "
            f"first index {missing[0]}{lines}; rerun the generation command to make them"
        )
    for info in shards:
        check_size(directory / info.file, info.bytes)


def check_size(path: pathlib.Path, expected: int) -> None:
    """Raises :class:`ShardError` for a file that is missing, empty, or cut short."""
    if not path.exists():
        raise ShardError(f"{path} is missing; rerun the command that made the folder")
    size = path.stat().st_size
    if size != expected:
        what = "is empty (0 bytes)" if size == 0 else f"has {size} bytes, not {expected}"
        raise ShardError(f"{path} {what}: truncated or foreign; {_REGENERATE}")


def verify(directory: str | os.PathLike) -> list[str]:
    """Compares every file of a folder with the digest kept of it; one line per damaged file.

    :func:`open_dataset` looks at sizes only, and each read checks its own record; this is the
    whole check, for after a copy. It reads all files once.
    """
    directory = pathlib.Path(directory)
    try:
        shards = [info for some in splits(directory).values() for info in some]
    except ShardError as error:
        return [str(error)]
    broken = [
        f"{directory}/{why}; {_REGENERATE}" for why in damaged_shards(directory, shards).values()
    ]
    _, damaged = read_lines(directory)
    broken += [
        f"{directory / MANIFEST}, line {number}: {why}; all shards are whole, so delete the line"
        for number, why in damaged.items()
        if not broken
    ]
    return broken + [f"{why}; {_REGENERATE}" for why in damaged_beside(directory, BESIDE)]


def keep_digests(directory: str | os.PathLike) -> None:
    """Notes the digests of the small files beside the shards; for whoever has written one."""
    directory = epath.Path(directory)
    digests.write(directory, [name for name in BESIDE if (directory / name).exists()])


def damaged_beside(directory: str | os.PathLike, names: Iterable[str]) -> list[str]:
    """One line per file among ``names`` (see :data:`BESIDE`) that is not what was written.

    Folders of older versions have no digests of them: nothing is found there.
    """
    try:
        known = digests.read(epath.Path(directory)) or {}
    except ValueError as error:
        return [f"{directory}/{error}"]
    chosen = {name: known[name] for name in names if name in known}
    return [f"{directory}/{why}" for why in digests.damaged(epath.Path(directory), chosen).values()]


def finalise(
    directory: str | os.PathLike, description: str = "", origin: croissant.Origin | None = None
) -> dict[str, int]:
    """Writes ``features.json``, ``dataset_info.json`` and ``croissant.json``; returns
    ``{split: records}``.

    After it, ``tfds.builder_from_directory(directory).as_data_source(split="train")`` reads the
    folder without this package. Images and masks are the encoded bytes (TFDS cannot decode
    DICOM), ``provenance`` is JSON. Splits without a record are left out.

    Raises:
      ShardError: the folder is not complete (see :func:`splits`).
    """
    directory = pathlib.Path(directory)
    by_split = {k: v for k, v in splits(directory).items() if any(s.records for s in v)}
    if not by_split:
        raise ShardError(f"{directory} holds no record; look at what the job rejected")
    dataset = next(iter(by_split.values()))[0].name.dataset
    turns = any(s.turns for v in by_split.values() for s in v)
    records = {split: sum(s.records for s in shards) for split, shards in by_split.items()}
    write_metadata(
        directory,
        dataset=dataset,
        shard_lengths={k: [s.records for s in v] for k, v in by_split.items()},
        sizes={k: sum(s.bytes for s in v) for k, v in by_split.items()},
        description=description,
        turns=turns,
    )
    files = [
        croissant.StoredFile(s.file, s.bytes, s.sha256, split)
        for split, shards in by_split.items()
        for s in shards
    ]
    layout = croissant.examples("array_record", turns)
    croissant.write(directory, dataset, description, files, records, layout, origin)
    keep_digests(directory)
    return records


class RecordSource:
    """Random access to the records of one split; what Grain calls a data source.

    Picklable: the files are opened again, when first touched, in the process that unpickles it.
    Safe for several reading threads.

    Attributes:
      directory, split: what was opened.
      shards: the manifest lines of the split, in order.
      fingerprint: of the job that made the split; with ``len`` it names the content.
    """

    def __init__(self, directory: str | os.PathLike, split: str):
        self.directory = pathlib.Path(directory).absolute()
        self.split = split
        by_split = splits(self.directory)
        if split not in by_split:
            raise ShardError(f"{directory} has no split {split!r}; it has: {', '.join(by_split)}")
        self.shards: tuple[ShardInfo, ...] = tuple(by_split[split])
        self.fingerprint = self.shards[0].fingerprint
        self._ends = list(accumulate(info.records for info in self.shards))
        self.__setstate__(self.__dict__)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_readers", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._readers: list[Any] = [None] * len(self.shards)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: SupportsIndex) -> Record:
        """Record ``index`` in 0..len-1 (negative counts from the end)."""
        position, data = self._read(index)
        try:
            record = from_example(data)
        except RecordError as e:
            raise ShardError(f"{self._path(position)}: {e}") from e
        if record.split != self.split:
            raise ShardError(
                f"{self._path(position)} holds records of split {record.split!r}: it was renamed "
                f"or exchanged for another; {_REGENERATE}"
            )
        return record

    def example(self, index: SupportsIndex) -> bytes:
        """The serialized ``tf.train.Example`` of record ``index``."""
        return self._read(index)[1]

    def __repr__(self) -> str:
        return f"RecordSource({str(self.directory)!r}, {self.split!r}, records={len(self)})"

    @property
    def label_counts(self) -> dict[str, dict[str, int]]:
        """``{label: {"positive": n, "negative": n, "uncertain": n}}``, from the manifest."""
        counts = LabelCounts()
        for info in self.shards:
            counts.merge(info.labels)
        keys = ("positive", "negative", "uncertain")
        return {k: dict(zip(keys, v, strict=True)) for k, v in sorted(counts.counts.items())}

    @property
    def label_names(self) -> list[str]:
        """Every label that some record of the split carries, sorted."""
        return sorted(self.label_counts)

    def _path(self, shard: int) -> pathlib.Path:
        return self.directory / self.shards[shard].file

    def _read(self, index: SupportsIndex) -> tuple[int, bytes]:
        i = index.__index__()
        if i < 0:
            i += len(self)
        if not 0 <= i < len(self):
            raise IndexError(f"record {index} of {len(self)} in {self.directory} ({self.split})")
        shard = bisect_right(self._ends, i)
        offset = i - (self._ends[shard - 1] if shard else 0)
        try:
            return shard, self._reader(shard).read([offset])[0]
        except RuntimeError as e:
            if isinstance(e, ShardError):
                raise
            raise ShardError(
                f"{self._path(shard)} is corrupt at record {offset} ({reason(e)}); {_REGENERATE}"
            ) from e

    def _reader(self, shard: int) -> Any:
        with self._lock:
            if self._readers[shard] is None:
                self._readers[shard] = open_array_record(
                    self._path(shard), self.shards[shard].records
                )
            return self._readers[shard]


def open_array_record(path: pathlib.Path, records: int | None = None) -> Any:
    """An ``ArrayRecordReader`` for random access; the C++ reader alone reports no error here.

    Raises:
      ShardError: no ArrayRecord file, truncated, or not holding ``records`` records.
    """
    if not path.exists():
        raise ShardError(f"{path} is missing; rerun the command that made the folder")
    reader = array_record_module.ArrayRecordReader(
        str(path), "readahead_buffer_size:0,max_parallelism:0", file_reader_buffer_size=32768
    )
    if not reader.ok():
        raise ShardError(f"{path} is no whole ArrayRecord file; {_REGENERATE}")
    if records is not None and reader.num_records() != records:
        raise ShardError(
            f"{path} holds {reader.num_records()} records, not {records} as {MANIFEST} says; "
            f"{_REGENERATE}"
        )
    return reader


def positive_labels(source: RecordSource) -> list[str]:
    """The labels that some record has, be it uncertain; sorted."""
    counts = source.label_counts
    return [name for name, c in counts.items() if c["positive"] or c["uncertain"]]


def open_dataset(
    directory: str | os.PathLike, split: str = "train", *, verified: bool = False
) -> RecordSource:
    """Opens one split of a data folder; cheap, the files are read when records are asked for.

    What training reads may be too large to be read twice: the size of each file is compared here,
    the number of its records when it is first touched, and the checksum and the split of each
    record when that is read. What a score is told of is read whole before.

    Args:
      verified: compare each file of the split with its digest first, once per process.

    Raises:
      ShardError: no such folder or split, or a shard that is missing, empty, truncated or, where
        that is asked for, differs from what was written; by name.
    """
    source = RecordSource(directory, split)
    if verified:
        for why in damaged_shards(source.directory, source.shards).values():
            raise ShardError(f"{source.directory}/{why}; {_REGENERATE}")
    return source
