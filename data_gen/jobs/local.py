"""Shards in this process, or in worker processes of this machine."""

import contextlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from data_gen.jobs.job import AnyJob, Deaths, JobError, Shard, Watch, is_finished, make_shard
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.processes.cores import cores
from medvlp_jax.core.processes.family import follow_parent
from medvlp_jax.data.store.shards import remove_leftovers


class InProcess:
    """One shard after the other, on whatever device JAX has."""

    def run(self, job: AnyJob, todo: Sequence[Shard], folder: Path, watch: Watch) -> None:
        """See :class:`data_gen.jobs.job.Runner`."""
        for shard in todo:
            make_shard(job, shard, folder, watch.records)
            watch.finished()

    def close(self) -> None:
        """Nothing is kept."""


class Processes:
    """Worker processes that compute on the CPU, one thread each if there are as many as cores."""

    def __init__(self, processes: int) -> None:
        self.processes = processes

    def run(self, job: AnyJob, todo: Sequence[Shard], folder: Path, watch: Watch) -> None:
        """See :class:`data_gen.jobs.job.Runner`."""
        _Pool(job, folder, min(self.processes, len(todo)), watch).run(todo)

    def close(self) -> None:
        """Workers end with their job."""


def local(processes: int) -> InProcess | Processes:
    """``processes`` workers; 1 works in this process, 0 is one per CPU core.

    Raises:
      JobError: a negative number.
    """
    if processes < 0:
        raise JobError(f"processes={processes}: use 0 for one per CPU core, or a positive number")
    processes = processes or cores()
    return InProcess() if processes == 1 else Processes(processes)


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

    def __init__(self, job: AnyJob, folder: Path, processes: int, watch: Watch) -> None:
        self.job, self.folder, self.watch = job, folder, watch
        self.processes = processes
        # spawn: forking a process in which JAX runs threads can hang
        self.context = multiprocessing.get_context("spawn")
        self.workers: list[_Worker] = []
        self.queue: list[Shard] = []
        self.deaths = Deaths()

    def run(self, todo: Sequence[Shard]) -> None:
        """Makes all shards."""
        self.queue = list(todo)
        try:
            while self.queue and len(self.workers) < self.processes:
                self._start(self.queue.pop(0))
            while self.workers:
                ready = wait([w.pipe for w in self.workers])
                for worker in [w for w in self.workers if w.pipe in ready]:
                    self._hear(worker)
        finally:
            self._stop()

    def _start(self, shard: Shard) -> None:
        ours, theirs = self.context.Pipe()
        threads = max(1, cores() // self.processes)
        process = self.context.Process(
            target=_work, args=(self.job, self.folder, theirs, threads), daemon=True
        )
        with contextlib.suppress(BrokenPipeError):  # it died at once, which giving it a shard tells
            process.start()
        theirs.close()
        worker = _Worker(process, ours, shard)
        self.workers.append(worker)
        self._give(worker, shard)

    def _give(self, worker: _Worker, shard: Shard) -> None:
        worker.shard, worker.reported = shard, 0
        try:
            worker.pipe.send(shard)
        except OSError:  # nobody holds the other end
            self.deaths.between(self._remove(worker))
            self._start(shard)

    def _next(self, worker: _Worker | None) -> None:
        """Hands the next shard to ``worker``, or to a new one; dismisses it if there is none."""
        self.deaths.progress()
        self.watch.finished()
        if not self.queue:
            return self._dismiss(worker) if worker else None
        shard = self.queue.pop(0)
        return self._give(worker, shard) if worker else self._start(shard)

    def _hear(self, worker: _Worker) -> None:
        """Takes one message."""
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):  # OSError: it died in the middle of a message
            return self._bury(worker)
        if kind == "records":
            worker.reported += value
            return self.watch.records(value)
        if kind == "user error":
            raise JobError(value)
        if kind == "defect":
            raise RuntimeError(f"shard {worker.shard.title} failed in a worker:\n{value}")
        return self._next(worker)

    def _bury(self, worker: _Worker) -> None:
        reason, shard = self._remove(worker), worker.shard
        if is_finished(self.job, shard, self.folder):
            self.watch.records(shard.count - worker.reported)
            return self._next(None)
        self.watch.records(-worker.reported)
        self.deaths.at(shard, reason)
        return self._start(shard)

    def _remove(self, worker: _Worker) -> str:
        """Forgets a worker that is dead; says what it died of."""
        if worker.process.pid is not None:
            worker.process.join()
        self.workers.remove(worker)
        worker.pipe.close()
        code = worker.process.exitcode
        return signal.Signals(-code).name if code and code < 0 else f"exit status {code}"

    def _dismiss(self, worker: _Worker) -> None:
        with contextlib.suppress(OSError):  # it may be gone already, which is as well
            worker.pipe.send(None)
        self._remove(worker)

    def _stop(self) -> None:
        for worker in self.workers:
            if worker.process.pid is not None:
                worker.process.terminate()
        for worker in list(self.workers):
            self._remove(worker)
        remove_leftovers(self.folder)


def _work(job: AnyJob, folder: Path, pipe: Connection, threads: int) -> None:
    """A worker's life: shards in, messages out, until the parent says None or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which stops us
    follow_parent()
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
