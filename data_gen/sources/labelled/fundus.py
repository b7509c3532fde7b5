"""Collections of fundus photographs in the tables of FLAIR: a list of categories an image.

Layout: ``<root>/03_IDRID/...`` and so on, the folders of the collections, and a table for each,
``03_IDRID.csv``, with the columns ``image`` (a path from ``root``), ``attributes`` (or
``atributes``) and ``categories`` (a list as Python prints it). Silva-Rodríguez et al., Medical
Image Analysis 2025. Tables and folders are known by the number that begins their name.

Categories become labels by ``fundus.json``: 1 where a list names one, 0 where it says "no ...", -1
where it is suspected; what a list does not name stays absent. The sentence that states them is the
caption, source "labels". DeepEyeNet (``06_DEN``) has free text instead, and no labels.
"""

import dataclasses
import pathlib
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from data_gen.sources.importing.base import (
    ImageFile,
    Item,
    Rejects,
    SourceConfig,
    SourceError,
    patient_split,
)
from data_gen.sources.importing.report_text import clean
from data_gen.sources.importing.source import Source
from data_gen.sources.labelled.fundus_words import Meaning, Words, facts, listed
from data_gen.sources.tables.reader import Table
from medvlp_jax.core.config import unknown_word
from medvlp_jax.data.store.croissant import Origin
from medvlp_jax.data.store.record import Text

_NUMBER = re.compile(r"(\d\d)_")
_TABLES = (".", "dataframes/pretraining", "local_data/dataframes/pretraining", "pretraining")
#: Words of other pictures of the eye, which DeepEyeNet holds too.
_OTHER = re.compile(r"angiogra|\b(?:oct|fa|icga?|ultraso\w+|b-scan|autofluorescence)\b", re.I)
_SHOWN = 5  # unknown categories in a note
COLLECTIONS: dict[str, dict[str, Any]] = {e["name"]: e for e in facts()["collections"].values()}
UNIMED = tuple(facts()["collections"][number]["name"] for number in facts()["unimed"])


@dataclasses.dataclass(frozen=True)
class FundusConfig(SourceConfig):
    """The keys of every importer, and these.

    Attributes:
      name: of the data set in the names of its shards.
      collections: which, by the names of ``fundus.json``; by default those whose labels UniMed-CLIP
        trains on. What is not there is said.
      tables: folder of the tables, relative to ``root``; empty finds it.
      images: folder that the paths of the tables begin in, relative to ``root``.
      names: category -> label, for those that ``fundus.json`` does not know or reads otherwise.
    """

    name: str = "fundus"
    collections: tuple[str, ...] = UNIMED
    tables: str = ""
    images: str = "."
    names: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for one in self.collections:
            if one not in COLLECTIONS:
                raise ValueError(unknown_word("collections", one, COLLECTIONS, "collection"))
        if self.texts_from_labels:
            raise ValueError("texts_from_labels has sentences of radiographs; leave it False here")


def items(config: FundusConfig, rejects: Rejects) -> Iterator[Item]:
    """One item a row."""
    root = pathlib.Path(config.root)
    words, folders = Words(config.names), _folders(root / config.images)
    unknown: Counter[str] = Counter()
    alone: list[str] = []
    for collection, path in _found(config, root, rejects).items():
        table = Table(path, config, rejects, records=True)
        table.require(("image", "categories"))
        if "patient" not in COLLECTIONS[collection]:
            alone.append(collection)
        for number, row in table:
            where, cell = table.where(number), row["image"].replace("\\", "/")
            if not cell:
                rejects.refuse(where, "no image", "column 'image' is empty")
                continue
            try:
                categories = listed(row["categories"])
                attributes = listed(row.get("attributes", row.get("atributes", "")))
                first, _, rest = cell.partition("/")
                number_of = _NUMBER.match(first)
                folder = folders.get(number_of[1], first) if number_of else first
                image = root / config.images / folder / rest
                if COLLECTIONS[collection].get("texts"):
                    yield _told(config, collection, cell, where, image, categories)
                    continue
                meaning = words.read([*categories, *attributes])
            except ValueError as e:
                rejects.refuse(where, "bad row", str(e))
                continue
            unknown.update(meaning.unknown)
            kind = _unusable(meaning)
            if kind:
                rejects.refuse(where, kind, f"{cell}: {row['categories'][:100]}")
                continue
            yield _labelled(config, collection, cell, where, image, meaning, words)
    _say(unknown, alone, rejects)


