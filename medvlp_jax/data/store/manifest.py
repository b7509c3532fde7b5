"""What a data folder holds: names of shards, and the manifest with a line per finished shard.

A folder is filled by jobs that are pure functions of (what to make, shard index). A shard counts as
finished when the manifest has its line and the file has the digest that the line says; a job that
was interrupted makes exactly the others. Each line holds a digest of itself.
"""

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from absl import logging
from etils import epath

from medvlp_jax.core.checkpoints import digests
from medvlp_jax.core.errors import UserError, one_net, reason
from medvlp_jax.core.files import jsonl
from medvlp_jax.data.store.record import SPLIT_PATTERN

MANIFEST = "manifest.jsonl"
_DATASET_PATTERN = re.compile(r"[a-z][a-z0-9_]*")
_SHARD_PATTERN = re.compile(
    r"(?P<dataset>[a-z][a-z0-9_]*)-(?P<split>[a-z][a-z0-9_]*)\.array_record"
    r"-(?P<index>\d{5,})-of-(?P<count>\d{5,})"
)


class ShardError(UserError, RuntimeError):
    """A shard cannot be written or read; one line: the file, what is wrong, the mend."""


@dataclasses.dataclass(frozen=True, order=True)
class ShardName:
    """Place of a shard in its data set; ``filename`` is what TFDS expects."""

    dataset: str
    split: str
    index: int
    count: int

    def __post_init__(self) -> None:
        if not _DATASET_PATTERN.fullmatch(self.dataset):
            raise ValueError(
                f"data set name {self.dataset!r}: use lower-case letters, digits and underscores"
            )
        if not SPLIT_PATTERN.fullmatch(self.split):
            raise ValueError(f"split name {self.split!r}: use e.g. train, val or test")
        if not 0 <= self.index < self.count:
            raise ValueError(f"shard {self.index} of {self.count}: the index starts at 0")

    @property
    def filename(self) -> str:
        return f"{self.dataset}-{self.split}.array_record-{self.index:05d}-of-{self.count:05d}"

    @classmethod
    def parse(cls, filename: str) -> "ShardName | None":
        """The place that ``filename`` names, or None for any other file."""
        match = _SHARD_PATTERN.fullmatch(filename)
        if not match:
            return None
        return cls(match["dataset"], match["split"], int(match["index"]), int(match["count"]))


def shard_names(dataset: str, split: str, count: int) -> list[ShardName]:
    """The ``count`` shards of one split."""
    return [ShardName(dataset, split, i, count) for i in range(count)]


@dataclasses.dataclass(frozen=True)
class ShardInfo:
    """A line of the manifest.

    Attributes:
      bytes, sha256: of the file.
      fingerprint: of the job that wrote it (see :func:`fingerprint`).
      labels: name -> counts of [positive, negative, uncertain].
      images, texts, boxes, masks, turns: how many the records hold together.
      extra: what the job wants to remember, e.g. rejected rows.
    """

    file: str
    records: int
    bytes: int
    sha256: str
    fingerprint: str = ""
    labels: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    images: int = 0
    texts: int = 0
    boxes: int = 0
    masks: int = 0
    turns: int = 0
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> ShardName:
        name = ShardName.parse(self.file)
        if name is None:
            raise ShardError(f"{MANIFEST} names {self.file!r}, which is no shard; delete its line")
        return name


class LabelCounts:
    """Counts positive, negative and uncertain records per label."""

    def __init__(self) -> None:
        self.counts: dict[str, list[int]] = {}

    def add(self, labels: dict[str, int]) -> None:
        for name, value in labels.items():
            row = self.counts.setdefault(name, [0, 0, 0])
            row[(1, 0, -1).index(value)] += 1

    def merge(self, counts: dict[str, list[int]]) -> None:
        for name, row in counts.items():
            mine = self.counts.setdefault(name, [0, 0, 0])
            self.counts[name] = [a + b for a, b in zip(mine, row, strict=True)]


