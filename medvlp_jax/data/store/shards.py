"""Writing shards of records: each file appears whole under its name, or not at all.

A shard is written under a temporary name, synced, renamed, and only then noted in the manifest.
"""

import contextlib
import hashlib
import os
import pathlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from array_record.python import array_record_module  # pyright: ignore[reportAttributeAccessIssue]

from medvlp_jax.core.files.replacing import TEMPORARY, replacing
from medvlp_jax.data.store.layout import to_example
from medvlp_jax.data.store.manifest import (
    LabelCounts,
    ShardError,
    ShardInfo,
    ShardName,
    append_manifest,
    write_errors,
)
from medvlp_jax.data.store.record import Record, check_record


def write_shard(
    directory: str | os.PathLike,
    name: ShardName,
    records: Iterable[Record],
    fingerprint: str = "",
    extra: Callable[[], dict[str, Any]] = dict,
) -> ShardInfo:
    """Writes one shard and its line of the manifest; the file appears whole or not at all.

    Args:
      directory: the data folder; made if need be.
      name: place of the shard. A file of that name is replaced.
      records: validated one by one; their ``split`` must be the shard's and ids be distinct.
      fingerprint: of the job, so that a later run knows whether the shard is still wanted.
      extra: called after the last record; what it returns is kept in the manifest line.

    Raises:
      RecordError: a record is not valid.
      ShardError: the disk is full or not writable, an id occurs twice, or a split differs.
    """
    directory = pathlib.Path(directory)
    counts, totals, ids = LabelCounts(), Counter(), set()

    def examples() -> Iterator[bytes]:
        for record in records:
            check_record(record)
            if record.split != name.split:
                raise ShardError(
                    f"{name.filename}: record {record.id!r} has split {record.split!r}; give each "
                    "split its own shards"
                )
            if record.id in ids:
                raise ShardError(
                    f"{name.filename}: record id {record.id!r} occurs twice; make ids unique"
                )
            ids.add(record.id)
            counts.add(record.labels)
            for field in ("images", "texts", "boxes", "masks", "turns"):
                totals[field] += len(getattr(record, field))
            yield to_example(record)

    with whole_file(directory / name.filename) as temporary:
        write_array_record(temporary, examples(), directory / name.filename)
        size, digest = temporary.stat().st_size, file_sha256(temporary)
    info = ShardInfo(
        file=name.filename,
        records=len(ids),
        bytes=size,
        sha256=digest,
        fingerprint=fingerprint,
        labels=dict(sorted(counts.counts.items())),
        extra=extra(),
        **totals,
    )
    append_manifest(directory, info)
    return info


@contextlib.contextmanager
def whole_file(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a temporary path beside ``path`` that is synced and renamed to it on success.

    On any error the temporary file is removed and what stood under ``path`` stays as it was.
    """
    with replacing(path, sync=True, errors=lambda: write_errors(path)) as temporary:
        yield temporary


def write_array_record(
    path: pathlib.Path, examples: Iterable[bytes], errors_as: str | os.PathLike
) -> None:
    """Writes serialized examples to ``path``; error messages speak of the file ``errors_as``."""
    # Grain and TFDS read at random: one record per chunk, or each read decodes its neighbours.
    with write_errors(errors_as):
        writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
    try:
        for data in examples:
            with write_errors(errors_as):
                writer.write(data)
    except BaseException:
        # Closing after a failed write raises the same error again, and the first one matters.
        with contextlib.suppress(RuntimeError):
            writer.close()
        raise
    with write_errors(errors_as):
        writer.close()


def file_sha256(path: str | os.PathLike) -> str:
    """Hex SHA-256 of a file."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def remove_leftovers(directory: str | os.PathLike) -> list[str]:
    """Deletes temporary files of killed processes; only for the holder of the folder's lock."""
    gone = []
    for path in pathlib.Path(directory).iterdir():
        if TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)
            gone.append(path.name)
    return sorted(gone)
