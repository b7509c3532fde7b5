"""LLaVA-Med's figures as pairs: the caption of each, and the sentences of the article about it.

Layout: ``<root>/llava_med_instruct_fig_captions.json``, domain -> list of ``{"pair_id",
"fig_caption", "in_text_mention": [{"tokens", ...}]}`` (or such lines, ``*.jsonl``), and the images
``<root>/images/<pair_id>.jpg``. Li et al., NeurIPS 2023. Caption and mentions are texts of one
record, which UniMed-CLIP has as two pairs with one image.
"""

import dataclasses
import json
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
from data_gen.sources.literature.llava_med import MODALITIES, ORIGIN
from data_gen.sources.tables.reader import find
from medvlp_jax.core.errors import one_net, reason
from medvlp_jax.core.fields import Count
from medvlp_jax.core.files import jsonl
from medvlp_jax.core.files.opening import open_regular, read_bytes
from medvlp_jax.data.store.record import Text

_LIMIT = 1 << 33  # bytes of the JSON
_FILES = ("*fig_captions*.json", "*fig_captions*.jsonl")


@dataclasses.dataclass(frozen=True)
class LlavaCaptionsConfig(SourceConfig):
    """The keys of every importer, and these.

    Attributes:
      name: of the data set in the names of its shards.
      json: the file of captions, relative to ``root``; empty finds it.
      images: folder of the images, relative to ``root``.
      mentions: how many of the article's mentions become captions too, in their order.
    """

    name: str = "llava_captions"
    json: str = ""
    images: str = "images"
    mentions: Count = 1


def items(config: LlavaCaptionsConfig, rejects: Rejects) -> Iterator[Item]:
    """One item an entry; of a figure that stands in several domains, the first is one."""
    root = pathlib.Path(config.root)
    path = root / config.json if config.json else find(root, _FILES, "captions of figures")
    for where, domain, told in _entries(path, rejects):
        try:
            if not isinstance(told, dict):
                raise ValueError(f"{type(told).__name__} where an entry belongs")
            item = _item(config, told, where, domain)
        except ValueError as e:
            rejects.refuse(where, "bad row", reason(e))
            continue
        yield item


def _entries(path: pathlib.Path, rejects: Rejects) -> Iterator[tuple[str, str, Any]]:
    """``(where, domain, entry)``; a broken line is a reject."""
    if path.suffix == ".jsonl":
        with open_regular(path) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    rejects.rows += 1
                    where = f"{path.name} line {number}"
                    try:
                        told = jsonl.parse(line)
                    except (ValueError, RecursionError) as e:
                        rejects.refuse(where, "bad row", reason(e))
                        continue
                    yield where, str(told.get("domain") or ""), told
        return
    with one_net(path, "download it again, or set config.json", SourceError):
        whole = json.loads(read_bytes(path, _LIMIT))
    groups = whole if isinstance(whole, dict) else {"": whole}
    if not all(isinstance(entries, list) for entries in groups.values()):
        raise SourceError(f"{path} holds no lists of captions; set config.json to another file")
    for domain, entries in groups.items():
        for number, told in enumerate(entries):
            rejects.rows += 1
            yield f"{path.name} {domain} entry {number}".replace("  ", " "), domain, told


def _item(config: LlavaCaptionsConfig, told: dict[str, Any], where: str, domain: str) -> Item:
    pair, caption = told.get("pair_id"), told.get("fig_caption")
    mentions = told.get("in_text_mention") or []
    if not isinstance(pair, str) or not pair or not isinstance(caption, str | None):
        raise ValueError("pair_id and fig_caption have to be texts")
    if not isinstance(mentions, list):
        raise ValueError("in_text_mention is no list")
    said = [m.get("tokens") if isinstance(m, dict) else m for m in mentions[: config.mentions]]
    texts = [Text(clean(caption or ""), "caption", "publication")]
    for text in said:
        if not isinstance(text, str):
            raise ValueError("a mention has no text in tokens")
        texts.append(Text(clean(text), "caption", "mention"))
    article = pair.partition("_")[0]
    return Item(
        id=pair,
        where=where,
        images=(
            ImageFile(
                pathlib.Path(config.root, config.images, f"{pair}.jpg"),
                modality=MODALITIES.get(domain, ""),
            ),
        ),
        split=patient_split(article, config.split_fractions, config.split_seed),
        texts=tuple(text for text in texts if text.text),
        patient_id=article,
        provenance={"source": "llava_med", **({"domains": [domain]} if domain else {})},
    )


SOURCE = Source(LlavaCaptionsConfig, items, origin=lambda config: ORIGIN)
