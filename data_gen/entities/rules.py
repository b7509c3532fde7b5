"""What may stand in one study together: no contradiction, no double, no impossible picture.

Every entity belongs to a class (concept, polarity, side, zone, severity); a table says which
classes exclude each other, so that millions of studies are checked by look-ups.
"""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Bool, Int

from data_gen.entities.bank import EntityBank
from data_gen.entities.entity import Entity
from data_gen.entities.ontology import Ontology, ontology
from data_gen.entities.phantom import as_finding
from data_gen.phantom.chest_xray.findings import compatible

#: Class of what the ontology does not know: only its own concept excludes it.
_UNKNOWN = 0


@dataclasses.dataclass(frozen=True)
class Rules:
    """The rules for the entities of one bank.

    Attributes:
      group: equal for entities of which a study holds one at most: a concept, present or absent,
        and a place with its side.
      kind: class of an entity, an index into ``excludes``.
      excludes: symmetric; True for classes that cannot stand in one study.
      positive: entities that are present.
    """

    group: Int[np.ndarray, " e"]
    kind: Int[np.ndarray, " e"]
    excludes: Bool[np.ndarray, "c c"]
    positive: Bool[np.ndarray, " e"]

    def conflict(
        self, a: Int[np.ndarray, "..."], b: Int[np.ndarray, "..."]
    ) -> Bool[np.ndarray, "..."]:
        """Whether entities ``a`` and ``b`` (indices into the bank) exclude each other."""
        return (self.group[a] == self.group[b]) | self.excludes[self.kind[a], self.kind[b]]


def rules_of(bank: EntityBank, words: Ontology | None = None) -> Rules:
    """The rules for a bank.

    Two entities exclude each other where they are the same concept; where one is denied and the
    other's picture shows it, on the same side; where the ontology says that they contradict; where
    the phantom cannot draw both; and where a place is named beside a disease that fills its organ
    without lying in that place.
    """
    words = words or ontology()
    groups: dict[tuple[object, ...], int] = {}
    kinds: dict[tuple[object, ...], int] = {(): _UNKNOWN}
    examples: list[Entity | None] = [None]
    group = np.empty(len(bank), np.int32)
    kind = np.zeros(len(bank), np.int32)
    for i, entity in enumerate(bank):
        group[i] = groups.setdefault(_group(entity), len(groups))
        if entity.canonical in words.concepts:
            key = _kind(entity)
            if key not in kinds:
                kinds[key] = len(examples)
                examples.append(entity)
            kind[i] = kinds[key]
    positive = np.array([e.positive for e in bank], bool)
    return Rules(group, kind, _table(examples, words), positive)


def _group(entity: Entity) -> tuple[object, ...]:
    if not entity.is_anatomy:
        return (entity.canonical,)
    return (entity.canonical, entity.side, *sorted(entity.attributes.items()))


def _kind(entity: Entity) -> tuple[object, ...]:
    drawn = entity.positive and entity.finding
    return (
        "P" if entity.positive else "A" if entity.is_anatomy else "N",
        entity.canonical,
        entity.side,
        *((entity.zone, entity.severity) if drawn or entity.is_anatomy else ()),
        entity.severity == "severe",
    )


def _table(examples: list[Entity | None], words: Ontology) -> Bool[np.ndarray, "c c"]:
    table = np.zeros((len(examples), len(examples)), bool)
    known = [(i, e) for i, e in enumerate(examples) if e is not None]
    present = [(i, e) for i, e in known if e.positive]
    places = [(i, e) for i, e in known if e.is_anatomy]
    absent: dict[str, list[tuple[int, Entity]]] = {}
    for i, e in known:
        if e.negative:
            absent.setdefault(e.canonical, []).append((i, e))
    for i, p in present:
        for name in words.implied[p.canonical]:
            for j, n in absent.get(name, ()):
                table[i, j] |= sides_meet(p.side, n.side)
        for j, a in places:
            table[i, j] |= _fills(p, a, words)
    for (i, p), (j, q) in itertools.combinations(present, 2):
        a, b = words.concepts[p.canonical], words.concepts[q.canonical]
        if b.name in a.contradicts or a.name in b.contradicts:
            table[i, j] = True
        elif p.finding and q.finding:
            table[i, j] = not compatible(as_finding(p), as_finding(q))
    return table | table.T


def sides_meet(a: str, b: str) -> bool:
    """Whether two sides overlap; none named is any."""
    return not a or not b or a == b or "bilateral" in (a, b)


def _fills(present: Entity, place: Entity, words: Ontology) -> bool:
    """Whether something wide fills the organ of a place without lying in that place."""
    wide = present.zone == "diffuse" or present.severity == "severe"
    if not wide or words.located(present.canonical, place.canonical):
        return False
    organs = (words.concepts[present.canonical].organ, words.concepts[place.canonical].organ)
    return organs[0] == organs[1] and sides_meet(present.side, place.side)
