"""The import job: a data set of the table ``SOURCES`` into a folder of records.

Items are listed once, cut into shards per split, and each shard is written by itself, in this
process or several. An interrupted job makes only the shards that are missing.
"""

import concurrent.futures
import dataclasses
import json
import math
import multiprocessing
import os
import pathlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import cv2
import tqdm

from data_gen.sources import (
    chexpert,
    covid_rural,
    covidx,
    csv,
    mimic_cxr,
    ms_cxr,
    nih,
    openi,
    padchest,
    rsna,
    siim,
    vindr,
)
from data_gen.sources.base import Item, Reject, Rejects, SourceConfig, SourceError
from data_gen.sources.source import Source, check_counts, listed, load
from medvlp_jax.core.config import parse, to_plain
from medvlp_jax.core.lock import workdir_lock
from medvlp_jax.data.dataset import finalise
from medvlp_jax.data.manifest import (
    ShardInfo,
    ShardName,
    fingerprint,
    read_manifest,
    unfinished,
    write_errors,
)
from medvlp_jax.data.records import Record
from medvlp_jax.data.shards import remove_leftovers, whole_file, write_shard

SOURCES: dict[str, Source] = {
    "csv": csv.SOURCE,
    "chexpert": chexpert.SOURCE,
    "mimic_cxr": mimic_cxr.SOURCE,
    "nih": nih.SOURCE,
    "openi": openi.SOURCE,
    "rsna": rsna.SOURCE,
    "siim": siim.SOURCE,
    "padchest": padchest.SOURCE,
    "vindr": vindr.SOURCE,
    "ms_cxr": ms_cxr.SOURCE,
    "covidx": covidx.SOURCE,
    "covid_rural": covid_rural.SOURCE,
}
REJECTS = "rejects.jsonl"
_LOOK = 50  # images looked for before the work begins


