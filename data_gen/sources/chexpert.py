"""CheXpert 1.0 (also -small): labels of 14 observations, frontal and lateral views, no reports.

Layout: ``<root>/{train,valid}.csv`` with Path (which begins with the name of the top folder), Sex,
Age, Frontal/Lateral, AP/PA and the labels; test labels come apart as ``groundtruth.csv``.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterator

from data_gen.sources.base import (
    ImageFile,
    Item,
    Rejects,
    Source,
    SourceConfig,
    SourceError,
    keep_views,
)
from data_gen.sources.labels import CHEXPERT, chexpert_values
from data_gen.sources.tables import Row, Table, find_or_none

_FILES = {
    "train": ("train.csv",),
    "validation": ("valid.csv", "val.csv"),
    "test": ("test.csv", "groundtruth.csv", "test_labels.csv"),
}
_STUDY = re.compile(r"(patient\d+)/(study\d+)/")


@dataclasses.dataclass(frozen=True)
class ChexpertConfig(SourceConfig):
    """``root`` holds train.csv and valid.csv; ``splits`` says which splits to take."""

    name: str = "chexpert"
    splits: tuple[str, ...] = ("train", "validation", "test")


def items(config: ChexpertConfig, rejects: Rejects) -> Iterator[Item]:
    """One item per study; its views share the labels. A split without its table is left out."""
    root = pathlib.Path(config.root)
    tables = {s: find_or_none(root, _FILES[s]) for s in config.splits if s in _FILES}
    if not any(tables.values()):
        raise SourceError(f"{root} has neither train.csv nor valid.csv; check config.root")
    for split, path in tables.items():
        if path is None:
            continue
        table = Table(path, rejects)
        table.require(("Path", *CHEXPERT))
        studies: dict[str, Item] = {}
        for number, row in table:
            found = _STUDY.search(row["Path"])
            if not found:
                rejects.add(table.where(number), "bad path", row["Path"])
                continue
            try:
                labels = chexpert_values(row)
            except ValueError as e:
                rejects.add(table.where(number), "bad label", str(e))
                continue
            study = f"{found[1]}/{found[2]}"
            file = ImageFile(_resolve(root, row["Path"]), _view(row))
            item = studies.get(study)
            if item is None:
                studies[study] = Item(
                    id=f"{split}/{study}",
                    where=table.where(number),
                    images=(file,),
                    split=split,
                    labels=labels,
                    patient_id=found[1],
                    provenance={
                        "source": "chexpert",
                        "sex": row.get("Sex", ""),
                        "age": row.get("Age", ""),
                    },
                )
            else:
                studies[study] = dataclasses.replace(item, images=(*item.images, file))
        for item in studies.values():
            if images := keep_views(item.images, config.views):
                yield dataclasses.replace(item, images=images)


def _view(row: Row) -> str:
    side = row.get("Frontal/Lateral", "")
    if side.lower() == "lateral" or (not side and "_lateral" in row["Path"]):
        return "LATERAL"
    return row.get("AP/PA", "")


def _resolve(root: pathlib.Path, path: str) -> pathlib.Path:
    """The file of a Path cell, which may or may not begin with the name of the top folder."""
    inside = re.sub(r"^CheXpert[^/]*/", "", path)
    return root / inside if inside != path or (root / path).exists() else root.parent / path


SOURCE = Source(ChexpertConfig, items)
