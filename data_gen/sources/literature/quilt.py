"""Quilt-1M: pathology images of videos, posts and articles, several captions an image.

Layout: ``<root>/quilt_1M_lookup.csv`` with the columns ``caption``, ``image_path``, ``split`` and
(kept where they are there) ``subset``, ``magnification``; the images lie in ``<root>/quilt_1m/`` or
directly in the root. Ikezogwo et al., NeurIPS 2023. A row is a pair: rows of one image are one
record with a text each.
"""

import dataclasses
import pathlib
from collections.abc import Iterator

from data_gen.sources.importing.base import ImageFile, Item, Rejects, SourceConfig
from data_gen.sources.importing.report_text import clean
from data_gen.sources.importing.source import Source
from data_gen.sources.importing.split_names import spelled_split
from data_gen.sources.tables.reader import Table, find
from medvlp_jax.data.store.croissant import Origin
from medvlp_jax.data.store.record import Text

_KEPT = ("subset", "magnification")


@dataclasses.dataclass(frozen=True)
class QuiltConfig(SourceConfig):
    """The keys of every importer, and these.

    Attributes:
      name: of the data set in the names of its shards.
      images: folder of the images, relative to ``root``.
    """

    name: str = "quilt_1m"
    images: str = "quilt_1m"


@dataclasses.dataclass
class _Image:
    where: str
    split: str
    texts: dict[Text, None] = dataclasses.field(default_factory=dict)
    kept: dict[str, str] = dataclasses.field(default_factory=dict)
    rows: int = 0


def items(config: QuiltConfig, rejects: Rejects) -> Iterator[Item]:
    """One item an image."""
    root = pathlib.Path(config.root)
    table = Table(
        find(root, ("quilt_1M_lookup.csv", "*lookup*.csv"), "the table of pairs"),
        config,
        rejects,
        records=True,
    )
    table.require(("caption", "image_path", "split"))
    kept = [column for column in _KEPT if column in table.columns]
    images: dict[str, _Image] = {}
    for number, row in table:
        path, where = row["image_path"], table.where(number)
        if not path:
            rejects.refuse(where, "no image", "column 'image_path' is empty")
            continue
        try:
            split = spelled_split(row["split"], "split")
            image = images.setdefault(path, _Image(where, split))
            if image.split != split:
                raise ValueError(f"{path} is in {split!r} here but in {image.split!r} before")
        except ValueError as e:
            rejects.refuse(where, "bad row", str(e))
            continue
        image.rows += 1
        image.kept |= {column: row[column] for column in kept if row[column]}
        if caption := clean(row["caption"]):
            image.texts[Text(caption, "caption", "publication")] = None
    folder = root / config.images if (root / config.images).is_dir() else root
    for path, image in images.items():
        yield Item(
            id=path,
            where=image.where,
            images=(ImageFile(folder / path, modality="pathology"),),
            split=image.split,
            texts=tuple(image.texts),
            provenance={"source": "quilt_1m", "split_name": "official", **image.kept},
            rows=image.rows,
        )


def _origin(config: QuiltConfig) -> Origin:
    citation = "Ikezogwo et al., Quilt-1M: One Million Image-Text Pairs for Histopathology, 2023"
    return Origin(citation=citation, url="https://quilt1m.github.io")


SOURCE = Source(QuiltConfig, items, origin=_origin)
