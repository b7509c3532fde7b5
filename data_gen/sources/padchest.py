"""PadChest: radiographs as 16-bit PNG, Spanish reports, labels by physicians and by a network.

Layout: ``PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv`` (``.gz`` too) and images at
``<root>/<ImageDir>/<ImageID>``, or all in one folder. Labels are a Python list in a cell, whose
entries carry blanks. ``padchest.json`` holds the class lists of MAVL's evaluation (Phan et al.,
CVPR 2024) and the 21 files of the release that torchxrayvision found broken.
"""

import ast
import dataclasses
import functools
import io
import json
import pathlib
import tokenize
from collections.abc import Iterator
from typing import Any, Literal

from data_gen.sources.importing.base import (
    ImageFile,
    Item,
    Rejects,
    SourceConfig,
    patient_split,
)
from data_gen.sources.importing.labels import closed_world, differing, merge_labels, normalise
from data_gen.sources.importing.report_text import clean
from data_gen.sources.importing.source import Source
from data_gen.sources.tables.reader import Table, find, index_files
from medvlp_jax.data.store.record import Text

_COLUMNS = ("ImageID", "ImageDir", "StudyID", "PatientID", "Projection", "MethodLabel", "Labels")
_VIEWS = {"L": "LATERAL", "AP_horizontal": "AP"}
_UNCHANGED = "unchanged"
_UNUSABLE = "exclude"  # the label of images that the readers took out


@functools.cache
def _data() -> dict[str, Any]:
    return json.loads(pathlib.Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))


def classes(part: Literal["seen", "rare", "unseen"]) -> tuple[str, ...]:
    """The 14, 39 or 60 classes of a zero-shot protocol, as the package names labels.

    "seen" by their names in the usual pre-training sets; "unseen" holds all that are "rare".
    """
    return tuple(normalise(name) for name in _data()["classes"][part])


@dataclasses.dataclass(frozen=True)
class PadchestConfig(SourceConfig):
    """What to take of PadChest.

    Attributes:
      physicians_only: leave out what a network labelled (MethodLabel RNN_model).
      pediatric: keep children.
      intensity: 16 bits to 8 by the file's largest value ("max", as in KAD's and MAVL's
        evaluation) or by the window of its quantiles.
    """

    name: str = "padchest"
    physicians_only: bool = False
    pediatric: bool = True
    intensity: Literal["quantile", "max"] = "max"


def items(config: PadchestConfig, rejects: Rejects) -> Iterator[Item]:
    """One item per study.

    A class of the three lists that the labels do not name is negative, unless they name one of its
    kinds: "clavicle fracture" leaves "fracture" not judged. "unchanged" speaks of an earlier study,
    so nothing is negative beside it.
    """
    root = pathlib.Path(config.root)
    path = find(root, ("PADCHEST*labels*.csv*",), "PADCHEST table of labels")
    table = Table(path, config, rejects, records=True)
    table.require(_COLUMNS)
    flat = index_files(root, ("*.png", "images/*.png"))
    judged = dict.fromkeys(name for part in ("seen", "unseen") for name in classes(part))
    broken = frozenset(_data()["broken"])
    studies: dict[str, Item] = {}
    differ, reports = 0, []
    for number, row in table:
        where, image = table.where(number), row["ImageID"]
        if config.physicians_only and row["MethodLabel"] != "Physician":
            rejects.left_out["physicians_only"] += 1
            continue
        if not config.pediatric and row.get("Pediatric", "No") != "No":
            rejects.left_out["pediatric"] += 1
            continue
        if not (image and row["StudyID"]):
            rejects.refuse(where, "bad row", "ImageID or StudyID is empty")
            continue
        if image in broken:
            rejects.refuse(where, "broken in the release", image)
            continue
        try:
            names = parse_labels(row["Labels"])
        except ValueError as e:
            rejects.refuse(where, "bad label", f"{image}: {e}")
            continue
        if _UNUSABLE in names:
            rejects.refuse(where, "excluded by its readers", image)
            continue
        path = flat.get(image, root / row["ImageDir"] / image)
        view = _VIEWS.get(row["Projection"], row["Projection"].upper())
        file = ImageFile(path, view, intensity=config.intensity)
        item = studies.get(row["StudyID"])
        report, patient = clean(row.get("Report", "")), row["PatientID"]
        labels = _labels(names, tuple(judged))
        if item is not None:
            if patient != item.patient_id:
                detail = f"{image} is of patient {patient!r}, {item.where} of {item.patient_id!r}"
                rejects.refuse(where, "bad row", f"study {item.id}: {detail}")
            elif file.path not in [f.path for f in item.images]:
                images = (*item.images, file)
                studies[item.id] = dataclasses.replace(item, images=images, rows=item.rows + 1)
                differ += merge_labels(item.labels, labels)
                reports += [item.id] * (report not in ("", *(t.text for t in item.texts)))
            else:
                rejects.refuse(where, "duplicate id", f"{image} is also in {item.where}")
            continue
        studies[row["StudyID"]] = Item(
            id=row["StudyID"],
            where=where,
            images=(file,),
            split=patient_split(patient, config.split_fractions, config.split_seed),
            texts=(Text(report, "report", "radiologist"),) if report else (),
            labels=labels,
            patient_id=patient,
            provenance={
                "source": "padchest",
                "labelled_by": row["MethodLabel"],
                "language": "es",
            },
        )
    if differ:
        rejects.note(differing(differ))
    if reports:
        rejects.note(
            f"{len(reports)} rows have another report than the first row of their study, which "
            f"was taken; first study {reports[0]}"
        )
    yield from studies.values()


def parse_labels(cell: str) -> list[str]:
    """``"['normal', ' pleural effusion ', 'normal']"`` -> ``["no finding", "pleural effusion"]``.

    Raises:
      ValueError: no list of strings (a few cells are empty or "nan"), or a comma is missing:
        Python joins the strings on its both sides.
    """
    try:
        value = ast.literal_eval(cell)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as e:
        raise ValueError(f"Labels are {cell!r}, not a list") from e
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"Labels are {cell!r}, not a list of names")
    tokens = tokenize.generate_tokens(io.StringIO(cell.strip()).readline)
    if sum(token.type == tokenize.STRING for token in tokens) != len(value):
        raise ValueError(f"Labels are {cell!r}, where a comma is missing")
    return list(dict.fromkeys(name for name in map(normalise, value) if name))


def _labels(names: list[str], judged: tuple[str, ...]) -> dict[str, int]:
    if _UNCHANGED in names:
        return {name: 1 for name in names if name != _UNCHANGED}
    words = [set(name.split()) for name in names]
    return {
        name: value
        for name, value in closed_world(names, judged).items()
        if value or not any(set(name.split()) < more for more in words)
    }


SOURCE = Source(PadchestConfig, items)
