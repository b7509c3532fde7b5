"""VinDr-CXR: radiographs as DICOM, 28 labels and boxes by three readers each, no reports.

Two layouts. PhysioNet 1.0.0: ``<root>/{train,test}/<image_id>.dicom`` and
``annotations/{annotations,image_labels}_{train,test}.csv``; the training tables have a row per
reader, those of the test set the consensus of five. Kaggle: ``train/<image_id>.dicom`` and
``train.csv``, whose boxes carry 14 of the labels. Boxes count on the pixels of the DICOM file.
"""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Literal

from data_gen.sources.importing.base import (
    ImageFile,
    Item,
    PixelBox,
    Rejects,
    SourceConfig,
    SourceError,
    patient_split,
)
from data_gen.sources.importing.labels import is_number, normalise
from data_gen.sources.importing.readers import Agreement, Reading, agreed_boxes, agreed_labels
from data_gen.sources.importing.source import Source
from data_gen.sources.importing.splits import Count, NamedSplit
from data_gen.sources.tables.reader import Table, find_or_none, index_files

#: The tables spell it "Other diseases" (train) and "Other disease" (test).
_ALIASES = {"other diseases": "other disease"}
#: The 28 columns of the tables of labels.
CLASSES = (
    *("aortic enlargement", "atelectasis", "calcification", "cardiomegaly", "clavicle fracture"),
    *("consolidation", "edema", "emphysema", "enlarged pa", "ild", "infiltration", "lung opacity"),
    *("lung cavity", "lung cyst", "mediastinal shift", "nodule/mass", "pleural effusion"),
    *("pleural thickening", "pneumothorax", "pulmonary fibrosis", "rib fracture", "other lesion"),
    *("copd", "lung tumor", "pneumonia", "tuberculosis", "other disease", "no finding"),
)
_CORNERS = ("x_min", "y_min", "x_max", "y_max")
_IMAGES = tuple(f"{{}}/*.{end}" for end in ("dicom", "dcm", "png", "jpg"))
_CONSENSUS = "consensus"

SPLITS = {
    "official": NamedSplit(
        "Nguyen et al., 2020, PhysioNet 1.0.0",
        "own",
        {"train": Count(15_000), "test": Count(3_000)},
    ),
    "all": NamedSplit("Kaggle", "own", {"all": Count(15_000)}),
    "benchx": NamedSplit(
        "Zhou et al., NeurIPS 2024 (BenchX)",
        "lists",
        {"train": Count(12_000), "validation": Count(3_000), "test": Count(3_000)},
    ),
}


@dataclasses.dataclass(frozen=True)
class VindrConfig(SourceConfig):
    """What to take of VinDr-CXR.

    Attributes:
      agreement: a label holds if a majority of its image's readers gives it, or any of them; boxes
        of a majority are the mean of those that overlap, boxes of any reader stay as drawn.
    """

    name: str = "vindr_cxr"
    agreement: Literal["majority", "any"] = "majority"


def items(config: VindrConfig, rejects: Rejects) -> Iterator[Item]:
    """One item per image; the data set names no patients, so an image stands for one."""
    root = pathlib.Path(config.root)
    made = False
    for split in ("train", "test"):
        labels = find_or_none(root, (f"annotations/image_labels_{split}.csv",))
        if labels is not None:
            made = True
            boxes = find_or_none(root, (f"annotations/annotations_{split}.csv",))
            yield from _images(config, split, "official", _official(config, labels, boxes, rejects))
    if made:
        return
    table = find_or_none(root, ("train.csv",))
    if table is None:
        raise SourceError(
            f"{root} has neither annotations/image_labels_train.csv nor train.csv; check "
            "config.root"
        )
    yield from _images(config, "train", "", _kaggle(config, table, rejects))


def _images(
    config: VindrConfig, folder: str, own_split: str, readings: dict[str, Reading]
) -> Iterator[Item]:
    root = pathlib.Path(config.root)
    files = index_files(root, tuple(pattern.format(folder) for pattern in _IMAGES))
    paths = {path.stem: path for path in reversed(files.values())}
    agreement = Agreement(config.agreement)
    for image, reading in readings.items():
        path = paths.get(image, root / folder / f"{image}.dicom")
        labels = agreed_labels(reading, agreement)
        divided = patient_split(image, config.split_fractions, config.split_seed)
        provenance = {"source": "vindr-cxr", "readers": len(reading.labels)}
        if own_split:
            provenance["split_name"] = own_split
        yield Item(
            id=image,
            where=reading.where,
            images=(ImageFile(path, "FRONTAL"),),
            split=folder if own_split else divided,
            labels=labels,
            boxes=agreed_boxes(reading, agreement, labels),
            patient_id=image,
            provenance=provenance,
            rows=reading.rows,
        )


