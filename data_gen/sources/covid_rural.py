"""COVID-19 Rural (COVID-19-AR): radiographs of COVID-19 patients with masks, no reports.

Layout: ``<root>/jpgs/*.jpg`` and ``<root>/pngs_masks/*.png`` of the same stem, e.g.
``COVID-19-AR-16424120_02-11-2012-XR``, whose number is the patient.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterator

from data_gen.sources.importing.base import (
    ImageFile,
    Item,
    Rejects,
    SourceConfig,
    SourceError,
    patient_split,
)
from data_gen.sources.importing.masks import MaskFile
from data_gen.sources.importing.source import Source
from data_gen.sources.importing.splits import Count, NamedSplit
from data_gen.sources.tables.encoding import has_bad_bytes

LABEL = "covid-19"
_PATIENT = re.compile(r"COVID-19-AR-\d+")

SPLITS = {
    # Published as 132 to 133, 44 to 45 and 45 lines, by whether the last line ends in a newline.
    "mavl": NamedSplit(
        "Phan et al. (MAVL), CVPR 2024; MedKLIP",
        "lists",
        {
            "train": Count(records=133, rows=133, slack=1),
            "validation": Count(records=45, rows=45, slack=1),
            "test": Count(records=45, rows=45, slack=1),
        },
    )
}


@dataclasses.dataclass(frozen=True)
class CovidRuralConfig(SourceConfig):
    """The keys of every importer, and these.

    Attributes:
      images: folder of the images, relative to ``root``.
      masks: folder of the masks, relative to ``root``.
    """

    name: str = "covid_rural"
    images: str = "jpgs"
    masks: str = "pngs_masks"


def items(config: CovidRuralConfig, rejects: Rejects) -> Iterator[Item]:
    """One item per image; one without a mask is kept, and named."""
    folder = pathlib.Path(config.root, config.images)
    files = sorted(p for p in folder.glob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not files:
        raise SourceError(f"{folder} holds no images; check config.root and config.images")
    for file in files:
        rejects.rows += 1
        if has_bad_bytes(file.name):
            rejects.refuse(file.name, "bad path", "its name is not UTF-8; rename the file")
            continue
        mask = pathlib.Path(config.root, config.masks, f"{file.stem}.png")
        found = _PATIENT.match(file.stem)
        patient = found[0] if found else file.stem
        yield Item(
            id=file.stem,
            where=file.name,
            images=(ImageFile(file, "FRONTAL"),),
            split=patient_split(patient, config.split_fractions, config.split_seed),
            labels={LABEL: 1},
            masks=(MaskFile(mask, LABEL),),
            patient_id=patient,
            provenance={"source": "covid-19-rural"},
        )


SOURCE = Source(CovidRuralConfig, items, splits=SPLITS)
