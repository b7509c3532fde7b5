"""Records out to TFRecord files and back, without TensorFlow.

A TFRecord file is a row of frames: length (uint64), masked CRC-32C of the length, payload, masked
CRC-32C of the payload, all little-endian (tensorflow/core/lib/io/record_writer.h). The payload is
the same serialized ``tf.train.Example`` that the ArrayRecord shards hold.
"""

import dataclasses
import os
import pathlib
import re
import struct
from collections.abc import Iterable, Iterator

import google_crc32c

from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files import jsonl
from medvlp_jax.data.store import croissant
from medvlp_jax.data.store.dataset import finalise, open_dataset, splits
from medvlp_jax.data.store.layout import from_example
from medvlp_jax.data.store.manifest import (
    ShardError,
    ShardName,
    fingerprint,
    unfinished,
    write_errors,
)
from medvlp_jax.data.store.metadata import write_metadata
from medvlp_jax.data.store.record import Record, RecordError
from medvlp_jax.data.store.shards import file_sha256, whole_file, write_shard

_PATTERN = re.compile(
    r"(?P<dataset>[a-z][a-z0-9_]*)-(?P<split>[a-z][a-z0-9_]*)\.tfrecord"
    r"-(?P<index>\d{5,})-of-(?P<count>\d{5,})"
)
_MEND = "export it again, or restore it from where it came"


def masked_crc32c(data: bytes) -> int:
    """CRC-32C rotated right by 15 bits plus a constant, as TFRecord stores it."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def write_frames(path: pathlib.Path, payloads: Iterable[bytes]) -> int:
    """Writes a TFRecord file, whole or not at all; returns the number of frames."""
    count = 0
    with whole_file(path) as temporary:
        with write_errors(path):
            f = open(temporary, "wb")  # noqa: SIM115 - errors of payloads are not write errors
        try:
            for payload in payloads:
                length = struct.pack("<Q", len(payload))
                with write_errors(path):
                    f.write(length + struct.pack("<I", masked_crc32c(length)))
                    f.write(payload)
                    f.write(struct.pack("<I", masked_crc32c(payload)))
                count += 1
        finally:
            with write_errors(path):
                f.close()
    return count


def read_frames(path: str | os.PathLike) -> Iterator[bytes]:
    """Yields the payloads of a TFRecord file, both checksums of each frame verified.

    Raises:
      ShardError: no such file, 0 bytes, cut short, or a checksum that does not match.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise ShardError(f"{path} is missing; {_MEND}")
    if path.stat().st_size == 0:
        raise ShardError(f"{path} is empty (0 bytes); {_MEND}")
    with one_net(path, _MEND, ShardError), open(path, "rb") as f:
        number = 0
        while header := f.read(12):
            if len(header) < 12:
                raise ShardError(f"{path} is cut short in frame {number}; {_MEND}")
            (length,) = struct.unpack("<Q", header[:8])
            if struct.unpack("<I", header[8:])[0] != masked_crc32c(header[:8]):
                what = "is no TFRecord file" if number == 0 else f"is corrupt in frame {number}"
                raise ShardError(f"{path} {what} (checksum of the length); {_MEND}")
            payload, checksum = f.read(length), f.read(4)
            if len(payload) < length or len(checksum) < 4:
                raise ShardError(f"{path} is cut short in frame {number}; {_MEND}")
            if struct.unpack("<I", checksum)[0] != masked_crc32c(payload):
                raise ShardError(f"{path} is corrupt in frame {number} (checksum); {_MEND}")
            yield payload
            number += 1


def read_records(path: str | os.PathLike) -> Iterator[Record]:
    """The records of one TFRecord file that :func:`export` (or a job like it) wrote."""
    for number, payload in enumerate(read_frames(path)):
        try:
            record = from_example(payload)
        except RecordError as e:
            raise ShardError(f"{path}, frame {number}: {e}") from e
        yield record


