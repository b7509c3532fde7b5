"""Runs a data job: shards of records, made by a runner, resumable by shard.

A job is a pure function of (its settings, shard index). A shard is finished when its file has been
renamed into place and the manifest has its line, so a job may be killed at any moment: the same
command makes exactly the shards that are missing, and the bytes depend neither on the runner nor on
the number of its workers.
"""

import contextlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tqdm

from data_gen.jobs import summary
from data_gen.jobs.job import AnyJob, HasOrigin, Job, JobError, Runner, Shard, missing_shards
from data_gen.jobs.local import local
from medvlp_jax.core.processes.lock import workdir_lock
from medvlp_jax.data.store.manifest import ShardName
from medvlp_jax.data.store.shards import remove_leftovers


@dataclass(frozen=True)
class JobResult:
    """What :func:`run_job` did: shards made now, shards found, the summary of the whole folder."""

    made: int
    found: int
    summary: dict[str, Any]


def run_job(
    job: Job,
    directory: str | os.PathLike[str],
    processes: int = 0,
    progress: bool = True,
    runner: Runner | None = None,
) -> JobResult:
    """Makes the shards of ``job`` that ``directory`` lacks, then its metadata and summary.

    Args:
      job: what to make.
      directory: empty, or where the same job was interrupted.
      processes: worker processes; 1 works in this process, on whatever device JAX has; 0 is one
        per CPU core. Workers compute on the CPU, one thread each if there are as many as cores.
      progress: a line on stderr with studies per second and the time left, if that is a terminal.
      runner: where the shards are made instead; the caller closes it.

    Raises:
      JobError: a worker died twice on one shard, or a worker met a :class:`UserError`.
      ShardError: the disk is full, or the directory holds another job's shards.
      LockError: another process writes to ``directory``.
      KeyboardInterrupt: Ctrl-C; its message says how many shards are finished.
    """
    runner = runner or local(processes)
    with output(directory, "data generation") as folder:
        made, found = make_missing(job, folder, runner, progress)
        if made or not summary.exists(folder):
            origin = job.origin if isinstance(job, HasOrigin) else None
            whole = summary.finish(folder, job.description, origin=origin)
        else:
            whole = summary.read(folder)
    return JobResult(made, found, whole)


def make_folder(directory: str | os.PathLike[str]) -> Path:
    """The output folder, made if need be.

    Raises:
      JobError: there is a file of that name, or no permission.
    """
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JobError(f"{directory} cannot be the output folder: {error.strerror}") from error
    return Path(directory)


@contextlib.contextmanager
def output(directory: str | os.PathLike[str], purpose: str) -> Iterator[Path]:
    """Holds the lock of an output folder, which is made if need be and freed of leftovers.

    Args:
      purpose: what is done there, for the message that a second process gets.

    Raises:
      JobError: see :func:`make_folder`.
      LockError: another process writes to ``directory``.
    """
    with workdir_lock(make_folder(directory), purpose) as folder:
        remove_leftovers(folder)
        yield folder


def make_missing(
    job: AnyJob,
    folder: Path,
    runner: Runner,
    progress: bool = True,
    only: Collection[ShardName] | None = None,
    label: str = "generating",
    unit: str = "studies",
) -> tuple[int, int]:
    """Makes the shards that ``folder`` lacks; the caller holds the folder's lock.

    Args:
      job, folder, runner, progress: see :func:`run_job`.
      only: of the job's shards; None for all of them.
      label, unit: words for the line of progress, and for what is counted there.

    Returns:
      How many were made and how many were found.
    """
    every = list(job.shards())
    if not every:
        raise JobError("the job has no record to make; give at least one split a positive count")
    missing = missing_shards(job, folder)
    shards = every if only is None else [s for s in every if s.name in only]
    todo = [s for s in shards if s.name in missing]
    if todo:
        _make(job, todo, shards, folder, runner, progress, (label, unit))
    return len(todo), len(shards) - len(todo)


class _Bar:
    """Progress on the terminal; implements :class:`data_gen.jobs.job.Watch`."""

    def __init__(self, bar: Any, found: int, label: str) -> None:
        self.bar, self.shards, self.label = bar, found, label
        self._start = bar.n

    def records(self, count: int) -> None:
        if self.bar.n == self._start and count > 0:
            # The rate should not remember how long it took to get to the first record.
            self.bar.unpause()
            self.bar.set_description_str(self.label)
        self.bar.update(count)

    def finished(self) -> None:
        self.shards += 1


def _make(
    job: AnyJob,
    todo: list[Shard],
    shards: list[Shard],
    folder: Path,
    runner: Runner,
    progress: bool,
    words: tuple[str, str],
) -> None:
    label, unit = words
    total = sum(s.count for s in shards)
    with tqdm.tqdm(
        total=total,
        initial=total - sum(s.count for s in todo),
        unit=f" {unit}",
        desc="compiling",
        disable=None if progress else True,
        dynamic_ncols=True,
    ) as bar:
        watch = _Bar(bar, len(shards) - len(todo), label)
        try:
            runner.run(job, todo, folder, watch)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"stopped: {watch.shards} of {len(shards)} shards are finished in {folder}; "
                "the same command makes the others"
            ) from None
