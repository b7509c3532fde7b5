"""Sampling folders: a line of JSON per input that a model has answered, resumable by line.

What is asked, and what a line holds, is a :class:`Sampler`'s. Here is what all of them share: the
folder is of one back end with one set of settings, a finished input is not asked again, and the
work is a data job like any other. In one process there is one shard, whose lines go straight into
the folder's file; with several workers each shard has a file of its own, hidden beside it, whose
lines are taken over when the shards are done or the next run begins.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from data_gen.jobs import run as jobs
from data_gen.jobs.job import Runner, Shard, cut
from data_gen.jobs.local import InProcess, local
from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.core.files import jsonl
from medvlp_jax.core.files.replacing import replace
from medvlp_jax.core.processes.lock import workdir_lock
from medvlp_jax.data.store.shards import remove_leftovers

SETTINGS = "settings.json"
_ELSEWHERE = "choose another folder, or delete this one"

Line = dict[str, Any]


class Sampler(Protocol):
    """What is sampled; an instance must be picklable, without the back end.

    Attributes:
      unit: what is made, in the plural.
      lines: the file of finished lines, each with ``id``.
      failures: the file of inputs that got nothing, lines with ``error``; empty for none.
      per_shard: inputs that a worker takes at a time, where there are several.
      mend: what to do about a broken line.
    """

    @property
    def unit(self) -> str: ...
    @property
    def lines(self) -> str: ...
    @property
    def failures(self) -> str: ...
    @property
    def per_shard(self) -> int: ...
    @property
    def mend(self) -> str: ...

    def total(self) -> int:
        """How many inputs there are.

        Raises:
          UserError: they cannot be read, or there is none.
        """
        ...

    def items(self, start: int, stop: int) -> Iterator[Any]:
        """Some of the inputs in order; each has an ``id``."""
        ...

    def load(self) -> Any:
        """The back end, with a ``name``."""
        ...

    def settings(self, backend: Any) -> dict[str, Any]:
        """What the folder is of: JSON values, the first of them the name of the back end."""
        ...

    def is_done(self, line: Line, item: Any, folder: Path) -> bool:
        """Whether a finished line of that id still answers ``item``."""
        ...

    def check_line(self, line: Line) -> None:
        """Raises any error for a finished line that is none; that it has an ``id`` is known."""
        ...

    def sample(self, backend: Any, items: Iterator[Any], folder: Path) -> Iterator[Line]:
        """A line per item, once what belongs to it is written to ``folder``."""
        ...

    def finish(self, folder: Path, result: "Sampled") -> None:
        """Writes what lies beside the lines when all are there."""
        ...


@dataclasses.dataclass(frozen=True)
class Sampled:
    """What a run did: lines made now, found from an earlier run, inputs that failed.

    ``lines``: every line of the folder by its id.
    """

    made: int
    found: int
    failed: int
    lines: Mapping[str, Line]


@dataclasses.dataclass(frozen=True)
class SampleShard(Shard):
    """Inputs ``start`` to ``stop``; ``suffix`` is that of the files that it is written to."""

    suffix: str = ""

    @property
    def title(self) -> str:
        return f"{self.name.dataset} {self.start + 1} to {self.stop}"


class SampleJob:
    """Implements :class:`data_gen.jobs.job.FileJob`."""

    def __init__(self, sampler: Sampler, total: int, backend: Any = None) -> None:
        """``backend``: loaded, where this process samples; workers load their own."""
        self._sampler, self._total = sampler, total
        self._backend, self._known = backend, None
        self._whole = backend is not None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_backend": None, "_known": None}

    def shards(self) -> Sequence[Shard]:
        size = self._total if self._whole else self._sampler.per_shard
        found = cut(self._sampler.unit, "sampled", self._total, max(size, 1))
        suffixes = [""] if self._whole else [f".part-{s.name.index:05d}" for s in found]
        return [
            SampleShard(s.name, s.start, s.stop, suffix)
            for s, suffix in zip(found, suffixes, strict=True)
        ]

    def is_finished(self, shard: Shard, folder: Path) -> bool:
        """Never known beforehand: a worker passes over what is there while it reads its inputs."""
        return False

    def write(self, shard: Shard, folder: Path, report: Callable[[int], Any]) -> None:
        """Samples the inputs of a shard that have no line yet."""
        assert isinstance(shard, SampleShard)
        sampler = self._sampler
        if self._backend is None:
            self._backend = sampler.load()
            check_settings(folder, sampler, self._backend)
        if self._known is None:
            self._known = by_id(read_lines(folder / sampler.lines, sampler))
        lines = _file(folder, sampler.lines, shard.suffix)
        known = dict(self._known)
        if shard.suffix:
            known |= by_id(read_lines(lines, sampler))
        given: set[str] = set()

        def missing() -> Iterator[Any]:
            for item in sampler.items(shard.start, shard.stop):
                line = known.get(item.id)
                done = line is not None and sampler.is_done(line, item, folder)
                if done or item.id in given:
                    report(1)
                else:
                    given.add(item.id)
                    yield item

        failures = _file(folder, sampler.failures, shard.suffix)
        if shard.suffix:
            failures.unlink(missing_ok=True)  # of a worker that died at this shard
        with lines.open("a", encoding="utf-8") as stream:
            for line in sampler.sample(self._backend, missing(), folder):
                if sampler.failures and line.get("error"):
                    with failures.open("a", encoding="utf-8") as failed:
                        failed.write(jsonl.line(line))
                else:
                    stream.write(jsonl.line(line))
                    stream.flush()
                report(1)


def sample(
    sampler: Sampler,
    out: str | os.PathLike[str],
    backend: Any = None,
    processes: int = 1,
    progress: bool = True,
    runner: Runner | None = None,
) -> Sampled:
    """Makes the lines that ``out`` lacks.

    Args:
      sampler: what is sampled.
      out: empty, or where the same command was interrupted.
      backend: of the sampler, if it is loaded; used where this process does the work.
      processes, progress, runner: see :func:`data_gen.jobs.run.run_job`.

    Raises:
      UserError: the inputs cannot be read, ``out`` is of other settings, or the back end refuses.
      JobError: a worker died twice on one shard, or met a :class:`UserError`.
      KeyboardInterrupt: Ctrl-C; its message says how many lines are finished.
    """
    total = sampler.total()
    runner = runner or local(processes)
    here = isinstance(runner, InProcess)
    if here and backend is None:
        backend = sampler.load()
    with workdir_lock(out, f"sampling {sampler.unit}") as folder:
        remove_leftovers(folder)
        if here:
            check_settings(folder, sampler, backend)
        _take_over(folder, sampler)
        before = read_lines(folder / sampler.lines, sampler)
        (folder / sampler.lines).touch()
        if sampler.failures:
            (folder / sampler.failures).write_bytes(b"")
        job = SampleJob(sampler, total, backend if here else None)
        label = backend.name if here else "sampling"
        try:
            if total:
                jobs.make_missing(job, folder, runner, progress, None, label, sampler.unit)
        except KeyboardInterrupt:
            _take_over(folder, sampler)
            there = min(len(by_id(read_lines(folder / sampler.lines, sampler))), total)
            raise KeyboardInterrupt(
                f"stopped: {there} of {total} {sampler.unit} are finished in {folder}; the same "
                "command makes the others"
            ) from None
        failed = _take_over(folder, sampler)
        after = read_lines(folder / sampler.lines, sampler)
        made = len(after) - len(before)
        result = Sampled(made, total - made - failed, failed, by_id(after))
        sampler.finish(folder, result)
    return result


def check_settings(folder: Path, sampler: Sampler, backend: Any) -> None:
    """A folder is of one back end with one set of settings; more inputs may be added to it.

    Raises:
      UserError: it is of others.
    """
    settings = sampler.settings(backend)
    path, key = folder / SETTINGS, next(iter(settings))
    if not path.exists():
        replace(path, json.dumps(settings, indent=1))
        return
    with one_net(path, _ELSEWHERE):
        before = json.loads(path.read_text(encoding="utf-8"))
        known = before[key]
    if before != settings:
        raise UserError(
            f"{folder} holds {sampler.unit} of {known} with other settings than these of "
            f"{settings[key]}: choose another folder, or delete it"
        )


def read_lines(path: Path, sampler: Sampler) -> list[Line]:
    """The finished lines; a last one that a kill cut short is taken out of the file."""
    lines = jsonl.resumed(path, sampler.mend)
    with one_net(path, _ELSEWHERE):
        for line in lines:
            if not isinstance(line["id"], str):
                raise TypeError(f"the id is {line['id']!r}")
            sampler.check_line(line)
    return lines


def by_id(lines: Sequence[Line]) -> dict[str, Line]:
    """The last line of each id."""
    return {line["id"]: line for line in lines}


def input_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file of inputs that are not blank, with their numbers from 1."""
    lines = jsonl.text_lines(path)
    return ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def _file(folder: Path, name: str, suffix: str) -> Path:
    return folder / (f".{name}{suffix}" if suffix else name)


def _take_over(folder: Path, sampler: Sampler) -> int:
    """Moves the lines of shards into the folder's own files; returns how many failures there are.

    A line that is there already is not taken over twice: a kill may have come in between.
    """
    parts = sorted(folder.glob(f".{sampler.lines}.part-*"))
    if parts:
        known = by_id(read_lines(folder / sampler.lines, sampler))
        for part in parts:
            new = [x for x in read_lines(part, sampler) if known.get(x["id"]) != x]
            with (folder / sampler.lines).open("a", encoding="utf-8") as stream:
                stream.write(jsonl.dump(new))
            part.unlink()
    if not sampler.failures:
        return 0
    own = folder / sampler.failures
    for part in sorted(folder.glob(f".{sampler.failures}.part-*")):
        with own.open("a", encoding="utf-8") as stream:
            stream.write(part.read_text(encoding="utf-8"))
        part.unlink()
    return len(jsonl.resumed(own, _ELSEWHERE))
