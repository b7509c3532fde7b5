"""The entity: one thing that a report names as present, names as absent, or names as a place.

The five types are those of RaTE-NER (Zhao et al. 2024, arXiv:2406.16845), from which SynCXR builds
its bank (Liu et al. 2025, ACL Findings): ``NON-`` marks what a report states to be absent.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

EntityType = Literal["ABNORMALITY", "NON-ABNORMALITY", "DISEASE", "NON-DISEASE", "ANATOMY"]
TYPES: tuple[EntityType, ...] = (
    "ABNORMALITY",
    "NON-ABNORMALITY",
    "DISEASE",
    "NON-DISEASE",
    "ANATOMY",
)
NON_ANATOMY = TYPES[:4]
Value = str | float


@dataclasses.dataclass(frozen=True)
class Entity:
    """One entry of a bank.

    Attributes:
      text: the words of a report in lower case, without the word that negates them.
      type: one of :data:`TYPES`.
      canonical: the concept; equal for synonyms, whatever their side and severity.
      count: how often a corpus names it.
      side: ``left``, ``right``, ``bilateral``, or empty.
      zone, severity: as in :class:`data_gen.phantom.chest_xray.findings.Finding`; empty where
        nothing is said.
      finding: the phantom's finding that shows it (one of
        :data:`data_gen.phantom.chest_xray.findings.FINDING_NAMES`), empty where it draws none.
      attributes: those of the phantom's finding that the words fix (lobe, size_mm, device, ...).
    """

    text: str
    type: EntityType
    canonical: str
    count: int = 1
    side: str = ""
    zone: str = ""
    severity: str = ""
    finding: str = ""
    attributes: Mapping[str, Value] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.type not in TYPES:
            raise ValueError(f"entity {self.text!r}: type {self.type!r} must be one of {TYPES}")
        if not self.text.strip() or not self.canonical:
            raise ValueError(f"entity {self.text!r} needs words and a canonical name")
        if self.count < 1:
            raise ValueError(f"entity {self.text!r}: count={self.count} must be at least 1")

    @property
    def is_anatomy(self) -> bool:
        """Whether it is a place."""
        return self.type == "ANATOMY"

    @property
    def positive(self) -> bool:
        """Whether it is stated as present."""
        return self.type in ("ABNORMALITY", "DISEASE")

    @property
    def negative(self) -> bool:
        """Whether it is stated as absent."""
        return self.type.startswith("NON-")


@dataclasses.dataclass(frozen=True)
class Mention:
    """Where a text names an entity.

    Attributes:
      text: the words as they stand, with side and severity before them, in lower case.
      type: one of :data:`TYPES`; a denied one is ``NON-``.
      canonical: of the concept, or the normalised words where no lexicon knows them.
      start, end: of the words in the text, in characters.
      hedged: the text is not sure of it.
      side: ``left``, ``right``, ``bilateral``, or empty where the text names none.
      label: the phantom's finding, a label of data sets, that the concept is a case of; or empty.
    """

    text: str
    type: EntityType
    canonical: str
    start: int
    end: int
    hedged: bool = False
    side: str = ""
    label: str = ""

    @property
    def is_anatomy(self) -> bool:
        """Whether it is a place."""
        return self.type == "ANATOMY"

    @property
    def positive(self) -> bool:
        """Whether it is stated as present, or as possible."""
        return self.type in ("ABNORMALITY", "DISEASE")

    @property
    def negative(self) -> bool:
        """Whether it is stated as absent."""
        return self.type.startswith("NON-")


_NEGATED: dict[EntityType, EntityType] = {
    "ABNORMALITY": "NON-ABNORMALITY",
    "DISEASE": "NON-DISEASE",
}
_STATED: dict[EntityType, EntityType] = {there: kind for kind, there in _NEGATED.items()}


def negated(kind: EntityType) -> EntityType:
    """The type of the same thing stated as absent; a place stays a place."""
    return _NEGATED.get(kind, kind)


def stated(kind: EntityType) -> EntityType:
    """The type of the same thing stated as present; a place stays a place."""
    return _STATED.get(kind, kind)
