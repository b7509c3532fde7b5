"""What lies between the stages: files of lines of JSON, one an article, one file a shard.

Every stage has the same shards: the ids of the frozen list, in its order, cut after every so many.
A file appears whole, and its first line says what it was made of; so a shard is finished or it is
not, whenever the process was killed, and an update makes again just what it touched.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from data_gen.jobs.job import JobError, Shard, cut
from data_gen.pipelines.pubmed.collect.items import Item, read_lines
from medvlp_jax.core.files import jsonl
from medvlp_jax.core.files.replacing import replace
from medvlp_jax.data.store.manifest import fingerprint

Line = dict[str, Any]
_MEND = "delete it, and the same command makes it again"


@dataclasses.dataclass(frozen=True)
class Row:
    """An article on its way.

    Attributes:
      item: what became of it when it was collected.
      folder: its directory.
      before: name of an earlier stage -> its line of this article.
    """

    item: Item
    folder: pathlib.Path
    before: Mapping[str, Line]


class Stage(Protocol):
    """What a stage does with articles; an instance must be picklable.

    What it loads (a model) it keeps outside of what it pickles, for all shards of a worker.

    Attributes:
      name: of its folder.
      label: what is said on the line of progress.
      needs: earlier stages whose lines it reads.
      fingerprint: of its settings and of the files that it loads.
    """

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def needs(self) -> Sequence[str]: ...
    @property
    def fingerprint(self) -> str: ...

    def lines(self, rows: Sequence[Row]) -> Iterator[Line]:
        """A line for each row, in order; nothing that is wrong with one article is an error."""
        ...


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the stages of one run are.

    Attributes:
      work: folder of the stages, a folder each.
      articles: folder with a directory per article.
      status: file with an item per id of the list, in its order.
      count: how many there are.
      per_shard: of which one is made, and resumed, at a time.
    """

    work: pathlib.Path
    articles: pathlib.Path
    status: pathlib.Path
    count: int
    per_shard: int

    def shards(self, name: str) -> list[Shard]:
        """Of a stage."""
        return cut(name, "articles", self.count, self.per_shard)

    def path(self, name: str, index: int) -> pathlib.Path:
        """File of a shard of a stage."""
        return self.work / name / f"{index:05d}.jsonl"

    def items(self, shard: Shard) -> list[Item]:
        """The ids of a shard."""
        stat = self.status.stat()
        whole = _items(str(self.status), stat.st_size, stat.st_mtime_ns)
        return list(whole[shard.start : shard.stop])

    def lines(self, name: str, index: int) -> list[Line]:
        """What a stage wrote of a shard: a line per fetched article.

        Raises:
          JobError: the file is missing or damaged.
        """
        return jsonl.read(self.path(name, index), _MEND, JobError)[1:]

    def rows(self, shard: Shard, needs: Sequence[str]) -> list[Row]:
        """The fetched articles of a shard with what earlier stages wrote of them."""
        fetched = [item for item in self.items(shard) if item.status == "fetched"]
        before = {name: self.lines(name, shard.name.index) for name in needs}
        for name, lines in before.items():
            if [line["id"] for line in lines] != [item.name for item in fetched]:
                path = self.path(name, shard.name.index)
                raise JobError(f"{path} is of other articles; {_MEND}")
        return [
            Row(
                item,
                self.articles / item.name,
                {name: lines[i] for name, lines in before.items()},
            )
            for i, item in enumerate(fetched)
        ]


@functools.lru_cache(maxsize=2)
def _items(path: str, size: int, changed: int) -> tuple[Item, ...]:
    return tuple(read_lines(pathlib.Path(path)))


@dataclasses.dataclass(frozen=True)
class StageJob:
    """Implements :class:`data_gen.jobs.job.FileJob` for a stage.

    Attributes:
      stage: what is done.
      place: where.
      chain: fingerprints of the stages before.
    """

    stage: Stage
    place: Place
    chain: tuple[str, ...] = ()

    def shards(self) -> Sequence[Shard]:
        """See :class:`data_gen.jobs.job.FileJob`."""
        return self.place.shards(self.stage.name)

    def made_of(self, shard: Shard) -> str:
        """Of everything that decides about a shard's lines."""
        items = [
            (item.name, item.status, item.retrieved, item.bytes) for item in self.place.items(shard)
        ]
        return fingerprint(self.chain, self.stage.fingerprint, items)

    def is_finished(self, shard: Shard, folder: pathlib.Path) -> bool:
        """See :class:`data_gen.jobs.job.FileJob`."""
        path = self.place.path(self.stage.name, shard.name.index)
        if not path.exists():
            return False
        with path.open("rb") as stream:
            first = stream.readline()
        try:
            return jsonl.parse(first).get("made_of") == self.made_of(shard)
        except ValueError:
            return False

    def write(self, shard: Shard, folder: pathlib.Path, report: Callable[[int], Any]) -> None:
        """See :class:`data_gen.jobs.job.FileJob`."""
        rows = self.place.rows(shard, self.stage.needs)
        report(shard.count - len(rows))
        lines = [{"stage": self.stage.name, "made_of": self.made_of(shard)}]
        for line in self.stage.lines(rows):
            lines.append(line)
            report(1)
        if [line["id"] for line in lines[1:]] != [row.item.name for row in rows]:
            raise RuntimeError(f"stage {self.stage.name} lost an article of {shard.title}")
        replace(self.place.path(self.stage.name, shard.name.index), jsonl.dump(lines))


def dropped(row: Row, reason: str) -> Line:
    """The line of an article of which nothing goes on."""
    return {"id": row.item.name, "dropped": reason}


def gone(row: Row) -> str:
    """Why an earlier stage dropped an article; "" if none did."""
    return next((line["dropped"] for line in row.before.values() if "dropped" in line), "")


def every_line(place: Place, name: str) -> Iterable[Line]:
    """All lines of a stage, in the order of the list."""
    for shard in place.shards(name):
        yield from place.lines(name, shard.name.index)
