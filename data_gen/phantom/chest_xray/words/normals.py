"""Words for what is not there: normal statements, negations, and remarks on the exposure.

Every entry says by which facts of the study (:mod:`data_gen.phantom.chest_xray.words.facts`) it is
blocked, so a report cannot deny what its picture shows.
"""

from dataclasses import dataclass

from data_gen.phantom.chest_xray.findings import SUPPORT_DEVICES
from data_gen.phantom.chest_xray.words.facts import LUNG, OPACITY, PLEURA


@dataclass(frozen=True)
class Normal:
    """A statement that something is normal.

    Attributes:
      topic: at most one statement per topic goes into a report.
      group: one of :data:`facts.GROUPS`.
      blocked: facts with which it must not be said.
      needs: facts without which it must not be said.
      full, note: wordings, in the notation of :mod:`data_gen.phantom.grammar`.
    """

    topic: str
    group: str
    blocked: frozenset[str]
    full: tuple[str, ...]
    note: tuple[str, ...]
    needs: frozenset[str] = frozenset()

    def allowed(self, facts: frozenset[str]) -> bool:
        return not self.blocked & facts and self.needs <= facts


def _normal(
    topic: str,
    group: str,
    blocked: set[str] | frozenset[str],
    full: tuple[str, ...],
    note: tuple[str, ...],
    needs: tuple[str, ...] = (),
) -> Normal:
    return Normal(topic, group, frozenset(blocked), full, note, frozenset(needs))


def _one_sided(side: str, other: str) -> tuple[Normal, ...]:
    return (
        _normal(
            "clear",
            "lungs",
            {f"{side} lung", "diffuse", "veil"},
            (f"The {side} lung is clear", f"The {side} lung appears clear"),
            (f"{side} lung clear",),
            needs=(f"{other} lung",),
        ),
        _normal(
            "angles",
            "pleura",
            {f"{side} pleura"},
            (
                f"The {side} costophrenic angle is sharp",
                f"The {side} costophrenic sulcus is preserved",
            ),
            (f"{side} costophrenic angle sharp",),
            needs=(f"{other} pleura",),
        ),
    )


NORMALS: tuple[Normal, ...] = (
    _normal(
        "clear",
        "lungs",
        LUNG | {"veil"},
        ("The lungs are clear", "Both lungs are clear", "The lungs appear clear bilaterally"),
        ("lungs clear", "clear lungs", "lungs are clear"),
    ),
    _normal(
        "clear",
        "lungs",
        {"diffuse", "veil"},
        ("The lungs are otherwise clear", "The remaining lung is clear"),
        ("lungs otherwise clear", "remaining lung clear"),
        needs=("focal",),
    ),
    *_one_sided("left", "right"),
    *_one_sided("right", "left"),
    _normal(
        "volumes",
        "lungs",
        {"atelectasis", "emphysema", "pneumothorax", "shallow", "veil"},
        ("The lungs are well expanded", "Lung volumes are normal", "Inspiration is adequate"),
        ("well expanded lungs", "lung volumes normal", "good inspiration"),
    ),
    _normal(
        "volumes",
        "lungs",
        {"emphysema"},
        (
            "Lung volumes are low",
            "Inspiratory effort is shallow, with crowding of the vessels at the bases",
            "The diaphragms are high because of a shallow breath",
        ),
        ("low lung volumes", "shallow inspiration"),
        needs=("shallow",),
    ),
    _normal(
        "vessels",
        "lungs",
        {"edema", "emphysema", "veil", "pneumonia", "consolidation?"},
        (
            "The pulmonary vessels are of normal caliber",
            "Pulmonary vascularity is normal",
            "The pulmonary vasculature is unremarkable",
        ),
        ("pulmonary vascularity normal", "normal pulmonary vessels"),
    ),
    _normal(
        "angles",
        "pleura",
        {"pleural effusion"},
        (
            "The costophrenic angles are sharp",
            "Both costophrenic sulci are clear",
            "The costophrenic recesses are preserved",
        ),
        ("costophrenic angles sharp", "costophrenic angles clear"),
    ),
    _normal(
        "pleura",
        "pleura",
        PLEURA,
        ("The pleural spaces are clear", "The pleura is unremarkable"),
        ("pleural spaces clear", "pleura unremarkable"),
    ),
    _normal(
        "diaphragm",
        "pleura",
        OPACITY | PLEURA | {"emphysema"},
        ("Both hemidiaphragms are well defined", "The diaphragmatic contours are smooth"),
        ("diaphragm well defined", "smooth diaphragmatic contours"),
    ),
    _normal(
        "heart",
        "heart",
        {"cardiomegaly"},
        (
            "The heart is normal in size",
            "Heart size is within normal limits",
            "The cardiac silhouette is normal",
            "The cardiac silhouette is not enlarged",
            "Cardiac size is normal",
        ),
        ("heart size normal", "normal cardiac silhouette", "heart not enlarged"),
    ),
    _normal(
        "heart",
        "heart",
        {"cardiomegaly"},
        ("Allowing for AP projection, the heart is not enlarged",),
        ("heart size normal for AP projection",),
        needs=("AP",),
    ),
    _normal(
        "heart",
        "heart",
        {"cardiomegaly", "mass", "infant"},
        (
            "The cardiomediastinal silhouette is within normal limits",
            "The cardiomediastinal contours are unremarkable",
        ),
        ("cardiomediastinal silhouette normal", "unremarkable cardiomediastinal contours"),
    ),
    _normal(
        "mediastinum",
        "mediastinum",
        {"mass", "infant", "rotated"},
        (
            "The mediastinal contours are normal",
            "The mediastinum is not widened",
            "The mediastinum is unremarkable",
        ),
        ("mediastinum normal", "mediastinal contours unremarkable"),
    ),
    _normal(
        "hila",
        "mediastinum",
        {"mass", "nodule", "edema", "pneumonia", "consolidation", "emphysema"},
        ("The hila are unremarkable", "Hilar contours are normal"),
        ("hila normal", "unremarkable hila"),
    ),
    _normal(
        "trachea",
        "mediastinum",
        {"mass", "atelectasis", "veil", "pneumothorax", "rotated"},
        ("The trachea is midline", "The trachea is central"),
        ("trachea midline", "central trachea"),
    ),
    _normal(
        "mediastinum",
        "mediastinum",
        {"mass"},
        ("The upper mediastinum is prominent from the thymus, a normal appearance at this age",),
        ("thymic shadow normal for age",),
        needs=("infant", "straight"),
    ),
    _normal(
        "bones",
        "bones",
        {"fracture"},
        (
            "The visualized bones are intact",
            "The osseous structures are intact",
            "The ribs are intact",
            "The bony thorax is unremarkable",
        ),
        ("bones intact", "bony thorax unremarkable", "ribs intact"),
    ),
    _normal(
        "bones",
        "bones",
        set(),
        ("The remaining ribs are intact",),
        ("other ribs intact",),
        needs=("fracture",),
    ),
    _normal(
        "tissue",
        "bones",
        {SUPPORT_DEVICES},
        ("The soft tissues are unremarkable",),
        ("soft tissues unremarkable",),
    ),
    _normal(
        "rotation",
        "mediastinum",
        set(),
        ("The patient is rotated", "Assessment of the mediastinum is limited by rotation"),
        ("patient rotated", "rotated projection"),
        needs=("rotated",),
    ),
    _normal(
        "none",
        "devices",
        {SUPPORT_DEVICES},
        ("There are no support devices", "No lines or tubes are present"),
        ("no lines or tubes", "no support devices"),
    ),
)


