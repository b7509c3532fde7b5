"""Data folders out to the formats of others: one file for each shard, each with its digest.

A file counts as finished when ``files.jsonl`` has its line and its bytes have the digest that the
line says. The same command makes what is missing or damaged; a folder that other records were
written to is refused.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence

from absl import logging
from etils import epath

from medvlp_jax.core.checkpoints import digests
from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files import jsonl
from medvlp_jax.data.store import croissant
from medvlp_jax.data.store.dataset import RecordSource, open_dataset, splits
from medvlp_jax.data.store.manifest import MANIFEST, ShardError, fingerprint, write_errors
from medvlp_jax.data.store.record import Record
from medvlp_jax.data.store.shards import file_sha256, whole_file

FILES = "files.jsonl"
_MEND = "choose another folder to write to, or delete this one"


@dataclasses.dataclass(frozen=True)
class Target:
    """A format to write.

    Attributes:
      name: of the format and, in fingerprints, of its version.
      filename: (data set, split, index, count) -> path of a file in the folder.
      write: (path, records, number of the first of them in their split) writes one file.
      layout: what ``croissant.json`` says of the files.
    """

    name: str
    filename: Callable[[str, str, int, int], str]
    write: Callable[[pathlib.Path, Iterable[Record], int], None]
    layout: croissant.Format


@dataclasses.dataclass(frozen=True)
class FileLine:
    """A line of ``files.jsonl``; ``job`` tells of what and how the file was made."""

    file: str
    split: str
    records: int
    bytes: int
    sha256: str
    job: str


def export(
    source: str | os.PathLike, directory: str | os.PathLike, target: Target
) -> dict[str, int]:
    """Writes every split of a data folder in another format; returns ``{split: records}``.

    One file for each shard that holds records, in order. What a former call finished is kept.

    Raises:
      ShardError: the source is not complete; the target holds something else; or the disk is full.
    """
    directory = pathlib.Path(directory)
    by_split = {k: [i for i in v if i.records] for k, v in splits(source).items()}
    by_split = {split: infos for split, infos in by_split.items() if infos}
    if not by_split:
        raise ShardError(f"{source} holds no record")
    job = fingerprint(target.name, [(i.file, i.sha256) for v in by_split.values() for i in v])
    lines = _finished(directory, job)
    dataset = next(iter(by_split.values()))[0].name.dataset
    wanted: dict[str, FileLine] = {}
    for split, infos in by_split.items():
        records, start = open_dataset(source, split), 0
        for i, info in enumerate(infos):
            name = target.filename(dataset, split, i, len(infos))
            if name not in lines:
                with whole_file(directory / name) as temporary, write_errors(directory / name):
                    target.write(temporary, _part(records, start, info.records), start)
                path = directory / name
                lines[name] = FileLine(
                    name, split, info.records, path.stat().st_size, file_sha256(path), job
                )
                _write_lines(directory, lines.values())
            wanted[name] = lines[name]
            start += info.records
    counts = {split: sum(i.records for i in infos) for split, infos in by_split.items()}
    with one_net(source, "rerun the command that made the folder", ShardError):
        origin, about = croissant.read_origin(source), croissant.read_description(source)
    stored = [croissant.StoredFile(w.file, w.bytes, w.sha256, w.split) for w in wanted.values()]
    croissant.write(directory, dataset, about, stored, counts, target.layout, origin)
    digests.write(epath.Path(directory), [FILES, croissant.CROISSANT])
    return counts


def damaged(directory: str | os.PathLike) -> dict[str, str]:
    """``{file: why}`` of an exported folder's files whose bytes are not those written.

    Raises:
      ShardError: the folder holds no ``files.jsonl``, or a damaged one.
    """
    directory = pathlib.Path(directory)
    if not (directory / FILES).exists():
        raise ShardError(f"{directory} has no {FILES}: it is no exported folder")
    known = {line.file: line.sha256 for line in read_lines(directory)}
    return digests.damaged(epath.Path(directory), known)


def read_lines(directory: str | os.PathLike) -> list[FileLine]:
    """The lines of ``files.jsonl``.

    Raises:
      ShardError: a line is damaged, by its number.
    """
    path = pathlib.Path(directory) / FILES
    with one_net(path, _MEND, ShardError):
        return [FileLine(**jsonl.unseal(line)) for line in jsonl.read(path, _MEND, ShardError)]


def _finished(directory: pathlib.Path, job: str) -> dict[str, FileLine]:
    """What a former call of the same job has written, whole."""
    if (directory / MANIFEST).exists():
        raise ShardError(f"{directory} is a data folder with shards of its own; {_MEND}")
    if not (directory / FILES).exists():
        if found := sorted(_files_in(directory)):
            raise ShardError(f"{directory} holds {found[0]}, which this did not write; {_MEND}")
        return {}
    lines = {line.file: line for line in read_lines(directory)}
    if any(line.job != job for line in lines.values()):
        raise ShardError(f"{directory} holds files made of other records; {_MEND}")
    for name, why in damaged(directory).items():
        logging.warning("%s/%s; it is made again", directory, why)
        del lines[name]
    return lines


def _files_in(directory: pathlib.Path) -> Iterable[str]:
    if not directory.is_dir():
        return []
    return (p.name for p in directory.rglob("*") if p.suffix in (".tar", ".parquet"))


def _write_lines(directory: pathlib.Path, lines: Iterable[FileLine]) -> None:
    text = "".join(
        json.dumps(jsonl.seal(dataclasses.asdict(line)), sort_keys=True) + "\n" for line in lines
    )
    with whole_file(directory / FILES) as temporary, write_errors(directory / FILES):
        temporary.write_text(text)


def _part(records: RecordSource, start: int, count: int) -> Iterable[Record]:
    return (records[i] for i in range(start, start + count))


def formats_of(source: str | os.PathLike, of: Sequence[str]) -> set[str]:
    """Which of the image formats ``of`` the records of a folder have; reads all of them."""
    found: set[str] = set()
    for split in splits(source):
        records = open_dataset(source, split)
        for i in range(len(records)):
            found.update(image.format for image in records[i].images if image.format in of)
            if len(found) == len(of):
                return found
    return found
