"""What an import left out and why, row by row, so that no row is lost without a word.

Every row of a data set's tables ends in a record, in a reject, or is left out by a key of the
config (``views``, ``where``, ``limit``, ...). The three are counted, and must add up to the rows.
"""

import dataclasses
from collections import Counter
from typing import Any

#: What the user can do about a kind of reject; other kinds say it in their detail.
MENDS = {
    "short row": "fill the row up to the header's columns",
    "long row": 'put a cell that holds the delimiter into "quotes"',
    "unclosed quote": 'close the quote, and write a quote inside of a quoted cell as ""',
    "bad bytes": "save the table as UTF-8, or set config.encoding",
    "NUL character": "take the NUL out; the table or its disk is damaged",
    "bad row": "correct the cell, or the config's columns",
    "bad label": "correct the cell",
    "bad box": "correct the cells of the box",
    "bad path": "correct the path",
    "path outside of the data set": "set config.root to a folder above all files that it names",
    "no image": "fill in the path of the image",
    "damaged member": "restore the tar, or leave the sample out",
    "damaged sample": "restore the tar, or leave the sample out",
    "duplicate member": "give each member of the tar a name of its own",
    "bad sample": "correct the member, or the config's keys",
    "bad rows": "download the file again",
    "class without a name": "download the file again, or correct the label",
    "unknown class": "correct the class, or name it in the config",
    "unknown category": "correct the category, or name it in the config",
    "unknown modality": "rename the folder, or leave it out",
    "unreadable image": "copy the file again, or leave its row out",
    "missing image": "put the file there, or check config.root and the column of paths",
    "missing mask": "put the file there, or empty the cell",
    "missing report": "put the file there, or set config.reports",
    "no text": "give it a text, or set config.text_required=False",
    "no split": "add it to a list, or leave the lists out",
    "duplicate id": "make ids unique, or name the study column",
    "not in the split": "add it to a list of config.split_lists",
}


@dataclasses.dataclass(frozen=True)
class Reject:
    """Something that was left out.

    Attributes:
      where: file and row; also the line, where rows span several lines.
      kind: what is counted.
      detail: what helps to find the cause.
      rows: of the data set's tables that are lost with it; 0 for a part of a study (a mask, a box,
        one of several images) and for rows of tables that only add to others.
    """

    where: str
    kind: str
    detail: str = ""
    rows: int = 0

    def as_json(self) -> dict[str, Any]:
        """The line of ``rejects.jsonl``."""
        return dataclasses.asdict(self) | {"mend": MENDS.get(self.kind, "")}


@dataclasses.dataclass
class TableRead:
    """What reading a table came to, as ``summary.json`` holds it.

    Attributes:
      rows: data rows, refused ones too.
      refused: rows that the reader could not use (width, quotes, bytes).
      encoding, delimiter: asked for or found.
      sha256: of the file's bytes.
      lines: of the file that rows cover, all but the header and empty ones.
      several_lines: rows whose quoted cells hold line breaks.
    """

    rows: int = 0
    refused: int = 0
    encoding: str = ""
    delimiter: str = ""
    sha256: str = ""
    lines: int = 0
    several_lines: int = 0


class Rejects(list[Reject]):
    """The rejects of one pass, in order, and where all rows went.

    Attributes:
      rows: of the tables whose rows become records.
      left_out: key of the config -> rows that it asked to leave out.
      tables: name -> what reading it came to.
      notes: sentences about what was found or guessed, for the terminal and the summary.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows = 0
        self.left_out: Counter[str] = Counter()
        self.tables: dict[str, TableRead] = {}
        self.notes: dict[str, None] = {}

    def add(self, where: str, kind: str, detail: str = "", rows: int = 0) -> None:
        """Something is left out that is no row of its own: a mask, a box, a line of a list."""
        self.append(Reject(where, kind, detail, rows))

    def refuse(self, where: str, kind: str, detail: str = "", rows: int = 1) -> None:
        """Rows that become no record, or no part of one."""
        self.append(Reject(where, kind, detail, rows))

    def lose(self, rows: int) -> None:
        """So many rows are lost with what was left out last: a study without its only image."""
        self[-1] = dataclasses.replace(self[-1], rows=rows)

    def note(self, sentence: str) -> None:
        """Says once what was found or guessed."""
        self.notes[sentence] = None

    @property
    def refused(self) -> int:
        """Rows among the rejects."""
        return sum(reject.rows for reject in self)


def check_rows(rejects: Rejects, kept: int) -> None:
    """Raises if a row went nowhere, which is a defect of an importer.

    Args:
      kept: rows that are in records, or in items that will be.
    """
    refused, left_out = rejects.refused, rejects.left_out.total()
    if rejects.rows != kept + refused + left_out:
        raise RuntimeError(
            f"{rejects.rows} rows were read, but {kept} are kept, {refused} refused and {left_out} "
            "left out: the importer loses rows"
        )
