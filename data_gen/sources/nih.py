"""NIH ChestX-ray14: 14 findings mined from reports, boxes for a few images, no reports.

Layout: ``<root>/images_001..012/images/00000001_000.png`` (or all in ``images/``),
``Data_Entry_2017_v2020.csv``, ``train_val_list.txt``, ``test_list.txt``, ``BBox_List_2017.csv``.
The tables' headers hold ``OriginalImage[Width,Height]`` and ``Bbox [x,y,w,h]``, whose commas make
extra columns; boxes count on images of 1024 x 1024 pixels.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterator

from data_gen.sources.importing.base import (
    ImageFile,
    Item,
    PixelBox,
    Rejects,
    SourceConfig,
    patient_split,
    whole_id,
)
from data_gen.sources.importing.labels import closed_world, is_number, normalise
from data_gen.sources.importing.source import Source
from data_gen.sources.importing.splits import Count, NamedSplit
from data_gen.sources.tables.encoding import text_lines
from data_gen.sources.tables.reader import Table, find, find_or_none, index_files
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
#: The headers of 2017 and of v2020 hold two names with a comma, ``OriginalImage[Width,Height]`` and
#: ``OriginalImagePixelSpacing[x,y]``; the one of 2017 ends in a comma too, its rows may or may not.
_WIDTHS = (11, 12)
#: What cells are where no comma in another cell has moved them; copies may leave some empty.
_SHAPES = {
    "Follow-up #": re.compile(r"([0-9]+(\.0+)?)?"),
    "Patient ID": re.compile(r"[0-9]+(\.0+)?"),
    "Patient Age": re.compile(r"([0-9]+(\.[0-9]+)?[YMDymd]?)?"),
    "Patient Gender": re.compile(r"([MF]|male|female)?", re.IGNORECASE),
    "Patient Sex": re.compile(r"([MF]|male|female)?", re.IGNORECASE),
    "View Position": re.compile(r"PA|AP|L|LL|RL|LATERAL|"),
}
_BOX_COLUMNS = ("Image Index", "Finding Label", "Bbox [x", "y", "w", "h]")
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
    path = find(root, ("Data_Entry_2017*.csv",), "Data_Entry table")
    table = Table(path, config, rejects, records=True, widths=_WIDTHS)
    table.require(_COLUMNS)
    files = index_files(root, ("images_*/images/*.png", "images/*.png", "images_*/*.png", "*.png"))
    lists = {
        name: _list(root, name, config.encoding) for name in ("test_list.txt", "train_val_list.txt")
    }
    official = {"split_name": "official"} if any(lists.values()) else {}
    boxes = _boxes(root, config, rejects)
    for number, row in table:
        where, image = table.where(number), row["Image Index"]
        if not image:
            rejects.refuse(where, "bad row", "Image Index is empty")
            continue
        odd = [c for c, shape in _SHAPES.items() if c in row and not shape.fullmatch(row[c])]
        if odd:
            detail = f"{image}: {odd[0]} is {row[odd[0]]!r}; is there a comma in a cell before?"
            rejects.refuse(where, "bad row", detail)
            continue
        names = [normalise(name) for name in row["Finding Labels"].split("|")]
        unknown = [n for n in names if n not in FINDINGS and n != "no finding"]
        if unknown:
            rejects.refuse(where, "unknown label", f"{image}: {unknown[0]!r}")
            continue
        patient = whole_id(row["Patient ID"])
        split = patient_split(patient, config.split_fractions, config.split_seed)
        if image in lists["test_list.txt"]:
            split = "test"
        elif any(lists.values()) and image not in lists["train_val_list.txt"]:
            rejects.refuse(where, "no split", f"{image} is in neither official list")
            continue
        # An image that is absent keeps the path it should have, for the message.
        path = files.get(image, root / "images" / image)
        yield Item(
            id=image.removesuffix(".png"),
            where=where,
            images=(ImageFile(path, row["View Position"]),),
            split=split,
            labels=closed_world(names, (*FINDINGS, "no finding")),
            boxes=tuple(boxes.pop(image, ())),
            patient_id=patient,
            provenance={
                "source": "nih-chestxray14",
                **official,
                "sex": row.get("Patient Gender", row.get("Patient Sex", "")),
                "age": row.get("Patient Age", ""),
            },
        )
    if boxes:
        count, first = sum(map(len, boxes.values())), next(iter(boxes))
        rejects.note(f"{count} boxes are of images that were not taken, first {first}")


def _list(root: pathlib.Path, name: str, encoding: str) -> frozenset[str]:
    path = find_or_none(root, (name,))
    if path is None:
        return frozenset()
    return frozenset(word for line in text_lines(path, encoding) for word in line.split())


def _boxes(root: pathlib.Path, config: NihConfig, rejects: Rejects) -> dict[str, list[PixelBox]]:
    """``{image: boxes}``; columns by position: ``Bbox [x,y,w,h]`` is four names of one thing."""
    path = find_or_none(root, ("BBox_List_2017*.csv",))
    boxes: dict[str, list[PixelBox]] = {}
    if path is None:
        return boxes
    table = Table(path, config, rejects, widths=(6, 9))
    table.require(_BOX_COLUMNS)
    for number, row in table:
        image, label, *cells = (row[column] for column in _BOX_COLUMNS)
        if image and label and all(map(is_number, cells)):
            x, y, width, height = map(float, cells)
            box = PixelBox(x, y, width, height, normalise(label), frame=_FRAME)
            boxes.setdefault(image, []).append(box)
        else:
            rejects.add(table.where(number), "bad box", ",".join((image, label, *cells)))
    return boxes


SOURCE = Source(NihConfig, items, splits=SPLITS)
