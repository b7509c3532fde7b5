"""WebDataset: tar files whose members belong together by their name up to the first point.

Layout: ``<root>/**/*.tar`` with ``KEY.jpg`` (``.png``, ``.dcm``), ``KEY.txt`` (one text, or several
captions as UniMed joins them), ``KEY.json`` (any object; or all fields of a record, as
``launch/convert_records.py --format=webdataset`` writes them) and ``KEY.cls`` (number or name of a
class). A damaged member is named in ``rejects.jsonl`` and costs no other one; but a sample whose
``.json`` is damaged is refused, for patient and split stand in it.
"""

import dataclasses
import functools
import pathlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from data_gen.sources.containers import captions
from data_gen.sources.containers.exported import exported_item, is_exported
from data_gen.sources.containers.tar import Damage, Member, TarImage, TarMask, members, read_range
from data_gen.sources.importing.base import (
    Item,
    Rejects,
    SourceConfig,
    SourceError,
    patient_split,
)
from data_gen.sources.importing.labels import LabelColumns, column_labels, normalise
from data_gen.sources.importing.source import Source
from data_gen.sources.importing.split_names import spelled_split, split_of_path
from medvlp_jax.core.errors import UserError, reason
from medvlp_jax.core.files import jsonl
from medvlp_jax.data.store.croissant import Origin
from medvlp_jax.data.store.record import Text

_IMAGES = ("jpg", "jpeg", "png", "dcm", "dicom", "webp", "bmp", "tif", "tiff", "gif")
_TEXT_BYTES = 1 << 24


@dataclasses.dataclass(frozen=True)
class WebDatasetConfig(SourceConfig):
    """The keys of every importer, and these; a key of the ``.json`` members is named as it stands.

    Attributes:
      name: of the data set in the names of its shards.
      files: pattern of the tars below ``root``.
      section: of the ``.txt`` members.
      text_source: what wrote the texts.
      texts: key of ``.json`` -> section, e.g. {"caption": "caption"}.
      separators: words that stand as ``_word_`` between the captions in one text, on top of those
        of UniMed.
      labels: keys of ``.json`` that are labels, and how they are spelled.
      classes: names of the numbers in ``.cls``; without them a number is kept in the provenance.
      id, patient, split: keys of ``.json``; empty where there is none. Without a key the split is
        the one that the tar's path names, or the patients are divided by ``split_fractions``.
      splits: spelling -> split name, on top of the usual ones.
      modality: of all images; ``modality_key`` if ``.json`` says it.
      modality_key: key of the modality.
      keep: keys of ``.json`` to copy into the record's provenance.
      license, citation, url: of the data set, for ``croissant.json``.
    """

    name: str = "webdataset"
    files: str = "**/*.tar"
    section: str = "caption"
    text_source: str = ""
    texts: dict[str, str] = dataclasses.field(default_factory=dict)
    separators: tuple[str, ...] = ()
    labels: LabelColumns = dataclasses.field(default_factory=LabelColumns)
    classes: tuple[str, ...] = ()
    id: str = ""
    patient: str = ""
    split: str = ""
    splits: dict[str, str] = dataclasses.field(default_factory=dict)
    modality: Literal["", "xray", "ct", "mri", "ultrasound", "fundus", "pathology", "other"] = ""
    modality_key: str = ""
    keep: tuple[str, ...] = ()
    license: str = ""
    citation: str = ""
    url: str = ""


@dataclasses.dataclass
class _Sample:
    """The members of one key: extension -> member; and the extensions of those that are lost.

    ``cut``: the archive stops within it, so that more members may have followed.
    """

    whole: dict[str, Member] = dataclasses.field(default_factory=dict)
    lost: list[str] = dataclasses.field(default_factory=list)
    cut: bool = False


