"""The one reader of the tables of data sets: strict, so that no row is lost or shifted silently.

A row is taken as it stands or refused with its line and the mend: too few cells, too many, a quote
that is not closed, bytes of another encoding. Compression, encoding (:mod:`.encoding`) and
delimiter are found, or asked for by the config, and said. Cells that databases and data frames
write for "nothing" are empty cells.
"""

import difflib
import itertools
import os
import pathlib
import re
from collections.abc import Collection, Iterator, Sequence

from data_gen.sources.importing.base import Rejects, SourceConfig, SourceError
from data_gen.sources.importing.rejects import TableRead
from data_gen.sources.tables.encoding import find_encoding, has_bad_bytes, physical_lines
from data_gen.sources.tables.rows import RawRow, RowShape, cells_of, find_delimiter, read_rows
from medvlp_jax.core.files.opening import open_regular, shown
from medvlp_jax.data.store.shards import file_sha256

Row = dict[str, str]
_SAMPLE = 2_000  # lines whose shape is looked at


class Table:
    """Rows of a CSV file as dicts of stripped strings; cells of ``config.null_words`` are empty.

    Iterating yields ``(row number, row)`` where the header is row 1, as spreadsheets count; refused
    rows go to ``rejects``, once, however often the table is read.
    """

    def __init__(
        self,
        path: pathlib.Path,
        config: SourceConfig,
        rejects: Rejects,
        delimiter: str = "",
        records: bool = False,
        widths: Collection[int] = (),
        raw: Collection[str] = (),
    ):
        """Reads the header.

        Args:
          path: the file.
          config: its ``encoding`` and ``null_words`` hold.
          rejects: takes the refused rows, and what was found about the file.
          delimiter: of the cells; empty takes what the header is cut by.
          records: whether its rows become records, so that each of them has to be accounted for;
            otherwise the table only adds to another one.
          widths: further numbers of cells that a row may have, for a data set whose published
            header differs from its rows.
          raw: columns that keep words of ``config.null_words``.

        Raises:
          SourceError: no file, another kind of file, no header, or a column name twice.
        """
        if not os.path.exists(path):
            raise SourceError(f"{path} is missing; check config.root and the file's name")
        self.path = path
        self._rejects, self._records = rejects, records
        self._nulls = frozenset(word.lower() for word in config.null_words)
        self._encoding = find_encoding(path, config.encoding)
        lines = itertools.islice(physical_lines(path, self._encoding), _SAMPLE)
        header = next((line for line in lines if line.strip()), "")
        self._delimiter = delimiter or find_delimiter(header)
        self.columns = self._columns(header)
        self._widths = {len(self.columns), *widths}
        self._also: dict[str, str] = {}  # column as the config spells it -> as the header does
        self._raw = {self._column(name) or name for name in raw}
        self._shape = RowShape.of(list(lines), self._delimiter, len(self.columns))
        self._at = (1, 1)  # row and line of the one that was given last
        self._name = _short(path, config)
        self._first = self._name not in rejects.tables
        self._note(config, delimiter)

    def _columns(self, header: str) -> list[str]:
        start = header.lstrip().lower()
        if start.startswith(("<", "{", "[")):
            raise SourceError(
                f"{self.path} is a web page or JSON, no table; log in and download it again"
            )
        if not header.strip("\r\n\t ,;|\0"):
            raise SourceError(f"{self.path} is empty; download it again")
        if has_bad_bytes(header) or "\0" in header:
            raise SourceError(
                f"{self.path}: the header holds bytes that are no text; save the table as UTF-8, "
                "or set config.encoding"
            )
        names = [name.strip() for name in cells_of(header, self._delimiter)]
        if not names or any('"' in name for name in names):
            raise SourceError(f"{self.path}: a quote of the header is not closed; correct line 1")
        for i, name in enumerate(names):
            if name and name in names[:i]:
                raise SourceError(
                    f"{self.path} has the column {name!r} twice (columns {names.index(name) + 1} "
                    f"and {i + 1}); rename or delete one"
                )
        return names

    def _note(self, config: SourceConfig, delimiter: str) -> None:
        """What was found about the file, said once and kept for the summary."""
        if not self._first:
            return
        name, rejects = self._name, self._rejects
        with open_regular(self.path) as stream:
            packed = stream.read(2) == b"\x1f\x8b"
        rejects.tables[name] = TableRead(
            encoding=self._encoding, delimiter=self._delimiter, sha256=file_sha256(self.path)
        )
        if packed != (self.path.suffix == ".gz"):
            rejects.note(f"{name} is {'' if packed else 'not '}compressed, unlike its name says")
        if not config.encoding and self._encoding not in ("utf-8", "utf-8-sig"):
            rejects.note(f"{name} is read as {self._encoding}; config.encoding sets another")
        if not delimiter and self._delimiter != ",":
            rejects.note(f"{name} is cut at {self._delimiter!r}")

    def require(self, columns: Sequence[str], key: str = "") -> None:
        """Finds the columns, which rows then have by these names.

        Flags cannot spell every header, so ``report_text`` is also found as "Report text" or
        "report-text", if no other column is meant.

        Args:
          columns: names that must be in the header; "" is skipped.
          key: the config key that named them, for the message.

        Raises:
          SourceError: one is absent; the message has the nearest.
        """
        for column in filter(None, columns):
            name = self._column(column)
            if name is None:
                raise SourceError(self._unknown(column, key))
            if name != column:
                self._also[column] = name
                self._rejects.note(f"{key or 'column'} {column!r} is {name!r} of {self._name}")

    def _column(self, column: str) -> str | None:
        """The header's spelling of a column."""
        if column in self.columns:
            return column
        near = [name for name in self.columns if name and _word(name) == _word(column)]
        return near[0] if len(near) == 1 else None

    def _unknown(self, column: str, key: str) -> str:
        close = {name.lower(): name for name in self.columns if name}
        near = difflib.get_close_matches(column.lower(), close, n=1, cutoff=0.5)
        hint = (
            f"did you mean {close[near[0]]!r}?" if near else f"it has: {', '.join(close.values())}"
        )
        setting = f" ({key})" if key else ""
        return f"{self.path} has no column {column!r}{setting}; {hint}"

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        first, self._first = self._first, False
        read = self._rejects.tables[self._name]
        rows = read_rows(physical_lines(self.path, self._encoding), self._delimiter, self._shape)
        next(rows)  # the header
        for row in rows:
            self._at = (row.number, row.line)
            kind, detail = self._fault(row)
            if first:
                read.rows += 1
                self._rejects.rows += self._records
                read.lines += row.lines
                read.several_lines += row.lines > 1
                read.refused += bool(kind)
                if kind:
                    self._rejects.refuse(self.where(row.number), kind, detail, int(self._records))
            if not kind:
                yield row.number, self._row(row.cells or [])
        if first and read.several_lines:
            self._rejects.note(
                f"{read.several_lines} of {read.rows} rows of {self._name} span several lines"
            )

    def _fault(self, row: RawRow) -> tuple[str, str]:
        """Kind and detail of what makes a row unusable; "" if nothing does."""
        if row.cells is None:
            span = f"; {row.lines} lines" if row.lines > 1 else ""
            return row.kind, row.detail + span
        if len(row.cells) not in self._widths:
            kind = "short row" if len(row.cells) < len(self.columns) else "long row"
            return kind, f"{len(row.cells)} of {len(self.columns)} fields"
        whole = " ".join(row.cells)
        if "\0" in whole:
            return "NUL character", f"in {whole[:60]!r}"
        if has_bad_bytes(whole):
            return "bad bytes", f"no {self._encoding}: {whole[:60]!r}"
        return "", ""

    def _row(self, cells: Sequence[str]) -> Row:
        pairs = zip(self.columns, cells, strict=False)  # ``widths`` allows another number
        row = {column: self._value(column, cell) for column, cell in pairs}
        return row | {column: row[name] for column, name in self._also.items()}

    def _value(self, column: str, cell: str) -> str:
        value = cell.strip()
        return "" if value.lower() in self._nulls and column not in self._raw else value

    def spelled(self, column: str, words: Collection[str]) -> set[str]:
        """Words of the config as the cells of ``column`` come out."""
        return {self._value(self._column(column) or column, word) for word in words}

    def where(self, number: int) -> str:
        """``file row n``, as rows are named everywhere; and the line, where that is another."""
        row, line = self._at
        more = f", line {line}" if number == row != line else ""
        return f"{shown(self.path.name)} row {number}{more}"


def _word(column: str) -> str:
    """A column's name as a flag can spell it."""
    return re.sub(r"\W+", "_", column).strip("_")


def _short(path: pathlib.Path, config: SourceConfig) -> str:
    """The path below ``config.root``, or all of it."""
    root = pathlib.Path(config.root)
    return shown(path.relative_to(root) if path.is_relative_to(root) else path)


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
    return next((path for path in paths if os.path.exists(path)), paths[0])
