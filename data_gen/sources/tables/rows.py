"""Physical lines to rows, so that one wrong quote costs its own row and no other.

A quoted cell may hold line breaks: reports do. So a quote that is never closed makes one cell of
all lines up to the next quote, which is a valid CSV file of fewer rows. Two signs tell the two
apart. Behind the quote that ends such a cell stands the text of another one, which strict reading
refuses. And one of the lines inside is a row by itself: it has the header's width, and its ids,
paths and numbers stand where those of the other rows stand (:class:`RowShape`).
"""

import csv
import dataclasses
import pathlib
import re
from collections import deque
from collections.abc import Iterator, Sequence

from data_gen.sources.importing.labels import is_number
from data_gen.sources.tables.encoding import MAX_LINE

#: Physical lines of one row; a cell of more is an unclosed quote.
MAX_LINES = 2_000
DELIMITERS = ",;\t|"
_NAME = re.compile(r"[\w./\\+:-]*[\d/\\_][\w./\\+:-]*")
_ENDING = re.compile(r"\.[a-z][a-z0-9]{1,5}")
_PATTERNS = 50  # ids of more patterns have none
_AGREE = 0.9  # of the rows looked at must have the shape

csv.field_size_limit(MAX_LINE)  # of the whole process; the default of 131,072 is less than a report


@dataclasses.dataclass(frozen=True)
class RawRow:
    """A row before its columns are known.

    Attributes:
      number: of the row, where the header is 1, as spreadsheets count.
      line: its first physical line, from 1.
      lines: physical lines that it covers.
      cells: None if it was refused.
      kind, detail: why.
    """

    number: int
    line: int
    lines: int
    cells: list[str] | None
    kind: str = ""
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class NameShape:
    """What ids or paths of a column look like: letters and digits by their runs, and lengths."""

    runs: frozenset[str]
    shortest: int
    longest: int

    @classmethod
    def of(cls, cells: Sequence[str]) -> "NameShape | None":
        """None unless nearly all cells are without blanks and hold a digit, slash or underscore."""
        names = [cell for cell in cells if _NAME.fullmatch(cell)]
        if not names or len(names) < _AGREE * len(cells):
            return None
        lengths = [len(name) for name in names]
        return cls(frozenset(map(_runs, names)), min(lengths), max(lengths))

    def fits(self, cell: str) -> bool:
        """Whether a cell could be one of them; of ids without a pattern, by their length."""
        if not _NAME.fullmatch(cell) or not self.shortest <= len(cell) <= self.longest + 1:
            return False
        return len(self.runs) > _PATTERNS or _runs(cell) in self.runs


@dataclasses.dataclass(frozen=True)
class RowShape:
    """What rows of a table look like, to know one that a quoted cell has swallowed.

    Attributes:
      width: cells.
      files: column -> endings of the file names in it (lower case).
      names: column -> what its ids look like.
      numbers: columns of numbers.
    """

    delimiter: str
    width: int
    files: dict[int, frozenset[str]]
    names: dict[int, NameShape]
    numbers: frozenset[int]

    @classmethod
    def of(cls, lines: Sequence[str], delimiter: str, width: int) -> "RowShape":
        """The shape of the rows that these lines hold, lines inside of quotes left out."""
        found = (row.cells for row in read_rows(iter(lines), delimiter))
        rows = [cells for cells in found if cells is not None and len(cells) == width]
        files: dict[int, frozenset[str]] = {}
        names: dict[int, NameShape] = {}
        numbers = set()
        for column in range(width):
            cells = [cell for row in rows if (cell := row[column].strip())]
            if not cells:
                continue
            endings = [_ending(cell) for cell in cells]
            known = frozenset(filter(None, endings))
            shape = NameShape.of(cells)
            if sum(map(bool, endings)) >= _AGREE * len(cells) and len(known) <= 8:
                files[column] = known
            elif sum(map(is_number, cells)) >= _AGREE * len(cells):
                numbers.add(column)
            elif shape is not None:
                names[column] = shape
        return cls(delimiter, width, files, names, frozenset(numbers))

    def fits(self, line: str) -> bool:
        """Whether a line is a row by itself: nothing speaks against it, and an id for it."""
        if line.count(self.delimiter) < self.width - 1:
            return False
        cells = [cell.strip() for cell in cells_of(line, self.delimiter)]
        if len(cells) != self.width:
            return False
        signs = 0
        for column, cell in enumerate(cells):
            if not cell:
                continue
            if column in self.files:
                if _ending(cell) not in self.files[column]:
                    return False
                signs += 3
            elif column in self.names:
                if not self.names[column].fits(cell):
                    return False
                signs += 3
            elif column in self.numbers:
                if not is_number(cell):
                    return False
                signs += 1
        return signs >= 3


def _ending(cell: str) -> str:
    ending = pathlib.PurePosixPath(cell).suffix.lower()
    return ending if _ENDING.fullmatch(ending) else ""


def _runs(name: str) -> str:
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "0", name))


def cells_of(line: str, delimiter: str) -> list[str]:
    """The cells of one physical line; none if it is no row by itself."""
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []


def find_delimiter(header: str) -> str:
    """What cuts the header into most cells; of several a comma, as where nothing cuts it."""
    return max(DELIMITERS, key=lambda d: len(cells_of(header, d)))


class _SwallowedError(Exception):
    """A quoted cell runs over what is a row by itself, or over too much."""


class _Lines:
    """Physical lines for ``csv.reader``; those of the row being read are kept to be read again."""

    def __init__(self, lines: Iterator[str], shape: RowShape | None) -> None:
        self._lines, self._shape = lines, shape
        self._again: deque[str] = deque()
        self.taken: list[str] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        if self.taken:
            swallows = self._shape is not None and self._shape.fits(line)
            if swallows or len(self.taken) >= MAX_LINES:
                self._again.appendleft(line)
                raise _SwallowedError
        self.taken.append(line)
        return line

    def keep_first(self) -> None:
        """All lines but the first are read again, as rows of their own."""
        self._again.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def read_rows(
    lines: Iterator[str], delimiter: str, shape: RowShape | None = None
) -> Iterator[RawRow]:
    """All rows, the header among them; a refused one has no cells. Empty lines are no rows.

    Each physical line that is not empty belongs to exactly one row.
    """
    source = _Lines(lines, shape)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    number, line = 0, 1
    while True:
        source.taken.clear()
        cells, kind = None, "unclosed quote"
        detail = ""
        try:
            cells = next(reader)
        except StopIteration:
            return
        except _SwallowedError:
            if len(source.taken) >= MAX_LINES:
                source.keep_first()
            detail = _shown(source.taken[0])
        except csv.Error as error:
            source.keep_first()
            detail = f"{error}: {_shown(source.taken[0])}"
        number += 1
        covered = len(source.taken)
        if cells is None or any(map(str.strip, cells)):
            refused = "" if cells is not None else kind
            yield RawRow(number, line, covered, cells, refused, detail)
        line += covered


def _shown(line: str, limit: int = 80) -> str:
    text = "".join(c if c.isprintable() else " " for c in line.strip())
    return text if len(text) <= limit else text[:limit] + "..."
