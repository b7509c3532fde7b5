"""What a synthetic study can show: the words, their plausible values, and what excludes what.

Everything here is plain Python data. The report grammar and the renderer read the same
structures, so a sentence and its picture cannot disagree. "Left" and "right" are the patient's
sides: the patient's right is at the image's left.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

NO_FINDING = "no finding"
SUPPORT_DEVICES = "support devices"

FINDING_NAMES: tuple[str, ...] = (
    "cardiomegaly",
    "pleural effusion",
    "pneumothorax",
    "consolidation",
    "pneumonia",
    "atelectasis",
    "edema",
    "nodule",
    "mass",
    "fracture",
    "emphysema",
    SUPPORT_DEVICES,
)
"""Names a :class:`Finding` may have; ``"no finding"`` is a label but never a finding."""

LABEL_NAMES: tuple[str, ...] = (*FINDING_NAMES, NO_FINDING)

SIDES = ("left", "right", "bilateral", "")
ZONES = (
    "upper",
    "mid",
    "lower",
    "apical",
    "basal",
    "perihilar",
    "diffuse",
    "retrocardiac",
    "",
)
SEVERITIES = ("mild", "moderate", "severe")

MAX_FINDINGS = 10
"""Most findings, support devices included, that one study may have."""

Value = str | float


@dataclass(frozen=True)
class Finding:
    """One abnormality or device.

    Attributes:
      name: one of :data:`FINDING_NAMES`.
      side: ``"left"``, ``"right"``, ``"bilateral"`` or ``""`` (midline or not applicable).
      zone: one of :data:`ZONES`.
      severity: ``"mild"``, ``"moderate"`` or ``"severe"``.
      attributes: what else a report may say (the string values and the ``*_mm`` and ``rib``
        numbers listed in :data:`SPECS`) and the geometry that the renderer needs (numbers).
    """

    name: str
    side: str
    zone: str
    severity: str
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """One patient, one exposure, and what is wrong. All fields are JSON-able.

    Attributes:
      seed, index: where the study came from; all its randomness is a function of the two.
      findings: at most :data:`MAX_FINDINGS`.
      view: ``"PA"`` (always erect) or ``"AP"``.
      position: ``"erect"`` or ``"supine"`` (AP only).
      sex: ``"female"`` or ``"male"``.
      age: years, 0.3 to 95.
      habitus: ``"thin"``, ``"average"``, ``"large"`` or ``"obese"``.
      rotation: degrees about the long axis, positive towards the patient's left, -12 to 12.
      inspiration: 0 (shallow, domes high) to 1 (deep).
      anatomy: numbers of the patient's build, drawn independently of the findings.
      acquisition: numbers of the exposure and of the film, drawn independently of the findings.
    """

    seed: int
    index: int
    findings: tuple[Finding, ...]
    view: Literal["PA", "AP"]
    position: Literal["erect", "supine"]
    sex: Literal["female", "male"]
    age: float
    habitus: Literal["thin", "average", "large", "obese"]
    rotation: float
    inspiration: float
    anatomy: Mapping[str, float] = field(default_factory=dict)
    acquisition: Mapping[str, float] = field(default_factory=dict)

    def labels(self) -> dict[str, int]:
        """Labels by name: 1 positive, 0 negative, -1 uncertain.

        A lobar pneumonia is a consolidation too, so both are 1. A consolidation that no one called
        pneumonia leaves ``pneumonia`` uncertain. Support devices do not spoil ``"no finding"``.
        """
        present = {f.name for f in self.findings}
        labels = {name: int(name in present) for name in FINDING_NAMES}
        lobar = any(
            f.name == "pneumonia" and f.attributes.get("pattern") == "lobar" for f in self.findings
        )
        if lobar:
            labels["consolidation"] = 1
        if "consolidation" in present and "pneumonia" not in present:
            labels["pneumonia"] = -1
        labels[NO_FINDING] = int(not present - {SUPPORT_DEVICES})
        return labels


@dataclass(frozen=True)
class Spec:
    """Plausible values of one finding.

    Attributes:
      sides, zones: those that occur; an empty string means that the word is not used.
      severities: those that occur.
      words: attribute name -> the strings it may take.
      numbers: attribute name -> (lowest, highest); millimetres where the name ends in ``_mm``.
    """

    sides: tuple[str, ...]
    zones: tuple[str, ...]
    severities: tuple[str, ...] = SEVERITIES
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: Mapping[str, tuple[float, float]] = field(default_factory=dict)


LOBES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "right": (
        ("right upper lobe", "upper"),
        ("right middle lobe", "mid"),
        ("right lower lobe", "lower"),
    ),
    "left": (
        ("left upper lobe", "upper"),
        ("lingula", "mid"),
        ("left lower lobe", "lower"),
        ("left lower lobe", "retrocardiac"),
    ),
}
"""Side -> (lobe, zone in which it is seen on a frontal view)."""

_ALL_LOBES = tuple(dict.fromkeys(lobe for side in LOBES.values() for lobe, _ in side))

DEVICES: tuple[str, ...] = (
    "endotracheal tube",
    "central line",
    "nasogastric tube",
    "chest drain",
    "pacemaker",
    "ecg leads",
    "sternal wires",
)

SPECS: Mapping[str, Spec] = {
    "cardiomegaly": Spec(sides=("",), zones=("",), numbers={"excess": (0.02, 0.18)}),
    "pleural effusion": Spec(
        sides=("left", "right", "bilateral"),
        zones=("basal",),
        words={"form": ("meniscus", "layering")},
    ),
    "pneumothorax": Spec(
        sides=("left", "right"), zones=("apical",), numbers={"width_mm": (8.0, 60.0)}
    ),
    "consolidation": Spec(
        sides=("left", "right"),
        zones=("upper", "mid", "lower", "retrocardiac"),
        words={"lobe": _ALL_LOBES, "air_bronchogram": ("yes", "no")},
    ),
    "pneumonia": Spec(
        sides=("left", "right", "bilateral"),
        zones=("upper", "mid", "lower", "perihilar", "diffuse"),
        words={"pattern": ("lobar", "bronchopneumonia", "interstitial"), "lobe": (*_ALL_LOBES, "")},
    ),
    "atelectasis": Spec(
        sides=("left", "right", "bilateral"),
        zones=("basal", "upper", "mid", "lower", "retrocardiac"),
        words={"pattern": ("plate-like", "lobar"), "lobe": (*_ALL_LOBES, "")},
    ),
    "edema": Spec(
        sides=("bilateral",),
        zones=("perihilar", "diffuse"),
        words={"pattern": ("interstitial", "alveolar"), "kerley_lines": ("yes", "no")},
    ),
    "nodule": Spec(
        sides=("left", "right"),
        zones=("upper", "mid", "lower"),
        words={"calcified": ("yes", "no")},
        numbers={"size_mm": (7.0, 29.0)},
    ),
    "mass": Spec(
        sides=("left", "right"),
        zones=("upper", "mid", "lower", "perihilar"),
        words={"margin": ("spiculated", "lobulated", "smooth")},
        numbers={"size_mm": (31.0, 75.0)},
    ),
    "fracture": Spec(
        sides=("left", "right"),
        zones=("upper", "mid", "lower"),
        words={"arc": ("posterior", "lateral"), "stage": ("acute", "healing")},
        numbers={"rib": (3.0, 9.0)},
    ),
    "emphysema": Spec(
        sides=("bilateral",),
        zones=("diffuse", "upper"),
        words={"bullae": ("yes", "no")},
    ),
    SUPPORT_DEVICES: Spec(
        sides=("left", "right", ""),
        zones=("",),
        severities=("mild",),
        words={
            "device": DEVICES,
            "route": ("jugular", "subclavian", "arm", ""),
            "tip": ("appropriate", "too high", "too low", ""),
        },
    ),
}
"""``excess`` is the cardiothoracic ratio over :func:`ctr_limit`.
Endotracheal tube, nasogastric tube, ecg leads and sternal wires have side ``""``; ``route`` is a
central line's, ``tip`` an endotracheal tube's (4 to 6 cm above the carina is appropriate), a
central line's (the superior vena cava) or a nasogastric tube's (below the diaphragm)."""

EXCLUSIVE: frozenset[frozenset[str]] = frozenset(
    {
        frozenset({"cardiomegaly", "emphysema"}),
        frozenset({"edema", "emphysema"}),
    }
)
"""Names that contradict each other in one picture wherever they are."""

SAME_SIDE_EXCLUSIVE: frozenset[frozenset[str]] = frozenset(
    {
        frozenset({"pleural effusion", "pneumothorax"}),
        frozenset({"pneumothorax", "mass"}),
        frozenset({"pneumothorax", "consolidation"}),
        frozenset({"pneumothorax", "pneumonia"}),
        frozenset({"consolidation", "pneumonia"}),
        frozenset({"consolidation", "mass"}),
        frozenset({"pneumonia", "mass"}),
    }
)
"""Names that would hide or contradict each other in one lung."""

_HIDES = {"consolidation", "pneumonia", "atelectasis", "mass", "pleural effusion"}
_HIDDEN = {"nodule", "mass", "consolidation", "atelectasis", "pneumonia"}
_LOW = {"lower", "basal", "retrocardiac", "diffuse"}


def same_side(a: Finding, b: Finding) -> bool:
    """True if the two share a lung (``bilateral`` shares with both, ``""`` with none)."""
    if not a.side or not b.side:
        return False
    return a.side == b.side or "bilateral" in (a.side, b.side)


def compatible(a: Finding, b: Finding) -> bool:
    """True if both can be seen, and be true, in one picture."""
    pair = frozenset({a.name, b.name})
    if pair in EXCLUSIVE:
        return False
    if a.name == b.name:
        if a.name == SUPPORT_DEVICES:
            return a.attributes.get("device") != b.attributes.get("device")
        return a.name in ("nodule", "fracture") and (a.side, a.zone) != (b.side, b.zone)
    if not same_side(a, b):
        return True
    if pair in SAME_SIDE_EXCLUSIVE:
        return False
    for x, y in ((a, b), (b, a)):
        if x.name in _HIDES and y.name in _HIDDEN:
            overlap = x.zone == y.zone or "diffuse" in (x.zone, y.zone)
            overlap = overlap or (x.zone in _LOW and y.zone in _LOW)
            if overlap or (x.name == "pleural effusion" and x.severity == "severe"):
                return False
    return True


def ctr_limit(view: str, age: float) -> float:
    """Cardiothoracic ratio above which the heart is called enlarged.

    0.50 on a PA view and 0.55 on an AP view, whose magnification widens the heart; 0.60 below two
    years of age, when a large thymus and heart are normal.
    """
    if age < 2.0:
        return 0.60
    return 0.50 if view == "PA" else 0.55
