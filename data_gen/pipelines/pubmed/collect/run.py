"""The stage: collect, bring up to date, or only say what would be done.

In the folder: ``articles/PMC123.1/`` with the JATS, the metadata as the bucket gives them, the
images under their own names and ``provenance.json``; ``status.jsonl`` with one line for every id;
``runs/`` with what was frozen for each run, and its status.
"""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import anyio.from_thread

from data_gen.jobs import run as jobs
from data_gen.jobs.job import Runner
from data_gen.jobs.local import local as local_runner
from data_gen.pipelines.pubmed.collect import items, preview, runs
from data_gen.pipelines.pubmed.collect.article import Run
from data_gen.pipelines.pubmed.collect.choice import Choice, Everything
from data_gen.pipelines.pubmed.collect.config import CollectConfig
from data_gen.pipelines.pubmed.collect.disk import local
from data_gen.pipelines.pubmed.collect.items import CollectError, Item
from data_gen.pipelines.pubmed.collect.job import CollectJob
from data_gen.pipelines.pubmed.collect.services.client import Client, GaveUpError
from data_gen.pipelines.pubmed.collect.services.search import search
from data_gen.pipelines.pubmed.collect.store import ARTICLES, Store
from medvlp_jax.core.files import jsonl
from medvlp_jax.core.files.replacing import replace


@dataclasses.dataclass(frozen=True)
class Collected:
    """A folder whose ids all have their status.

    Attributes:
      folder: with ``articles/`` and ``status.jsonl``.
      run: number of the last run: 1, and one more for each update.
      date: that it is dated with.
      made, found: shards that were made now, and that were there.
      counts: see :func:`data_gen.pipelines.pubmed.collect.items.counts`.
    """

    folder: pathlib.Path
    run: int
    date: str
    made: int
    found: int
    counts: dict[str, Any]

    @property
    def articles(self) -> pathlib.Path:
        """The folder with one directory per article."""
        return self.folder / ARTICLES

    def items(self) -> Iterator[Item]:
        """What became of every id, in the order of the list."""
        return items.read_lines(self.folder / runs.STATUS)


def collect(
    config: CollectConfig,
    folder: str | os.PathLike[str],
    choice: Choice | None = None,
    runner: Runner | None = None,
    progress: bool = True,
) -> Collected:
    """Fetches what ``config`` asks for into ``folder``, or what of it is missing there.

    May be killed at any moment: the same command goes on, and what lies in the folder at the end is
    the same, byte for byte. A folder that is finished is left as it is, failed articles included;
    :func:`update` tries those again.

    Args:
      config: what to collect.
      folder: empty, or where the same command was interrupted.
      choice: which articles are wanted, by their text; None for every one.
      runner: where the shards are made; None is ``config.processes`` of this machine. All workers
        must run on one machine, whose processes share the services' rate.
      progress: a line on stderr, if that is a terminal.

    Raises:
      UserError: the config cannot be used, a service does not answer, the folder holds something
        else or is in use.
    """
    choice = choice or Everything()
    with jobs.output(folder, "collecting articles") as place:
        frozen = runs.last(place)
        if frozen is None:
            frozen = _freeze(config, choice, place, 1, [])
        else:
            runs.same(frozen, config, choice.fingerprint, update=frozen.number > 1)
        return _finish(config, choice, place, frozen, runner, progress)


def update(
    config: CollectConfig,
    folder: str | os.PathLike[str],
    choice: Choice | None = None,
    runner: Runner | None = None,
    progress: bool = True,
) -> Collected:
    """Brings a collected folder up to date: a new search, and every article is asked about again.

    What is new is fetched, what failed is tried again, a newer version takes the place of the old
    one; what was retracted, relicensed or taken back is withdrawn: its directory goes, its status
    says why. An update that was interrupted is finished, and no further one begun.

    Args and errors as :func:`collect`; ``date`` and ``until`` of the config may be new.
    """
    choice = choice or Everything()
    with jobs.output(folder, "collecting articles") as place:
        frozen = runs.last(place)
        if frozen is None:
            raise CollectError(f"{place} holds no articles yet; collect into it first")
        runs.same(frozen, config, choice.fingerprint, update=True)
        status = runs.folder_of(place, frozen.number) / runs.STATUS
        if status.exists():
            before = [item.id for item in items.read_lines(status)]
            frozen = _freeze(config, choice, place, frozen.number + 1, before)
        return _finish(config, choice, place, frozen, runner, progress)


