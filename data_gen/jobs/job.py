"""What runners run: a job, its shards, and how one shard is written."""

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import tqdm

from data_gen.jobs.tally import Tally
from medvlp_jax.core.errors import UserError
from medvlp_jax.data.store.croissant import Origin
from medvlp_jax.data.store.manifest import ShardName, unfinished
from medvlp_jax.data.store.record import Record
from medvlp_jax.data.store.shards import write_shard

ATTEMPTS = 2
"""How often a shard is tried when the process that makes it dies."""
IDLE_DEATHS = 8
"""How many workers may die between two shards before the job gives up for want of progress."""
_MEND = "If memory ran out, use fewer processes; processes=1 shows the cause"


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

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.name.filename


class Job(Protocol):
    """What a runner runs: shards of records; an instance must be picklable.

    An instance lives as long as the worker that holds it and makes many shards there: what it loads
    for them (a model) it may keep, outside of what it pickles.

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
        """The records of ``shard``, a pure function of the job and the shard.

        Files beside the shard that belong to it are written before the last record is given out:
        the shard's line in the manifest says that they are there too.
        """
        ...


@runtime_checkable
class FileJob(Protocol):
    """A job whose shards are no records; an instance must be picklable.

    It writes the files of a shard itself, and knows which shards are finished.
    """

    def shards(self) -> Sequence[Shard]: ...

    def write(self, shard: Shard, folder: Path, report: Callable[[int], Any]) -> None:
        """Writes what ``shard`` stands for; calls ``report`` with counts of what is done."""
        ...

    def is_finished(self, shard: Shard, folder: Path) -> bool: ...


AnyJob = Job | FileJob


@runtime_checkable
class TakesNotes(Protocol):
    """A job that wants more remembered of a shard than what is counted."""

    def notes(self, shard: Shard) -> dict[str, Any]:
        """JSON values for the manifest's line; asked after the shard's last record."""
        ...


@runtime_checkable
class HasOrigin(Protocol):
    """A job that knows where its data come from."""

    @property
    def origin(self) -> Origin:
        """Licence and citation, for the metadata of the folder."""
        ...


class Watch(Protocol):
    """What a runner tells about its progress."""

    def records(self, count: int) -> None:
        """So many records more; fewer if ``count`` is negative, when a worker's work is lost."""
        ...

    def finished(self) -> None:
        """One shard more is in the folder."""
        ...


class Runner(Protocol):
    """Makes shards somewhere."""

    def run(self, job: AnyJob, todo: Sequence[Shard], folder: Path, watch: Watch) -> None:
        """Makes every shard of ``todo`` in ``folder``, whose lock the caller holds.

        Raises:
          JobError: a worker died :data:`ATTEMPTS` times on one shard or :data:`IDLE_DEATHS`
            times in a row on none, or met a UserError.
        """
        ...

    def close(self) -> None:
        """Gives back what the runner keeps between jobs."""
        ...


def cut(dataset: str, split: str, count: int, per_shard: int) -> list[Shard]:
    """``count`` records of a split as shards of ``per_shard``; none for an empty split."""
    shards = math.ceil(count / per_shard)
    return [
        Shard(ShardName(dataset, split, i, shards), i * per_shard, min((i + 1) * per_shard, count))
        for i in range(shards)
    ]


def cut_splits(dataset: str, counts: Mapping[str, int], per_shard: int) -> list[Shard]:
    """The shards of every split of ``counts``, in its order."""
    return [s for split, count in counts.items() for s in cut(dataset, split, count, per_shard)]


def make_shard(
    job: AnyJob, shard: Shard, folder: Path, report: Callable[[int], Any] = lambda count: None
) -> None:
    """Writes one shard and its manifest line; ``report`` is called with counts of new records."""
    if isinstance(job, FileJob):
        return job.write(shard, folder, report)
    tally = Tally()

    def records() -> Iterator[Record]:
        for record in job.records(shard):
            tally.add(record)
            yield record
            report(1)

    def extra() -> dict[str, Any]:
        more = job.notes(shard) if isinstance(job, TakesNotes) else {}
        return tally.as_json() | more

    info = write_shard(folder, shard.name, records(), job.fingerprint, extra)
    if info.records < shard.count:  # an import rejects some
        report(shard.count - info.records)
    return None


def missing_shards(job: AnyJob, folder: Path, only: Shard | None = None) -> set[ShardName]:
    """The shards of ``job`` (or which of the one) that ``folder`` lacks."""
    if isinstance(job, FileJob):
        shards = job.shards() if only is None else [only]
        return {shard.name for shard in shards if not job.is_finished(shard, folder)}
    names = [shard.name for shard in job.shards()]
    chosen = None if only is None else [only.name]
    return set(unfinished(folder, names, job.fingerprint, only=chosen))


def is_finished(job: AnyJob, shard: Shard, folder: Path) -> bool:
    """Whether the folder has the shard: a worker may die between its end and saying so."""
    return not missing_shards(job, folder, shard)


class Deaths:
    """Counts workers that died, by the shard that they were at, and those that were at none."""

    def __init__(self) -> None:
        self._counts: dict[ShardName, int] = {}
        self._between = 0

    def at(self, shard: Shard, reason: str) -> None:
        """A worker died while it made ``shard``: says on stderr that the shard is made again.

        Raises:
          JobError: it was tried often enough.
        """
        name = shard.name
        self._counts[name] = self._counts.get(name, 0) + 1
        if self._counts[name] >= ATTEMPTS:
            raise JobError(
                f"{self._counts[name]} workers died while making {shard.title}, the last by "
                f"{reason}; finished shards are kept. {_MEND}"
            )
        _say(f"a worker died ({reason}) while making {shard.title}; it is made again")

    def between(self, reason: str) -> None:
        """A worker died before it took its next shard: says on stderr that it is replaced.

        Raises:
          JobError: so many did without a shard made in between that none will be.
        """
        self._between += 1
        if self._between >= IDLE_DEATHS:
            raise JobError(
                f"{self._between} workers died before they took a shard, the last by {reason}; "
                f"finished shards are kept. {_MEND}"
            )
        _say(f"a worker died ({reason}) between two shards; another takes its place")

    def progress(self) -> None:
        """A shard was finished: deaths between shards no longer speak against going on."""
        self._between = 0


def _say(line: str) -> None:
    tqdm.tqdm.write(line, file=sys.stderr)
