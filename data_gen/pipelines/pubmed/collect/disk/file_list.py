"""``oa_file_list.csv``: which licence an archive of the old ``oa_package`` has."""

import csv
import dataclasses
import functools
import io
import pathlib

from data_gen.pipelines.pubmed.collect.config import CollectConfig
from data_gen.pipelines.pubmed.collect.items import CollectError
from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files.opening import read_bytes

NAME = "oa_file_list.csv"
_FILE, _LICENCE, _RETRACTED = "File", "License", "Retracted"
_BYTES = 4 << 30  # the whole list of PMC has about one


@dataclasses.dataclass(frozen=True)
class Said:
    """What the list says of an archive."""

    licence: str
    retracted: bool


class Listed:
    """The list by the path of the archive below ``oa_package``, or by its name alone."""

    def __init__(self, rows: dict[str, Said]) -> None:
        self._rows = rows

    def get(self, place: str) -> Said | None:
        """What is said of an archive; its folder may be named otherwise than in the list."""
        return self._rows.get(place.rpartition("/")[2])


def of(config: CollectConfig) -> Listed:
    """The list that a config names, or that lies with the archives; empty without one.

    Raises:
      CollectError: it cannot be read, lacks a column, or contradicts itself.
    """
    path = pathlib.Path(config.file_list or pathlib.Path(config.path, NAME))
    if not config.file_list and not path.exists():
        return Listed({})
    with one_net(path, "give the list as PMC wrote it", CollectError):
        changed = path.stat().st_mtime_ns
    return _read(path, changed)


@functools.lru_cache(maxsize=1)  # once a process, not once a shard
def _read(path: pathlib.Path, changed: int) -> Listed:
    mend = "give the list as PMC wrote it"
    rows: dict[str, Said] = {}
    with one_net(path, mend, CollectError):
        text = read_bytes(path, _BYTES).decode("utf-8-sig")
        table = csv.DictReader(io.StringIO(text, newline=""))
        lacking = {_FILE, _LICENCE} - set(table.fieldnames or ())
        if lacking:
            raise CollectError(f"{path} lacks the column {min(lacking)!r}; {mend}")
        for row in table:
            name = (row[_FILE] or "").strip().rpartition("/")[2]
            said = Said((row[_LICENCE] or "").strip(), _is_yes(row.get(_RETRACTED)))
            if not name:
                raise CollectError(f"{path}, line {table.line_num}: no {_FILE}; {mend}")
            if rows.setdefault(name, said) != said:
                raise CollectError(
                    f"{path}, line {table.line_num}: {name} has two licences; {mend}"
                )
    return Listed(rows)


def _is_yes(value: str | None) -> bool:
    return (value or "").strip().lower() in ("yes", "y", "true", "1")
