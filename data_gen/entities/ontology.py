"""The ontology that ships with the package: concepts of chest radiographs and their words.

The concepts stand in ``ontology/*.json``, written for this package from general radiological
knowledge; they are a working vocabulary, not a clinical standard.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from data_gen.entities.entity import EntityType, Value
from data_gen.phantom.chest_xray.findings import NO_FINDING, SUPPORT_DEVICES
from medvlp_jax.core.errors import UserError

FOLDER = pathlib.Path(__file__).parent / "ontology"
SCALES = "scales.json"
#: Shown by whatever is present, devices apart: it can only be denied in a normal study.
GENERAL = "acute cardiopulmonary disease"


@dataclasses.dataclass(frozen=True)
class Form:
    """One wording of a concept; ``attributes`` are what it fixes of the phantom's finding."""

    text: str
    attributes: Mapping[str, Value] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Concept:
    """A thing that a report may name.

    Attributes:
      name: canonical name.
      type: ``ABNORMALITY``, ``DISEASE`` or ``ANATOMY``.
      organ: the part of the body, by which reports are ordered.
      forms: noun phrases that a report may use, the canonical name first.
      patterns: more word sequences that mean the concept; recognised, not written.
      normal: statements that deny it ("lungs clear" denies an opacity).
      anatomy: concepts, or their parents, in which it may lie.
      shows: what may be seen where it is present, so that it must not be denied beside it.
      contradicts: what cannot be present with it.
      finding: the phantom's finding that draws it, or empty.
      label: the label of data sets that it is a case of; ``finding`` where that is given.
      attributes: of the phantom's finding, for all forms.
      tips: values of the attribute ``tip`` -> words that follow a device.
      sides: sides that it may have; empty where a side makes no sense.
      zone: of an anatomy, as in :data:`data_gen.phantom.chest_xray.findings.ZONES`.
      fixed: the side that an anatomy has without saying so.
      parent: a more general anatomy.
      parts: name of the list of words by which an anatomy is divided.
      numbered: the word after an ordinal ("rib"), where places are counted.
      scale: the list of severity words that grade it, or empty.
      count: its nouns take an article.
      plural: its canonical name is a plural.
      common: 1 (rare) to 5 (on every second report); a rough judgement of ours.
      varies: the phantom's patients differ in it, findings or not, so it is not denied of them.
    """

    name: str
    type: EntityType
    organ: str
    forms: tuple[Form, ...]
    patterns: tuple[str, ...] = ()
    normal: tuple[str, ...] = ()
    anatomy: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    contradicts: tuple[str, ...] = ()
    finding: str = ""
    label: str = ""
    attributes: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    tips: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    sides: tuple[str, ...] = ()
    zone: str = ""
    fixed: str = ""
    parent: str = ""
    parts: str = ""
    numbered: str = ""
    scale: str = ""
    count: bool = False
    plural: bool = False
    common: int = 2
    varies: bool = False

    @property
    def places(self) -> tuple[str, ...]:
        """Its own name and its parent's, as ``anatomy`` of other concepts refers to it."""
        return (self.name, self.parent) if self.parent else (self.name,)


@dataclasses.dataclass(frozen=True)
class Ontology:
    """All concepts, and the words that they share.

    Attributes:
      concepts: by canonical name.
      scales: name -> severity (``mild``, ``moderate``, ``severe``) -> words.
      parts: name -> words before an anatomy.
      no_finding: the label of a study in which nothing is wrong.
      incidental: labels of what does not spoil it (devices), as in the phantom's labels.
    """

    concepts: Mapping[str, Concept]
    scales: Mapping[str, Mapping[str, tuple[str, ...]]]
    parts: Mapping[str, tuple[str, ...]]
    no_finding: str = NO_FINDING
    incidental: frozenset[str] = frozenset({SUPPORT_DEVICES})

    @property
    def surface_forms(self) -> int:
        """Number of wordings that stand in the files."""
        return sum(len(c.forms) + len(c.patterns) + len(c.normal) for c in self.concepts.values())

    @functools.cached_property
    def implied(self) -> Mapping[str, frozenset[str]]:
        """Concept -> itself, what it shows, and for a disease or abnormality :data:`GENERAL`.

        Not transitive: an effusion may come from a failing heart without showing an edema.
        """
        return {
            name: frozenset(
                {name, *c.shows}
                | ({GENERAL} if c.type != "ANATOMY" and c.organ != "devices" else set())
            )
            for name, c in self.concepts.items()
        }

    def located(self, concept: str, place: str) -> bool:
        """Whether ``concept`` may lie in the anatomy ``place``; True for what is not known."""
        thing, where = self.concepts.get(concept), self.concepts.get(place)
        if thing is None or where is None:
            return True
        return any(p in thing.anatomy for p in where.places)


