"""What captions say of panels: what a picture is, what it shows, and what holds for all of them."""

from collections.abc import Mapping, Sequence

import numpy as np

from data_gen.phantom.grammar import listing
from data_gen.pipelines.pubmed.synthetic.panel import KINDS, Panel

#: Sequence of the MRI phantom -> how it is written.
_SEQUENCES: Mapping[str, tuple[str, ...]] = {
    "T1": ("T1-weighted", "T1-weighted", "T1"),
    "T1 post-contrast": (
        "contrast-enhanced T1-weighted",
        "gadolinium-enhanced T1-weighted",
        "post-contrast T1-weighted",
    ),
    "T2": ("T2-weighted", "T2-weighted", "T2"),
    "FLAIR": ("FLAIR", "fluid-attenuated inversion recovery"),
    "DWI": ("diffusion-weighted", "DWI"),
}
_BRAIN_MRI = (
    "axial {s} MRI of the brain",
    "axial {s} image",
    "{s} MR image",
    "brain MRI, axial {s} image",
    "axial {s} magnetic resonance imaging of the brain",
)
_SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "brain_ct": (
        "axial non-contrast CT of the head",
        "unenhanced head CT",
        "axial brain CT",
        "non-contrast computed tomography of the head",
        "cranial CT",
    ),
    "knee_mri": ("sagittal MRI of the knee", "MR image of the knee"),
    "chest_ct": ("axial CT of the chest", "chest CT", "computed tomography of the thorax"),
    "abdomen_ct": ("axial CT of the abdomen", "abdominal CT", "contrast-enhanced abdominal CT"),
    "chest_xray": ("chest radiograph", "frontal chest X-ray", "plain film of the chest"),
    "ultrasound": ("ultrasound image", "gray-scale sonogram"),
    "fundus": ("color fundus photograph", "fundus photograph"),
    "pathology": (
        "photomicrograph of the resected specimen",
        "microscopic view of the specimen",
        "histology of the specimen",
    ),
    "fluorescence": (
        "immunofluorescence of cultured cells",
        "confocal image of stained cells",
        "fluorescence microscopy of the section",
    ),
    "gel": ("Western blot of the lysates", "immunoblot of the samples"),
    "chart": (
        "mean volume in the two groups",
        "time course of the score after treatment",
        "distribution of age at diagnosis",
        "Kaplan-Meier curves of progression-free survival",
        "correlation between volume and outcome",
        "receiver operating characteristic of the model",
        "percentage of patients with a response",
    ),
    "diagram": ("flow of patients through the study", "scheme of the protocol", "study design"),
    "table": ("baseline characteristics", "summary of the laboratory values"),
    "photograph": (
        "photograph of the surgical field",
        "the custom-built device",
        "clinical photograph at presentation",
    ),
}
_SHOWS = (
    "{subject} shows {found}",
    "{subject} showing {found}",
    "{subject} demonstrates {found}",
    "{subject} reveals {found}",
    "{subject} with {found}",
    "{found} on {subject}",
    "{subject}: {found}",
)
_NORMAL = (
    "{subject} without abnormality",
    "normal {subject}",
    "{subject} shows no focal lesion",
    "{subject} at follow-up",
)
_SEVERAL = ("{subject} show {found}", "{subject} showing {found}", "{subject} with {found}")

_PREFACES = (
    "imaging findings of a {age}-year-old {who}",
    "brain imaging of the patient at presentation",
    "representative images of the case",
    "imaging before and after treatment",
    "serial examinations of a {age}-year-old {who}",
    "neuroimaging of the index patient",
    "findings at admission",
)
_OTHER_PREFACES = (
    "results of the study",
    "representative examples",
    "findings at presentation",
    "overview of the cohort",
    "effect of treatment in a {age}-year-old {who}",
)
#: Sentences about all panels; some hold single letters that are no labels of panels.
_SUFFIXES = (
    "scale bar, 50 \u00b5m",
    "arrows mark the lesion",
    "FLAIR, fluid-attenuated inversion recovery; MRI, magnetic resonance imaging",
    "R = right, L = left",
    "original magnification, \u00d7200",
    "data are mean and standard deviation; *P < 0.05",
    "L indicates the left side of the patient",
    "CT, computed tomography",
    "images are shown in radiological convention",
)


def _pick(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]


def subject(rng: np.random.Generator, panel: Panel) -> str:
    """What a picture is: "axial T2-weighted image"."""
    if panel.kind == "brain_mri":
        forms = _SEQUENCES.get(panel.technique, (panel.technique,))
        return _pick(rng, _BRAIN_MRI).format(s=_pick(rng, forms))
    return _pick(rng, _SUBJECTS[panel.kind])


def findings(rng: np.random.Generator, panel: Panel) -> tuple[str, ...]:
    """A wording of each finding of a picture, in its order."""
    return tuple(_pick(rng, one.phrases) for one in panel.shown)


def said_of(
    rng: np.random.Generator, panels: Sequence[Panel], found: Sequence[Sequence[str]]
) -> str:
    """A phrase about one panel, or about several in one breath.

    Args:
      panels: what it is about.
      found: wordings of the findings of each.
    """
    subjects = list(dict.fromkeys(subject(rng, p) for p in panels))
    said = listing(subjects, "and")
    phrases = list(dict.fromkeys(phrase for some in found for phrase in some))
    if not phrases:
        if not KINDS[panels[0].kind].modality or len(panels) > 1:
            return said
        return _pick(rng, _NORMAL).format(subject=said)
    forms = _SHOWS if len(panels) == 1 else _SEVERAL
    return _pick(rng, forms).format(subject=said, found=listing(phrases, "and"))


def preface(rng: np.random.Generator, brain: bool) -> str:
    """A sentence before all panels, without full stop."""
    who = _pick(rng, ("woman", "man", "female patient", "male patient"))
    words = _PREFACES if brain else _OTHER_PREFACES
    return _pick(rng, words).format(age=int(rng.integers(19, 88)), who=who)


def suffix(rng: np.random.Generator) -> str:
    """A sentence behind all panels, without full stop."""
    return _pick(rng, _SUFFIXES)
