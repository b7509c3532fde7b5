"""Imports a data set of the table ``SOURCES`` into a folder of records.

Items are listed once, and made shard by shard by the runners of every data job
(:mod:`data_gen.jobs.run`). An interrupted import makes only the shards that are missing. Every row
of the tables ends in a record, in ``rejects.jsonl``, or was left out by a key of the config.
"""

import dataclasses
import os
import pathlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

from data_gen.jobs import run as jobs
from data_gen.jobs.job import Runner
from data_gen.jobs.local import local
from data_gen.sources.importing.base import Item, Rejects, SourceConfig, SourceError
from data_gen.sources.importing.rejects import check_rows
from data_gen.sources.importing.shards import ImportJob, check_folder, shard_rejects
from data_gen.sources.importing.source import check_counts, listed
from data_gen.sources.registry import SOURCES
from medvlp_jax.core.config import parse
from medvlp_jax.core.files import jsonl
from medvlp_jax.data.store.croissant import Origin
from medvlp_jax.data.store.dataset import finalise
from medvlp_jax.data.store.manifest import ShardInfo, read_manifest, write_errors
from medvlp_jax.data.store.shards import whole_file

REJECTS = "rejects.jsonl"
_LOOK = 50  # images looked for before the work begins
_SHOWN = 5  # labels in a warning