@functools.lru_cache(maxsize=1)
def ontology() -> Ontology:
    """The ontology of the package, read once per process."""
    return load(FOLDER)


def load(folder: pathlib.Path) -> Ontology:
    """Reads the JSON files of a folder.

    Raises:
      UserError: a file cannot be read, a key is unknown, a concept or a wording occurs twice, or a
        concept refers to one that is not there.
    """
    concepts: dict[str, Concept] = {}
    scales: dict[str, Any] = {}
    parts: dict[str, tuple[str, ...]] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read: {error}") from error
        if path.name == SCALES:
            scales = {
                name: {grade: tuple(words) for grade, words in grades.items()}
                for name, grades in content.items()
            }
            continue
        parts |= {name: tuple(words) for name, words in content.get("parts", {}).items()}
        kind = "ANATOMY" if path.stem == "anatomy" else ""
        for entry in content["concepts"]:
            concept = _concept(entry, content["organ"], kind, path)
            if concept.name in concepts:
                raise UserError(f"{path}: the concept {concept.name!r} occurs twice")
            concepts[concept.name] = concept
    _check(concepts, scales, parts, folder)
    return Ontology(concepts, scales, parts)


_FIELDS = {f.name for f in dataclasses.fields(Concept)} - {"forms"}


def _concept(entry: dict[str, Any], organ: str, kind: str, path: pathlib.Path) -> Concept:
    given = {"organ": organ, "type": kind, **entry}
    unknown = sorted(set(given) - _FIELDS - {"synonyms"})
    if unknown:
        raise UserError(f"{path}: {entry.get('name')!r} has the unknown key {unknown[0]!r}")
    texts = [given["name"], *given.pop("synonyms", [])]
    common = given.get("attributes", {})
    forms = tuple(
        Form(t, common) if isinstance(t, str) else Form(t["text"], common | t["attributes"])
        for t in texts
    )
    given["label"] = given.get("label") or given.get("finding", "")
    given["tips"] = {tip: tuple(words) for tip, words in given.get("tips", {}).items()}
    lists = {k: tuple(v) for k, v in given.items() if isinstance(v, list)}
    return Concept(**{**given, **lists, "forms": forms})


def _check(
    concepts: Mapping[str, Concept],
    scales: Mapping[str, Any],
    parts: Mapping[str, Any],
    folder: pathlib.Path,
) -> None:
    places = {place for c in concepts.values() if c.type == "ANATOMY" for place in c.places}
    owner: dict[str, str] = {}
    for concept in concepts.values():
        for key in ("shows", "contradicts"):
            for name in getattr(concept, key):
                if name not in concepts:
                    raise UserError(f"{folder}: {concept.name!r} {key} {name!r}, no concept")
        for name in concept.anatomy:
            if name not in places:
                raise UserError(f"{folder}: {concept.name!r} lies in {name!r}, no anatomy")
        for key, known in (("scale", scales), ("parts", parts)):
            if getattr(concept, key) and getattr(concept, key) not in known:
                raise UserError(f"{folder}: {concept.name!r} has an unknown {key}")
        words = [f.text for f in concept.forms] + [*concept.patterns, *concept.normal]
        for text in words:
            if owner.setdefault(text, concept.name) != concept.name or words.count(text) > 1:
                raise UserError(
                    f"{folder}: {text!r} stands twice, for {owner[text]!r} and {concept.name!r}"
                )