def items(config: WebDatasetConfig, rejects: Rejects) -> Iterator[Item]:
    """One item a key of a tar."""
    root = pathlib.Path(config.root)
    tars = sorted(path for path in root.glob(config.files) if path.is_file())
    if not tars:
        packed = sorted(root.glob(f"{config.files}.gz")) + sorted(root.rglob("*.tgz"))
        mend = f"unpack {packed[0].name} with gunzip" if packed else "check config.root"
        raise SourceError(f"{root} holds no {config.files}; {mend}")
    counts: Counter[str] = Counter()
    for tar in tars:
        for key, sample in _samples(tar, root, rejects).items():
            where = f"{tar.relative_to(root)}/{key}"
            rejects.rows += 1
            if "json" in sample.lost:
                detail = "its .json is damaged, in which patient and split stand"
                rejects.refuse(where, "damaged sample", detail)
                continue
            if sample.cut:
                rejects.refuse(where, "damaged sample", "the tar stops in the middle of it")
                continue
            try:
                yield _item(config, tar, key, sample, where, counts)
            except (UserError, ValueError) as e:
                rejects.refuse(where, "bad sample", str(e))
    for line in captions.notes(counts):
        rejects.note(line)


def _samples(tar: pathlib.Path, root: pathlib.Path, rejects: Rejects) -> dict[str, _Sample]:
    """The samples of a tar by key, in order; what is damaged is rejected by name."""
    samples: dict[str, _Sample] = {}
    for member in members(tar):
        name = member.name.removeprefix("./")
        folder, _, file = name.rpartition("/")
        stem, _, extension = file.partition(".")
        key = f"{folder}/{stem}" if folder else stem
        if isinstance(member, Damage):
            unknown = "(end)" if member.end else "(name not readable)"
            where = f"{tar.relative_to(root)}/{name or unknown}"
            rejects.add(where, "damaged member", member.detail)
            if member.end:
                _cut(samples)
            if stem and extension:
                samples.setdefault(key, _Sample()).lost.append(extension.lower())
        elif stem and extension:
            sample = samples.setdefault(key, _Sample())
            if extension.lower() in sample.whole:
                detail = "the tar holds that name twice; the first one counts"
                rejects.add(f"{tar.relative_to(root)}/{name}", "duplicate member", detail)
            sample.whole.setdefault(extension.lower(), member)
    return samples


def _cut(samples: dict[str, _Sample]) -> None:
    """Marks the last sample of an archive that stops, unless it has all that the others have."""
    if not samples:
        return
    *others, last = samples.values()
    usual = set.intersection(*(set(one.whole) for one in others)) if others else None
    last.cut = usual is None or not usual <= set(last.whole)


def _item(
    config: WebDatasetConfig,
    tar: pathlib.Path,
    key: str,
    sample: _Sample,
    where: str,
    counts: Counter[str],
) -> Item:
    told = _json(tar, sample.whole.get("json"))
    masks = {e: m for e, m in sample.whole.items() if e.startswith("mask") and e.endswith(".png")}
    pictures = [
        TarImage(tar, member=m.name, offset=m.offset, size=m.size)
        for e, m in sorted(sample.whole.items(), key=lambda pair: _place(pair[0]))
        if e.rpartition(".")[2] in _IMAGES and e not in masks
    ]
    if is_exported(told):
        makers = [functools.partial(_mask, tar, masks[e]) for e in sorted(masks, key=_mask_place)]
        if lost := [e for e in sample.lost if e != "txt"]:
            raise ValueError(f"images or masks of the record are damaged: {', '.join(lost)}")
        return exported_item(told, where, pictures, makers)
    row = {k: _cell(v) for k, v in told.items()}
    file = str(tar.relative_to(config.root))
    own = f"{file.removesuffix('.tar')}/{key}"
    texts = _texts(config, tar, sample, row, counts)
    patient = row.get(config.patient, "")
    labels = column_labels(_Row(row), config.labels, config.null_words)
    named, number = _class(config, tar, sample)
    if config.split and row.get(config.split):
        split, split_name = spelled_split(row[config.split], config.split, config.splits), "key"
    else:
        split, split_name = split_of_path(file), "tar"
    if not split:
        split = patient_split(patient or own, config.split_fractions, config.split_seed)
    how = {"key": f"key {config.split}", "tar": "names of the tars"}[split_name]
    modality = row.get(config.modality_key, "") or config.modality
    kept = {k: told[k] for k in config.keep if k in told}
    return Item(
        id=row.get(config.id, "") or own,
        where=where,
        images=tuple(dataclasses.replace(p, modality=modality) for p in pictures),
        split=split,
        texts=texts,
        labels=labels | named,
        patient_id=patient,
        provenance={
            "source": config.name,
            **({"split_name": how} if split_name == "key" or split_of_path(file) else {}),
            **({"class": number} if number is not None else {}),
            **kept,
        },
    )


