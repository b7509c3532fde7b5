"""How CT slices are judged: what is asked, and in which words."""

from data_gen.phantom.base import PictureReview, Question

_QUESTIONS = (
    Question("ct", "Is this picture a CT slice (computed tomography)?", "not ct"),
    Question("axial", "Is it an axial slice, not a coronal or sagittal one?", "not axial"),
    Question(
        "region",
        "Does it show the abdomen, the chest or the head of a human being?",
        "other region",
    ),
    Question(
        "quality",
        "Are noise, window and sharpness good enough to judge the organs?",
        "poor quality",
    ),
    Question(
        "clean",
        "Is it free of anything that was drawn, printed or pasted over the anatomy?",
        "artefacts",
    ),
    Question(
        "faithful",
        "Taken as a whole, would a radiologist believe it to be a real slice, with anatomy that "
        "is complete and possible?",
        "not faithful",
    ),
)

_SYSTEM = (
    "You check pictures for a collection of CT slices. Look at the picture and answer each "
    "question by yes or no. Be strict: when in doubt, answer no. Reply with one JSON object "
    "whose keys are those of the questions and whose values are the strings yes or no, and "
    "nothing else."
)

#: Question -> what says yes, and what says no.
_SENTENCES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ct": (
        ("A CT slice.", "Axial computed tomography."),
        ("A colour photograph.", "A radiograph.", "MRI of the brain.", "Ultrasound.", "A diagram."),
    ),
    "axial": (
        ("Axial CT slice.", "Transverse section on CT."),
        ("Coronal CT reformation.", "Sagittal CT reformation.", "A volume rendering."),
    ),
    "region": (
        ("CT of the abdomen.", "CT of the chest.", "CT of the head."),
        ("CT of the knee.", "CT of the pelvis.", "CT of an animal.", "CT of a test object."),
    ),
    "quality": (
        ("A CT slice of good quality.", "Sharp CT slice with little noise."),
        ("CT slice ruined by noise.", "Limited CT with motion artefact.", "A blurred CT slice."),
    ),
    "clean": (
        ("CT slice without annotations.",),
        ("CT slice with arrows.", "CT slice with text on it.", "A collage of CT slices."),
    ),
    "faithful": (
        ("CT slice with normal anatomy or disease.",),
        ("Distorted picture with impossible anatomy.", "A part of the body is cut off."),
    ),
}

_REASONS = {
    "colour": "colours, which a CT slice has not",
    "not ct": "judge: no CT slice",
    "not axial": "judge: no axial slice",
    "other region": "judge: neither abdomen, chest nor head of a human",
    "poor quality": "judge: quality too poor to read",
    "artefacts": "judge: overprinted or pasted",
    "not faithful": "judge: no believable slice as a whole",
}

#: Slices of three regions at several levels have no one layout.
REVIEW = PictureReview(
    system=_SYSTEM,
    questions=_QUESTIONS,
    sentences=_SENTENCES,
    layout=None,
    other_views=frozenset({"CORONAL", "SAGITTAL"}),
    reasons=_REASONS,
)
