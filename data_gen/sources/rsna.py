"""RSNA pneumonia detection: frontal radiographs as DICOM, boxes of lung opacities, no reports.

Two layouts. Kaggle, stage 2: ``<root>/stage_2_train_images/<patientId>.dcm``,
``stage_2_train_labels.csv`` (patientId,x,y,width,height,Target; a row per box) and
``stage_2_detailed_class_info.csv`` (patientId,class). The first export of the annotations, which
MedKLIP and MAVL use: tables ``ID,img_path,boxes,classes`` with boxes "x;y;w;h|x;y;w;h"; name them
in ``split_lists``, one per split, and leave the two Kaggle tables out. Boxes count on 1024 x 1024.
"""

import dataclasses
import pathlib
from collections.abc import Iterator

from data_gen.sources.importing.base import (
    ImageFile,
    Item,
    PixelBox,
    Rejects,
    SourceConfig,
    SourceError,
    patient_split,
)
from data_gen.sources.importing.source import Source
from data_gen.sources.importing.splits import (
    Count,
    NamedSplit,
    Shuffle,
    list_path,
    stem,
    strict_order,
)
from data_gen.sources.tables.reader import Row, Table, find_or_none, present

LABEL = "pneumonia"
#: Class of the detailed table -> labels. The last two have no opacity, and only one is normal.
CLASSES = {
    "lung opacity": {LABEL: 1, "lung opacity": 1, "no finding": 0},
    "normal": {LABEL: 0, "lung opacity": 0, "no finding": 1},
    "no lung opacity / not normal": {LABEL: 0, "lung opacity": 0, "no finding": 0},
}
_FRAME = (1024.0, 1024.0)
_LABELS = "stage_2_train_labels.csv"
_CLASSES = "stage_2_detailed_class_info.csv"


def _parts(train: int, validation: int, test: int) -> dict[str, Count]:
    return {"train": Count(train), "validation": Count(validation), "test": Count(test)}


SPLITS = {
    "all": NamedSplit("Kaggle, stage 2", "own", {"all": Count(26_684, positives={LABEL: 6_012})}),
    "gloria": NamedSplit(
        "Huang et al., ICCV 2021, preprocess_datasets.py",
        Shuffle(0.3, ("test", "validation")),
        _parts(18_678, 4_003, 4_003),
    ),
    "mgca_detection": NamedSplit(
        "Wang et al., NeurIPS 2022, preprocess/rsna.py",
        Shuffle(10_674, ("test", "validation")),
        _parts(16_010, 5_337, 5_337),
    ),
    "medklip": NamedSplit(
        "Wu et al., ICCV 2023; also Phan et al. (MAVL), CVPR 2024",
        "lists",
        {
            "validation": Count(4_933, positives={LABEL: 1_704}),
            "test": Count(5_337, positives={LABEL: 1_218}),
        },
    ),
    "benchx": NamedSplit(
        "Zhou et al., NeurIPS 2024 (BenchX)", "lists", _parts(18_678, 4_003, 4_003)
    ),
    "mrm": NamedSplit(
        "Zhou et al. (MRM), ICLR 2023; MaCo. Its test part is not of the 26,684",
        "lists",
        _parts(25_184, 1_500, 3_000),
    ),
}


@dataclasses.dataclass(frozen=True)
class RsnaConfig(SourceConfig):
    """The keys of every importer, and these.

    Attributes:
      images: folder of the DICOM files, relative to ``root``.
    """

    name: str = "rsna"
    images: str = "stage_2_train_images"


def items(config: RsnaConfig, rejects: Rejects) -> Iterator[Item]:
    """One item per image; every image is another patient. Boxes have the label ``pneumonia``."""
    root = pathlib.Path(config.root)
    if find_or_none(root, (_LABELS,)) is not None:
        found = _kaggle(root, config, rejects)
    elif config.split_lists:
        found = _export(config, rejects)
    else:
        raise SourceError(f"{root} has no {_LABELS}; check config.root, or set config.split_lists")
    for item in found:
        path = item.images[0].path
        path = present(root / config.images / path.name, root / path)
        images = (ImageFile(path, "FRONTAL"),)
        split = patient_split(item.patient_id, config.split_fractions, config.split_seed)
        yield dataclasses.replace(item, images=images, split=item.split or split)


