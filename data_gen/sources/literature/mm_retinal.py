"""MM-Retinal: photographs, angiograms and tomograms of the fundus with captions, of four atlases.

Layout: ``<root>/CFP/figure01-01A.jpg``, ``<root>/FFA/...``, ``<root>/OCT/...`` and tables with a
path or a file name and an English caption: ``39_MM_Retinal_dataset.csv`` (``image``, ``caption``),
or one each, ``CFP*.csv``, ``FFA*.csv``, ``OCT*.csv``. Wu et al., MICCAI 2024: 2,169, 1,947 and 233
cases. A figure, whose panels are of one patient, counts as the patient: its panels stay together.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterator, Sequence

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
from data_gen.sources.labelled.fundus_words import listed
from data_gen.sources.tables.reader import Table, present
from medvlp_jax.data.store.croissant import Origin
from medvlp_jax.data.store.record import Text

_TABLES = ("*MM_Retinal*.csv", "CFP*.csv", "FFA*.csv", "OCT*.csv")
_IMAGE = ("image", "Image_ID", "image_id", "filename", "file")
_CAPTION = ("caption", "en_caption", "English_caption", "english", "categories")
_MODALITIES = {"CFP": "fundus", "FFA": "other", "OCT": "other"}
_KIND = re.compile(r"(?<![A-Za-z])(CFP|FFA|OCT)(?![A-Za-z])")
_PANEL = re.compile(r"(?<=\d)[-_]?[A-Za-z]+$")


@dataclasses.dataclass(frozen=True)
class MmRetinalConfig(SourceConfig):
    """The keys of every importer, and these.

    Attributes:
      name: of the data set in the names of its shards.
      table: its table, relative to ``root``; empty takes all that have a published name.
      image, caption: columns; empty takes the published names.
      images: folder that paths begin in, relative to ``root``; paths are also looked for without
        their first folder, and file names in the folder of their kind (CFP, FFA, OCT).
    """

    name: str = "mm_retinal"
    table: str = ""
    image: str = ""
    caption: str = ""
    images: str = "."


def items(config: MmRetinalConfig, rejects: Rejects) -> Iterator[Item]:
    """One item a row; of an image that stands in several rows, the first is one."""
    root = pathlib.Path(config.root)
    for path in _paths(config, root):
        table = Table(path, config, rejects, records=True)
        image = _column(table, config.image, _IMAGE, "config.image")
        caption = _column(table, config.caption, _CAPTION, "config.caption")
        for number, row in table:
            where, cell = table.where(number), row[image].replace("\\", "/")
            if not cell:
                rejects.refuse(where, "no image", f"column {image!r} is empty")
                continue
            try:
                text = clean(" ".join(listed(row[caption])))
            except ValueError as e:
                rejects.refuse(where, "bad row", str(e))
                continue
            named = _KIND.search(cell) or _KIND.search(path.stem)
            kind = named[1] if named else ""
            file = _file(root / config.images, cell, kind)
            stem = pathlib.PurePosixPath(cell).stem
            figure = _PANEL.sub("", stem)
            yield Item(
                id=f"{kind}/{stem}" if kind else stem,
                where=where,
                images=(ImageFile(file, modality=_MODALITIES.get(kind, "fundus")),),
                split=patient_split(figure, config.split_fractions, config.split_seed),
                texts=(Text(text, "caption", "publication"),) if text else (),
                patient_id=figure,
                provenance={"source": "mm_retinal", "anatomy": "retina", "kind": kind},
            )


def _paths(config: MmRetinalConfig, root: pathlib.Path) -> list[pathlib.Path]:
    if config.table:
        return [root / config.table]
    found = sorted({path for pattern in _TABLES for path in root.glob(pattern)})
    if found:
        return found
    sheets = sorted(root.glob("*.xlsx"))
    mend = f"save {sheets[0].name} as CSV (UTF-8)" if sheets else "check config.root"
    raise SourceError(f"{root} has no {' or '.join(_TABLES)}; {mend}, or set config.table")


def _column(table: Table, asked: str, known: Sequence[str], key: str) -> str:
    """The column that is asked for, or the first that is known."""
    name = asked or next((one for one in known if one in table.columns), known[0])
    table.require((name,), key)
    return name


def _file(images: pathlib.Path, cell: str, kind: str) -> pathlib.Path:
    """Where an image is: its path, that without the first folder, or its name below its kind."""
    path = pathlib.PurePosixPath(cell)
    names = [path] if path.suffix else [path.with_suffix(end) for end in (".jpg", ".png", ".jpeg")]
    places = [images / name for name in names]
    places += [images.joinpath(*name.parts[1:]) for name in names if len(name.parts) > 1]
    places += [images / kind / name.name for name in names if kind]
    return present(*places)


def _origin(config: MmRetinalConfig) -> Origin:
    citation = "Wu et al., MM-Retinal: Knowledge-Enhanced Foundational Pretraining with Fundus "
    return Origin(
        citation=citation + "Image-Text Expertise, MICCAI 2024",
        url="https://github.com/lxirich/MM-Retinal",
    )


SOURCE = Source(MmRetinalConfig, items, origin=_origin)
