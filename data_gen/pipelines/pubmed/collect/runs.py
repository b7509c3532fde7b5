"""What a run is, frozen in files before its first request: date, config, list of ids.

``runs/0001/run.json`` and ``ids.txt`` decide about everything that follows; a run that is killed
goes on from them, and an update is the next number.
"""

import dataclasses
import datetime
import json
import pathlib
from typing import Any

import medvlp_jax
from data_gen.pipelines.pubmed.collect.config import FREE, CollectConfig
from data_gen.pipelines.pubmed.collect.items import CollectError
from medvlp_jax.core.config import differences, to_plain
from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files import jsonl
from medvlp_jax.core.files.replacing import replace
from medvlp_jax.data.store.shards import remove_leftovers

RUNS, RUN, IDS, STATUS = "runs", "run.json", "ids.txt", "status.jsonl"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A line of the list: an id, and the file that it was found in ("" for the services)."""

    id: str
    path: str = ""

    @classmethod
    def duplicate(cls, id: str, path: str) -> "Entry":
        """A file whose id another one has; it gets an id that tells, as no other holds a blank."""
        return cls(f"{id} in {path}", path)

    @property
    def is_duplicate(self) -> bool:
        """Whether another file has the id."""
        return " in " in self.id


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A run as it was frozen.

    Attributes:
      number: 1 and up.
      date: day that it is dated with.
      config: of the command that began it.
      choice: fingerprint of the choice.
      found: how the list came about, for people.
    """

    number: int
    date: str
    config: dict[str, Any]
    choice: str
    found: dict[str, Any]


def folder_of(folder: pathlib.Path, number: int) -> pathlib.Path:
    """Folder of a run."""
    return folder / RUNS / f"{number:04d}"


def last(folder: pathlib.Path) -> Frozen | None:
    """The last run that was frozen, None for an empty folder.

    Raises:
      CollectError: its file cannot be read.
    """
    numbers = [int(path.parent.name) for path in folder.glob(f"{RUNS}/[0-9]*/{RUN}")]
    if not numbers:
        return None
    path = folder_of(folder, max(numbers)) / RUN
    with one_net(path, "delete the folder and collect anew", CollectError):
        values = jsonl.parse(path.read_bytes())
        values.pop("version")
        return Frozen(**values)


def freeze(
    folder: pathlib.Path,
    number: int,
    date: str,
    config: CollectConfig,
    choice: str,
    entries: list[Entry],
    found: dict[str, Any],
) -> Frozen:
    """Writes the list of ids, then the run; from here on it is resumed and not begun again."""
    place = folder_of(folder, number)
    lines = [f"{entry.id}\t{entry.path}" if entry.path else entry.id for entry in entries]
    replace(place / IDS, "".join(f"{line}\n" for line in lines))
    frozen = Frozen(number, date, _decisive(config), choice, found)
    text = {**dataclasses.asdict(frozen), "version": medvlp_jax.__version__}
    replace(place / RUN, json.dumps(text, indent=1) + "\n")
    return frozen


def entries(folder: pathlib.Path, number: int) -> list[Entry]:
    """The list of ids of a run.

    Raises:
      CollectError: it was changed since, or cannot be read.
    """
    path = folder_of(folder, number) / IDS
    with one_net(path, "delete the folder and collect anew", CollectError):
        return [Entry(*line.split("\t")) for line in jsonl.text_lines(path) if line]


def same(frozen: Frozen, config: CollectConfig, choice: str, update: bool) -> None:
    """Compares a command with what the folder was begun with.

    Args:
      update: whether it may have another date.

    Raises:
      CollectError: they differ in what decides about the articles.
    """
    free = (*FREE, "date", "until", "ids") if update else FREE
    changed = differences(frozen.config, _decisive(config), free)
    if frozen.choice != choice:
        changed.append(f"choice: {frozen.choice} -> {choice}")
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise CollectError(
            f"the folder was collected with another config ({'; '.join(changed[:3])}{more}); "
            "choose another folder, or the config of then"
        )


def _decisive(config: CollectConfig) -> dict[str, Any]:
    """The config without what changes no byte: where a mirror is may differ from run to run."""
    plain = to_plain(config)
    for key in FREE:
        *groups, leaf = key.split(".")
        inner = plain
        for group in groups:
            inner = inner[group]
        del inner[leaf]
    return plain


def clean(folder: pathlib.Path) -> None:
    """Removes temporary files that killed processes left beside those of the runs."""
    for place in {path.parent for path in (folder / RUNS).rglob(".*.tmp-*")}:
        remove_leftovers(place)


def today() -> str:
    """The day of universal time, YYYY-MM-DD."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()
