"""NIH ChestX-ray14: 14 findings mined from reports, boxes for a few images, no reports.

Layout: ``<root>/images_001..012/images/00000001_000.png`` (or all in ``images/``),
``Data_Entry_2017_v2020.csv``, ``train_val_list.txt``, ``test_list.txt``, ``BBox_List_2017.csv``.
The tables' headers hold ``OriginalImage[Width,Height]`` and ``Bbox [x,y,w,h]``, whose commas make
extra columns; boxes count on images of 1024 x 1024 pixels.
"""

import csv
import dataclasses
import pathlib
from collections.abc import Iterator

from data_gen.sources.base import (
    ImageFile,
    Item,
    PixelBox,
    Rejects,
    SourceConfig,
    keep_views,
    patient_split,
)
from data_gen.sources.labels import closed_world, normalise
from data_gen.sources.source import Source
from data_gen.sources.splits import Count, NamedSplit
from data_gen.sources.tables import Table, find, find_or_none, index_files
from medvlp_jax.core.fields import Fraction

FINDINGS = (
    "atelectasis",
    "cardiomegaly",
    "pleural effusion",
    "infiltration",
    "mass",
    "nodule",
    "pneumonia",
    "pneumothorax",
    "consolidation",
    "edema",
    "emphysema",
    "fibrosis",
    "pleural thickening",
    "hernia",
)
_COLUMNS = ("Image Index", "Finding Labels", "Patient ID", "View Position")
_FRAME = (1024.0, 1024.0)


def _parts(train: int, validation: int, test: int) -> dict[str, Count]:
    return {"train": Count(train), "validation": Count(validation), "test": Count(test)}


_TEST = Count(
    records=25_596,
    positives={
        "atelectasis": 3279,
        "cardiomegaly": 1069,
        "pleural effusion": 4658,
        "infiltration": 6112,
        "mass": 1748,
        "nodule": 1623,
        "pneumonia": 555,
        "pneumothorax": 2665,
        "consolidation": 1815,
        "edema": 925,
        "emphysema": 1093,
        "fibrosis": 435,
        "pleural thickening": 1143,
        "hernia": 86,
    },
)
SPLITS = {
    "official": NamedSplit(
        "Wang et al., CVPR 2017", "own", {"train+validation": Count(86_524), "test": _TEST}
    ),
    "all": NamedSplit("Wang et al., CVPR 2017", "own", {"all": Count(112_120)}),
    "mavl": NamedSplit(
        "Phan et al. (MAVL), CVPR 2024; validation by image, not by patient",
        "lists",
        {"validation": Count(10_817, slack=1), "test": _TEST},
    ),
    "benchx": NamedSplit(
        "Zhou et al., NeurIPS 2024 (BenchX)", "lists", _parts(78_468, 11_219, 22_433)
    ),
    "mrm": NamedSplit(
        "Zhou et al. (MRM), ICLR 2023; MaCo", "lists", _parts(78_467, 11_218, 22_432)
    ),
}


@dataclasses.dataclass(frozen=True)
class NihConfig(SourceConfig):
    """``split_fractions`` without test: it divides the patients of the official train_val list.

    Without the two official lists, all patients are divided, and "test" may be among the names.
    """

    name: str = "nih_cxr14"
    split_fractions: dict[str, Fraction] = dataclasses.field(
        default_factory=lambda: {"train": 0.875, "validation": 0.125}
    )


def items(config: NihConfig, rejects: Rejects) -> Iterator[Item]:
    """One item per image. The official lists divide by patient, and so do we inside train_val."""
    root = pathlib.Path(config.root)
    table = Table(find(root, ("Data_Entry_2017*.csv",), "Data_Entry table"), rejects)
    table.require(_COLUMNS)
    files = index_files(root, ("images_*/images/*.png", "images/*.png", "images_*/*.png", "*.png"))
    lists = {name: _list(root, name) for name in ("test_list.txt", "train_val_list.txt")}
    official = {"split_name": "official"} if any(lists.values()) else {}
    boxes = _boxes(root, rejects)
    for number, row in table:
        where, image = table.where(number), row["Image Index"]
        names = [normalise(name) for name in row["Finding Labels"].split("|")]
        unknown = [n for n in names if n not in FINDINGS and n != "no finding"]
        if unknown:
            rejects.add(where, "unknown label", f"{image}: {unknown[0]!r}")
            continue
        patient = row["Patient ID"]
        split = patient_split(patient, config.split_fractions, config.split_seed)
        if image in lists["test_list.txt"]:
            split = "test"
        elif any(lists.values()) and image not in lists["train_val_list.txt"]:
            rejects.add(where, "no split", f"{image} is in neither official list")
            continue
        # An image that is absent keeps the path it should have, for the message.
        path = files.get(image, root / "images" / image)
        images = keep_views((ImageFile(path, row["View Position"]),), config.views)
        if images:
            yield Item(
                id=image.removesuffix(".png"),
                where=where,
                images=images,
                split=split,
                labels=closed_world(names, (*FINDINGS, "no finding")),
                boxes=tuple(boxes.get(image, ())),
                patient_id=patient,
                provenance={
                    "source": "nih-chestxray14",
                    **official,
                    "sex": row.get("Patient Gender", row.get("Patient Sex", "")),
                    "age": row.get("Patient Age", ""),
                },
            )


def _list(root: pathlib.Path, name: str) -> frozenset[str]:
    path = find_or_none(root, (name,))
    return frozenset(path.read_text().split()) if path else frozenset()


def _boxes(root: pathlib.Path, rejects: Rejects) -> dict[str, list[PixelBox]]:
    """``{image: boxes}``; read by position, because the header names nine columns for six."""
    path = find_or_none(root, ("BBox_List_2017*.csv",))
    boxes: dict[str, list[PixelBox]] = {}
    if path is None:
        return boxes
    with open(path, encoding="utf-8-sig", newline="") as f:
        reader = csv.reader(f)
        next(reader, None)
        for number, fields in enumerate(reader, start=2):
            if not any(fields):
                continue
            try:
                image, label, x, y, width, height = (field.strip() for field in fields[:6])
                box = PixelBox(
                    float(x), float(y), float(width), float(height), normalise(label), frame=_FRAME
                )
            except ValueError:
                rejects.add(f"{path.name} row {number}", "bad box", ",".join(fields))
            else:
                boxes.setdefault(image, []).append(box)
    return boxes


SOURCE = Source(NihConfig, items, splits=SPLITS)
