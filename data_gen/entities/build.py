"""Builds an entity bank from the reports of a data folder: ``bank.jsonl``, and what is in it."""

import collections
import dataclasses
import itertools
import os
import pathlib
from collections.abc import Iterator
from typing import Literal

import tqdm

from data_gen.entities.bank import SECTIONS, EntityBank
from data_gen.entities.entity import EntityType, Mention
from data_gen.entities.extract import default_extractor
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.fields import Count
from medvlp_jax.data.store.dataset import open_dataset

BANK = "bank.jsonl"
#: Reports that are read at a time.
_CHUNK = 512


@dataclasses.dataclass(frozen=True)
class BankConfig:
    """From what a bank is built.

    Attributes:
      source: a data folder, such as an import of MIMIC-CXR.
      generator: the word that picks this config.
      split: of it.
      extractor: ``lexicon``, or ``rate-ner`` for the token classifier of the folder ``model``.
      model: folder of the token classifier, for ``rate-ner``.
      min_count: entities that are named less often are left out.
      limit: at most so many records; 0 takes all.
    """

    source: str
    generator: Literal["entities"] = "entities"
    split: str = "train"
    extractor: Literal["lexicon", "rate-ner"] = "lexicon"
    model: str = ""
    min_count: Count = 1
    limit: Count = 0

    def __post_init__(self) -> None:
        if (self.extractor == "rate-ner") != bool(self.model):
            raise ValueError("model belongs to extractor='rate-ner': give both or neither")
        if self.min_count < 1 or self.limit < 0:
            raise ValueError("min_count must be positive, and limit not negative")


def build_bank(
    config: BankConfig, out: str | os.PathLike[str], progress: bool = True
) -> EntityBank:
    """Reads the reports and writes ``bank.jsonl`` into ``out``, whole or not at all.

    Raises:
      UserError: the source or the model cannot be read, or no entity is found.
    """
    seen: collections.Counter[tuple[str, EntityType]] = collections.Counter()
    for mentions in _mentions(config, progress):
        seen.update((m.text, m.type) for m in mentions)
    bank = EntityBank.from_counts(seen, pathlib.Path(config.source).name)
    kept = tuple(e for e in bank if e.count >= config.min_count)
    if not kept:
        raise UserError(
            f"{config.source}, split {config.split!r}: no entity is named {config.min_count} times "
            f"in its texts ({', '.join(SECTIONS)})"
        )
    bank = EntityBank(kept, bank.name)
    bank.save(pathlib.Path(out) / BANK)
    return bank


def _mentions(config: BankConfig, progress: bool) -> Iterator[tuple[Mention, ...]]:
    records = open_dataset(config.source, config.split)
    count = min(len(records), config.limit or len(records))
    numbers = tqdm.tqdm(range(count), unit=" records", disable=None if progress else True)
    texts = (t.text for i in numbers for t in records[i].texts if t.section in SECTIONS)
    if config.extractor == "lexicon":
        yield from map(default_extractor().extract, texts)
        return
    from data_gen.entities.ner import RateNer

    ner = RateNer(config.model)
    while some := list(itertools.islice(texts, _CHUNK)):
        yield from ner.extract_all(some)
