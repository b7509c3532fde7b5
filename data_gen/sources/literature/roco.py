"""ROCO v2: radiological figures of PubMed Central with their captions and concepts.

Layout: ``<root>/train_captions.csv`` (``ID,Caption``; also ``valid`` and ``test``), the images
``<root>/train/ROCOv2_2023_train_000001.jpg`` and ``<root>/train_concepts.csv`` (``ID,CUIs``, joined
by semicolons), which may be absent. Rückert et al., Scientific Data 2024: 59,958, 9,904 and 9,927
images.
"""

import dataclasses
import pathlib
from collections.abc import Iterator

from data_gen.sources.importing.base import ImageFile, Item, Rejects, SourceConfig, SourceError
from data_gen.sources.importing.report_text import clean
from data_gen.sources.importing.source import Source
from data_gen.sources.importing.splits import Count, NamedSplit
from data_gen.sources.tables.reader import Table
from medvlp_jax.data.store.croissant import Origin
from medvlp_jax.data.store.record import Text

_PARTS = {"train": "train", "valid": "validation", "test": "test"}
_SIZES = {"train": 59_958, "validation": 9_904, "test": 9_927}
SPLITS = {
    "official": NamedSplit(
        "Rückert et al., Scientific Data 2024", "own", {k: Count(n) for k, n in _SIZES.items()}
    )
}


@dataclasses.dataclass(frozen=True)
class RocoConfig(SourceConfig):
    """The keys of every importer, and these.

    Attributes:
      name: of the data set in the names of its shards.
    """

    name: str = "roco_v2"


def items(config: RocoConfig, rejects: Rejects) -> Iterator[Item]:
    """One item a row of the captions."""
    root = pathlib.Path(config.root)
    parts = [part for part in _PARTS if (root / f"{part}_captions.csv").exists()]
    if not parts:
        raise SourceError(f"{root} holds no train_captions.csv; check config.root")
    for part in parts:
        concepts = _concepts(root / f"{part}_concepts.csv", config, rejects)
        table = Table(root / f"{part}_captions.csv", config, rejects, records=True)
        table.require(("ID", "Caption"))
        for number, row in table:
            if not row["ID"]:
                rejects.refuse(table.where(number), "no image", "column 'ID' is empty")
                continue
            caption, found = clean(row["Caption"]), concepts.get(row["ID"], [])
            yield Item(
                id=row["ID"],
                where=table.where(number),
                images=(ImageFile(root / part / f"{row['ID']}.jpg", modality=""),),
                split=_PARTS[part],
                texts=(Text(caption, "caption", "publication"),) if caption else (),
                provenance={
                    "source": "roco_v2",
                    "split_name": "official",
                    **({"umls": found} if found else {}),
                },
            )


def _concepts(path: pathlib.Path, config: RocoConfig, rejects: Rejects) -> dict[str, list[str]]:
    """``{ID: concepts of the UMLS}``; none without the file."""
    if not path.exists():
        return {}
    table = Table(path, config, rejects)
    table.require(("ID", "CUIs"))
    return {row["ID"]: [c for c in row["CUIs"].split(";") if c] for _, row in table}


def _origin(config: RocoConfig) -> Origin:
    title = "ROCOv2: Radiology Objects in COntext Version 2"
    return Origin(citation=f"Rückert et al., {title}, Scientific Data 2024")


SOURCE = Source(RocoConfig, items, splits=SPLITS, origin=_origin)
