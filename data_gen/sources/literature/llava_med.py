"""LLaVA-Med: conversations about figures of PubMed Central, for alignment and for instruction.

Layout: ``<root>/llava_med_alignment_500k.json`` or ``llava_med_instruct_*.json``, a list of
``{"id", "image", "domain", "conversations": [{"from": "human" | "gpt", "value"}]}`` (the alignment
file spells that key ``conversatons``), and a folder of images. Li et al., NeurIPS 2023.

A conversation becomes the turns of a record, ``<image>`` a reference to its image. In the
alignment set the first answer describes the figure, and is its caption too.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any, Literal

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
from data_gen.sources.tables.reader import find
from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files.opening import read_bytes
from medvlp_jax.data.store.croissant import Origin
from medvlp_jax.data.store.record import Text, Turn

_LIMIT = 1 << 33  # bytes of the JSON
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}
_ROLES |= {"system": "system"}
_IMAGE = "<image>"
#: Those with a size in their name first: the captions of the figures are another importer's.
_FILES = ("llava_med_*[0-9]k*.json", "llava_med_*.json")
#: Domain of a figure -> its modality.
MODALITIES = {
    "chest_xray": "xray",
    "mri": "mri",
    "ct_scan": "ct",
    "histology": "pathology",
    "gross": "other",
}
ORIGIN = Origin(
    citation="Li et al., LLaVA-Med: Training a Large Language-and-Vision Assistant for "
    "Biomedicine in One Day, NeurIPS 2023",
    url="https://github.com/microsoft/LLaVA-Med",
)


@dataclasses.dataclass(frozen=True)
class LlavaMedConfig(SourceConfig):
    """The keys of every importer, and these.

    Attributes:
      name: of the data set in the names of its shards.
      json: the list of conversations, relative to ``root``; empty finds the only one.
      images: folder of the images, relative to ``root``.
      captions: where the first answer is a caption, too: in a file of the alignment set (by its
        name), always, or never.
    """

    name: str = "llava_med"
    json: str = ""
    images: str = "images"
    captions: Literal["alignment", "always", "never"] = "alignment"


def items(config: LlavaMedConfig, rejects: Rejects) -> Iterator[Item]:
    """One item a conversation."""
    root = pathlib.Path(config.root)
    path = root / config.json if config.json else find(root, _FILES, "conversations")
    with one_net(path, "download it again, or set config.json", SourceError):
        entries = json.loads(read_bytes(path, _LIMIT))
    if not isinstance(entries, list):
        raise SourceError(f"{path} holds no list of conversations; set config.json to another file")
    described = config.captions == "alignment" and "alignment" in path.name
    described |= config.captions == "always"
    for number, told in enumerate(entries):
        rejects.rows += 1
        where = f"{path.name} entry {number}"
        try:
            yield _item(config, told, where, number, described)
        except (ValueError, TypeError, AttributeError) as e:
            rejects.refuse(where, "bad row", str(e))


def _item(
    config: LlavaMedConfig, told: dict[str, Any], where: str, number: int, described: bool
) -> Item:
    image = told.get("image")
    said = told.get("conversations") or told.get("conversatons")
    if not isinstance(image, str) or not image or not isinstance(said, list):
        raise ValueError("the entry has no image or no conversations")
    turns = tuple(map(_turn, said))
    if turns and not any(turn.images for turn in turns):  # the image is spoken of, not named
        turns = (dataclasses.replace(turns[0], images=(0,)), *turns[1:])
    answers = [clean(turn.text) for turn in turns if turn.role == "assistant"]
    caption = answers[0] if described and answers else ""
    article = pathlib.PurePosixPath(image).name.partition("_")[0]
    domains = [name for name, value in (told.get("domain") or {}).items() if value]
    modalities = {MODALITIES[name] for name in domains if name in MODALITIES}
    modality = modalities.pop() if len(modalities) == 1 else ""
    return Item(
        id=str(told.get("id") or number),
        where=where,
        images=(ImageFile(pathlib.Path(config.root, config.images, image), modality=modality),),
        split=patient_split(article, config.split_fractions, config.split_seed),
        texts=(Text(caption, "caption", "publication"),) if caption else (),
        patient_id=article,
        provenance={"source": "llava_med", **({"domains": domains} if domains else {})},
        turns=turns,
    )


def _turn(told: dict[str, Any]) -> Turn:
    speaker, text = told.get("from"), told.get("value")
    if speaker not in _ROLES or not isinstance(text, str):
        raise ValueError(f"a turn is from {speaker!r}; human and gpt are known")
    images = (0,) * min(text.count(_IMAGE), 1)
    return Turn(_ROLES[speaker], text.replace(_IMAGE, " ").strip(), images)


SOURCE = Source(LlavaMedConfig, items, origin=lambda config: ORIGIN)
