"""The entity bank: what reports name, counted, without doubles; from records, or the shipped one.

The bank that ships with the package is composed from its ontology, so nothing real is needed. Its
counts are no measurement but a rough prior: how common a concept is (1 to 5, a judgement of ours),
and the first wordings of a concept more often than the last.
"""

import collections
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from data_gen.entities import phantom
from data_gen.entities.compose import compose
from data_gen.entities.entity import TYPES, Entity, EntityType, Mention
from data_gen.entities.extract import EntityExtractor, LexiconExtractor, default_extractor
from data_gen.entities.ontology import ontology
from data_gen.entities.tokens import content_words
from data_gen.phantom.chest_xray.findings import SEVERITIES
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.files import jsonl
from medvlp_jax.core.files.replacing import replace
from medvlp_jax.data.store.record import Record

#: Sections of a record that are a report's.
SECTIONS = ("findings", "impression", "report", "caption")
_SEVERITY = {
    word: grade
    for scale in ontology().scales.values()
    for grade in SEVERITIES
    for words in scale[grade]
    for word in content_words(words)
}


@dataclasses.dataclass(frozen=True)
class EntityBank:
    """Entities in a fixed order; each text stands once among the present and once among the absent.

    Attributes:
      entities: the entries.
      name: where they come from, for the provenance.
    """

    entities: tuple[Entity, ...]
    name: str = ""

    def __len__(self) -> int:
        return len(self.entities)

    def __getitem__(self, index: int) -> Entity:
        return self.entities[index]

    def __iter__(self) -> Iterator[Entity]:
        return iter(self.entities)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Equal for equal entities in equal order."""
        digest = hashlib.sha256()
        for entity in self.entities:
            digest.update(_line(entity).encode())
        return digest.hexdigest()

    def counts(self) -> dict[EntityType, int]:
        """Entries per type."""
        found = collections.Counter(e.type for e in self.entities)
        return {t: found[t] for t in TYPES}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes JSON lines, one entity each; the file appears whole or not at all."""
        replace(path, "".join(map(_line, self.entities)))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "EntityBank":
        """Reads what :meth:`save` wrote, or lines made elsewhere (``text`` and ``type`` suffice).

        Raises:
          UserError: the file cannot be read, or a line is no entity; the message names the line.
        """
        path = pathlib.Path(path)
        entities = []
        for number, line in enumerate(jsonl.text_lines(path), 1):
            try:
                given = json.loads(line)
                if "canonical" not in given:
                    given |= _described(given["text"], given["type"])
                entities.append(Entity(**given))
            except (ValueError, TypeError, KeyError) as error:
                raise UserError(
                    f"{path}, line {number}: no entity ({error}); a line is a JSON object with "
                    "text and type"
                ) from error
        if not entities:
            raise UserError(f"{path} holds no entity")
        return cls(_merge(entities), path.stem)

    @classmethod
    def from_records(
        cls, records: Iterable[Record], extractor: EntityExtractor | None = None, name: str = ""
    ) -> "EntityBank":
        """Counts what the reports of records name.

        Args:
          records: their texts in :data:`SECTIONS` are read.
          extractor: the lexicon by default.
          name: of the bank.
        """
        extractor = extractor or default_extractor()
        texts = (t.text for r in records for t in r.texts if t.section in SECTIONS)
        return cls.from_mentions((m for text in texts for m in extractor.extract(text)), name)

    @classmethod
    def from_mentions(cls, mentions: Iterable[Mention], name: str = "") -> "EntityBank":
        """Counts mentions; spellings of the same words are one entity, under the commonest."""
        return cls.from_counts(collections.Counter((m.text, m.type) for m in mentions), name)

    @classmethod
    def from_counts(
        cls, counts: Mapping[tuple[str, EntityType], int], name: str = ""
    ) -> "EntityBank":
        """From (text, type) -> how often it is named."""
        every = (entity(text, kind, count) for (text, kind), count in counts.items())
        return cls(_merge(every), name)

    def merged(self, *others: "EntityBank") -> "EntityBank":
        """This bank and others; counts of what stands in several are added."""
        every = [e for bank in (self, *others) for e in bank]
        return EntityBank(_merge(every), "+".join(b.name for b in (self, *others) if b.name))

    def drawable(self, seed: int = 0) -> "EntityBank":
        """What the phantom can show: present things that it draws, absent ones that it never shows
        unasked, and places.

        What words leave open of a drawn thing (a nodule without a side) is fixed by ``seed``.
        """
        known, kept = ontology().concepts, []
        for one in self.entities:
            concept = known.get(one.canonical)
            if one.positive:
                whole = phantom.complete(one, seed) if one.finding else None
                if whole is not None:
                    kept.append(whole)
            elif one.is_anatomy or concept is None or not concept.varies:
                kept.append(one)
        return EntityBank(tuple(kept), f"{self.name}, drawable" if self.name else "drawable")


