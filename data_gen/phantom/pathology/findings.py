"""What a slide can show, and how a study of one is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from data_gen.phantom.colour.finding import SEVERITIES, Finding

__all__ = ["FINDING_NAMES", "LABEL_NAMES", "SEVERITIES", "Finding", "Study", "compatible"]

NO_FINDING = "no finding"

Specimen = Literal["colon", "breast", "lymph node", "blood"]
SPECIMENS: tuple[Specimen, ...] = ("colon", "breast", "lymph node", "blood")

TUMOURS: Mapping[str, str] = {
    "colon": "colon adenocarcinoma",
    "breast": "invasive breast carcinoma",
    "lymph node": "lymph node metastasis",
}
"""Tissue -> the tumour that it may show."""

JUDGED: Mapping[str, tuple[str, ...]] = {
    "colon": (TUMOURS["colon"], "inflammation", "necrosis", "mitotic figures"),
    "breast": (TUMOURS["breast"], "inflammation", "necrosis", "mitotic figures"),
    "lymph node": (TUMOURS["lymph node"], "necrosis", "mitotic figures"),
    "blood": ("malaria parasites", "blasts", "sickle cells", "thrombocytosis"),
}
"""Specimen -> the findings that it may show; its labels judge these alone."""

FINDING_NAMES = tuple(dict.fromkeys(name for names in JUDGED.values() for name in names))
LABEL_NAMES = (*FINDING_NAMES, NO_FINDING)
MAX_FINDINGS = 4


@dataclass(frozen=True)
class Study:
    """One slide, one field of it, and what is wrong. All fields are JSON-able.

    Attributes:
      seed, index: where the study came from; all its randomness is a function of the two.
      findings: at most :data:`MAX_FINDINGS`, each name once, all of :data:`JUDGED`.
      view: the stain, ``"H&E"`` or ``"Giemsa"`` (of blood).
      specimen: one of :data:`SPECIMENS`.
      anatomy: numbers of the tissue, drawn independently of the findings.
      acquisition: numbers of stain and scanner, drawn independently of the findings.
    """

    seed: int
    index: int
    findings: tuple[Finding, ...]
    view: str
    specimen: Specimen
    anatomy: Mapping[str, float] = field(default_factory=dict)
    acquisition: Mapping[str, float] = field(default_factory=dict)

    def labels(self) -> dict[str, int]:
        """Labels by name, 1 or 0; which names depends on the specimen."""
        present = {f.name for f in self.findings}
        labels = {name: int(name in present) for name in JUDGED[self.specimen]}
        labels[NO_FINDING] = int(not present)
        return labels


def compatible(a: Finding, b: Finding) -> bool:
    """True if one slide shows both."""
    names = {a.name, b.name}
    return len(names) == 2 and any(names <= set(judged) for judged in JUDGED.values())
