"""What became of every id: exactly one item each, with the reason where nothing was fetched."""

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from data_gen.pipelines.pubmed.base import LicenceGroup, from_json
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.files import jsonl

#: *fetched*: its directory is in ``articles/``. *skipped*: not wanted, by a rule. *failed*: wanted,
#: and could not be had. *withdrawn*: was there, and an update took it away.
ItemStatus = Literal["fetched", "skipped", "failed", "withdrawn"]


class CollectError(UserError):
    """Collecting cannot go on; one line that names what is wrong and the mend."""


@dataclasses.dataclass(frozen=True)
class Item:
    """What became of one id.

    Attributes:
      id: "PMC123"; the name of the file where an article on disk has no id.
      status: see :data:`ItemStatus`.
      reason: empty where fetched; else a key word, and after ": " what there is to say about it.
      name: of its directory in ``articles/`` ("PMC123.1"), empty without one.
      version: that was chosen; 0 where none is known.
      licence, group: of that version.
      files, bytes: in the directory, but for our own ``provenance.json``.
      refused: files of the article that were not taken, each with its reason.
      retrieved: date of the run that fetched it, YYYY-MM-DD.
      checked: date of the run that last asked whether it still stands.
      passing: failed for a cause that may pass, such as a service that did not answer.
    """

    id: str
    status: ItemStatus
    reason: str = ""
    name: str = ""
    version: int = 0
    licence: str = ""
    group: LicenceGroup = "other"
    files: int = 0
    bytes: int = 0
    refused: tuple[str, ...] = ()
    retrieved: str = ""
    checked: str = ""
    passing: bool = False

    def __post_init__(self) -> None:
        if (self.status == "fetched") == bool(self.reason):
            raise ValueError(f"{self.id}: {self.status} with the reason {self.reason!r}")


def write_lines(items: Iterable[Item]) -> str:
    """Text of a status file."""
    return jsonl.dump(dataclasses.asdict(item) for item in items)


def read_lines(path: pathlib.Path) -> Iterator[Item]:
    """The items of a status file.

    Raises:
      CollectError: it cannot be read, or a line of it is no item.
    """
    mend = "delete it and rerun the command that made it"
    for number, record in enumerate(jsonl.read(path, mend, CollectError), 1):
        try:
            yield from_json(Item, record)
        except (KeyError, TypeError, ValueError) as error:
            raise CollectError(f"{path}, line {number}, is no status ({error}); {mend}") from error


def counts(items: Iterable[Item]) -> dict[str, Any]:
    """How many items have which status, reason (its key word) and licence, and files and bytes."""
    status, reasons, licences = Counter(), Counter(), Counter()
    total = Counter()
    for item in items:
        status[item.status] += 1
        if item.reason:
            reasons[f"{item.status}: {item.reason.split(':')[0]}"] += 1
        if item.status == "fetched":
            licences[item.licence or "none"] += 1
            total["files"] += item.files
            total["bytes"] += item.bytes
            total["refused files"] += len(item.refused)
    return {
        "items": sum(status.values()),
        "status": dict(sorted(status.items())),
        "reasons": dict(sorted(reasons.items())),
        "licences": dict(sorted(licences.items())),
        **dict(sorted(total.items())),
    }