def entity(text: str, kind: EntityType, count: int = 1) -> Entity:
    """An entity from its words alone: concept, side and severity are read from them."""
    return Entity(text.lower(), kind, count=count, **_described(text, kind))


def _described(text: str, kind: EntityType) -> dict[str, Any]:
    """``canonical``, ``side``, ``severity``, ``finding``, ``attributes`` of an entity's words."""
    extractor = default_extractor()
    anatomy = kind == "ANATOMY"
    found = [m for m in extractor.extract(text) if m.is_anatomy == anatomy]
    words = content_words(text)
    if not found:
        return {"canonical": " ".join(words) or text.lower()}
    first = found[0]
    concept = extractor.ontology.concepts[first.canonical]
    graded = [_SEVERITY[w] for w in words if w in _SEVERITY]
    return {
        "canonical": first.canonical,
        "side": first.side,
        "severity": graded[0] if graded and not anatomy and concept.scale else "",
        "finding": "" if kind.startswith("NON-") else concept.finding,
        "attributes": {}
        if kind.startswith("NON-")
        else _attributes(extractor, text, first.canonical),
    }


def _attributes(
    extractor: LexiconExtractor, text: str, canonical: str
) -> Mapping[str, str | float]:
    concept = extractor.ontology.concepts[canonical]
    words = content_words(text)
    fitting = [
        f for f in concept.forms if set(content_words(f.text)) <= set(words) and f.attributes
    ]
    best = max(fitting, key=lambda f: len(content_words(f.text)), default=None)
    return dict(best.attributes) if best else dict(concept.attributes)


def _merge(entities: Iterable[Entity]) -> tuple[Entity, ...]:
    """One entity per type and normalised words: the commonest spelling, with the sum of counts."""
    groups: dict[tuple[EntityType, tuple[str, ...]], list[Entity]] = {}
    for one in entities:
        groups.setdefault((one.type, content_words(one.text)), []).append(one)
    merged = []
    for same in groups.values():
        first = max(same, key=lambda e: e.count)
        total = sum(e.count for e in same)
        merged.append(first if total == first.count else dataclasses.replace(first, count=total))
    return tuple(merged)


_DEFAULTS = {f.name: f.default for f in dataclasses.fields(Entity)}


def _line(one: Entity) -> str:
    """A line of JSON without what has its default."""
    values = dataclasses.asdict(one)
    kept = {k: v for k, v in values.items() if v != _DEFAULTS[k] and v != {}}
    return json.dumps(kept, ensure_ascii=False) + "\n"


@functools.lru_cache(maxsize=4)
def default_bank(per_finding: int = 300) -> EntityBank:
    """The bank of the package: all that its ontology spans.

    Args:
      per_finding: entities of each concept that the phantom draws, at most.
    """
    return EntityBank(_merge(compose(ontology(), per_finding)), "medvlp_jax")


def check_types(entities: Sequence[Entity]) -> None:
    """Raises UserError where a bank lacks places or things, without which nothing can be drawn."""
    if not any(e.is_anatomy for e in entities) or all(e.is_anatomy for e in entities):
        raise UserError("the entity bank needs entities of type ANATOMY and of another type")
