"""RadImageNet: 1.35 million slices of CT, MRI and ultrasound, one of 165 labels each; no texts.

Layout: ``<root>/radiology_ai/MR/<anatomy>/<label>/*.png``, the same for ``CT``, and
``radiology_ai/US/<organ>/*.png``, where the organ is the label; ``RadiologyAI_train.csv``, ``_val``
and ``_test`` with the columns ``filename`` and ``label`` beside that folder or in it. Mei et al.,
Radiology: Artificial Intelligence 2022.

A label is the one that holds; the others of its anatomy stay absent, as nobody judged them. The
anatomy is kept as it is published (``af``, ``mriabd``), where captions look for it.
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Literal

from data_gen.sources.importing.base import (
    ImageFile,
    Item,
    Rejects,
    SourceConfig,
    SourceError,
    patient_split,
)
from data_gen.sources.importing.labels import normalise
from data_gen.sources.importing.source import Source
from data_gen.sources.importing.split_names import spelled_split
from data_gen.sources.importing.splits import Count, NamedSplit
from data_gen.sources.tables.encoding import has_bad_bytes
from data_gen.sources.tables.reader import Row, Table, find_or_none
from medvlp_jax.data.store.croissant import Origin

_CITATION = (
    "Mei et al., RadImageNet: An Open Radiologic Deep Learning Research Dataset for Effective "
    "Transfer Learning, Radiology: Artificial Intelligence 2022"
)
#: Folder of a modality -> the modality.
_MODALITIES = {"MR": "mri", "MRI": "mri", "CT": "ct", "US": "ultrasound"}
_PARTS = {"train": "train", "val": "validation", "test": "test"}
_IMAGES = (".png", ".jpg", ".jpeg")
#: The publishers give the total in words, UniMed-CLIP trains on that many thousands.
SPLITS = {
    "all": NamedSplit("Mei et al. 2022", "own", {"all": Count(1_350_000, slack=10_000)}),
    "official": NamedSplit(
        "Mei et al. 2022; size of the training part as UniMed-CLIP has it",
        "own",
        {"train": Count(1_049_000, slack=1_000)},
    ),
}


@dataclasses.dataclass(frozen=True)
class RadImageNetConfig(SourceConfig):
    """The keys of every importer, and these.

    Attributes:
      name: of the data set in the names of its shards.
      images: the folder that holds ``MR``, ``CT`` and ``US``, relative to ``root``; empty finds it.
      table: one table of one's own, relative to ``root``, instead of the three published lists. If
        neither is there, the folders are walked.
      image: column of the paths; what stands before ``MR``, ``CT`` or ``US`` in them is left out.
      labels: which label holds: that of the image's ``folders``, or that of the ``table``.
      label: column of the labels. ``abd-normal`` and ``abd_normal`` are read as ``normal``.
      modality, anatomy: columns, for paths without these folders; empty takes the folders.
      split, patient: columns of ``table``; empty has none.
    """

    name: str = "radimagenet"
    images: str = ""
    table: str = ""
    image: str = "filename"
    labels: Literal["folders", "table"] = "folders"
    label: str = "label"
    modality: str = ""
    anatomy: str = ""
    split: str = ""
    patient: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.texts_from_labels:
            raise ValueError(
                "texts_from_labels has sentences of radiographs; leave it False here, and make "
                "captions of the folder with configs/data_gen/captions.py"
            )


@dataclasses.dataclass(frozen=True)
class _Key:
    """Modality, anatomy and label of an image; "" where its folders do not say."""

    modality: str = ""
    anatomy: str = ""
    label: str = ""


def items(config: RadImageNetConfig, rejects: Rejects) -> Iterator[Item]:
    """One item an image that is listed or, without lists, an image in the folders."""
    root = pathlib.Path(config.root)
    base = _base(root, config.images)
    if config.table:
        tables = {"": root / config.table}
    else:
        pattern = "*RadiologyAI_{}.csv"
        found = {
            p: find_or_none(root, (pattern.format(p), f"*/{pattern.format(p)}")) for p in _PARTS
        }
        tables = {part: path for part, path in found.items() if path is not None}
    if config.labels == "table" and not tables:
        raise SourceError(
            f"config.labels='table', but {root} has no RadiologyAI_train.csv; set config.table"
        )
    if not tables or (config.table and not config.patient and not config.split):
        rejects.note(
            "no patient is known: images are divided one by one, so that slices of one patient may "
            "be in several splits; the published lists divide patients"
        )
    if not tables:
        yield from _walked(config, base, rejects)
    for part, path in tables.items():
        yield from _listed(config, base, path, _PARTS.get(part, ""), rejects)


def _base(root: pathlib.Path, images: str) -> pathlib.Path:
    """The folder that holds those of the modalities."""
    places = [root / images] if images else [root / "radiology_ai", root, root / "images"]
    for place in places:
        if any((place / name).is_dir() for name in _MODALITIES):
            return place
    raise SourceError(
        f"{' or '.join(map(str, places))} holds no folder MR, CT or US; check config.root, or set "
        "config.images"
    )


def _walked(config: RadImageNetConfig, base: pathlib.Path, rejects: Rejects) -> Iterator[Item]:
    _refuse_others(base, rejects)
    for name in (n for n in _MODALITIES if (base / n).is_dir()):
        for folder, inner, files in os.walk(base / name):
            inner.sort()
            for file in sorted(f for f in files if f.lower().endswith(_IMAGES)):
                rejects.rows += 1
                below = pathlib.Path(folder, file).relative_to(base).as_posix()
                if has_bad_bytes(below):
                    rejects.refuse(below, "bad path", "its name is not UTF-8; rename the file")
                    continue
                split = patient_split(below, config.split_fractions, config.split_seed)
                try:
                    yield _item(base, below, below, _folders(below), split)
                except ValueError as e:
                    rejects.refuse(below, "no label", str(e))


def _refuse_others(base: pathlib.Path, rejects: Rejects) -> None:
    """Refuses the images below folders of no modality, one by one."""
    for other in sorted(p for p in base.iterdir() if p.is_dir() and p.name not in _MODALITIES):
        for path in sorted(other.rglob("*")):
            if path.suffix.lower() in _IMAGES and path.is_file():
                rejects.rows += 1
                detail = f"folder {other.name!r} is none of {', '.join(_MODALITIES)}; rename it"
                rejects.refuse(path.relative_to(base).as_posix(), "unknown modality", detail)


def _listed(
    config: RadImageNetConfig, base: pathlib.Path, path: pathlib.Path, part: str, rejects: Rejects
) -> Iterator[Item]:
    table = Table(path, config, rejects, records=True)
    table.require((config.image,), "config.image")
    if config.labels == "table":
        table.require((config.label,), "config.label")
    for key in ("modality", "anatomy", "split", "patient"):
        table.require((getattr(config, key),), f"config.{key}")
    for number, row in table:
        where = table.where(number)
        below = _below(row[config.image])
        if not below:
            rejects.refuse(where, "no image", f"column {config.image!r} is empty")
            continue
        try:
            key = _key(config, row, below)
            split, patient = _split(config, row, below, part)
            item = _item(base, below, where, key, split, patient, official=bool(part))
        except ValueError as e:
            rejects.refuse(where, "bad row", str(e))
            continue
        yield item


def _below(cell: str) -> str:
    """The path from the folder of its modality on: ``radiology_ai/CT/...`` is ``CT/...``."""
    parts = pathlib.PurePosixPath(cell.replace("\\", "/")).parts
    at = next((i for i, part in enumerate(parts) if part.upper() in _MODALITIES), 0)
    return "/".join(parts[at:])


def _folders(below: str) -> _Key:
    """What the folders of an image say."""
    parts = pathlib.PurePosixPath(below).parts
    modality = _MODALITIES.get(parts[0].upper(), "")
    if not modality:
        return _Key()
    folders = parts[1:-1]
    anatomy = folders[0].lower() if folders else ""
    return _Key(modality, anatomy, normalise(folders[-1], {}) if len(folders) > 1 else "")


def _key(config: RadImageNetConfig, row: Row, below: str) -> _Key:
    """What folders and columns say, the columns where the config names them."""
    key = _folders(below)
    modality = row[config.modality] if config.modality else key.modality
    modality = _MODALITIES.get(modality.upper(), modality.lower())
    anatomy = row[config.anatomy].lower() if config.anatomy else key.anatomy
    label = key.label
    if config.labels == "table":
        label = normalise(re.sub(rf"^{re.escape(anatomy)}[-_ ]", "", row[config.label].lower()), {})
    return _Key(modality, anatomy, label)


def _split(config: RadImageNetConfig, row: Row, below: str, part: str) -> tuple[str, str]:
    """Split and patient of a row."""
    patient = row[config.patient] if config.patient else ""
    if part:
        return part, patient
    if config.split:
        return spelled_split(row[config.split], config.split), patient
    return patient_split(patient or below, config.split_fractions, config.split_seed), patient


def _item(
    base: pathlib.Path,
    below: str,
    where: str,
    key: _Key,
    split: str,
    patient: str = "",
    official: bool = False,
) -> Item:
    if key.modality == "ultrasound" and not key.label:
        key = dataclasses.replace(key, label=normalise(key.anatomy, {}))
    for name in ("modality", "anatomy", "label"):
        if not getattr(key, name):
            raise ValueError(
                f"{below} has no {name}: its folders are MR or CT/anatomy/label or US/organ; set "
                "config.modality, config.anatomy and config.label for another layout"
            )
    return Item(
        id=str(pathlib.PurePosixPath(below).with_suffix("")),
        where=where,
        images=(ImageFile(base / below, modality=key.modality),),
        split=split,
        labels={key.label: 1},
        patient_id=patient,
        provenance={
            "source": "radimagenet",
            "anatomy": key.anatomy,
            **({"split_name": "official"} if official else {}),
        },
    )


def _origin(config: RadImageNetConfig) -> Origin:
    return Origin(citation=_CITATION, url="https://www.radimagenet.com")


SOURCE = Source(RadImageNetConfig, items, splits=SPLITS, origin=_origin)