def _kaggle(root: pathlib.Path, config: RsnaConfig, rejects: Rejects) -> Iterator[Item]:
    classes = _classes(root, config, rejects)
    table = Table(root / _LABELS, config, rejects, records=True)
    table.require(("patientId", "x", "y", "width", "height", "Target"))
    found: dict[str, Item] = {}
    for number, row in table:
        where, patient = table.where(number), row["patientId"]
        if not patient:
            rejects.refuse(where, "bad row", "patientId is empty")
            continue
        if row["Target"] not in ("0", "1"):
            rejects.refuse(where, "bad label", f"Target is {row['Target']!r}")
            continue
        target = int(row["Target"])
        item = found.get(patient)
        if item is None:
            labels = classes.get(patient) or {LABEL: target, "lung opacity": target}
            item = dataclasses.replace(_item(patient, where, f"{patient}.dcm", labels), rows=0)
        try:
            boxes = (_box([row[c] for c in ("x", "y", "width", "height")]),) if target else ()
        except ValueError:
            rejects.add(where, "bad box", f"{patient}: Target is 1 and the box is {_shown(row)}")
            boxes = ()
        if item.labels[LABEL] != target:
            rejects.refuse(where, "bad label", f"{patient}: Target {target} contradicts other rows")
            continue
        boxes = item.boxes + tuple(box for box in boxes if box not in item.boxes)
        found[patient] = dataclasses.replace(item, boxes=boxes, rows=item.rows + 1)
    yield from found.values()


def _classes(root: pathlib.Path, config: RsnaConfig, rejects: Rejects) -> dict[str, dict[str, int]]:
    """``{patient: labels}``; the table has a row per box, so patients repeat."""
    path = find_or_none(root, (_CLASSES,))
    if path is None:
        return {}
    table = Table(path, config, rejects)
    table.require(("patientId", "class"))
    classes = {}
    for number, row in table:
        labels = CLASSES.get(row["class"].lower())
        if labels is None:
            rejects.add(table.where(number), "unknown class", row["class"])
        else:
            classes[row["patientId"]] = labels
    return classes


def _export(config: RsnaConfig, rejects: Rejects) -> Iterator[Item]:
    for split in strict_order(config.split_lists):
        table = Table(list_path(config, split), config, rejects, records=True)
        table.require(("ID", "img_path", "boxes", "classes"), f"config.split_lists.{split}")
        for number, row in table:
            where = table.where(number)
            try:
                boxes = tuple(_box(part.split(";")) for part in row["boxes"].split("|") if part)
                target = int(float(row["classes"]))
                if target not in (0, 1) or (boxes and not target) or not row["ID"]:
                    raise ValueError
            except (ValueError, OverflowError):  # float("inf")
                detail = f"{row['ID']}: {row['boxes']!r}, {row['classes']!r}"
                rejects.refuse(where, "bad row", detail)
                continue
            labels = {LABEL: target, "lung opacity": target}
            item = _item(row["ID"], where, row["img_path"], labels)
            yield dataclasses.replace(item, split=split, boxes=boxes)


def _item(patient: str, where: str, path: str, labels: dict[str, int]) -> Item:
    return Item(
        id=stem(patient),
        where=where,
        images=(ImageFile(pathlib.Path(path)),),
        split="",
        labels=labels,
        patient_id=patient,
        provenance={"source": "rsna-pneumonia"},
    )


def _box(cells: list[str]) -> PixelBox:
    x, y, width, height = (float(cell) for cell in cells)
    return PixelBox(x, y, width, height, LABEL, frame=_FRAME)


def _shown(row: Row) -> str:
    return ",".join(row[column] for column in ("x", "y", "width", "height"))


SOURCE = Source(RsnaConfig, items, splits=SPLITS)
