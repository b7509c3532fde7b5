"""What a report may say is normal or absent, and which findings forbid it."""

from typing import NamedTuple

from data_gen.phantom.ct.findings import HEMORRHAGES


class Normal(NamedTuple):
    """A statement about an organ without disease.

    Attributes:
      group: the heading that it stands under.
      blocked: findings beside which it is not made.
      level: the level of the slice that it needs; empty: any.
      full, note: wordings in prose and in brief.
    """

    group: str
    blocked: frozenset[str]
    level: str
    full: tuple[str, ...]
    note: tuple[str, ...]


def _normal(
    group: str, blocked: tuple[str, ...], level: str, full: tuple[str, ...], *note: str
) -> Normal:
    return Normal(group, frozenset(blocked), level, full, note)


_LUNG = ("lung nodule", "airspace opacity", "ground-glass opacity", "emphysema", "pneumothorax")
_BRAIN = (*HEMORRHAGES, "infarct", "midline shift")

NORMALS: dict[str, tuple[Normal, ...]] = {
    "abdomen": (
        _normal(
            "Liver",
            ("liver lesion",),
            "",
            (
                "The liver is of normal size and density",
                "The liver is unremarkable",
                "The liver is homogeneous",
            ),
            "liver unremarkable",
            "normal liver",
        ),
        _normal(
            "Spleen",
            (),
            "liver",
            ("The spleen is normal", "The spleen is not enlarged"),
            "spleen normal",
        ),
        _normal(
            "Gallbladder",
            ("gallstone",),
            "kidneys",
            ("The gallbladder is unremarkable", "The gallbladder is thin-walled without stones"),
            "gallbladder normal",
        ),
        _normal(
            "Kidneys",
            ("kidney stone", "renal cyst", "renal mass", "hydronephrosis"),
            "kidneys",
            (
                "Both kidneys are normal",
                "The kidneys are of normal size and shape",
                "The kidneys are unremarkable",
            ),
            "kidneys normal",
            "unremarkable kidneys",
        ),
        _normal(
            "Bowel",
            ("ascites",),
            "",
            ("The visible bowel is unremarkable", "Bowel loops are not dilated"),
            "bowel unremarkable",
        ),
        _normal(
            "Vessels",
            ("aortic aneurysm",),
            "kidneys",
            ("The aorta is of normal caliber", "The great vessels are unremarkable"),
            "aorta normal",
        ),
        _normal(
            "Bones",
            (),
            "",
            ("The bones are intact", "No suspicious bone lesion is seen"),
            "bones intact",
        ),
    ),
    "chest": (
        _normal(
            "Lungs",
            (*_LUNG, "pleural effusion"),
            "",
            ("The lungs are clear", "Both lungs are well aerated", "The lung parenchyma is normal"),
            "lungs clear",
        ),
        _normal(
            "Pleura",
            ("pleural effusion", "pneumothorax"),
            "",
            ("The pleural spaces are clear", "The pleura is unremarkable"),
            "pleura normal",
        ),
        _normal(
            "Heart",
            ("pericardial effusion",),
            "heart",
            ("The heart is of normal size", "Heart and pericardium are unremarkable"),
            "heart normal",
        ),
        _normal(
            "Mediastinum",
            ("pulmonary embolism", "pericardial effusion"),
            "",
            ("The mediastinum is unremarkable", "The mediastinal contours are normal"),
            "mediastinum normal",
        ),
        _normal(
            "Bones",
            (),
            "",
            ("The bones are intact", "The chest wall is unremarkable"),
            "bones intact",
        ),
    ),
    "head": (
        _normal(
            "Brain",
            _BRAIN,
            "",
            (
                "The brain is of normal density",
                "Gray-white differentiation is preserved",
                "The brain parenchyma is unremarkable",
            ),
            "brain parenchyma normal",
        ),
        _normal(
            "Ventricles",
            ("hydrocephalus", "midline shift", *HEMORRHAGES),
            "basal ganglia",
            ("The ventricles are of normal size", "The ventricular system is normal for age"),
            "ventricles normal",
        ),
        _normal(
            "Ventricles",
            ("hydrocephalus", "midline shift", *HEMORRHAGES),
            "ventricular bodies",
            ("The lateral ventricles are of normal size", "The ventricles are not dilated"),
            "ventricles normal",
        ),
        _normal(
            "Midline",
            ("midline shift", *HEMORRHAGES, "infarct"),
            "",
            ("The midline is in place", "Midline structures are central"),
            "midline central",
        ),
        _normal(
            "Skull",
            (),
            "",
            ("The skull is intact", "No fracture is seen in this slice"),
            "skull intact",
        ),
    ),
}

#: Finding -> words after "no"; denied only where the slice can be judged for it.
DENIALS: dict[str, tuple[str, ...]] = {
    "liver lesion": ("focal liver lesion", "hepatic mass"),
    "gallstone": ("gallstones", "calcified gallstone"),
    "kidney stone": ("renal calculus", "kidney stones"),
    "renal cyst": ("renal cyst",),
    "renal mass": ("solid renal mass",),
    "hydronephrosis": ("hydronephrosis", "dilatation of the collecting systems"),
    "ascites": ("ascites", "free fluid"),
    "aortic aneurysm": ("aortic aneurysm",),
    "lung nodule": ("pulmonary nodule", "suspicious nodule"),
    "airspace opacity": ("consolidation", "airspace opacity"),
    "ground-glass opacity": ("ground-glass opacity",),
    "emphysema": ("emphysema",),
    "pleural effusion": ("pleural effusion",),
    "pneumothorax": ("pneumothorax",),
    "pericardial effusion": ("pericardial effusion",),
    "pulmonary embolism": ("pulmonary embolism", "filling defect in the pulmonary arteries"),
    "intraparenchymal hemorrhage": ("intraparenchymal hemorrhage", "intracerebral hematoma"),
    "subdural hematoma": ("subdural hematoma", "subdural collection"),
    "epidural hematoma": ("epidural hematoma",),
    "subarachnoid hemorrhage": ("subarachnoid hemorrhage", "subarachnoid blood"),
    "infarct": ("territorial infarct", "established infarct"),
    "hydrocephalus": ("hydrocephalus", "ventricular dilatation"),
    "midline shift": ("midline shift",),
}
INTRACRANIAL = ("intracranial hemorrhage", "intracranial bleeding", "acute intracranial blood")

IMPRESSION_NORMAL: dict[str, tuple[str, ...]] = {
    "abdomen": (
        "No acute abnormality of the abdomen",
        "Normal CT slice of the abdomen",
        "Unremarkable CT of the abdomen at this level",
    ),
    "chest": (
        "No acute abnormality of the chest",
        "Normal CT slice of the chest",
        "Unremarkable CT of the chest at this level",
    ),
    "head": (
        "No acute intracranial abnormality",
        "Normal CT slice of the head",
        "Unremarkable CT of the brain at this level",
    ),
}
