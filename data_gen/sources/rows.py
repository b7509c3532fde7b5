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

from data_gen.sources.encoding import MAX_LINE
from data_gen.sources.labels import is_number

#: Physical lines of one row; a cell of more is an unclosed quote.
MAX_LINES = 2_000
DELIMITERS = ",;\t|"
_NAME = re.compile(r"[\w./\\+:-]*[\d./\\_][\w./\\+:-]*")
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
class RowShape:
    """What single lines of a table look like, to know a row that a quoted cell has swallowed.

    Attributes:
      width: cells.
      files: column -> endings of the file names in it (lower case).
      names: columns of ids or paths: no blank, but a digit, point, slash or underscore.
      numbers: columns of numbers.
    """

    delimiter: str
    width: int
    files: dict[int, frozenset[str]]
    names: frozenset[int]
    numbers: frozenset[int]

    @classmethod
    def of(cls, lines: Sequence[str], delimiter: str, width: int) -> "RowShape":
        """The shape of those lines that are rows by themselves."""
        rows = [c for line in lines if len(c := cells_of(line, delimiter)) == width]
        files: dict[int, frozenset[str]] = {}
        names, numbers = set(), set()
        for column in range(width):
            cells = [cell for row in rows if (cell := row[column].strip())]
            endings = [pathlib.PurePosixPath(cell).suffix.lower() for cell in cells]
            known = {e for e in endings if re.fullmatch(r"\.[a-z][a-z0-9]{1,5}", e)}
            if not cells:
                continue
            if sum(e in known for e in endings) >= _AGREE * len(cells) and len(known) <= 8:
                files[column] = frozenset(known)
            elif sum(map(is_number, cells)) >= _AGREE * len(cells):
                numbers.add(column)
            elif sum(bool(_NAME.fullmatch(c)) for c in cells) >= _AGREE * len(cells):
                names.add(column)
        return cls(delimiter, width, files, frozenset(names), frozenset(numbers))

    def fits(self, line: str) -> bool:
        """Whether a line is a row by itself: nothing speaks against it and an id or two for it."""
        cells = [cell.strip() for cell in cells_of(line, self.delimiter)]
        if len(cells) != self.width:
            return False
        signs = 0
        for column, cell in enumerate(cells):
            if not cell:
                continue
            if column in self.files:
                if pathlib.PurePosixPath(cell).suffix.lower() not in self.files[column]:
                    return False
                signs += 2
            elif column in self.names:
                if not _NAME.fullmatch(cell):
                    return False
                signs += 2
            elif column in self.numbers:
                if not is_number(cell):
                    return False
                signs += 1
        return signs >= 2


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