def _texts(
    config: WebDatasetConfig,
    tar: pathlib.Path,
    sample: _Sample,
    row: Mapping[str, str],
    counts: Counter[str],
) -> tuple[Text, ...]:
    raw = [(row.get(key, ""), section) for key, section in config.texts.items()]
    if "txt" in sample.whole:
        raw.insert(0, (_read(tar, sample.whole["txt"]).decode("utf-8-sig"), config.section))
    parted = (
        captions.caption_texts(text, section, config.text_source, config.separators, counts)
        for text, section in raw
    )
    return tuple(dict.fromkeys(text for texts in parted for text in texts))


def _class(
    config: WebDatasetConfig, tar: pathlib.Path, sample: _Sample
) -> tuple[dict[str, int], int | None]:
    """The labels that ``.cls`` gives: one class of all, or a number without a name."""
    if "cls" not in sample.whole:
        return {}, None
    said = _read(tar, sample.whole["cls"]).decode("utf-8-sig").strip()
    names = [normalise(name) for name in config.classes]
    if said.isdigit():
        if not names:
            return {}, int(said)
        if int(said) >= len(names):
            raise ValueError(f".cls is {said}, but config.classes has {len(names)} names")
        return {name: int(i == int(said)) for i, name in enumerate(names)}, None
    name = normalise(said)
    if not name or (names and name not in names):
        raise ValueError(f".cls is {said[:60]!r}, which config.classes does not name")
    return {other: int(other == name) for other in names or [name]}, None


def _json(tar: pathlib.Path, member: Member | None) -> dict[str, Any]:
    if member is None:
        return {}
    try:
        return jsonl.parse(_read(tar, member))
    except (ValueError, RecursionError) as e:
        raise ValueError(f".json is no JSON object ({reason(e)})") from e


def _read(tar: pathlib.Path, member: Member) -> bytes:
    if member.size > _TEXT_BYTES:
        raise ValueError(f"{member.name} has {member.size} bytes, too many for a text")
    return read_range(tar, member.offset, member.size, f"{tar}/{member.name}")


def _cell(value: Any) -> str:
    """A JSON value as the cell of a table."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)


class _Row(dict[str, str]):
    """A row in which every column stands: a sample may lack a key."""

    def __missing__(self, key: str) -> str:
        return ""


def _mask(tar: pathlib.Path, member: Member, label: str, image: int) -> TarMask:
    return TarMask(tar, label, image, member.name, member.offset, member.size)


def _place(extension: str) -> int:
    """Place of an image among those of its key: ``jpg`` is the first, ``2.jpg`` the third."""
    number = extension.partition(".")[0]
    return int(number) if number.isdigit() else 0


def _mask_place(extension: str) -> int:
    number = extension.removeprefix("mask").removesuffix(".png")
    return int(number) if number.isdigit() else 0


def _origin(config: WebDatasetConfig) -> Origin:
    return Origin(config.license, config.citation, config.url)


SOURCE = Source(WebDatasetConfig, items, origin=_origin)
