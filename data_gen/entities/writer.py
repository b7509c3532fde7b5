"""Reports from entities by a grammar: every entity is said once, and nothing else is.

FINDINGS states what is present organ by organ, with the places that fit it; names the other places
as normal; and denies what is absent. IMPRESSION sums up what is present, the gravest first.
"""

import dataclasses
from collections.abc import Sequence

from data_gen.entities.entity import Entity
from data_gen.entities.ontology import Concept, Ontology, ontology
from data_gen.entities.rules import sides_meet
from data_gen.phantom.chest_xray.findings import SEVERITIES
from data_gen.phantom.grammar import Chooser, listing, sentence

_ORDERS = tuple(
    tuple(order.split(", "))
    for order in (
        "devices, lung, pleura, heart, mediastinum, diaphragm, abdomen, bones, soft tissue, ",
        "heart, mediastinum, lung, pleura, diaphragm, bones, soft tissue, abdomen, devices, ",
        "lung, pleura, heart, mediastinum, bones, soft tissue, diaphragm, abdomen, devices, ",
    )
)
_PRESENT = (
    "There {is} {a} {x}",
    "{a} {x} {is} seen",
    "{a} {x} {is} present",
    "{a} {x} {is} noted",
    "{a} {x} {is} identified",
    "{a} {x} {is} demonstrated",
    "The film shows {a} {x}",
    "{x}",
)
_PLACED = (
    "{a} {x} {is} seen, involving the {place}",
    "There {is} {a} {x}, involving the {place}",
    "{a} {x} {is} noted, with involvement of the {place}",
    "{a} {x} {is} present, extending to the {place}",
    "{a} {x} {is} identified in relation to the {place}",
)
_NORMAL = (
    "The {place} {is} unremarkable",
    "The {place} {appear} unremarkable",
    "The {place} {appear} normal",
    "The {place} {is} within normal limits",
    "No abnormality of the {place}",
    "The {place} {is} of normal appearance",
)
_OTHERWISE = (
    "The {place} {is} otherwise unremarkable",
    "The {place} {appear} otherwise normal",
    "No other abnormality of the {place}",
)
_DENIED = (
    "There is no {x}",
    "No {x}",
    "No {x} is seen",
    "No {x} is identified",
    "There is no evidence of {x}",
    "There is no sign of {x}",
    "The study is negative for {x}",
)
_NOTHING = (
    "No acute cardiopulmonary abnormality",
    "No acute cardiopulmonary disease",
    "No acute intrathoracic process",
    "Normal chest radiograph",
)
#: A study of which nothing is asked.
_HEALTHY = (
    ("The lungs are clear", "Both lungs are clear"),
    ("There is no pleural effusion or pneumothorax", "The pleural spaces are clear"),
    ("The heart is normal in size", "The cardiac silhouette is normal"),
    ("The mediastinal contours are normal", "The bones are intact"),
)
_FINE = ("No other acute abnormality", "No acute cardiopulmonary abnormality otherwise")


@dataclasses.dataclass(frozen=True)
class EntityReport:
    """The two sections."""

    findings: str
    impression: str


def write_entities(
    entities: Sequence[Entity],
    key: str,
    words: Ontology | None = None,
    repeat_all: bool = False,
) -> EntityReport:
    """A report of ``entities``; equal arguments give equal words.

    Args:
      entities: of one study, without contradictions.
      key: of the choices of words and order.
      words: the ontology, which knows organs, articles and places.
      repeat_all: IMPRESSION names every entity again, as the paper wants it.
    """
    writer = _Writer(entities, Chooser(f"entities {key}"), words or ontology())
    return EntityReport(writer.findings(), writer.impression(repeat_all))


