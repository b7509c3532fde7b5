"""SIIM-ACR pneumothorax: frontal radiographs as DICOM with masks as run lengths, no reports.

Layout: ``<root>/dicom-images-train/<uid>/<uid>/<ImageId>.dcm`` (any depth) and ``train-rle.csv`` or
``stage_2_train.csv`` with ImageId and " EncodedPixels"; the blank before the name is there in some
copies and not in others, as before the -1 that stands for no pneumothorax.
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator

from data_gen.sources.importing.base import (
    ImageFile,
    Item,
    Rejects,
    SourceConfig,
    patient_split,
)
from data_gen.sources.importing.labels import is_number
from data_gen.sources.importing.masks import MaskRuns
from data_gen.sources.importing.source import Source
from data_gen.sources.importing.splits import Count, NamedSplit, stem
from data_gen.sources.tables.reader import Table, find
from medvlp_jax.core.fields import Extent

LABEL = "pneumothorax"
_TABLES = ("train-rle.csv", "*train-rle*.csv", "stage_2_train.csv")
_RUNS = re.compile(r"[0-9]+ +[0-9]+( +[0-9]+ +[0-9]+)*")  # pairs of start and length
_UID = re.compile(r"\d+(\.\d+)+")

SPLITS = {
    "all": NamedSplit("Kaggle", "own", {"all": Count(12_047, positives={LABEL: 2_669})}),
    "mavl": NamedSplit(
        "Phan et al. (MAVL), CVPR 2024; its lists repeat images",
        "lists",
        {
            "train": Count(rows=6_949, unique=6_585),
            "validation": Count(rows=2_316, unique=2_264),
            "test": Count(rows=2_317, unique=2_264, positives={LABEL: 594}),
        },
    ),
    "benchx": NamedSplit(
        "Zhou et al., NeurIPS 2024 (BenchX)",
        "lists",
        {"train": Count(rows=9_303), "validation": Count(rows=1_372), "test": Count(rows=1_372)},
    ),
    "mrm": NamedSplit(
        "Zhou et al. (MRM), ICLR 2023; MaCo",
        "lists",
        {"train": Count(rows=7_969), "validation": Count(rows=1_898), "test": Count(rows=1_904)},
    ),
}


@dataclasses.dataclass(frozen=True)
class SiimConfig(SourceConfig):
    """What to take of SIIM-ACR.

    Attributes:
      table: the CSV file, relative to ``root``; empty looks for it.
      images: folder above the DICOM files, relative to ``root``.
      size: height and width that the run lengths count on.
    """

    name: str = "siim"
    table: str = ""
    images: str = "."
    size: tuple[Extent, Extent] = (1024, 1024)


@dataclasses.dataclass
class _Image:
    """What the rows of one image add up to."""

    where: str
    runs: list[str] = dataclasses.field(default_factory=list)
    none: bool = False  # a row says that there is no pneumothorax
    rows: int = 0


def items(config: SiimConfig, rejects: Rejects) -> Iterator[Item]:
    """One item per image; the rows of an image are one mask, their union.

    The study's folder (the first ``uid``) counts as the patient, the closest that paths tell.
    """
    root = pathlib.Path(config.root)
    patterns = (config.table,) if config.table else _TABLES
    path = find(root, patterns, "table of run lengths")
    table = Table(path, config, rejects, records=True)
    table.require(("ImageId", "EncodedPixels"))
    folder = root / config.images
    files = _index(folder)
    found: dict[str, _Image] = {}
    for number, row in table:
        image = stem(row["ImageId"])
        if not image:
            rejects.refuse(table.where(number), "bad row", "ImageId is empty")
            continue
        runs = row["EncodedPixels"]
        none = not runs or (is_number(runs) and float(runs) == -1)
        if not none and not _RUNS.fullmatch(runs):
            detail = f"{image}: EncodedPixels {runs[:40]!r} are neither -1 nor run lengths"
            rejects.refuse(table.where(number), "bad row", detail)
            continue
        seen = found.setdefault(image, _Image(table.where(number)))
        seen.rows += 1
        # Table strips cells and header, so -1 and " -1" are one; comparing with only one of them
        # made every image positive elsewhere.
        seen.none |= none
        if not none and runs not in seen.runs:
            seen.runs.append(runs)
    both = [image for image, seen in found.items() if seen.none and seen.runs]
    if both:
        rejects.note(f"{len(both)} images have a mask and a -1, first {both[0]}: the mask holds")
    for image, seen in found.items():
        path = files.get(image, folder / f"{image}.dcm")
        patient = _patient(path, image)
        masks = (MaskRuns(tuple(seen.runs), LABEL, config.size),) if seen.runs else ()
        yield Item(
            id=image,
            where=seen.where,
            images=(ImageFile(path, "FRONTAL"),),
            split=patient_split(patient, config.split_fractions, config.split_seed),
            labels={LABEL: int(bool(seen.runs))},
            masks=masks,
            patient_id=patient,
            provenance={"source": "siim-acr"},
            rows=seen.rows,
        )


def _patient(path: pathlib.Path, image: str) -> str:
    study, series = path.parts[-3:-1] if len(path.parts) > 2 else ("", "")
    return study if _UID.fullmatch(study) and _UID.fullmatch(series) else image


def _index(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    index: dict[str, pathlib.Path] = {}
    for base, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            if name.lower().endswith((".dcm", ".png", ".jpg")):
                index.setdefault(stem(name), pathlib.Path(base, name))
    return index


SOURCE = Source(SiimConfig, items, splits=SPLITS)
