"""Any CSV with image paths, texts and labels; the config says which column is what.

Rows that share a study (or, without a study column, an image) become one record: images and texts
are collected, a label keeps its strongest value (positive, uncertain, negative), boxes add up.
"""

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

from data_gen.sources.importing.base import (
    ImageFile,
    Item,
    PixelBox,
    Rejects,
    SourceConfig,
    patient_split,
)
from data_gen.sources.importing.labels import (
    LabelColumns,
    column_labels,
    differing,
    is_number,
    merge_labels,
    normalise,
    not_judged,
    plain,
)
from data_gen.sources.importing.masks import MaskFile
from data_gen.sources.importing.report_text import clean
from data_gen.sources.importing.source import Source
from data_gen.sources.importing.split_names import spelled_split
from data_gen.sources.tables.reader import Row, Table
from medvlp_jax.data.store.record import Text


@dataclasses.dataclass(frozen=True)
class BoxColumns:
    """Columns of a box, one box a row; a row has none where its four numbers are all empty.

    Attributes:
      x, y: of the top-left corner.
      third, fourth: width and height, or the bottom-right corner (``corners``).
      corners: ``third`` and ``fourth`` are the bottom-right corner.
      label: column of the label; empty takes ``label_name`` for all.
      label_name: label of all boxes, where no column says it.
      phrase: column of what the box was drawn for, in words; empty where there is none.
      frame_width, frame_height: columns with the size of the image that the pixels count on, or
        numbers; empty is the file's own size. Fractions have a frame of 1.
    """

    x: str = "x"
    y: str = "y"
    third: str = "width"
    fourth: str = "height"
    corners: bool = False
    label: str = ""
    label_name: str = ""
    phrase: str = ""
    frame_width: str = ""
    frame_height: str = ""

    def __post_init__(self) -> None:
        if not self.label and not self.label_name:
            raise ValueError("boxes need label (a column) or label_name (one name for all)")


@dataclasses.dataclass(frozen=True)
class MaskColumns:
    """Columns of mask files, relative to ``root``; an empty cell is no mask.

    Attributes:
      columns: column -> label of the mask that it names.
      list_column: one column of ``name=path`` entries.
      separator: between the entries of ``list_column``.
      names: name in ``list_column`` -> label; masks of other names are left out.
    """

    columns: dict[str, str] = dataclasses.field(default_factory=dict)
    list_column: str = ""
    separator: str = ";"
    names: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class CsvConfig(SourceConfig):
    """The mapping from columns to a record.

    Attributes:
      root: the folder that image paths are relative to.
      csv: the table, absolute or relative to ``root``; ``.gz`` too.
      delimiter: of its cells; empty finds it: comma, semicolon, tab or bar.
      image: column of the image path; ``image_suffix`` is appended (".png" where it holds ids).
        Image and mask paths lie below ``root``, absolute ones too.
      image_suffix: appended to the image path.
      texts: column -> section, e.g. {"impression": "impression"}.
      text_source: what wrote the texts.
      labels: columns of labels, and how they are spelled.
      boxes: columns of boxes; None: there are none.
      masks: columns of mask files.
      study, patient, split, view: columns; empty where there is none. Without a split column the
        patients are divided by ``split_fractions``.
      splits: spelling -> split name, on top of the usual ones (valid, validate, ...).
      view_names: spelling -> view, e.g. {"lateral": "LATERAL"}.
      modality: of all images; ``modality_column`` if the table says it.
      modality_column: column of the modality; empty: ``modality`` is that of all images.
      where: column -> the values of rows to keep; other rows are left out, and counted.
      keep: columns to copy into the record's provenance.
    """

    csv: str = ""
    delimiter: str = ""
    image: str = "path"
    image_suffix: str = ""
    texts: dict[str, str] = dataclasses.field(default_factory=dict)
    text_source: str = "radiologist"
    labels: LabelColumns = dataclasses.field(default_factory=LabelColumns)
    boxes: BoxColumns | None = None
    masks: MaskColumns = dataclasses.field(default_factory=MaskColumns)
    study: str = ""
    patient: str = ""
    split: str = ""
    splits: dict[str, str] = dataclasses.field(default_factory=dict)
    view: str = ""
    view_names: dict[str, str] = dataclasses.field(default_factory=dict)
    modality: Literal["xray", "ct", "mri", "ultrasound", "fundus", "pathology", "other"] = "xray"
    modality_column: str = ""
    where: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.csv or not self.image:
            raise ValueError("csv (the table) and image (its column of paths) must be set")
        if len(self.delimiter) > 1 or self.delimiter in ("\n", "\r", '"', "\0"):
            raise ValueError(f"delimiter {self.delimiter!r} must be one character; empty finds it")
        named = {"labels.columns": self.labels.columns, "masks.columns": self.masks.columns}
        named |= {"texts": self.texts, "where": self.where, "keep": self.keep}
        for key, columns in named.items():
            if "" in columns:
                raise ValueError(f"{key} names a column ''; give its name in the header")