class _Writer:
    def __init__(self, entities: Sequence[Entity], chooser: Chooser, words: Ontology) -> None:
        self.chooser, self.words = chooser, words
        self.present = [e for e in entities if e.positive]
        self.absent = chooser.shuffled([e for e in entities if e.negative])
        self.places = chooser.shuffled([e for e in entities if e.is_anatomy])

    def findings(self) -> str:
        chooser = self.chooser
        places = list(self.places)
        said: dict[str, list[str]] = {}
        present = chooser.shuffled(self.present)
        if chooser.chance(0.6):
            present.sort(key=_gravity)
        for entity in present:
            fits = [p for p in places if self._lies(entity, p)]
            if fits:
                places.remove(fits[0])
                text = self._say(entity, chooser.pick(_PLACED), fits[0].text)
            else:
                text = self._say(entity, chooser.pick(_PRESENT), "")
            said.setdefault(self._organ(entity), []).append(text)
        for place in places:
            touched = any(self._touches(e, place) for e in self.present)
            form = chooser.pick(_OTHERWISE if touched else _NORMAL)
            said.setdefault(self._organ(place), []).append(_fill(form, place.text))
        order = list(chooser.pick(_ORDERS))
        if chooser.chance(0.35):  # what is abnormal first
            abnormal = {self._organ(e) for e in self.present}
            order.sort(key=lambda organ: organ not in abnormal)
        denials = self._denials()
        if chooser.chance(0.4):  # each denial with its organ
            for organ, text in denials:
                said.setdefault(organ, []).append(text)
            denials = []
        parts = [text for organ in order for text in said.get(organ, ())]
        parts += [text for _, text in denials]
        if not parts:
            parts = [chooser.pick(alternatives) for alternatives in _HEALTHY]
        return " ".join(sentence(part) for part in parts)

    def impression(self, repeat_all: bool) -> str:
        chooser = self.chooser
        nouns = [e.text for e in sorted(chooser.shuffled(self.present), key=_gravity)]
        if not nouns:
            parts = [chooser.pick(_NOTHING)]
        elif len(nouns) == 2 and chooser.chance(0.4):
            parts = [f"{nouns[0]} and {nouns[1]}"]
        elif len(nouns) > 2 and chooser.chance(0.3):
            parts = [listing(nouns, "and")]
        else:
            parts = list(nouns)
        if repeat_all:
            parts += [f"No {listing(some, 'or')}" for some in _cut([e.text for e in self.absent])]
            parts += [_fill(chooser.pick(_OTHERWISE), p.text) for p in self.places]
        elif nouns and all(self._organ(e) == "devices" for e in self.present):
            parts.append(chooser.pick(_FINE))
        lines = [sentence(part) for part in parts]
        if len(lines) > 1 and chooser.chance(0.35):
            lines = [f"{i}. {line}" for i, line in enumerate(lines, 1)]
            return chooser.pick(("\n", " ")).join(lines)
        return " ".join(lines)

    def _denials(self) -> list[tuple[str, str]]:
        """(organ of the first, sentence): the absent things, a few a sentence."""
        chooser, out = self.chooser, []
        absent = (
            sorted(self.absent, key=lambda e: self._organ(e))
            if chooser.chance(0.5)
            else (list(self.absent))
        )
        while absent:
            count = chooser.pick((1, 2, 2, 3, 3, 4))
            some, absent = absent[:count], absent[count:]
            names = [e.text for e in some]
            text = chooser.pick(_DENIED).replace("{x}", listing(names, "or"))
            if len(names) == 1 and chooser.chance(0.15):
                plural = self._plural(some[0])
                text = f"{names[0]} {'are' if plural else 'is'} not {chooser.pick(_SEEN)}"
            elif len(names) == 2 and chooser.chance(0.2):
                text = f"Neither {names[0]} nor {names[1]} is {chooser.pick(_SEEN)}"
            out.append((self._organ(some[0]), text))
        return out

    def _say(self, entity: Entity, form: str, place: str) -> str:
        plural = self._plural(entity)
        article = "" if plural or not self._counts(entity) else "a"
        text = form.replace("{x}", entity.text).replace("{place}", place)
        return text.replace("{is}", "are" if plural else "is").replace(
            "{a} ", f"{article} ".lstrip()
        )

    def _concept(self, entity: Entity) -> Concept | None:
        return self.words.concepts.get(entity.canonical)

    def _organ(self, entity: Entity) -> str:
        concept = self._concept(entity)
        return concept.organ if concept else ""

    def _counts(self, entity: Entity) -> bool:
        concept = self._concept(entity)
        return bool(concept and concept.count) or " heart" in entity.text

    def _plural(self, entity: Entity) -> bool:
        head = entity.text
        for link in (" of ", " in ", " with ", " at ", " terminating ", " throughout "):
            head = head.partition(link)[0]
        return _is_plural(head.split()[-1])

    def _lies(self, entity: Entity, place: Entity) -> bool:
        """Whether something may be said to involve a place."""
        concept = self._concept(entity)
        if concept is None or self._concept(place) is None:
            return False
        if not self.words.located(entity.canonical, place.canonical):
            return False
        if not sides_meet(entity.side, place.side) or not _zones_meet(entity.zone, place.zone):
            return False
        numbers = place.attributes.get("rib"), entity.attributes.get("rib")
        return numbers[0] == numbers[1] or "rib" not in concept.anatomy

    def _touches(self, entity: Entity, place: Entity) -> bool:
        """Whether a place is near enough to something that it cannot be called normal."""
        organs = {self._organ(entity), self._organ(place)}
        near = len(organs) == 1 or organs <= {"lung", "pleura", "diaphragm"}
        near = near or self.words.located(entity.canonical, place.canonical)
        return near and sides_meet(entity.side, place.side)


_SEEN = ("seen", "identified", "present", "demonstrated", "evident")
_LOW = {"lower", "basal", "retrocardiac"}
_HIGH = {"upper", "apical"}


def _zones_meet(a: str, b: str) -> bool:
    if not a or not b or a == b or "diffuse" in (a, b):
        return True
    return {a, b} <= _LOW or {a, b} <= _HIGH


def _is_plural(word: str) -> bool:
    known = {"apices", "hila", "sulci", "axillae", "bullae", "metastases", "bronchi", "vertebrae"}
    return word in known or (word.endswith("s") and not word.endswith(("ss", "is", "us", "as")))


def _fill(form: str, place: str) -> str:
    head = place.partition(" of ")[0]
    plural = place.startswith("both ") or _is_plural(head.split()[-1])
    text = form.replace("The {place}", place) if place.startswith("both ") else form
    text = text.replace("the {place}", place) if place.startswith("both ") else text
    text = text.replace("{place}", place).replace("{is}", "are" if plural else "is")
    return text.replace("{appear}", "appear" if plural else "appears")


def _gravity(entity: Entity) -> float:
    grade = SEVERITIES.index(entity.severity) if entity.severity in SEVERITIES else 0.5
    return -grade if entity.finding != "support devices" else 2.0


def _cut(names: list[str]) -> list[list[str]]:
    return [names[i : i + 3] for i in range(0, len(names), 3)]
