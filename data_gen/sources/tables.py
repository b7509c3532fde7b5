"""Reading the tables of data sets: gzip, odd headers, rows cut short, files that moved."""

import csv
import difflib
import gzip
import io
import pathlib
from collections.abc import Iterator, Sequence

from data_gen.sources.base import Rejects, SourceError

Row = dict[str, str]


class Table:
    """Rows of a CSV file (``.gz`` too) as dicts of stripped strings.

    Iterating yields ``(row number, row)`` where the header is row 1, as spreadsheets count. A row
    with fewer fields than the header is rejected; fields beyond the header are ignored, because
    some headers (NIH 2017) are shorter than their rows.
    """

    def __init__(self, path: pathlib.Path, rejects: Rejects, delimiter: str = ","):
        if not path.exists():
            raise SourceError(f"{path} is missing; check config.root and the file's name")
        self.path = path
        self._rejects = rejects
        self._delimiter = delimiter
        with self._open() as f:
            header = next(csv.reader(f, delimiter=delimiter), None)
        if not header:
            raise SourceError(f"{path} is empty; download it again")
        self.columns = [name.strip() for name in header]

    def require(self, columns: Sequence[str], key: str = "") -> None:
        """Raises :class:`SourceError`, with the nearest column, if one of ``columns`` is absent.

        Args:
          columns: names that must be in the header; "" is skipped.
          key: the config key that named them, for the message.
        """
        for column in columns:
            if column and column not in self.columns:
                raise SourceError(self._unknown(column, key))

    def _unknown(self, column: str, key: str) -> str:
        close = {name.lower(): name for name in self.columns if name}
        near = difflib.get_close_matches(column.lower(), close, n=1, cutoff=0.5)
        hint = (
            f"did you mean {close[near[0]]!r}?" if near else f"it has: {', '.join(close.values())}"
        )
        setting = f" ({key})" if key else ""
        return f"{self.path} has no column {column!r}{setting}; {hint}"

    def _open(self) -> io.TextIOBase:
        # utf-8-sig: Excel puts a byte order mark in front of the first column's name
        if self.path.suffix == ".gz":
            return gzip.open(self.path, "rt", encoding="utf-8-sig", errors="replace", newline="")
        return open(self.path, encoding="utf-8-sig", errors="replace", newline="")

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        number = 1
        try:
            with self._open() as f:
                reader = csv.reader(f, delimiter=self._delimiter)
                next(reader)
                for number, fields in enumerate(reader, start=2):
                    if not any(fields):
                        continue
                    if len(fields) < len(self.columns) and any(self.columns[len(fields) :]):
                        self._rejects.add(
                            self.where(number),
                            "short row",
                            f"{len(fields)} of {len(self.columns)} fields",
                        )
                        continue
                    values = [value.strip() for value in fields]
                    yield number, dict(zip(self.columns, values, strict=False))
        except (csv.Error, EOFError, gzip.BadGzipFile) as e:
            raise SourceError(
                f"{self.path} is damaged after row {number} ({e}); download it again"
            ) from e

    def where(self, number: int) -> str:
        """``file row n``, the form in which rows are named everywhere."""
        return f"{self.path.name} row {number}"


def find(root: pathlib.Path, patterns: Sequence[str], what: str) -> pathlib.Path:
    """The first file under ``root`` that matches one of the glob patterns, in their order."""
    path = find_or_none(root, patterns)
    if path is None:
        raise SourceError(f"{root} has no {what} ({' or '.join(patterns)}); check config.root")
    return path


def find_or_none(root: pathlib.Path, patterns: Sequence[str]) -> pathlib.Path | None:
    """Like :func:`find`, for a file that a data set can do without."""
    if not root.is_dir():
        raise SourceError(f"config.root {root} is no folder; set it to where the data set is")
    for pattern in patterns:
        matches = sorted(root.glob(pattern))
        if matches:
            return matches[-1]  # of several versions the newest
    return None


def index_files(root: pathlib.Path, patterns: Sequence[str]) -> dict[str, pathlib.Path]:
    """``{file name: path}`` of the files that the glob patterns find; the first pattern wins."""
    index: dict[str, pathlib.Path] = {}
    for pattern in patterns:
        for path in sorted(root.glob(pattern)):
            index.setdefault(path.name, path)
    return index


def present(*paths: pathlib.Path) -> pathlib.Path:
    """The first of several places that exists; else the first, for the message of what is gone."""
    return next((path for path in paths if path.exists()), paths[0])