def _official(
    config: VindrConfig, labels: pathlib.Path, boxes: pathlib.Path | None, rejects: Rejects
) -> dict[str, Reading]:
    table = Table(labels, config, rejects, records=True)
    table.require(("image_id",))
    names = _classes(table, rejects)
    readings: dict[str, Reading] = {}
    for number, row in table:
        where, image = table.where(number), row["image_id"]
        values = {name: row[column] for column, name in names.items()}
        bad = [
            f"{name} is {v!r}, not 0 or 1"
            for name, v in values.items()
            if not is_number(v) or float(v) not in (0, 1)
        ]
        if bad or not image:
            bad = bad or ["image_id is empty"]
            rejects.refuse(where, "bad label", f"{image}: {bad[0]}")
            continue
        reading = readings.setdefault(image, Reading(where))
        reader = row.get("rad_id", _CONSENSUS)
        if reader in reading.labels:
            rejects.refuse(where, "duplicate reader", f"{image} by {reader} is also above")
            continue
        reading.rows += 1
        reading.labels[reader] = {name: int(float(v)) for name, v in values.items()}
    if boxes is not None:
        _add_boxes(Table(boxes, config, rejects), readings, rejects)
    return readings


def _classes(table: Table, rejects: Rejects) -> dict[str, str]:
    """Column -> label, of the published ones; others are said and left out.

    Raises:
      SourceError: two columns are one label, or none is.
    """
    names: dict[str, str] = {}
    others = []
    for column in table.columns:
        name = normalise(column, _ALIASES)
        first = next((c for c, other in names.items() if other == name), None)
        if first is not None:
            raise SourceError(
                f"{table.path}: columns {first!r} and {column!r} are both the label {name!r}; "
                "delete one"
            )
        if name in CLASSES:
            names[column] = name
        elif column not in ("image_id", "rad_id"):
            others.append(column)
    if not names:
        raise SourceError(f"{table.path} has no column of a label of VinDr-CXR, e.g. Cardiomegaly")
    if others:
        rejects.note(f"{table.path.name}: no labels of VinDr-CXR, left out: {', '.join(others)}")
    return names


def _kaggle(config: VindrConfig, path: pathlib.Path, rejects: Rejects) -> dict[str, Reading]:
    """Boxes only: a reader's labels are the classes of that reader's boxes."""
    table = Table(path, config, rejects, records=True)
    table.require(("image_id", "class_name", "rad_id", *_CORNERS))
    readings: dict[str, Reading] = {}
    names: dict[str, None] = {}
    for number, row in table:
        name = normalise(row["class_name"], _ALIASES)
        if not (row["image_id"] and name):
            detail = "image_id or class_name is empty"
            rejects.refuse(table.where(number), "bad row", detail)
            continue
        reading = readings.setdefault(row["image_id"], Reading(table.where(number)))
        reading.rows += 1
        names[name] = None
        reading.labels.setdefault(row["rad_id"], {})[name] = 1
    for reading in readings.values():
        for given in reading.labels.values():
            given |= {name: 0 for name in names if name not in given}
    _add_boxes(table, readings, rejects)
    return readings


def _add_boxes(table: Table, readings: dict[str, Reading], rejects: Rejects) -> None:
    table.require(("image_id", "class_name", *_CORNERS))
    for number, row in table:
        name = normalise(row["class_name"], _ALIASES)
        if name == "no finding" or not row["image_id"]:
            continue
        where, image = table.where(number), row["image_id"]
        reading = readings.get(image)
        if reading is None:
            rejects.add(where, "box without its image", f"{image} has no labels")
            continue
        cells = [row[c] for c in _CORNERS]
        if not all(is_number(cell) for cell in cells):
            rejects.add(where, "bad box", f"{image}: {','.join(cells)}")
            continue
        x0, y0, x1, y1 = (float(cell) for cell in cells)
        box = PixelBox(x0, y0, x1 - x0, y1 - y0, name)
        reading.boxes.append((row.get("rad_id", _CONSENSUS), box))


SOURCE = Source(VindrConfig, items, splits=SPLITS)
