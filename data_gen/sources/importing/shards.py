"""An import as a job: items that were listed, cut into shards that any runner can make.

The shards carry their items, so that tables are read once and a worker gets what it works on and
no more. The fingerprint holds all that goes into the records: settings, texts, labels, boxes, and
of every image, mask and report its path, size and time of last change. Digests of the images would
read a data set twice; of the tables, which are small, the digest is kept beside it to say what has
changed.
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from data_gen.jobs.job import Shard, cut
from data_gen.sources.importing.base import Item, Reject, Rejects, SourceConfig, SourceError
from data_gen.sources.importing.masks import MaskFile
from data_gen.sources.importing.source import load
from data_gen.sources.registry import SOURCES
from medvlp_jax.core.config import to_plain
from medvlp_jax.data.store.manifest import ShardError, ShardInfo, fingerprint
from medvlp_jax.data.store.record import Record

_HERE = os.uname().nodename


@dataclasses.dataclass(frozen=True)
class ImportShard(Shard):
    """A shard with the items that become its records, at most one each.

    ``files``: of the items' files, how many were there when the items were listed.
    """

    items: tuple[Item, ...] = ()
    files: int = 0


class ImportJob:
    """Implements :class:`data_gen.jobs.job.Job` and ``TakesNotes``."""

    def __init__(
        self,
        source_name: str,
        config: SourceConfig,
        items: Sequence[Item],
        per_shard: int,
        tables: Mapping[str, str],
    ) -> None:
        """``tables``: name -> digest of each table that was read."""
        self.source_name, self.config = source_name, config
        self.description = (
            f"{config.name}, imported by medvlp_jax from {source_name}; split: "
            f"{items[0].provenance['split_name']}."
        )
        self.origin = SOURCES[source_name].origin(config)
        rows, files = hashlib.sha256(), hashlib.sha256()
        there: dict[str, bool] = {}
        for item in items:
            rows.update(repr(dataclasses.replace(item, where="")).encode("utf-8", "replace"))
            if item.turns:
                rows.update(repr(item.turns).encode("utf-8", "replace"))
            for path in _files(item):
                seen = _seen(path)
                there[str(path)] = seen is not None
                files.update(repr((str(path), seen)).encode("utf-8", "replace"))
        self.made_from: dict[str, Any] = {
            "settings": fingerprint(source_name, to_plain(config), per_shard),
            "tables": dict(tables),
            "files": files.hexdigest(),
            "rows": rows.hexdigest(),
        }
        parts = {key: value for key, value in self.made_from.items() if key != "tables"}
        self.fingerprint = fingerprint(parts)
        self._shards = _cut(items, config.name, per_shard, there)
        self._notes: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Workers get their shards one by one; all of them would be the whole data set each time.
        return self.__dict__ | {"_shards": (), "_notes": {}}

    def shards(self) -> Sequence[Shard]:
        """See :class:`data_gen.jobs.job.Job`."""
        return self._shards

    def records(self, shard: Shard) -> Iterator[Record]:
        """See :class:`data_gen.jobs.job.Job`; fewer than ``shard.count`` if items are rejected.

        Raises:
          SourceError: files that were there are gone, as on a disk that is not mounted here.
        """
        assert isinstance(shard, ImportShard)
        found = sum(_seen(path) is not None for item in shard.items for path in _files(item))
        if found < shard.files:
            raise SourceError(
                f"{shard.files - found} files of {self.config.root} that were there are gone, or "
                f"{_HERE} does not see them; bring them back and rerun: finished shards are kept"
            )
        source, rejects = SOURCES[self.source_name], Rejects()
        rows = textless = 0
        for item in shard.items:
            record = load(source, item, self.config, rejects)
            if record is not None:
                rows += item.rows
                textless += not record.texts
                yield record
        self._notes = {
            "rejects": [dataclasses.astuple(reject) for reject in rejects],
            "rows": rows,
            "textless": textless,
            "made_from": self.made_from,
        }

    def notes(self, shard: Shard) -> dict[str, Any]:
        """What the manifest keeps of the shard beside its counts; after its last record."""
        return self._notes


def shard_rejects(infos: Iterable[ShardInfo]) -> Iterator[Reject]:
    """The rejects of finished shards."""
    for info in infos:
        for row in info.extra.get("rejects", ()):
            yield Reject(*row)


def check_folder(directory: pathlib.Path, infos: Mapping[str, ShardInfo], job: ImportJob) -> None:
    """Old rows and new ones never share a folder.

    Raises:
      ShardError: the folder holds a shard that was made from something else; it says from what.
    """
    for name, info in infos.items():
        if info.fingerprint != job.fingerprint and (directory / name).exists():
            before = info.extra.get("made_from", {})
            raise ShardError(
                f"{directory} was made {_difference(before, job.made_from)}; choose another "
                "directory, or delete this one to import anew"
            )


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if not before or before.get("settings") != now["settings"]:
        return "by a job with other settings"
    changed = [n for n, digest in now["tables"].items() if before["tables"].get(n) != digest]
    if changed:
        return f"from another {', '.join(changed)}: the table has changed since"
    if before.get("files") != now["files"]:
        return "from other files: images, masks or reports were changed, added or removed since"
    return "from other rows: a list or table has changed since"


def _files(item: Item) -> Iterator[pathlib.Path]:
    yield from (image.path for image in item.images)
    yield from (mask.path for mask in item.masks if isinstance(mask, MaskFile))
    if item.report is not None:
        yield item.report


def _seen(path: pathlib.Path) -> tuple[int, int] | None:
    """Size and time of last change; None if nothing is there."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None
    return found.st_size, found.st_mtime_ns


def _cut(
    items: Sequence[Item], dataset: str, size: int, there: Mapping[str, bool]
) -> tuple[ImportShard, ...]:
    by_split: dict[str, list[Item]] = {}
    for item in items:
        by_split.setdefault(item.split, []).append(item)
    shards = []
    for split, chosen in sorted(by_split.items()):
        for shard in cut(dataset, split, len(chosen), size):
            part = tuple(chosen[shard.start : shard.stop])
            files = sum(there[str(path)] for item in part for path in _files(item))
            shards.append(ImportShard(shard.name, shard.start, shard.stop, part, files))
    return tuple(shards)
