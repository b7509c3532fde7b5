"""CheXpert 1.0 (also -small): labels of 14 observations, frontal and lateral views, no reports.

Layout: ``<root>/{train,valid}.csv`` with Path (which begins with the name of the top folder), Sex,
Age, Frontal/Lateral, AP/PA and the labels. The test set of 500 studies comes apart: its table is
``groundtruth.csv`` (a row per image or per study), its images ``CheXpert/test/...``. Labels are
found by their names, because tables and repositories order them differently.
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator, Mapping

from data_gen.sources import five_by_200
from data_gen.sources.importing.base import (
    ImageFile,
    Item,
    Rejects,
    SourceConfig,
    SourceError,
)
from data_gen.sources.importing.labels import CHEXPERT, chexpert_values, differing, merge_labels
from data_gen.sources.importing.source import Source
from data_gen.sources.importing.splits import Count, NamedSplit
from data_gen.sources.tables.reader import Row, Table, find_or_none, present
from medvlp_jax.core.fields import Size

_FILES = {
    "train": ("train.csv",),
    "validation": ("valid.csv", "val.csv"),
    "test": ("groundtruth.csv", "test_labels.csv", "filter_test_labels.csv", "test.csv"),
}
_STUDY = re.compile(r"(patient\d+)/(study\d+)(?:/(view\d+[^/.]*))?")
_TOP = re.compile(r"^CheXpert[^/]*/")
FIVE_BY_200 = "5x200"

SPLITS = {
    "official": NamedSplit(
        "Irvin et al., AAAI 2019; test labels: rajpurkarlab/cheXpert-test-set-labels",
        "own",
        {
            "train": Count(images=223_414),
            "validation": Count(images=234),
            "test": Count(
                records=500,
                positives={
                    "no finding": 62,
                    "enlarged cardiomediastinum": 253,
                    "cardiomegaly": 151,
                    "lung opacity": 264,
                    "lung lesion": 8,
                    "edema": 78,
                    "consolidation": 29,
                    "pneumonia": 11,
                    "atelectasis": 153,
                    "pneumothorax": 9,
                    "pleural effusion": 104,
                    "pleural other": 4,
                    "fracture": 5,
                    "support devices": 261,
                },
            ),
        },
    ),
    FIVE_BY_200: NamedSplit(
        "Huang et al., ICCV 2021; seed 0 as in Wang et al., NeurIPS 2022, preprocess/chexpert.py",
        "own",
        {
            five_by_200.SPLIT: Count(
                records=1_000, images=1_000, positives=dict.fromkeys(five_by_200.LABELS, 200)
            )
        },
    ),
}


@dataclasses.dataclass(frozen=True)
class ChexpertConfig(SourceConfig):
    """What to take of CheXpert.

    Attributes:
      root: the folder that holds train.csv and valid.csv.
      splits: which to take; one without its table is left out.
      split_name: "5x200" makes split ``test_5x200`` of training images, each with one of five
        findings alone, and leaves all other images of their patients out. With
        ``split_lists.test_5x200`` it takes the images of that list.
      per_finding: images of each finding in ``test_5x200``.
      test_labels: table of the test set, relative to ``root``; empty looks for it there.
      test_images: the folder that holds ``test``; empty tries ``root`` and ``CheXpert`` beside it.
    """

    name: str = "chexpert"
    splits: tuple[str, ...] = ("train", "validation", "test")
    per_finding: Size = five_by_200.PER_FINDING
    test_labels: str = ""
    test_images: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [split for split in self.splits if split not in _FILES]
        if unknown:
            raise ValueError(f"splits has {unknown[0]!r}; there are: {', '.join(_FILES)}")

    def folders(self) -> tuple[str, ...]:
        """Paths begin with the name of the top folder, or the test set lies beside it."""
        return (os.path.join(self.root, ".."), os.path.join(self.root, self.test_images))


def items(config: ChexpertConfig, rejects: Rejects) -> Iterator[Item]:
    """One item per study; its views share the labels. Of 5x200, one item per image.

    Where the rows of a study differ, positive goes before uncertain, uncertain before negative.
    """
    root = pathlib.Path(config.root)
    tables = {split: find_or_none(root, _FILES[split]) for split in config.splits}
    if config.test_labels and "test" in tables:
        tables["test"] = present(root / config.test_labels)
    if not any(tables.values()):
        raise SourceError(f"{root} has neither train.csv nor valid.csv; check config.root")
    for split, path in tables.items():
        if path is None:
            continue
        table = Table(path, config, rejects, records=True)
        column = next((c for c in ("Path", "Study") if c in table.columns), "Path")
        table.require((column, *CHEXPERT))
        chosen: Mapping[str, str] = {}
        if config.split_name == FIVE_BY_200 and split == "train":
            chosen = five_by_200.choose(table, column, config, config.per_finding, image_key)
        yield from _studies(config, split, table, column, chosen, rejects)


def _studies(
    config: ChexpertConfig,
    split: str,
    table: Table,
    column: str,
    chosen: Mapping[str, str],
    rejects: Rejects,
) -> Iterator[Item]:
    patients = {image.split("/")[0] for image in chosen}
    studies: dict[str, Item] = {}
    differ = 0
    for number, row in table:
        where, path = table.where(number), row[column]
        found = _STUDY.search(path)
        if not found:
            rejects.refuse(where, "bad path", path)
            continue
        try:
            labels = chexpert_values(row)
        except ValueError as e:
            rejects.refuse(where, "bad label", str(e))
            continue
        key = image_key(path)
        if found[1] in patients and key not in chosen:
            detail = f"{path}: other images of {found[1]} are tested"
            rejects.refuse(where, "patient of 5x200", detail)
            continue
        files = _files(_resolve(config, split, path), row)
        name, part = f"{split}/{found[1]}/{found[2]}", split
        if key in chosen:
            part = five_by_200.SPLIT
            name = f"{part}/{key}"
            labels = dict.fromkeys(five_by_200.LABELS, 0) | labels
        item = studies.get(name)
        if item is None:
            studies[name] = Item(
                id=name,
                where=where,
                images=files,
                split=part,
                labels=labels,
                patient_id=found[1],
                provenance={
                    "source": "chexpert",
                    "sex": row.get("Sex", ""),
                    "age": row.get("Age", ""),
                    "split_name": "official",
                },
            )
        else:
            more = tuple(file for file in files if file not in item.images)
            if not more:
                rejects.refuse(where, "duplicate id", f"{path} is also above")
                continue
            images = (*item.images, *more)
            studies[name] = dataclasses.replace(item, images=images, rows=item.rows + 1)
            differ += merge_labels(item.labels, labels)
    if differ:
        rejects.note(f"{table.path.name}: {differing(differ)}")
    yield from studies.values()


def image_key(path: str) -> str:
    """``".../patient00001/study1/view1_frontal.jpg"`` -> ``patient00001/study1/view1_frontal``."""
    found = _STUDY.search(path)
    return "/".join(part for part in found.groups() if part) if found else path


def _files(path: pathlib.Path, row: Row) -> tuple[ImageFile, ...]:
    """The image of a row; a row that names a study has all its images."""
    if path.suffix:
        return (ImageFile(path, _view(path, row)),)
    found = sorted(path.glob("view*.jpg")) or [path / "view1_frontal.jpg"]
    return tuple(ImageFile(file, _view(file, {})) for file in found)


def _view(path: pathlib.Path, row: Row) -> str:
    side = row.get("Frontal/Lateral", "").lower() or path.stem.rpartition("_")[2].lower()
    if side == "lateral":
        return "LATERAL"
    return row.get("AP/PA", "") or ("FRONTAL" if side == "frontal" else "")


def _resolve(config: ChexpertConfig, split: str, path: str) -> pathlib.Path:
    """The file of a Path cell, which may or may not begin with the name of the top folder."""
    root, inside = pathlib.Path(config.root), _TOP.sub("", path)
    if split == "test" and config.test_images:
        return pathlib.Path(config.root, config.test_images, inside)
    if split == "test":
        return present(root / inside, root.parent / "CheXpert" / inside, root.parent / path)
    return root / inside if inside != path or os.path.exists(root / path) else root.parent / path


SOURCE = Source(ChexpertConfig, items, splits=SPLITS, key=image_key)