def export(source: str | os.PathLike, target: str | os.PathLike) -> dict[str, int]:
    """Writes every split of a data folder as TFRecord shards; returns ``{split: records}``.

    One file per ArrayRecord shard that holds records, same examples in the same order, with the
    metadata of TFDS, so that TensorFlow users read it with ``builder.as_dataset``.
    """
    _check_apart(source, target)
    target, lengths, sizes, name = pathlib.Path(target), {}, {}, ""
    turns, files = False, []
    for split, shards in splits(source).items():
        dataset, start = open_dataset(source, split), 0
        lengths[split] = [info.records for info in shards if info.records]
        sizes[split] = 0
        name = shards[0].name.dataset
        turns = turns or any(info.turns for info in shards)
        for i, records in enumerate(lengths[split]):
            path = target / _filename(ShardName(name, split, i, len(lengths[split])))
            write_frames(path, map(dataset.example, range(start, start + records)))
            start += records
            size = path.stat().st_size
            sizes[split] += size
            files.append(croissant.StoredFile(path.name, size, file_sha256(path), split))
    lengths = {split: counts for split, counts in lengths.items() if counts}
    write_metadata(target, name, lengths, sizes, file_format="tfrecord", turns=turns)
    records = {split: sum(counts) for split, counts in lengths.items()}
    _describe(source, target, name, files, records, turns)
    return records


def import_folder(source: str | os.PathLike, target: str | os.PathLike) -> dict[str, int]:
    """Writes the TFRecord shards of a folder as a finished data folder of ArrayRecord shards.

    Returns ``{split: records}``. After an interruption only the missing shards are written.

    Raises:
      ShardError: no TFRecord shard, one missing, or one that is corrupt, by name.
    """
    if not pathlib.Path(source).is_dir():
        raise ShardError(f"{source} is no folder; give one that holds TFRecord shards")
    _check_apart(source, target)
    found: dict[ShardName, pathlib.Path] = {}
    with one_net(source, "give a folder of TFRecord shards", ShardError):
        for path in sorted(pathlib.Path(source).iterdir()):
            if m := _PATTERN.fullmatch(path.name):
                found[ShardName(m["dataset"], m["split"], int(m["index"]), int(m["count"]))] = path
    if not found:
        raise ShardError(f"{source} holds no <name>-<split>.tfrecord-00000-of-00001 file")
    for name, path in found.items():
        for i in range(name.count):
            sibling = dataclasses.replace(name, index=i)
            if sibling not in found:
                raise ShardError(f"{path.parent / _filename(sibling)} is missing; {_MEND}")
    job = fingerprint("tfrecord", [(path.name, file_sha256(path)) for path in found.values()])
    lengths = _lengths(pathlib.Path(source))
    for name in unfinished(target, list(found), job):
        records = read_records(found[name])
        write_shard(target, name, _so_many(records, lengths.get(name), found[name]), job)
    with one_net(source, _MEND, ShardError):
        origin = croissant.read_origin(source)
    return finalise(target, origin=origin)


def _describe(
    source: str | os.PathLike,
    target: pathlib.Path,
    name: str,
    files: list[croissant.StoredFile],
    records: dict[str, int],
    turns: bool,
) -> None:
    with one_net(source, "rerun the command that made the folder", ShardError):
        origin, about = croissant.read_origin(source), croissant.read_description(source)
    layout = croissant.examples("tfrecord", turns)
    croissant.write(target, name, about, files, records, layout, origin)


def _check_apart(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """Each format has a ``dataset_info.json`` of its own: one folder cannot be both."""
    if os.path.realpath(source) == os.path.realpath(target):
        raise ShardError(f"{target} is the folder that is read; choose another one to write to")


def _lengths(source: pathlib.Path) -> dict[ShardName, int]:
    """Records per shard as ``dataset_info.json`` says, where the folder has one."""
    path = source / "dataset_info.json"
    if not path.exists():
        return {}
    with one_net(path, _MEND, ShardError):
        info = jsonl.parse(path.read_bytes())
        return {
            ShardName(info["name"], split["name"], i, len(split["shardLengths"])): int(length)
            for split in info["splits"]
            for i, length in enumerate(split["shardLengths"])
        }


def _so_many(records: Iterable[Record], count: int | None, path: pathlib.Path) -> Iterator[Record]:
    """``records``, which a file that was cut between two frames has fewer of."""
    found = 0
    for record in records:
        yield record
        found += 1
    if count is not None and found != count:
        raise ShardError(
            f"{path} holds {found} records, not {count} as dataset_info.json says; {_MEND}"
        )


def _filename(name: ShardName) -> str:
    return name.filename.replace(".array_record-", ".tfrecord-")
