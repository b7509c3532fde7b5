"""Runs a data job: shards of records, made in this process or in several, resumable by shard.

A job is a pure function of (its settings, shard index). A shard is finished when its file has been
renamed into place and the manifest has its line, so a job may be killed at any moment: the same
command makes exactly the shards that are missing, and the bytes do not depend on the number of
processes.
"""

import contextlib
import math
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

import tqdm

from data_gen import summary
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.lock import workdir_lock
from medvlp_jax.data.manifest import ShardName, unfinished
from medvlp_jax.data.records import Record
from medvlp_jax.data.shards import remove_leftovers, write_shard

ATTEMPTS = 2
"""How often a shard is tried when the process that makes it dies."""


class JobError(UserError, RuntimeError):
    """A job cannot go on; one line that names the shard and the mend."""


@dataclass(frozen=True)
class Shard:
    """Records ``start`` to ``stop`` (exclusive) of one split, counted within the split."""

    name: ShardName
    start: int
    stop: int

    @property
    def count(self) -> int:
        return self.stop - self.start


class Job(Protocol):
    """What :func:`run_job` runs; an instance must be picklable.

    Attributes:
        description: a sentence for the metadata of the data set.
        fingerprint: equal for equal output, different for different output; the number of
            processes is no part of it.
    """

    @property
    def description(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    def shards(self) -> Sequence[Shard]: ...

    def records(self, shard: Shard) -> Iterator[Record]:
        """The records of ``shard``, a pure function of the job and the shard."""
        ...


@dataclass(frozen=True)
class JobResult:
    """What :func:`run_job` did: shards made now, shards found, the summary of the whole folder."""

    made: int
    found: int
    summary: dict[str, Any]


def cut(dataset: str, split: str, count: int, per_shard: int) -> list[Shard]:
    """``count`` records of a split as shards of ``per_shard``; none for an empty split."""
    shards = math.ceil(count / per_shard)
    return [
        Shard(ShardName(dataset, split, i, shards), i * per_shard, min((i + 1) * per_shard, count))
        for i in range(shards)
    ]


def run_job(
    job: Job, directory: str | os.PathLike[str], processes: int = 0, progress: bool = True
) -> JobResult:
    """Makes the shards of ``job`` that ``directory`` lacks, then its metadata and summary.

    Args:
        job: what to make.
        directory: empty, or where the same job was interrupted.
        processes: worker processes; 1 works in this process, on whatever device JAX has; 0 is one
            per CPU core. Workers compute on the CPU, one thread each if there are as many as cores.
        progress: a line on stderr with studies per second and the time left, if that is a terminal.

    Raises:
        JobError: a worker died twice on one shard, or a worker met a :class:`UserError`.
        ShardError: the disk is full, or the directory holds another job's shards.
        LockError: another process writes to ``directory``.
        KeyboardInterrupt: Ctrl-C; its message says how many shards are finished.
    """
    if processes < 0:
        raise JobError(f"processes={processes}: use 0 for one per CPU core, or a positive number")
    processes = processes or cores()
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JobError(f"{directory} cannot be the output folder: {error.strerror}") from error
    shards = list(job.shards())
    if not shards:
        raise JobError("the job has no record to make; give at least one split a positive count")
    with workdir_lock(directory, "data generation") as folder:
        remove_leftovers(folder)
        missing = set(unfinished(folder, [s.name for s in shards], job.fingerprint))
        todo = [s for s in shards if s.name in missing]
        if todo:
            _make(job, todo, shards, folder, min(processes, len(todo)), progress)
        if todo or not summary.exists(folder):
            whole = summary.finish(folder, job.description)
        else:
            whole = summary.read(folder)
    return JobResult(len(todo), len(shards) - len(todo), whole)


def cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _make(
    job: Job, todo: list[Shard], shards: list[Shard], folder: Path, processes: int, progress: bool
) -> None:
    total = sum(s.count for s in shards)
    done = total - sum(s.count for s in todo)
    finished = [len(shards) - len(todo)]
    with tqdm.tqdm(
        total=total,
        initial=done,
        unit=" studies",
        desc="compiling",
        disable=None if progress else True,
        dynamic_ncols=True,
    ) as bar:

        def report(count: int) -> None:
            if bar.n == done and count > 0:
                # The rate should not remember how long it took to get to the first record.
                bar.unpause()
                bar.set_description_str("generating")
            bar.update(count)

        try:
            if processes == 1:
                for shard in todo:
                    make_shard(job, shard, folder, report)
                    finished[0] += 1
            else:
                _Pool(job, folder, processes, report).run(todo, finished)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"stopped: {finished[0]} of {len(shards)} shards are finished in {folder}; "
                "the same command makes the others"
            ) from None


