"""What a synthetic CT slice can show: the words, and which of them a slice can be judged for.

Everything here is plain Python data. The report grammar and the renderer read the same
structures, so a sentence and its picture cannot disagree. "Left" and "right" are the patient's
sides: the patient's right is at the image's left, as slices are seen from the feet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

NO_FINDING = "no finding"
INTRACRANIAL_HEMORRHAGE = "intracranial hemorrhage"

HEMORRHAGES = (
    "intraparenchymal hemorrhage",
    "subdural hematoma",
    "epidural hematoma",
    "subarachnoid hemorrhage",
)

FINDING_NAMES: tuple[str, ...] = (
    "liver lesion",
    "gallstone",
    "kidney stone",
    "renal cyst",
    "renal mass",
    "hydronephrosis",
    "ascites",
    "aortic aneurysm",
    "lung nodule",
    "airspace opacity",
    "ground-glass opacity",
    "emphysema",
    "pleural effusion",
    "pneumothorax",
    "pericardial effusion",
    "pulmonary embolism",
    *HEMORRHAGES,
    "infarct",
    "hydrocephalus",
    "midline shift",
)
"""Names a :class:`Finding` may have."""

LABEL_NAMES: tuple[str, ...] = (*FINDING_NAMES, INTRACRANIAL_HEMORRHAGE, NO_FINDING)

SEVERITIES = ("mild", "moderate", "severe")

#: Region -> its levels, from the top down.
LEVELS: Mapping[str, tuple[str, ...]] = {
    "abdomen": ("liver", "kidneys"),
    "chest": ("carina", "heart"),
    "head": ("centrum semiovale", "ventricular bodies", "basal ganglia"),
}

#: Window -> (width, level) in HU, which each picture varies a little.
WINDOWS: Mapping[str, tuple[float, float]] = {
    "soft tissue": (400.0, 40.0),
    "liver": (220.0, 80.0),
    "lung": (1500.0, -600.0),
    "mediastinal": (370.0, 40.0),
    "brain": (85.0, 38.0),
    "subdural": (190.0, 65.0),
}

MAX_FINDINGS = 6
"""Most findings that one slice may show."""

Value = str | float


@dataclass(frozen=True)
class Finding:
    """One abnormality.

    Attributes:
      name: one of :data:`FINDING_NAMES`, at most once in a study.
      side: ``"left"``, ``"right"``, ``"bilateral"`` or ``""`` (midline or not applicable); of a
        midline shift, the side that it goes to.
      place: where in the organ, in words ("upper lobe", "renal pelvis"), or ``""``.
      severity: ``"mild"``, ``"moderate"`` or ``"severe"``.
      attributes: what else a report may say (words, and numbers that end in ``_mm``) and the
        geometry that the renderer needs.
    """

    name: str
    side: str
    place: str
    severity: str
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """One patient, one slice, and what is wrong. All fields are JSON-able.

    Attributes:
      seed, index: where the study came from; all its randomness is a function of the two.
      findings: at most :data:`MAX_FINDINGS`, each name once.
      view: ``"axial"``.
      region: ``"abdomen"``, ``"chest"`` or ``"head"``.
      level: which slice of it, as in :data:`LEVELS`.
      phase: ``"non-contrast"``, ``"arterial"`` or ``"portal venous"``.
      window: a key of :data:`WINDOWS`.
      sex, age: ``"female"`` or ``"male"``, years.
      habitus: ``"thin"``, ``"average"``, ``"large"`` or ``"obese"``.
      anatomy: numbers of the patient's build, drawn independently of the findings.
      acquisition: numbers of scanner and picture, drawn independently of the findings.
    """

    seed: int
    index: int
    findings: tuple[Finding, ...]
    view: Literal["axial"]
    region: str
    level: str
    phase: str
    window: str
    sex: str
    age: float
    habitus: str
    anatomy: Mapping[str, float] = field(default_factory=dict)
    acquisition: Mapping[str, float] = field(default_factory=dict)

    def labels(self) -> dict[str, int]:
        """Labels of what this slice can be judged for: 1 positive, 0 negative.

        What lies in another region, at another level, or is not to be told in this window and
        phase has no label at all.
        """
        present = {f.name for f in self.findings}
        labels = {name: int(name in present) for name in judged(self)}
        if self.region == "head":
            labels[INTRACRANIAL_HEMORRHAGE] = int(bool(present & set(HEMORRHAGES)))
        labels[NO_FINDING] = int(not present)
        return labels


_LUNGS = ("lung nodule", "airspace opacity", "pleural effusion")


def judged(study: Study) -> tuple[str, ...]:
    """The findings that can be seen, or seen to be absent, in a slice like this one."""
    return judged_in(study.region, study.level, study.phase, study.window)


def judged_in(region: str, level: str, phase: str, window: str) -> tuple[str, ...]:
    """As :func:`judged`, of the words that decide it."""
    if region == "abdomen":
        names = ("liver lesion", "ascites")
        if level == "kidneys":
            names += ("gallstone", "renal cyst", "hydronephrosis", "aortic aneurysm")
            # Without contrast a solid mass may be isodense; with it a stone may be hidden.
            names += ("kidney stone",) if phase == "non-contrast" else ("renal mass",)
        return names
    if region == "chest":
        if window == "lung":
            return (*_LUNGS, "ground-glass opacity", "emphysema", "pneumothorax")
        if level == "heart":
            return (*_LUNGS, "pericardial effusion")
        return _LUNGS if phase == "non-contrast" else (*_LUNGS, "pulmonary embolism")
    names = (*HEMORRHAGES, "infarct")
    # Above the ventricles there is little in the middle that could be wide or displaced.
    return names if level == "centrum semiovale" else (*names, "hydrocephalus", "midline shift")


_LUNG_FIELD = frozenset(
    {"lung nodule", "airspace opacity", "ground-glass opacity", "pneumothorax", "pleural effusion"}
)
_EXCLUSIVE = frozenset(
    {
        frozenset({"pneumothorax", "airspace opacity"}),
        frozenset({"pneumothorax", "ground-glass opacity"}),
        frozenset({"airspace opacity", "ground-glass opacity"}),
        frozenset({"emphysema", "ground-glass opacity"}),
        frozenset({"emphysema", "airspace opacity"}),
        frozenset({"subdural hematoma", "epidural hematoma"}),
        frozenset({"hydrocephalus", "midline shift"}),
        frozenset({"hydrocephalus", "infarct"}),
        frozenset({"subarachnoid hemorrhage", "infarct"}),
        frozenset({"hydronephrosis", "kidney stone"}),
        frozenset({"renal cyst", "renal mass"}),
        frozenset({"aortic aneurysm", "hydronephrosis"}),
    }
)
_KIDNEY = frozenset({"renal cyst", "renal mass", "hydronephrosis", "kidney stone"})
_BRAIN = frozenset({"intraparenchymal hemorrhage", "infarct"})
_EXTRA_AXIAL = frozenset({"subdural hematoma", "epidural hematoma"})


def same_side(a: Finding, b: Finding) -> bool:
    """True if the two share a side (``bilateral`` shares with both, ``""`` with none)."""
    if not a.side or not b.side:
        return False
    return a.side == b.side or "bilateral" in (a.side, b.side)


def compatible(a: Finding, b: Finding) -> bool:
    """True if both can be seen, and be true, in one slice."""
    pair = frozenset({a.name, b.name})
    if len(pair) == 1 or pair in _EXCLUSIVE:
        return False
    if "midline shift" in pair:
        other = b if a.name == "midline shift" else a
        shift = a if a.name == "midline shift" else b
        # A mass pushes the midline away from itself; blood in the cisterns pushes nothing.
        return other.name == "subarachnoid hemorrhage" or (
            other.side in ("left", "right") and other.side != shift.side
        )
    if not same_side(a, b):
        return True
    crowded = (_LUNG_FIELD, _KIDNEY, _BRAIN)
    if any(pair <= group for group in crowded):
        return False
    return not (pair & _EXTRA_AXIAL and pair & {"infarct", "subarachnoid hemorrhage"})