def _found(config: FundusConfig, root: pathlib.Path, rejects: Rejects) -> dict[str, pathlib.Path]:
    """``{collection: its table}`` of those that are asked for and there."""
    places = [root / config.tables] if config.tables else [root / place for place in _TABLES]
    files = next((f for f in (sorted(p.glob("[0-9][0-9]_*.csv*")) for p in places) if f), [])
    found: dict[str, pathlib.Path] = {}
    other = []
    for path in files:
        number = _NUMBER.match(path.name)
        known = facts()["collections"].get(number[1] if number else "", {}).get("name", "")
        if known not in config.collections:
            other.append(path.name)
        elif known in found:
            raise SourceError(
                f"{found[known]} and {path.name} are both tables of {known}; move one away"
            )
        else:
            found[known] = path
    if not found:
        raise SourceError(
            f"{' and '.join(map(str, places))}: no table of {', '.join(config.collections)}, as "
            "03_IDRID.csv; check config.root, or set config.tables"
        )
    if other:
        rejects.note(f"{len(other)} tables are not in config.collections: {', '.join(other)}")
    if missing := [name for name in config.collections if name not in found]:
        rejects.note(f"{len(missing)} collections have no table here: {', '.join(missing)}")
    return found


def _folders(images: pathlib.Path) -> dict[str, str]:
    """``{number: folder}``: copies spell names differently, ``03_IDRiD`` or ``03_IDRID``."""
    if not images.is_dir():
        raise SourceError(f"{images} is no folder; check config.root and config.images")
    names = sorted(path.name for path in images.iterdir() if path.is_dir())
    return {found[1]: name for name in names if (found := _NUMBER.match(name))}


def _unusable(meaning: Meaning) -> str:
    """Why a row becomes no record; "" if it does."""
    if meaning.ungradable:
        return "ungradable"
    if meaning.labels:
        return ""
    return "unknown category" if meaning.unknown else "no category"


def _labelled(
    config: FundusConfig,
    collection: str,
    cell: str,
    where: str,
    image: pathlib.Path,
    meaning: Meaning,
    words: Words,
) -> Item:
    caption = words.sentence(meaning)
    positive = tuple(name for name in meaning.stated if meaning.labels[name] == 1)
    whole = _item(config, collection, cell, where, image)
    kept = {"quality": list(meaning.quality)} if meaning.quality else {}
    return dataclasses.replace(
        whole,
        labels=dict(meaning.labels),
        texts=(Text(caption, "caption", "labels", positive),) if caption else (),
        provenance={**whole.provenance, **kept},
    )


def _told(
    config: FundusConfig,
    collection: str,
    cell: str,
    where: str,
    image: pathlib.Path,
    told: list[str],
) -> Item:
    """A row whose categories are keywords and sentences of its publisher."""
    parts = [part for part in (clean(text).strip(" .,") for text in told) if part]
    if not parts:
        raise ValueError(f"{cell} has neither keywords nor a description")
    text = ". ".join(part[0].upper() + part[1:] for part in parts) + "."
    modality = "other" if _OTHER.search(text) else "fundus"
    whole = _item(config, collection, cell, where, image, modality)
    return dataclasses.replace(whole, texts=(Text(text, "caption", "publication"),))


def _item(
    config: FundusConfig,
    collection: str,
    cell: str,
    where: str,
    image: pathlib.Path,
    modality: str = "fundus",
) -> Item:
    path = pathlib.PurePosixPath(cell)
    pattern = COLLECTIONS[collection].get("patient")
    found = re.search(pattern, path.stem) if pattern else None
    patient = f"{collection}/{found[1]}" if found else ""
    return Item(
        id=str(path),
        where=where,
        images=(ImageFile(image, modality=modality),),
        split=patient_split(patient or str(path), config.split_fractions, config.split_seed),
        patient_id=patient,
        provenance={"source": "fundus", "collection": collection, "anatomy": "retina"},
    )


def _say(unknown: Counter[str], alone: list[str], rejects: Rejects) -> None:
    if unknown:
        first = ", ".join(f"{name[:60]!r} ({n})" for name, n in unknown.most_common(_SHOWN))
        rejects.note(
            f"{len(unknown)} categories are not known and became no label: {first}; "
            "config.names maps them"
        )
    if alone:
        rejects.note(
            f"the tables of {len(alone)} collections name no patients, so that their images are "
            f"divided one by one: {', '.join(alone)}"
        )


def _origin(config: FundusConfig) -> Origin:
    citation = "Silva-Rodríguez et al., A Foundation Language-Image Model of the Retina (FLAIR): "
    return Origin(
        citation=citation + "encoding expert knowledge in text supervision, Medical Image Analysis "
        "2025; each collection has a licence of its own",
        url="https://github.com/jusiro/FLAIR",
    )


SOURCE = Source(FundusConfig, items, origin=_origin)
