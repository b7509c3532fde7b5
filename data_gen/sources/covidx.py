"""COVIDx: radiographs of several collections with one of two or three classes, no reports.

Layout: text files of lines ``patient_id filename class source`` (no header; CXR-2 and later:
positive or negative, 9A: normal, pneumonia or COVID-19) and images at
``<root>/{train,val,test}/<filename>``.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

from data_gen.sources.importing.base import ImageFile, Item, Rejects, SourceConfig, SourceError
from data_gen.sources.importing.source import Source
from data_gen.sources.importing.splits import Count, NamedSplit, stem
from data_gen.sources.tables.encoding import text_lines
from data_gen.sources.tables.reader import find_or_none, present

LABEL = "covid-19"
#: Class -> labels. In 9A the classes exclude one another: "pneumonia" is one that is not COVID-19.
CLASSES = {
    "positive": {LABEL: 1},
    "negative": {LABEL: 0},
    "normal": {LABEL: 0, "pneumonia": 0, "no finding": 1},
    "pneumonia": {LABEL: 0, "pneumonia": 1, "no finding": 0},
    "covid-19": {LABEL: 1, "pneumonia": 0, "no finding": 0},
}
_LISTS = {
    "train": ("train.txt", "train_split.*", "train_COVIDx*.txt"),
    "validation": ("val.txt", "val_split.*", "val_COVIDx*.txt"),
    "test": ("test.txt", "test_split.*", "test_COVIDx*.txt"),
}
_FOLDERS = {"train": ("train",), "validation": ("val", "train"), "test": ("test",)}


def _counts(*parts: tuple[int, int]) -> dict[str, Count]:
    return {
        split: Count(records=records, positives={LABEL: positive} if positive else {})
        for split, (records, positive) in zip(_LISTS, parts, strict=True)
    }


SPLITS = {
    "cxr2_mavl": NamedSplit(
        "COVIDx CXR-2 as divided by Phan et al. (MAVL), CVPR 2024",
        "own",
        _counts((20_990, 11_232), (6_027, 3_176), (2_969, 1_586)),
    ),
    "cxr4_benchx": NamedSplit(
        "COVIDx CXR-4 as in Zhou et al., NeurIPS 2024 (BenchX)",
        "own",
        _counts((67_862, 0), (8_472, 0), (8_481, 0)),
    ),
}


@dataclasses.dataclass(frozen=True)
class CovidxConfig(SourceConfig):
    """The keys of every importer, and these.

    Attributes:
      lists: split -> its list file, relative to ``root``; empty looks for the usual names.
        ``split_name`` says which published lists they are, and has their lines counted.
    """

    name: str = "covidx"
    lists: dict[str, str] = dataclasses.field(default_factory=dict)


def items(config: CovidxConfig, rejects: Rejects) -> Iterator[Item]:
    """One item per image and line."""
    root = pathlib.Path(config.root)
    lists = {split: root / name for split, name in config.lists.items()}
    if not lists:
        found = {split: find_or_none(root, patterns) for split, patterns in _LISTS.items()}
        lists = {split: path for split, path in found.items() if path is not None}
    if not lists:
        raise SourceError(f"{root} has no train.txt or test.txt; set config.lists.SPLIT")
    for split, path in lists.items():
        if not os.path.exists(path):
            raise SourceError(f"{path} is missing; check config.lists.{split}")
        folders = _FOLDERS.get(split, (split,))
        for number, line in enumerate(text_lines(path, config.encoding), start=1):
            if not line.strip():
                continue
            rejects.rows += 1
            where, words = f"{path.name} row {number}", line.split()
            labels = CLASSES.get(words[-2].lower()) if len(words) >= 4 else None
            if labels is None:
                rejects.refuse(where, "bad row", line.strip()[:80])
                continue
            file = " ".join(words[1:-2])  # names with blanks exist
            places = [root / folder / file for folder in folders]
            yield Item(
                id=f"{split}/{stem(file)}",
                where=where,
                images=(ImageFile(present(*places, root / file), "FRONTAL"),),
                split=split,
                labels=labels,
                patient_id=f"{words[-1]}/{words[0]}",  # numbers repeat among the collections
                provenance={
                    "source": "covidx",
                    "collection": words[-1],
                    "split_name": f"lists/{path.name}",
                },
            )


SOURCE = Source(CovidxConfig, items, splits=SPLITS)