def dry_run(config: CollectConfig) -> preview.Preview:
    """What :func:`collect` would do: searches and looks at some metadata, writes nothing.

    Raises:
      UserError: as :func:`collect`.
    """
    date = config.date or runs.today()
    entries, found = _list(config, date)
    if config.source != "service":
        return preview.of_disk(entries, found)
    with anyio.from_thread.start_blocking_portal() as portal:
        return portal.call(preview.of_service, config, entries, found)


def _freeze(
    config: CollectConfig, choice: Choice, folder: pathlib.Path, number: int, before: list[str]
) -> runs.Frozen:
    date = config.date or runs.today()
    entries, found = _list(config, date)
    if not entries and not before:
        raise CollectError(_nothing(config))
    listed = {entry.id for entry in entries}
    entries += [runs.Entry(id) for id in before if id not in listed]
    if config.source == "service":
        entries.sort(key=lambda entry: int(entry.id.removeprefix("PMC")))
    return runs.freeze(folder, number, date, config, choice.fingerprint, entries, found)


def _nothing(config: CollectConfig) -> str:
    if config.source != "service":
        return f"config.path={config.path} holds no article; give the folder that does"
    if config.ids:
        return f"config.ids={config.ids} names no article; write one PMCID a line"
    return f"config.term={config.term!r} finds nothing since {config.since}; widen it"


def _list(config: CollectConfig, date: str) -> tuple[list[runs.Entry], dict[str, Any]]:
    """Every id, and how it was found."""
    if config.source != "service":
        return local.listed(config)
    if config.ids:
        lines = [line.strip() for line in jsonl.text_lines(config.ids) if line.strip()]
        names = _pmcids(lines, config.ids)
        found: dict[str, Any] = {"ids": config.ids}
    else:
        until = config.until or date
        with anyio.from_thread.start_blocking_portal() as portal:
            names, ranges = portal.call(_search, config, until)
        found = {"until": until, "ranges": [list(part) for part in sorted(ranges)]}
    return [runs.Entry(name) for name in (names[-config.limit :] if config.limit else names)], found


async def _search(
    config: CollectConfig, until: str
) -> tuple[list[str], list[tuple[str, str, int]]]:
    if not config.email or not config.tool:
        raise CollectError(
            "config.email and config.tool must not be empty: E-utilities wants to know who asks, "
            "and writes to you before it shuts anybody out; set --config.email=you@your.place"
        )
    try:
        async with Client(config) as client:
            return await search(client, config, until)
    except GaveUpError as error:
        raise CollectError(f"{error}; look whether the service works, and try again") from error


def _pmcids(lines: list[str], path: str) -> list[str]:
    numbers = set()
    for number, line in enumerate(lines, 1):
        digits = line.upper().removeprefix("PMC")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 12):
            raise CollectError(f"{path}, entry {number}: {line[:40]!r} is no PMCID like PMC123")
        numbers.add(int(digits))
    return [f"PMC{number}" for number in sorted(numbers)]


def _finish(
    config: CollectConfig,
    choice: Choice,
    folder: pathlib.Path,
    frozen: runs.Frozen,
    runner: Runner | None,
    progress: bool,
) -> Collected:
    """Makes the shards that are missing, then the status of the whole."""
    status = runs.folder_of(folder, frozen.number) / runs.STATUS
    job = CollectJob(
        Run(config, frozen.number, frozen.date, choice), len(runs.entries(folder, frozen.number))
    )
    store = Store(folder)
    store.clean()
    runs.clean(folder)
    made, found = 0, len(job.shards())
    if not status.exists():
        with contextlib.ExitStack() as stack:
            if runner is None:
                runner = local_runner(config.processes)
                stack.callback(runner.close)
            made, found = jobs.make_missing(
                job, folder, runner, progress, label="collecting", unit="articles"
            )
        store.clean()
        lines = [job.path(shard, folder).read_bytes() for shard in job.shards()]
        replace(status, b"".join(lines))
    whole = folder / runs.STATUS
    if not whole.exists() or whole.read_bytes() != status.read_bytes():
        replace(whole, status.read_bytes())
    counts = items.counts(items.read_lines(status))
    return Collected(folder, frozen.number, frozen.date, made, found, counts)