@dataclasses.dataclass
class _Study:
    """What the rows of one study add up to."""

    where: str
    patient: str
    split: str
    images: dict[str, ImageFile] = dataclasses.field(default_factory=dict)
    texts: dict[Text, None] = dataclasses.field(default_factory=dict)
    labels: dict[str, int] = dataclasses.field(default_factory=dict)
    boxes: dict[PixelBox, None] = dataclasses.field(default_factory=dict)
    masks: dict[MaskFile, None] = dataclasses.field(default_factory=dict)
    kept: dict[str, str] = dataclasses.field(default_factory=dict)
    rows: int = 0


def items(config: CsvConfig, rejects: Rejects) -> Iterator[Item]:
    """One item per study, or per image where no study column is named."""
    labelled = (*config.labels.columns, config.labels.list_column)
    path = pathlib.Path(config.root, config.csv)
    table = Table(path, config, rejects, config.delimiter, records=True, raw=labelled)
    _require(table, config)
    studies: dict[str, _Study] = {}
    differ = 0
    unjudged: Counter[str] = Counter()
    for number, row in table:
        if any(row[c] not in table.spelled(c, values) for c, values in config.where.items()):
            rejects.left_out["where"] += 1
            continue
        where, image = table.where(number), row[config.image]
        if not image:
            rejects.refuse(where, "no image", f"column {config.image!r} is empty")
            continue
        path = str(pathlib.PurePosixPath(image + config.image_suffix))  # ./a.png is a.png
        key = (row[config.study] if config.study else "") or path
        patient = row[config.patient] if config.patient else ""
        try:
            labels = column_labels(row, config.labels, config.null_words)
            split = _split(row, config, patient or key)
            study = studies.get(key) or _Study(where, patient, split)
            if (study.patient, study.split) != (patient, split):
                raise ValueError(
                    f"study {key} has patient {patient!r}, split {split!r} here but "
                    f"{study.patient!r}, {study.split!r} in {study.where}"
                )
            view = row[config.view] if config.view else ""
            view = config.view_names.get(view, view.upper())
            modality = row[config.modality_column] if config.modality_column else config.modality
            file = ImageFile(pathlib.Path(config.root, path), view, modality or config.modality)
            index = list(study.images).index(path) if path in study.images else len(study.images)
            box = _box(row, config, index)
        except ValueError as e:
            rejects.refuse(where, "bad row", str(e))
            continue
        studies[key] = study
        study.rows += 1
        study.images.setdefault(path, file)
        for column, section in config.texts.items():
            if text := clean(row[column]):
                study.texts[Text(text, section, config.text_source)] = None
        differ += merge_labels(study.labels, labels)
        unjudged.update(labels.keys() - (config.labels.known or labels.keys()))
        if box is not None:
            study.boxes[box] = None
        study.masks |= dict.fromkeys(_masks(row, config, index))
        study.kept |= {column: row[column] for column in config.keep}
    if differ:
        rejects.note(differing(differ))
    if unjudged:
        rejects.note(not_judged(unjudged))
    if _divides_unknown_patients(config):
        rejects.note(_nobody_knows_patients(table.columns, config))
    named = {"split_name": f"column {config.split}"} if config.split else {}
    for key, study in studies.items():
        yield Item(
            id=key,
            where=study.where,
            images=tuple(study.images.values()),
            split=study.split,
            texts=tuple(study.texts),
            labels=study.labels,
            boxes=tuple(study.boxes),
            masks=tuple(study.masks),
            patient_id=study.patient,
            provenance={"source": config.name, **named, **study.kept},
            rows=study.rows,
        )