def fingerprint(*parts: Any) -> str:
    """16 hex digits for JSON values that say what a job makes; equal jobs, equal fingerprints."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextlib.contextmanager
def write_errors(path: str | os.PathLike) -> Iterator[None]:
    """Turns an error of the operating system while writing ``path`` into a :class:`ShardError`."""
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    try:
        yield
    except ShardError:
        raise
    except (OSError, RuntimeError) as e:
        # ArrayRecord's writer is C++: RuntimeError("write() failed: <strerror>; writing ...")
        reason = e.strerror if isinstance(e, OSError) and e.strerror else str(e).split(";")[0]
        mend = "check the path and its permissions"
        if any(os.strerror(n) in reason for n in full):
            mend = "free space"
        raise ShardError(
            f"cannot write {path} ({reason}); {mend} and rerun: finished files are kept"
        ) from e


def append_manifest(directory: str | os.PathLike, info: ShardInfo) -> None:
    """Adds a line, safe beside other processes; a line that a crash cut short is closed first."""
    path = pathlib.Path(directory) / MANIFEST
    told = dataclasses.asdict(info)
    if not info.turns:  # the lines of folders without conversations are those of older versions
        del told["turns"]
    line = json.dumps(jsonl.seal(told), sort_keys=True) + "\n"
    with write_errors(path), open(path, "a+b") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        end = f.seek(0, os.SEEK_END)
        if end:
            f.seek(end - 1)
            if f.read(1) != b"\n":
                line = "\n" + line
        f.write(line.encode())
        f.flush()
        os.fsync(f.fileno())


def read_manifest(directory: str | os.PathLike) -> dict[str, ShardInfo]:
    """``{file name: its last line}``; a damaged line counts as not written."""
    return read_lines(directory)[0]


def read_lines(directory: str | os.PathLike) -> tuple[dict[str, ShardInfo], dict[int, str]]:
    """``({file name: its last line}, {line number: what is wrong with it})``.

    What a crash left of a line that was written again later is no damage.

    Raises:
      ShardError: the file cannot be read.
    """
    path = pathlib.Path(directory) / MANIFEST
    if not path.exists():
        return {}, {}
    with one_net(path, "check the path and its permissions", ShardError):
        lines = path.read_bytes().split(b"\n")
    infos: dict[str, ShardInfo] = {}
    damaged: dict[int, str] = {}
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            info = ShardInfo(**jsonl.unseal(jsonl.parse(line)))
            if ShardName.parse(info.file) is None:
                raise ValueError(f"it names {info.file!r}, which is no shard")
        except (ValueError, TypeError, RecursionError) as error:
            damaged[number] = reason(error)
            continue
        infos.pop(info.file, None)  # the order is that of the last lines
        infos[info.file] = info
    for number in list(damaged):
        cut = lines[number - 1]
        if number == len(lines) or any(len(o) > len(cut) and o.startswith(cut) for o in lines):
            del damaged[number]
    return infos, damaged


def damaged_shards(directory: str | os.PathLike, infos: Iterable[ShardInfo]) -> dict[str, str]:
    """``{file: why}`` of the shards whose bytes are not those that the manifest tells of.

    Costs one reading of the files (``core/digests.py``), once per process.
    """
    return digests.damaged(epath.Path(directory), {info.file: info.sha256 for info in infos})


def unfinished(
    directory: str | os.PathLike,
    names: Sequence[ShardName],
    fingerprint: str,
    only: Sequence[ShardName] | None = None,
) -> list[ShardName]:
    """The shards that a job with this fingerprint still has to write.

    A shard is finished if the manifest has its line with the same fingerprint and the file has the
    digest that the line says; one that is there and differs is named in a warning. All files are
    read for it.

    Args:
      names: all shards of the job.
      only: those of them that are asked for.

    Raises:
      ShardError: the folder holds shards of these splits that another job wrote.
    """
    directory, infos = pathlib.Path(directory), read_manifest(directory)
    wanted, wanted_splits = {n.filename for n in names}, {n.split for n in names}
    asked = list(names if only is None else only)
    there = {}
    for info in infos.values():
        path = directory / info.file
        if info.name.split not in wanted_splits or not path.exists():
            continue
        if info.file not in wanted or info.fingerprint != fingerprint:
            raise ShardError(
                f"{path} was written by a job with other settings; choose another directory, or "
                "delete this one"
            )
        there[info.file] = info
    there = {name.filename: there[name.filename] for name in asked if name.filename in there}
    damaged = damaged_shards(directory, there.values())
    for why in damaged.values():
        logging.warning("%s/%s; it is made again", directory, why)
    return [n for n in asked if n.filename not in there or n.filename in damaged]
