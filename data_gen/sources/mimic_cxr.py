"""MIMIC-CXR-JPG 2.0.0 and 2.1.0 with the reports of MIMIC-CXR.

Layout: ``<root>/files/p10/p10000032/s50414267/<dicom_id>.jpg`` and tables
``mimic-cxr-2.?.0-{metadata,split,chexpert,negbio}.csv.gz`` beside ``files``. The JPG set holds no
reports: unpack ``mimic-cxr-reports.zip`` over it or point ``reports`` to where its ``files`` is.
"""

import dataclasses
import pathlib
from collections.abc import Iterator

from data_gen.sources.importing.base import ImageFile, Item, Rejects, SourceConfig, whole_id
from data_gen.sources.importing.labels import CHEXPERT, chexpert_values, differing, merge_labels
from data_gen.sources.importing.report_text import report_texts
from data_gen.sources.importing.source import Source
from data_gen.sources.importing.splits import Count, NamedSplit
from data_gen.sources.tables.encoding import text_lines
from data_gen.sources.tables.reader import Table, find, find_or_none
from medvlp_jax.data.store.record import Text

_SPLITS = {"train": "train", "validate": "validation", "test": "test"}
_VIEWS = {"LL": "LATERAL", "RL": "LATERAL"}
_SEVERAL = "several"  # in place of the split of an image that the table names with two
_KEY = ("subject_id", "study_id")

SPLITS = {
    "official": NamedSplit(
        "Johnson et al., Scientific Data 2019", "own", {"all": Count(images=377_110)}
    )
}


@dataclasses.dataclass(frozen=True)
class MimicCxrConfig(SourceConfig):
    """What to take of MIMIC-CXR.

    Attributes:
      root: the folder with ``files`` and the tables.
      reports: the folder whose ``files`` holds the reports; empty if it is ``root``.
      labeler: which of the two automatic labellings to use.
      test_labels: where 2.1.0's table of labels by radiologists is there, use it for the test set.
    """

    name: str = "mimic_cxr"
    reports: str = ""
    labeler: str = "chexpert"
    test_labels: bool = True
    text_required: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.labeler not in ("chexpert", "negbio"):
            raise ValueError(f"labeler {self.labeler!r} must be 'chexpert' or 'negbio'")

    def folders(self) -> tuple[str, ...]:
        """Images and reports may lie apart."""
        return (self.root, self.reports or self.root)


def items(config: MimicCxrConfig, rejects: Rejects) -> Iterator[Item]:
    """One item per study with all its images, in the order of the metadata table."""
    root = pathlib.Path(config.root)
    path = find(root, _patterns("metadata"), "metadata table")
    metadata = Table(path, config, rejects, records=True)
    metadata.require(("dicom_id", *_KEY, "ViewPosition"))
    splits = _splits(root, config, rejects)
    labels = _labels(root, config, rejects)
    studies: dict[str, Item] = {}
    for number, row in metadata:
        where = metadata.where(number)
        dicom, (subject, study) = row["dicom_id"], (whole_id(row[key]) for key in _KEY)
        if not (dicom and subject and study):
            detail = f"{dicom or 'image'} lacks its study or patient, numbers"
            rejects.refuse(where, "bad row", detail)
            continue
        split = splits.get(dicom)
        if split is None:
            rejects.refuse(where, "no split", f"image {dicom} is not in the split table")
            continue
        if split == _SEVERAL:
            rejects.refuse(where, "listed in two splits", f"image {dicom}; correct the split table")
            continue
        folder = pathlib.Path("files", f"p{subject[:2]}", f"p{subject}")
        view = row["ViewPosition"].upper()
        file = ImageFile(root / folder / f"s{study}" / f"{dicom}.jpg", _VIEWS.get(view, view))
        item = studies.get(study)
        if item is None:
            study_labels, table = labels.get(study, ({}, ""))
            studies[study] = Item(
                id=f"s{study}",
                where=where,
                images=(file,),
                split=split,
                labels=study_labels,
                patient_id=f"p{subject}",
                provenance={"source": "mimic-cxr", "labels": table, "split_name": "official"},
                report=pathlib.Path(config.reports or root) / folder / f"s{study}.txt",
            )
        elif (item.patient_id, item.split) != (f"p{subject}", split):
            detail = f"is of p{subject}, {split}, but {item.where} of {item.patient_id}, "
            rejects.refuse(where, "bad row", f"study {study} {detail}{item.split}")
        elif file.path in [image.path for image in item.images]:
            rejects.refuse(where, "duplicate id", f"image {dicom} is also above")
        else:
            images = (*item.images, file)
            studies[study] = dataclasses.replace(item, images=images, rows=item.rows + 1)
    yield from studies.values()


def _patterns(table: str) -> tuple[str, ...]:
    return tuple(f"mimic-cxr-2.*-{table}.csv{end}" for end in (".gz", ""))


def _splits(root: pathlib.Path, config: MimicCxrConfig, rejects: Rejects) -> dict[str, str]:
    table = Table(find(root, _patterns("split"), "split table"), config, rejects)
    table.require(("dicom_id", "split"))
    splits = {}
    for number, row in table:
        split = _SPLITS.get(row["split"])
        if split:
            first = splits.setdefault(row["dicom_id"], split)
            splits[row["dicom_id"]] = split if split == first else _SEVERAL
        else:
            rejects.add(table.where(number), "bad split", row["split"])
    return splits


def _labels(
    root: pathlib.Path, config: MimicCxrConfig, rejects: Rejects
) -> dict[str, tuple[dict[str, int], str]]:
    """``{study: (labels, name of the table they are from)}``.

    Where the rows of a study differ, positive goes before uncertain, uncertain before negative.
    """
    paths = [find(root, _patterns(config.labeler), f"{config.labeler} labels")]
    if config.test_labels:
        by_radiologists = find_or_none(root, _patterns("test-set-labeled"))
        paths += [by_radiologists] if by_radiologists else []
    labels: dict[str, tuple[dict[str, int], str]] = {}
    for path in paths:  # the later table wins
        table = Table(path, config, rejects)
        columns = [c for c in CHEXPERT if c in table.columns] or CHEXPERT
        table.require(("study_id", *columns))
        found: dict[str, dict[str, int]] = {}
        differ = 0
        for number, row in table:
            study = whole_id(row["study_id"])
            if not study:
                detail = f"study_id is {row['study_id']!r}, no number"
                rejects.add(table.where(number), "bad row", detail)
                continue
            try:
                values = chexpert_values(row, columns)
            except ValueError as e:
                rejects.add(table.where(number), "bad label", str(e))
                continue
            differ += merge_labels(found.setdefault(study, {}), values)
        if differ:
            rejects.note(f"{path.name}: {differing(differ)}")
        labels |= {study: (values, path.name) for study, values in found.items()}
    return labels


def read_report(path: pathlib.Path) -> tuple[Text, ...]:
    """The sections of one report file; a few hold accented letters in Windows-1252.

    Raises:
      SourceError: neither UTF-8 nor Western European text.
    """
    return report_texts("\n".join(text_lines(path)))


SOURCE = Source(MimicCxrConfig, items, read_report, SPLITS)