def _require(table: Table, config: CsvConfig) -> None:
    labels, boxes = config.labels, config.boxes
    table.require((config.image,), "config.image")
    for key in ("study", "patient", "split", "view", "modality_column"):
        table.require((getattr(config, key),), f"config.{key}")
    for key in ("texts", "where", "keep"):
        table.require(tuple(getattr(config, key)), f"config.{key}")
    label_columns = (*labels.columns, labels.list_column, labels.judged_column)
    table.require(label_columns, "config.labels")
    table.require((*config.masks.columns, config.masks.list_column), "config.masks")
    if boxes is not None:
        columns = (boxes.x, boxes.y, boxes.third, boxes.fourth, boxes.label, boxes.phrase)
        frame = (c for c in (boxes.frame_width, boxes.frame_height) if not is_number(c))
        table.require((*columns, *frame), "config.boxes")


def _divides_unknown_patients(config: CsvConfig) -> bool:
    parts = [share for share in config.split_fractions.values() if share > 0]
    return not config.patient and not config.split and len(parts) > 1


def _nobody_knows_patients(columns: Sequence[str], config: CsvConfig) -> str:
    what = "study" if config.study else "image"
    words = ("patient", "subject", "person", "pid", "mrn")
    near = [repr(c) for c in columns if any(word in c.lower() for word in words)]
    hint = f" (the table has {', '.join(near)})" if near else ""
    return (
        f"config.patient is not set: each {what} counts as a patient of its own, so that images of "
        f"one patient can be in several splits; name the column of patients{hint}"
    )


def _split(row: Row, config: CsvConfig, patient: str) -> str:
    if not config.split:
        return patient_split(patient, config.split_fractions, config.split_seed)
    return spelled_split(row[config.split], config.split, config.splits)


def _box(row: Row, config: CsvConfig, image: int) -> PixelBox | None:
    spec = config.boxes
    if spec is None or not any(row[c] for c in (spec.x, spec.y, spec.third, spec.fourth)):
        return None
    x, y, third, fourth = (_number(row, c) for c in (spec.x, spec.y, spec.third, spec.fourth))
    frame = None
    if spec.frame_width and spec.frame_height:
        frame = (_number(row, spec.frame_width), _number(row, spec.frame_height))
        if min(frame) <= 0:
            raise ValueError(f"the frame of the box is {frame}")
    return PixelBox(
        x,
        y,
        third - x if spec.corners else third,
        fourth - y if spec.corners else fourth,
        normalise(row[spec.label]) if spec.label else plain(spec.label_name),
        clean(row[spec.phrase]) if spec.phrase else "",
        image,
        frame,
    )


def _masks(row: Row, config: CsvConfig, image: int) -> list[MaskFile]:
    spec, root = config.masks, pathlib.Path(config.root)
    found = [(row[column], label) for column, label in spec.columns.items()]
    entries = row[spec.list_column].split(spec.separator) if spec.list_column else []
    for name, _, path in (entry.strip().partition("=") for entry in entries):
        if name in spec.names:
            found.append((path, spec.names[name]))
    return [MaskFile(root / path, plain(label), image) for path, label in found if path]


def _number(row: Row, column: str) -> float:
    """A cell as a finite number; ``column`` may be a number itself."""
    cell = row.get(column, column)
    if not is_number(cell):
        raise ValueError(f"column {column!r} is {cell!r}, not a number")
    return float(cell)


SOURCE = Source(CsvConfig, items)
