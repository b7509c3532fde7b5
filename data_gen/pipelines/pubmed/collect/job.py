"""Collecting as a job of the one engine: a shard is a stretch of the frozen list of ids.

Articles appear one by one, the status of a shard when all of its ids have one. Processes beyond the
first fetch no faster, since the services' rate is shared; they help with archives on disk.
"""

import asyncio
import dataclasses
import pathlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import anyio.from_thread

from data_gen.jobs.job import Shard, cut
from data_gen.pipelines.pubmed.collect import article, runs
from data_gen.pipelines.pubmed.collect.article import Run
from data_gen.pipelines.pubmed.collect.disk import file_list, local
from data_gen.pipelines.pubmed.collect.items import CollectError, Item, read_lines, write_lines
from data_gen.pipelines.pubmed.collect.services.client import Client
from data_gen.pipelines.pubmed.collect.store import Store
from medvlp_jax.data.store.shards import whole_file

_Report = Callable[[int], Any]
_Known = tuple[list[runs.Entry], dict[str, Item], dict[str, list[str]]]


@dataclasses.dataclass
class CollectJob:
    """Brings the articles of a frozen list up to date; see :class:`data_gen.jobs.job.FileJob`.

    Attributes:
      run: what holds for all of it.
      count: entries of the list.
    """

    run: Run
    count: int

    def __post_init__(self) -> None:
        self._known: _Known | None = None
        self._failing = 0
        self._doubtful: list[pathlib.Path] = []

    def __getstate__(self) -> dict[str, Any]:
        # A worker reads and counts for itself.
        return {**self.__dict__, "_known": None, "_failing": 0, "_doubtful": []}

    def shards(self) -> Sequence[Shard]:
        """See :class:`data_gen.jobs.job.FileJob`."""
        return cut("collect", "articles", self.count, self.run.config.articles_per_shard)

    def is_finished(self, shard: Shard, folder: pathlib.Path) -> bool:
        """See :class:`data_gen.jobs.job.FileJob`."""
        return self.path(shard, folder).exists()

    def path(self, shard: Shard, folder: pathlib.Path) -> pathlib.Path:
        """Of the shard's status."""
        name = f"{shard.name.index:05d}-of-{shard.name.count:05d}.jsonl"
        return runs.folder_of(folder, self.run.number) / "shards" / name

    def write(self, shard: Shard, folder: pathlib.Path, report: _Report) -> None:
        """See :class:`data_gen.jobs.job.FileJob`.

        Raises:
          CollectError: the service is out, or the folder cannot be used.
        """
        store = Store(folder)
        store.make()
        entries, previous, present = self._read(folder, store)
        todo = entries[shard.start : shard.stop]
        if self.run.config.source == "service":
            # A loop in a thread of its own: in a notebook this thread has one already.
            with anyio.from_thread.start_blocking_portal() as portal:
                items = portal.call(self._fetch, todo, store, present, previous, report)
        else:
            items, table = [], file_list.of(self.run.config)
            for entry in todo:
                before, there = previous.get(entry.id), present.get(entry.id, ())
                items.append(local.take(self.run, store, there, entry, before, table))
                report(1)
        with whole_file(self.path(shard, folder)) as temporary:
            temporary.write_text(write_lines(items), encoding="utf-8")
        if self._failing:
            self._doubtful.append(self.path(shard, folder))

    def _read(self, folder: pathlib.Path, store: Store) -> _Known:
        """The list, what became of its ids in the run before, and directories by id.

        Read once a process. An id is worked on by one process alone; directories that another one
        left as it died are found when the article is put in its place.
        """
        if self._known is None:
            number = self.run.number
            before = runs.folder_of(folder, number - 1) / runs.STATUS
            previous = {item.id: item for item in read_lines(before)} if number > 1 else {}
            present: dict[str, list[str]] = defaultdict(list)
            for name in sorted(store.present()):
                present[name.rpartition(".")[0]].append(name)
            self._known = runs.entries(folder, number), previous, present
        return self._known

    async def _fetch(
        self,
        todo: Sequence[runs.Entry],
        store: Store,
        present: dict[str, list[str]],
        previous: dict[str, Item],
        report: _Report,
    ) -> list[Item]:
        """The items of ``todo`` in its order, fetched some at a time."""
        items: dict[str, Item] = {}
        waiting = iter(todo)

        async def worker(client: Client) -> None:
            for entry in waiting:
                there = present.get(entry.id, ())
                before = previous.get(entry.id)
                item = await article.fetch(self.run, client, store, there, entry.id, before)
                items[entry.id] = item
                report(1)
                self._watch(item)

        async with Client(self.run.config) as client:
            tasks = [
                asyncio.create_task(worker(client)) for _ in range(self.run.config.pace.concurrency)
            ]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        return [items[entry.id] for entry in todo]

    def _watch(self, item: Item) -> None:
        """Stops the run when the service is out: else every id that is left would fail.

        One that an update could not ask about has failed too, though its article stays.
        """
        failed = item.status == "failed" or item.checked != self.run.date
        self._failing = self._failing + 1 if failed else 0
        if not failed:
            self._doubtful.clear()
        if self._failing >= self.run.config.pace.outage:
            # Shards that ended while it was out already: their articles are asked for again.
            for path in self._doubtful:
                path.unlink(missing_ok=True)
            raise CollectError(
                f"{self._failing} articles in a row failed, the last was {item.id} "
                f"({item.reason or 'nobody answered'}). Look whether the service works and "
                "config.endpoints is right; the same command goes on where this one stopped"
            )