@dataclasses.dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
      records: split -> records in the folder.
      rejected: kind -> how many; each is a line of ``rejects.jsonl``.
      shards_written: by this call; the others were there.
      shared_patients: patients that occur in more than one split.
      split: name of the split, as in the records' provenance.
      rows: "read" of the tables -> where they went: "in records", "refused", and each key of the
        config that left some out.
      tables: name -> what reading it came to.
      notes: what was found or guessed.
      warnings: what a training or evaluation will miss; sizes that are not the published ones.
      origin: licence and citation, as far as they are known.
    """

    records: dict[str, int]
    rejected: dict[str, int]
    shards_written: int
    shared_patients: tuple[str, ...]
    split: str = ""
    rows: dict[str, int] = dataclasses.field(default_factory=dict)
    tables: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    origin: Origin = dataclasses.field(default_factory=Origin)

    def __str__(self) -> str:
        records = ", ".join(f"{split} {n}" for split, n in self.records.items())
        parts = dict(self.rows)
        read = parts.pop("read")
        shown = [f"{n} {name}" for name, n in parts.items() if n or name == "in records"]
        lines = [f"records: {records}", f"rows: {read} read = {' + '.join(shown)}"]
        if self.rejected:
            kinds = ", ".join(f"{kind} {n}" for kind, n in self.rejected.items())
            lines.append(f"left out, named in {REJECTS}: {kinds}")
        lines += [f"note: {line}" for line in self.notes]
        return "\n".join([*lines, *(f"warning: {line}" for line in self.warnings)])

    def as_json(self) -> dict[str, Any]:
        """What ``summary.json`` keeps of it."""
        kept = ("rejected", "rows", "tables", "notes", "warnings")
        return {key: getattr(self, key) for key in kept}


def run_import(
    source_name: str,
    config: SourceConfig | dict[str, Any],
    out_dir: str | os.PathLike,
    records_per_shard: int = 1000,
    processes: int = 1,
    progress: bool = True,
    runner: Runner | None = None,
) -> ImportReport:
    """Imports a data set into ``out_dir`` (shards, manifest, TFDS metadata, ``rejects.jsonl``).

    Args:
      source_name: a key of ``SOURCES``.
      config: the source's config, or a mapping that is parsed into it.
      out_dir: an empty folder, or one where the same import was interrupted.
      records_per_shard: studies per shard before rejects.
      processes, progress, runner: see :func:`data_gen.jobs.run.run_job`.

    Raises:
      SourceError: unknown source, missing table, wrong column, none of the images is there, no
        record is left, or a named split is not of its published size.
      ConfigError: the mapping has an unknown key or a wrong type.
      ShardError: the folder holds something else, or what the tables held before they were
        changed; or the disk is full.
      JobError: a worker died twice on one shard.
      LockError: another process writes to ``out_dir``.
    """
    if source_name not in SOURCES:
        raise SourceError(f"source {source_name!r} is unknown; there are: {', '.join(SOURCES)}")
    if records_per_shard < 1:
        raise SourceError("records_per_shard is at least 1")
    source = SOURCES[source_name]
    if not isinstance(config, SourceConfig):
        config = parse(source.config, config)
    runner = runner or local(processes)
    with jobs.output(out_dir, f"import of {config.name}") as directory:
        rejects = Rejects()
        items = listed(source, config, rejects)
        if not items:
            raise SourceError(_nothing(config, rejects))
        warnings = check_counts(source, config, items)
        _look_for_images(items)
        check_rows(rejects, sum(item.rows for item in items))
        tables = {name: table.sha256 for name, table in rejects.tables.items()}
        job = ImportJob(source_name, config, items, records_per_shard, tables)
        check_folder(directory, read_manifest(directory), job)
        made, _ = jobs.make_missing(job, directory, runner, progress, label="importing")
        found = read_manifest(directory)
        infos = [found[shard.name.filename] for shard in job.shards()]
        rejects.extend(shard_rejects(infos))
        kept = sum(info.extra["rows"] for info in infos)
        check_rows(rejects, kept)
        _write_rejects(directory, rejects)
        if not any(info.records for info in infos):
            raise SourceError(f"{_nothing(config, rejects)}; then delete {directory}")
        records = finalise(directory, job.description, job.origin)
    return ImportReport(
        records=records,
        rejected=dict(Counter(reject.kind for reject in rejects).most_common()),
        shards_written=made,
        shared_patients=(shared := _shared_patients(items)),
        split=items[0].provenance["split_name"],
        rows={
            "read": rejects.rows,
            "in records": kept,
            "refused": rejects.refused,
            **{f"left out by config.{key}": n for key, n in rejects.left_out.items()},
        },
        tables={name: dataclasses.asdict(table) for name, table in rejects.tables.items()},
        notes=tuple(rejects.notes),
        warnings=(
            *_about_patients(shared),
            *_about_texts(infos),
            *_about_labels(infos),
            *(f"{line}; check_counts=False is for a part" for line in warnings),
        ),
        origin=job.origin,
    )


def _nothing(config: SourceConfig, rejects: Rejects) -> str:
    message = f"{config.root}: no row is left to import"
    if rejects:
        first = rejects[0]
        message += f" and {len(rejects)} were rejected, first {first.where}: {first.kind}"
        message += f" ({first.detail})"
    left_out = ", ".join(f"{n} by config.{key}" for key, n in rejects.left_out.items())
    message += f"; {left_out} left out" if left_out else ""
    return message + "; check the config's columns, row filter and views"


def _look_for_images(items: Sequence[Item]) -> None:
    """A wrong root should stop the job at once, not fill a file with rejects."""
    step = max(1, len(items) // _LOOK)
    paths = [file.path for item in items[::step] for file in item.images]
    if paths and not any(map(os.path.lexists, paths)):
        raise SourceError(
            f"none of {len(paths)} images looked for exists, first {paths[0]}; check config.root"
        )


def _write_rejects(directory: pathlib.Path, rejects: Sequence[Any]) -> None:
    with whole_file(directory / REJECTS) as temporary, write_errors(directory / REJECTS):
        lines = jsonl.dump(reject.as_json() for reject in rejects)
        temporary.write_text(lines, encoding="utf-8")


def _shared_patients(items: Sequence[Item]) -> tuple[str, ...]:
    splits: dict[str, set[str]] = {}
    for item in items:
        if item.patient_id:
            splits.setdefault(item.patient_id, set()).add(item.split)
    return tuple(sorted(patient for patient, names in splits.items() if len(names) > 1))


def _about_patients(shared: Sequence[str]) -> list[str]:
    if not shared:
        return []
    return [f"{len(shared)} patients are in several splits, first {shared[0]}"]


def _about_texts(infos: Sequence[ShardInfo]) -> list[str]:
    records = sum(info.records for info in infos)
    without = sum(info.extra["textless"] for info in infos)
    if without == records:
        return [
            "no record has a text, and training on pairs needs some: name columns in config.texts, "
            "set config.texts_from_labels=True (radiographs of the chest), or make captions of the "
            "labels with configs/data_gen/captions.py"
        ]
    return [f"{without} of {records} records have no text"] if without else []


def _about_labels(infos: Sequence[ShardInfo]) -> list[str]:
    """Classes that a split holds no positive of: nothing can be learnt or measured there."""
    positives: dict[str, Counter[str]] = {}
    for info in infos:
        counts = positives.setdefault(info.name.split, Counter())
        if info.records:
            counts.update({name: row[0] for name, row in info.labels.items()})
    every = sorted({name for counts in positives.values() for name in counts})
    lines = []
    for split, counts in positives.items():
        lacking = [name for name in every if not counts[name]]
        if lacking:
            shown = ", ".join(lacking[:_SHOWN])
            more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
            lines.append(f"split {split} has no positive of {len(lacking)} labels: {shown}{more}")
    return lines