@dataclasses.dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
      records: split -> records in the folder.
      rejected: kind -> how many; the rows are in ``rejects.jsonl``.
      shards_written: by this call; the others were there.
      shared_patients: patients that occur in more than one split.
      split: name of the split, as in the records' provenance.
      warnings: sizes that are not the published ones.
    """

    records: dict[str, int]
    rejected: dict[str, int]
    shards_written: int
    shared_patients: tuple[str, ...]
    split: str = ""
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        records = ", ".join(f"{split} {n}" for split, n in self.records.items())
        lines = [f"records: {records}"]
        if self.rejected:
            kinds = ", ".join(f"{kind} {n}" for kind, n in self.rejected.items())
            lines.append(f"left out, named in {REJECTS}: {kinds}")
        if self.shared_patients:
            lines.append(
                f"warning: {len(self.shared_patients)} patients are in several splits, "
                f"first {self.shared_patients[0]}"
            )
        lines += [f"warning: {line}; check_counts=False is for a part" for line in self.warnings]
        return "\n".join(lines)


def run_import(
    source_name: str,
    config: SourceConfig | dict[str, Any],
    out_dir: str | os.PathLike,
    records_per_shard: int = 1000,
    workers: int = 0,
    progress: bool = True,
) -> ImportReport:
    """Imports a data set into ``out_dir`` (shards, manifest, TFDS metadata, ``rejects.jsonl``).

    Args:
      source_name: a key of ``SOURCES``.
      config: the source's config, or a mapping that is parsed into it.
      out_dir: an empty folder, or one where the same import was interrupted.
      records_per_shard: studies per shard before rejects.
      workers: processes; 0 does the work here.
      progress: show a bar on stderr.

    Raises:
      SourceError: unknown source, missing table, wrong column, none of the images is there, or a
        named split is not of its published size.
      ConfigError: the mapping has an unknown key or a wrong type.
      ShardError: the folder holds something else, or the disk is full.
      LockError: another process writes to ``out_dir``.
    """
    if source_name not in SOURCES:
        raise SourceError(f"source {source_name!r} is unknown; there are: {', '.join(SOURCES)}")
    if records_per_shard < 1 or workers < 0:
        raise SourceError("records_per_shard is at least 1, workers at least 0")
    source = SOURCES[source_name]
    if not isinstance(config, SourceConfig):
        config = parse(source.config, config)
    with workdir_lock(out_dir, f"import of {config.name}") as directory:
        remove_leftovers(directory)
        rejects = Rejects()
        items = listed(source, config, rejects)
        if not items:
            raise SourceError(_nothing(config, rejects))
        warnings = check_counts(source, config, items)
        _look_for_images(items)
        work = _cut(items, config.name, records_per_shard)
        job = fingerprint(
            source_name, to_plain(config), records_per_shard, [(i.id, i.split) for i in items]
        )
        todo = unfinished(directory, list(work), job)
        tasks = [(source_name, config, name, work[name], directory, job) for name in todo]
        total = sum(len(work[name]) for name in todo)
        with tqdm.tqdm(total=total, unit="study", disable=not progress) as bar:
            for name in _run(tasks, workers):
                bar.update(len(work[name]))
        rejects.extend(_rejects_of(directory, list(work)))
        _write_rejects(directory, rejects)
        split = items[0].provenance["split_name"]
        about = f"{config.name}, imported by medvlp_jax from {source_name}; split: {split}."
        records = finalise(directory, about)
    return ImportReport(
        records=records,
        rejected=dict(Counter(reject.kind for reject in rejects).most_common()),
        shards_written=len(todo),
        shared_patients=_shared_patients(items),
        split=split,
        warnings=warnings,
    )


def _nothing(config: SourceConfig, rejects: Rejects) -> str:
    message = f"{config.root}: no row is left to import"
    if rejects:
        first = rejects[0]
        message += f" and {len(rejects)} were rejected, first {first.where}: {first.kind}"
        message += f" ({first.detail})"
    return message + "; check the config's columns, row filter and views"


def _look_for_images(items: Sequence[Item]) -> None:
    """A wrong root should stop the job at once, not fill a file with rejects."""
    step = max(1, len(items) // _LOOK)
    paths = [file.path for item in items[::step] for file in item.images]
    if paths and not any(path.exists() for path in paths):
        raise SourceError(
            f"none of {len(paths)} images looked for exists, first {paths[0]}; check config.root"
        )


def _cut(items: Sequence[Item], dataset: str, size: int) -> dict[ShardName, list[Item]]:
    by_split: dict[str, list[Item]] = {}
    for item in items:
        by_split.setdefault(item.split, []).append(item)
    work: dict[ShardName, list[Item]] = {}
    for split, chosen in sorted(by_split.items()):
        count = math.ceil(len(chosen) / size)
        for i in range(count):
            name = ShardName(dataset, split, i, count)
            work[name] = chosen[i * size : (i + 1) * size]
    return work


def _run(tasks: Sequence[tuple[Any, ...]], workers: int) -> Iterator[ShardName]:
    if workers == 0:
        for task in tasks:
            yield _make_shard(task).name
        return
    # spawn: a fork of a process whose threads (image decoders, progress bar) hold locks can hang
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        workers, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        futures = [pool.submit(_make_shard, task) for task in tasks]
        try:
            for future in concurrent.futures.as_completed(futures):
                yield future.result().name
        except BrokenProcessPool as e:
            raise SourceError(
                "a worker process died, for want of memory perhaps; rerun with fewer workers: "
                "finished shards are kept"
            ) from e
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _make_shard(task: tuple[Any, ...]) -> ShardInfo:
    source_name, config, name, items, directory, job = task
    source, rejects = SOURCES[source_name], Rejects()

    def records() -> Iterator[Record]:
        for item in items:
            record = load(source, item, config, rejects)
            if record is not None:
                yield record

    def extra() -> dict[str, Any]:
        return {"rejects": [dataclasses.astuple(reject) for reject in rejects]}

    return write_shard(directory, name, records(), job, extra)


def _rejects_of(directory: pathlib.Path, names: Sequence[ShardName]) -> Iterator[Reject]:
    infos = read_manifest(directory)
    for name in names:
        for row in infos[name.filename].extra.get("rejects", ()):
            yield Reject(*row)


def _write_rejects(directory: pathlib.Path, rejects: Sequence[Reject]) -> None:
    with whole_file(directory / REJECTS) as temporary, write_errors(directory / REJECTS):
        lines = (json.dumps(dataclasses.asdict(r), ensure_ascii=False) + "\n" for r in rejects)
        temporary.write_text("".join(lines), encoding="utf-8")


def _shared_patients(items: Sequence[Item]) -> tuple[str, ...]:
    splits: dict[str, set[str]] = {}
    for item in items:
        if item.patient_id:
            splits.setdefault(item.patient_id, set()).add(item.split)
    return tuple(sorted(patient for patient, names in splits.items() if len(names) > 1))
