"""Parquet tables with images and texts, as the Hugging Face ``datasets`` library stores them.

Layout: ``<root>/**/*.parquet``; a column of images (``{bytes, path}``, bytes, or paths below
``root``; also lists of these) and columns of texts (also lists), labels and so on, which the config
names. Class numbers get the names that the file's own features give. Files of
``launch/convert_records.py --format=parquet`` are known by their metadata and come back field by
field.
"""

import dataclasses
import functools
import json
import math
import pathlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from data_gen.sources.containers import captions
from data_gen.sources.containers.exported import exported_item
from data_gen.sources.containers.table import Cell, ParquetImage, ParquetMask, Picture, pictures_of
from data_gen.sources.importing.base import (
    ImageFile,
    Item,
    Rejects,
    SourceConfig,
    SourceError,
    patient_split,
)
from data_gen.sources.importing.labels import LabelColumns, column_labels, normalise
from data_gen.sources.importing.source import Source
from data_gen.sources.importing.split_names import spelled_split, split_of_path
from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.core.files.opening import shown
from medvlp_jax.data.store.croissant import Origin
from medvlp_jax.data.store.parquet import library
from medvlp_jax.data.store.plain import LAYOUT, MARK
from medvlp_jax.data.store.record import Text

_RECORD_IMAGES = ("image", "more_images", "mask_images")


@dataclasses.dataclass(frozen=True)
class ParquetConfig(SourceConfig):
    """The mapping from columns to a record.

    Attributes:
      name: of the data set in the names of its shards.
      files: pattern of the files below ``root``.
      image: column of the image, or of a list of images.
      texts: column -> section; a column that holds a list gives a text for each entry.
      text_source: what wrote the texts.
      separators: words that stand as ``_word_`` between the captions in one text, on top of those
        of UniMed.
      labels: columns of labels, and how they are spelled.
      class_column: column with the number or name of one class of all.
      classes: names of its numbers; empty takes those of the file's features.
      id, patient, split: columns; empty where there is none. Without a column the split is the one
        that the file's path names, or the patients are divided by ``split_fractions``.
      splits: spelling -> split name, on top of the usual ones.
      modality: of all images; ``modality_column`` if the table says it.
      modality_column: column of the modality.
      keep: columns to copy into the record's provenance.
      license, citation, url: of the data set, for ``croissant.json``.
    """

    name: str = "parquet"
    files: str = "**/*.parquet"
    image: str = "image"
    texts: dict[str, str] = dataclasses.field(default_factory=lambda: {"text": "caption"})
    text_source: str = ""
    separators: tuple[str, ...] = ()
    labels: LabelColumns = dataclasses.field(default_factory=LabelColumns)
    class_column: str = ""
    classes: tuple[str, ...] = ()
    id: str = ""
    patient: str = ""
    split: str = ""
    splits: dict[str, str] = dataclasses.field(default_factory=dict)
    modality: Literal["", "xray", "ct", "mri", "ultrasound", "fundus", "pathology", "other"] = ""
    modality_column: str = ""
    keep: tuple[str, ...] = ()
    license: str = ""
    citation: str = ""
    url: str = ""

    def columns(self) -> dict[str, str]:
        """Column -> the key of the config that names it."""
        labels = self.labels
        named = {self.image: "image", **dict.fromkeys(self.texts, "texts")}
        named |= dict.fromkeys(labels.columns, "labels.columns")
        named |= {labels.list_column: "labels.list_column", labels.judged_column: "labels"}
        named |= dict.fromkeys(self.keep, "keep")
        for key in ("class_column", "id", "patient", "split", "modality_column"):
            named.setdefault(getattr(self, key), key)
        return {column: key for column, key in named.items() if column}


@dataclasses.dataclass
class _File:
    """A file while its rows are read."""

    path: pathlib.Path
    name: str  # relative to the root
    classes: tuple[str, ...]


def items(config: ParquetConfig, rejects: Rejects) -> Iterator[Item]:
    """One item a row."""
    root = pathlib.Path(config.root)
    paths = sorted(path for path in root.glob(config.files) if path.is_file())
    if not paths:
        raise SourceError(f"{root} holds no {config.files}; check config.root")
    counts: Counter[str] = Counter()
    for path in paths:
        with one_net(shown(path), "download it again or leave it out", SourceError):
            file = library().parquet.ParquetFile(path)
        with file:
            yield from _rows(config, path, file, rejects, counts)
    for line in captions.notes(counts):
        rejects.note(line)


def _rows(
    config: ParquetConfig, path: pathlib.Path, file: Any, rejects: Rejects, counts: Counter[str]
) -> Iterator[Item]:
    metadata = file.schema_arrow.metadata or {}
    exported = metadata.get(MARK.encode()) == str(LAYOUT).encode()
    if exported:
        read = [name for name in file.schema_arrow.names if name not in _RECORD_IMAGES]
        about = _File(path, str(path.relative_to(config.root)), ())
    else:
        named = config.columns()
        for column, key in named.items():
            if column not in file.schema_arrow.names:
                there = ", ".join(file.schema_arrow.names)
                raise SourceError(f"{path} has no column {column!r} (config.{key}); it has {there}")
        read = [column for column in named if column != config.image]
        classes = config.classes or _class_names(metadata, config.class_column)
        about = _File(path, str(path.relative_to(config.root)), classes)
    number = 0
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        rejects.rows += size
        first, number = number, number + size
        try:
            with one_net(shown(path), "download it again"):
                rows = file.read_row_group(group, columns=read).to_pylist()
                columns = _RECORD_IMAGES if exported else (config.image,)
                pictures = pictures_of(file, group, columns)
        except UserError as e:
            rejects.refuse(f"{about.name} rows {first} to {number - 1}", "bad rows", str(e), size)
            continue
        for i, row in enumerate(rows):
            where = f"{about.name} row {first + i}"
            try:
                shown_here = {
                    c: _files(about, c, pictures[c][i], group, i, config) for c in columns
                }
                if exported:
                    yield _exported(about, row, where, shown_here)
                else:
                    images = tuple(shown_here[config.image])
                    yield _item(config, about, row, where, first + i, images, counts)
            except (UserError, ValueError) as e:
                rejects.refuse(where, "bad row", str(e))