@dataclass(frozen=True)
class Negation:
    """A thing that is denied.

    Attributes:
      label: what it denies, used to deny each thing once.
      group: one of :data:`facts.GROUPS`.
      blocked: facts with which it must not be denied.
      words: noun phrases that follow "no".
      weight: how often a report troubles to deny it.
    """

    label: str
    group: str
    blocked: frozenset[str]
    words: tuple[str, ...]
    weight: float = 1.0


def _negation(
    label: str, group: str, also: set[str], words: tuple[str, ...], weight: float
) -> Negation:
    return Negation(label, group, frozenset({label} | also), words, weight)


NEGATIONS: tuple[Negation, ...] = (
    _negation("pneumothorax", "pleura", set(), ("pneumothorax",), 3.0),
    _negation(
        "pleural effusion",
        "pleura",
        set(),
        ("pleural effusion", "pleural fluid", "effusion"),
        3.0,
    ),
    _negation(
        "consolidation",
        "lungs",
        {"pneumonia", "consolidation?"},
        ("focal consolidation", "consolidation", "airspace consolidation"),
        2.5,
    ),
    _negation(
        "consolidation",
        "lungs",
        set(OPACITY) | {"veil"},
        ("focal airspace opacity", "confluent opacity", "focal opacity"),
        1.0,
    ),
    _negation(
        "pneumonia",
        "lungs",
        {"pneumonia?", "consolidation"},
        ("pneumonia", "infectious process"),
        1.2,
    ),
    _negation(
        "edema",
        "lungs",
        set(),
        ("pulmonary edema", "edema", "vascular congestion", "interstitial edema"),
        1.8,
    ),
    _negation("atelectasis", "lungs", set(), ("atelectasis", "lobar collapse"), 0.6),
    _negation(
        "nodule", "lungs", {"mass"}, ("pulmonary nodule", "suspicious nodule", "nodule"), 0.8
    ),
    _negation("mass", "lungs", {"nodule"}, ("mass", "pulmonary mass", "mass lesion"), 0.6),
    _negation(
        "emphysema", "lungs", set(), ("emphysematous change", "hyperinflation", "emphysema"), 0.5
    ),
    _negation("cardiomegaly", "heart", set(), ("cardiomegaly", "cardiac enlargement"), 1.0),
    _negation(
        "fracture",
        "bones",
        set(),
        ("displaced rib fracture", "acute fracture", "rib fracture", "acute bony abnormality"),
        0.9,
    ),
)

#: Remarks that open a report: the exposure, then the absence of earlier pictures.
TECHNIQUE = {
    "PA": ("PA view of the chest", "Frontal PA radiograph of the chest", "Single PA view"),
    "AP": ("AP view of the chest", "Frontal AP radiograph of the chest", "Single AP view"),
    "supine": ("Supine AP view of the chest", "AP radiograph with the patient supine"),
}
COMPARISON = (
    "No prior studies are available for comparison",
    "No earlier radiograph is available",
    "Comparison: none",
)