def make_shard(
    job: Job, shard: Shard, folder: Path, report: Callable[[int], Any] = lambda count: None
) -> None:
    """Writes one shard and its manifest line; ``report`` is called with counts of new records."""
    tally = summary.Tally()

    def records() -> Iterator[Record]:
        for record in job.records(shard):
            tally.add(record)
            yield record
            report(1)

    write_shard(folder, shard.name, records(), job.fingerprint, tally.as_json)


@dataclass
class _Worker:
    process: Any
    pipe: Any
    shard: Shard
    reported: int = 0


class _Pool:
    """Worker processes, each with a pipe and at most one shard.

    ``concurrent.futures`` gives up a whole pool when one process dies, and cannot say on what.
    """

    def __init__(
        self, job: Job, folder: Path, processes: int, report: Callable[[int], None]
    ) -> None:
        self.job, self.folder, self.report = job, folder, report
        self.processes = processes
        # spawn: forking a process in which JAX runs threads can hang
        self.context = multiprocessing.get_context("spawn")
        self.workers: list[_Worker] = []
        self.queue: list[Shard] = []
        self.deaths: dict[ShardName, int] = {}

    def run(self, todo: list[Shard], finished: list[int]) -> None:
        """Makes all shards; ``finished[0]`` counts them as they come."""
        self.queue = list(todo)
        try:
            while self.queue and len(self.workers) < self.processes:
                self._start(self.queue.pop(0))
            while self.workers:
                ready = wait([w.pipe for w in self.workers])
                for worker in [w for w in self.workers if w.pipe in ready]:
                    finished[0] += self._hear(worker)
        finally:
            self._stop()

    def _start(self, shard: Shard) -> None:
        ours, theirs = self.context.Pipe()
        threads = max(1, cores() // self.processes)
        process = self.context.Process(
            target=_work, args=(self.job, self.folder, theirs, threads), daemon=True
        )
        process.start()
        theirs.close()
        worker = _Worker(process, ours, shard)
        self.workers.append(worker)
        ours.send(shard)

    def _hear(self, worker: _Worker) -> int:
        """Takes one message; returns how many shards it finishes (0 or 1)."""
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._bury(worker)
            return 0
        if kind == "records":
            worker.reported += value
            self.report(value)
            return 0
        if kind == "user error":
            raise JobError(value)
        if kind == "defect":
            raise RuntimeError(f"shard {worker.shard.name.filename} failed in a worker:\n{value}")
        worker.reported = 0
        if self.queue:
            worker.shard = self.queue.pop(0)
            worker.pipe.send(worker.shard)
        else:
            self._dismiss(worker)
        return 1

    def _bury(self, worker: _Worker) -> None:
        worker.process.join()
        self.workers.remove(worker)
        worker.pipe.close()
        self.report(-worker.reported)
        name, code = worker.shard.name, worker.process.exitcode
        reason = signal.Signals(-code).name if code and code < 0 else f"exit status {code}"
        self.deaths[name] = self.deaths.get(name, 0) + 1
        if self.deaths[name] >= ATTEMPTS:
            raise JobError(
                f"{self.deaths[name]} workers died while making {name.filename}, the last by "
                f"{reason}; finished shards are kept. If memory ran out, use fewer processes; "
                "processes=1 shows the cause"
            )
        tqdm.tqdm.write(
            f"a worker died ({reason}) while making {name.filename}; it is made again",
            file=sys.stderr,
        )
        self._start(worker.shard)

    def _dismiss(self, worker: _Worker) -> None:
        with contextlib.suppress(BrokenPipeError):  # it may be gone already, which is as well
            worker.pipe.send(None)
        worker.process.join()
        worker.pipe.close()
        self.workers.remove(worker)

    def _stop(self) -> None:
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.process.join()
            worker.pipe.close()
        self.workers.clear()
        remove_leftovers(self.folder)


def _work(job: Job, folder: Path, pipe: Connection, threads: int) -> None:
    """A worker's life: shards in, messages out, until the parent says None or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which stops us
    threading.Thread(target=_follow_parent, daemon=True).start()
    # JAX reads these when its backend starts, which no import of ours does.
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["NPROC"] = os.environ["OMP_NUM_THREADS"] = str(threads)
    import cv2

    cv2.setNumThreads(threads)
    try:
        while (shard := pipe.recv()) is not None:
            try:
                make_shard(job, shard, folder, lambda count: pipe.send(("records", count)))
                pipe.send(("finished", shard.name))
            except (BrokenPipeError, ConnectionResetError):
                raise
            except UserError as error:
                pipe.send(("user error", str(error)))
            except Exception:
                pipe.send(("defect", traceback.format_exc()))
    except (BrokenPipeError, ConnectionResetError, EOFError):
        return  # the parent was killed: leave the shard unfinished, another run will make it


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # at once, even in the middle of a compilation