def _files(
    about: _File,
    column: str,
    found: Picture | list[Picture],
    group: int,
    row: int,
    config: ParquetConfig,
) -> list[ImageFile]:
    """The images of one cell."""
    listed = isinstance(found, list)
    files: list[ImageFile] = []
    for i, picture in enumerate(found if isinstance(found, list) else [found]):
        if picture.there == "bytes":
            suffix = pathlib.PurePath(picture.path).suffix
            cell = Cell(group, row, column, i if listed else -1)
            files.append(ParquetImage(about.path, cell=cell, suffix=suffix))
        elif picture.there == "path":
            files.append(ImageFile(pathlib.Path(config.root, picture.path), modality=""))
    return files


def _exported(
    about: _File, row: dict[str, Any], where: str, files: Mapping[str, list[ImageFile]]
) -> Item:
    """A row of a file that this package wrote."""
    told = {k: v for k, v in row.items() if k != "text"} | {
        MARK: LAYOUT,
        "labels": {entry["name"]: entry["value"] for entry in row["labels"]},
        "provenance": json.loads(row["provenance"]),
    }
    masks = [file.cell for file in files["mask_images"] if isinstance(file, ParquetImage)]
    makers = [functools.partial(_mask, about.path, cell) for cell in masks]
    return exported_item(told, where, files["image"] + files["more_images"], makers)


def _mask(path: pathlib.Path, cell: Cell, label: str, image: int) -> ParquetMask:
    return ParquetMask(path, label, image, cell)


def _item(
    config: ParquetConfig,
    about: _File,
    row: dict[str, Any],
    where: str,
    number: int,
    images: tuple[ImageFile, ...],
    counts: Counter[str],
) -> Item:
    cells = {column: _cell(value) for column, value in row.items()}
    own = f"{about.name.removesuffix('.parquet')}/{number:06d}"
    patient = cells.get(config.patient, "")
    labels = column_labels(cells, config.labels, config.null_words)
    split, how = split_of_path(about.name), "names of the files"
    if config.split:
        split = spelled_split(cells[config.split], config.split, config.splits)
        how = f"column {config.split}"
    named = {"split_name": how} if split else {}
    split = split or patient_split(patient or own, config.split_fractions, config.split_seed)
    modality = cells.get(config.modality_column, "") or config.modality
    kept = {column: row[column] for column in config.keep}
    return Item(
        id=cells.get(config.id, "") or own,
        where=where,
        images=tuple(dataclasses.replace(image, modality=modality) for image in images),
        split=split,
        texts=_texts(config, row, counts),
        labels=labels | _class(config, about, row),
        patient_id=patient,
        provenance={"source": config.name, **named, **kept},
    )


def _texts(config: ParquetConfig, row: dict[str, Any], counts: Counter[str]) -> tuple[Text, ...]:
    texts: dict[Text, None] = {}
    for column, section in config.texts.items():
        value = row[column]
        for one in value if isinstance(value, list) else [value]:
            if one is not None and not isinstance(one, str):
                raise ValueError(f"column {column!r} holds {type(one).__name__}, no text")
            parted = captions.caption_texts(
                one or "", section, config.text_source, config.separators, counts
            )
            texts |= dict.fromkeys(parted)
    return tuple(texts)


def _class(config: ParquetConfig, about: _File, row: dict[str, Any]) -> dict[str, int]:
    value = row[config.class_column] if config.class_column else None
    if value is None:
        return {}
    names = [normalise(name) for name in about.classes]
    if isinstance(value, float):  # what pandas makes of whole numbers where one is missing
        if math.isnan(value):
            return {}
        value = int(value) if value.is_integer() else value
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value < len(names):
            raise ValueError(
                f"column {config.class_column!r} is {value}, but {len(names)} classes have names; "
                "set config.classes"
            )
        return {name: int(i == value) for i, name in enumerate(names)}
    name = normalise(str(value))
    if not name or (names and name not in names):
        raise ValueError(f"column {config.class_column!r} is {name[:60]!r}, which is no class")
    return {other: int(other == name) for other in names or [name]}


def _class_names(metadata: Mapping[bytes, bytes], column: str) -> tuple[str, ...]:
    """The names that the features of ``datasets`` give the numbers of a column."""
    try:
        whole = json.loads(metadata.get(b"huggingface", b"{}"))
        return tuple(map(str, whole["info"]["features"][column]["names"]))
    except (ValueError, KeyError, TypeError):  # no features, or none of that column
        return ()


def _cell(value: Any) -> str:
    """A value as the cell of a table."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)


def _origin(config: ParquetConfig) -> Origin:
    return Origin(config.license, config.citation, config.url)


SOURCE = Source(ParquetConfig, items, origin=_origin)
