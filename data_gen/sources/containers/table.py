"""Images in Parquet files by row group and row, read when their record is made."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from data_gen.sources.importing.base import ImageFile
from data_gen.sources.importing.masks import MaskFile
from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files.opening import FileError, open_regular, shown
from medvlp_jax.data.store.parquet import library


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell: row group, row in it, column; ``item`` of the list that it holds, -1 for no list."""

    group: int
    row: int
    column: str
    item: int = -1

    def name(self, path: pathlib.Path) -> str:
        """What messages call it."""
        place = f"[{self.item}]" if self.item >= 0 else ""
        return f"{path} row group {self.group} row {self.row} {self.column}{place}"

    def read(self, path: pathlib.Path) -> bytes:
        """The bytes of the image in the cell.

        Raises:
          FileError: the row group cannot be read, or the cell holds no bytes.
        """
        with open_regular(path) as stream:
            seen = os.fstat(stream.fileno())
        value = _column(str(path), seen.st_mtime_ns, self.group, self.column)[self.row].as_py()
        if self.item >= 0:
            value = value[self.item]
        data = value["bytes"] if isinstance(value, dict) else value
        if not isinstance(data, bytes):
            raise FileError(f"{shown(self.name(path))} holds no bytes")
        return data


@dataclasses.dataclass(frozen=True)
class ParquetImage(ImageFile):
    """An image in a Parquet file: ``path`` is the file; ``suffix`` that of the image's own name."""

    cell: Cell = Cell(0, 0, "image")
    suffix: str = ""

    @property
    def name(self) -> str:
        return self.cell.name(self.path) + self.suffix

    def read(self) -> bytes:
        return self.cell.read(self.path)


@dataclasses.dataclass(frozen=True)
class ParquetMask(MaskFile):
    """A mask in a Parquet file, as records hold them."""

    cell: Cell = Cell(0, 0, "mask_images")

    @property
    def name(self) -> str:
        return self.cell.name(self.path)

    @property
    def stored(self) -> bool:
        return True

    def read(self) -> bytes:
        return self.cell.read(self.path)


@functools.lru_cache(maxsize=4)
def _column(path: str, _: int, group: int, column: str) -> Any:
    """A column of one row group; records of a shard follow one another, so the last ones stay.

    The second argument is the file's time: another file of that name is read anew.
    """
    parquet = library().parquet
    with one_net(shown(path), "restore the file", FileError), parquet.ParquetFile(path) as file:
        return file.read_row_group(group, columns=[column]).column(column)


@dataclasses.dataclass(frozen=True)
class Picture:
    """What a cell of images holds: "bytes", or the "path" of a file, or "nothing".

    ``path`` is the name that the table gives the image.
    """

    there: str
    path: str = ""


def pictures_of(
    file: Any, group: int, columns: Sequence[str]
) -> dict[str, list[Picture | list[Picture]]]:
    """For each column what each row of a row group holds; a list where a cell is a list.

    The bytes themselves are not read where the file's statistics say that none is missing.
    """
    found: dict[str, list[Picture | list[Picture]]] = {}
    for column in columns:
        typed = file.schema_arrow.field(column).type
        if library().types.is_binary(typed) or library().types.is_large_binary(typed):
            size = file.metadata.row_group(group).num_rows
            found[column] = [Picture("bytes")] * size  # an empty one is refused when it is read
            continue
        wanted, whole = _leaves(file, group, column)
        values = file.read_row_group(group, columns=wanted).column(column)
        found[column] = [_picture(value, whole) for value in values]
    return found


def _leaves(file: Any, group: int, column: str) -> tuple[list[str], bool]:
    """The columns to read for it, and whether bytes are among them."""
    metadata = file.metadata.row_group(group)
    parts = [metadata.column(i) for i in range(metadata.num_columns)]
    parts = [p for p in parts if p.path_in_schema.split(".")[0] == column]
    data = [p for p in parts if p.path_in_schema.endswith(".bytes")]
    others = [p.path_in_schema for p in parts if p not in data]
    known = all(p.statistics is not None and p.statistics.null_count == 0 for p in data)
    if data and known and others:
        return others, False
    return [p.path_in_schema for p in parts], True


def _picture(value: Any, whole: bool) -> Picture | list[Picture]:
    if not value.is_valid:
        return Picture("nothing")
    types = library().types
    if types.is_list(value.type) or types.is_large_list(value.type):
        entries = (_picture(one, whole) for one in value.values)
        return [entry for entry in entries if isinstance(entry, Picture)]
    if not types.is_struct(value.type):
        data = value.as_py()
        return Picture("path", data) if isinstance(data, str) and data else Picture("bytes")
    names = {field.name for field in value.type}
    path = value["path"].as_py() if "path" in names else ""
    if not whole or ("bytes" in names and value["bytes"].is_valid):
        return Picture("bytes", path or "")
    return Picture("path", path) if path else Picture("nothing")
