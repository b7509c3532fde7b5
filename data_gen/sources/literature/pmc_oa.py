"""PMC-OA: sub-figures of PubMed Central with their part of the caption.

Layout: ``<root>/train.jsonl``, ``valid.jsonl``, ``test.jsonl`` or one ``pmc_oa.jsonl``, a line
``{"image": "PMC212319_Fig3_4.jpg", "caption": "...", "alignment_type", "alignment_score"}`` for
each pair, and a folder of images. Lin et al., MICCAI 2023. What comes before the first underscore
is the article, which counts as the patient: its figures stay in one split.
"""

import dataclasses
import pathlib
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
from medvlp_jax.core.errors import reason
from medvlp_jax.core.files import jsonl
from medvlp_jax.core.files.opening import open_regular
from medvlp_jax.data.store.croissant import Origin
from medvlp_jax.data.store.record import Text

_FILES = {
    "train.jsonl": "train",
    "valid.jsonl": "validation",
    "test.jsonl": "test",
    "pmc_oa.jsonl": "",
}
_KEPT = ("alignment_type", "alignment_score")


@dataclasses.dataclass(frozen=True)
class PmcOaConfig(SourceConfig):
    """The keys of every importer, and these.

    Attributes:
      name: of the data set in the names of its shards.
      images: folder of the images, relative to ``root``.
    """

    name: str = "pmc_oa"
    images: str = "images"


def items(config: PmcOaConfig, rejects: Rejects) -> Iterator[Item]:
    """One item a line; of an image that stands in several lines, the first is one."""
    root = pathlib.Path(config.root)
    files = [file for file in _FILES if (root / file).exists()]
    if not files:
        raise SourceError(f"{root} holds none of {', '.join(_FILES)}; check config.root")
    for file in files:
        with open_regular(root / file) as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                rejects.rows += 1
                where = f"{file} line {number}"
                try:
                    yield _item(config, jsonl.parse(line), where, _FILES[file])
                except (ValueError, RecursionError) as e:
                    rejects.refuse(where, "bad row", reason(e))


def _item(config: PmcOaConfig, told: dict[str, Any], where: str, split: str) -> Item:
    image, caption = told.get("image"), told.get("caption")
    if not isinstance(image, str) or not image or not isinstance(caption, str | None):
        raise ValueError("image and caption have to be texts")
    article = pathlib.PurePosixPath(image).name.partition("_")[0]
    text = clean(caption or "")
    return Item(
        id=image,
        where=where,
        images=(ImageFile(pathlib.Path(config.root, config.images, image), modality=""),),
        split=split or patient_split(article, config.split_fractions, config.split_seed),
        texts=(Text(text, "caption", "publication"),) if text else (),
        patient_id=article,
        provenance={
            "source": "pmc_oa",
            **({"split_name": "official"} if split else {}),
            **{key: told[key] for key in _KEPT if key in told},
        },
    )


def _origin(config: PmcOaConfig) -> Origin:
    citation = "Lin et al., PMC-CLIP: Contrastive Language-Image Pre-training using Biomedical "
    return Origin(
        citation=citation + "Documents, MICCAI 2023",
        url="https://huggingface.co/datasets/axiong/pmc_oa",
    )


SOURCE = Source(PmcOaConfig, items, origin=_origin)
