"""What a fundus photograph can show, and how a study of one is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from data_gen.phantom.colour.finding import SEVERITIES, Finding

__all__ = ["FINDING_NAMES", "LABEL_NAMES", "SEVERITIES", "Finding", "Study", "compatible", "grade"]

NO_FINDING = "no finding"

View = Literal["macula-centered", "disc-centered"]

#: Signs of diabetic retinopathy.
DIABETIC = (
    "microaneurysms",
    "retinal hemorrhages",
    "hard exudates",
    "cotton wool spots",
    "neovascularization",
)
#: Signs of age-related macular degeneration.
MACULAR = ("drusen", "geographic atrophy")

FINDING_NAMES = (*DIABETIC, *MACULAR, "glaucoma", "pathologic myopia", "cataract")
"""Names a finding may have."""

GRADES = (
    "mild nonproliferative diabetic retinopathy",
    "moderate nonproliferative diabetic retinopathy",
    "severe nonproliferative diabetic retinopathy",
    "proliferative diabetic retinopathy",
)
LABEL_NAMES = (
    *FINDING_NAMES,
    "diabetic retinopathy",
    *GRADES,
    "age-related macular degeneration",
    NO_FINDING,
)

ZONES: Mapping[str, tuple[str, ...]] = {
    "microaneurysms": ("posterior pole", "superotemporal", "inferotemporal"),
    "retinal hemorrhages": ("posterior pole", "superotemporal", "inferotemporal", "four quadrants"),
    "hard exudates": ("macular", "superotemporal", "inferotemporal"),
    "cotton wool spots": ("superotemporal", "inferotemporal", "nasal"),
    "neovascularization": ("disc", "superotemporal", "inferotemporal"),
    "drusen": ("macular",),
    "geographic atrophy": ("macular",),
    "glaucoma": ("disc",),
    "pathologic myopia": ("peripapillary",),
    "cataract": ("",),
}
"""Finding -> where it may be; a severe hemorrhage is always in four quadrants."""

MAX_FINDINGS = 6

_EXCLUSIVE = frozenset(
    frozenset(pair)
    for pair in (
        # Both are small yellow spots at the macula, and both are pale scars there.
        ("drusen", "hard exudates"),
        ("geographic atrophy", "pathologic myopia"),
        ("drusen", "pathologic myopia"),
        # Vessels on the disc hide the cup; a crescent of atrophy swallows its edge.
        ("neovascularization", "glaucoma"),
        ("pathologic myopia", "glaucoma"),
        # What is small cannot be told behind a dense lens.
        ("cataract", "microaneurysms"),
        ("cataract", "neovascularization"),
    )
)


@dataclass(frozen=True)
class Study:
    """One eye, one photograph, and what is wrong. All fields are JSON-able.

    Attributes:
      seed, index: where the study came from; all its randomness is a function of the two.
      findings: at most :data:`MAX_FINDINGS`, each name once.
      view: ``"macula-centered"`` or ``"disc-centered"``.
      eye: ``"right"`` or ``"left"``.
      age: years, 8 to 92.
      anatomy: numbers of the eye, drawn independently of the findings.
      acquisition: numbers of camera and exposure, drawn independently of the findings.
    """

    seed: int
    index: int
    findings: tuple[Finding, ...]
    view: View
    eye: Literal["right", "left"]
    age: float
    anatomy: Mapping[str, float] = field(default_factory=dict)
    acquisition: Mapping[str, float] = field(default_factory=dict)

    def labels(self) -> dict[str, int]:
        """Labels by name, 1 or 0; the grade of retinopathy and the diseases follow from the signs.

        Any sign in :data:`DIABETIC` is diabetic retinopathy here, as nothing else is drawn that
        causes it; :func:`grade` says which grade.
        """
        present = {f.name for f in self.findings}
        labels = {name: int(name in present) for name in FINDING_NAMES}
        labels["diabetic retinopathy"] = int(bool(present & set(DIABETIC)))
        reached = grade(self.findings)
        labels |= {name: int(name == reached) for name in GRADES}
        labels["age-related macular degeneration"] = int(bool(present & set(MACULAR)))
        labels[NO_FINDING] = int(not present)
        return labels


def grade(findings: tuple[Finding, ...]) -> str:
    """Grade of diabetic retinopathy in :data:`GRADES`, or ``""``.

    The international clinical scale (Wilkinson et al. 2003), as far as one photograph shows it:
    microaneurysms alone are mild, new vessels proliferative, hemorrhages all over severe.
    """
    by_name = {f.name: f for f in findings if f.name in DIABETIC}
    if not by_name:
        return ""
    if "neovascularization" in by_name:
        return GRADES[3]
    blood = by_name.get("retinal hemorrhages")
    if blood is not None and blood.severity == "severe":
        return GRADES[2]
    return GRADES[0] if set(by_name) == {"microaneurysms"} else GRADES[1]


def compatible(a: Finding, b: Finding) -> bool:
    """True if both can be seen, and told apart, in one picture."""
    return a.name != b.name and frozenset({a.name, b.name}) not in _EXCLUSIVE
