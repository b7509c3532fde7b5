"""Reports of CT slices written from the structured findings of a study.

A report says everything that is there, with the right side, and denies only what the slice can be
judged for and does not show. Style, order and words vary with (seed, index).
"""

import functools

from data_gen.phantom.base import Report
from data_gen.phantom.ct.findings import HEMORRHAGES, SEVERITIES, Finding, Study, judged
from data_gen.phantom.ct.words import lexicon, normals
from data_gen.phantom.ct.words.values import values_of
from data_gen.phantom.grammar import Chooser, Grammar, listing, sentence, tidy

_STYLES = {"prose": 0.45, "terse": 0.25, "structured": 0.30}

_GROUPS = {
    "liver lesion": "Liver",
    "gallstone": "Gallbladder",
    **dict.fromkeys(("kidney stone", "renal cyst", "renal mass", "hydronephrosis"), "Kidneys"),
    "ascites": "Peritoneum",
    "aortic aneurysm": "Vessels",
    **dict.fromkeys(
        ("lung nodule", "airspace opacity", "ground-glass opacity", "emphysema"), "Lungs"
    ),
    **dict.fromkeys(("pleural effusion", "pneumothorax"), "Pleura"),
    "pericardial effusion": "Heart",
    "pulmonary embolism": "Mediastinum",
    **dict.fromkeys(("intraparenchymal hemorrhage", "infarct"), "Brain"),
    **dict.fromkeys(
        ("subdural hematoma", "epidural hematoma", "subarachnoid hemorrhage"), "Extra-axial spaces"
    ),
    "hydrocephalus": "Ventricles",
    "midline shift": "Midline",
}

#: Rank of a mild finding in the impression; a grade of severity adds one.
_URGENCY = {
    "pulmonary embolism": 9,
    "epidural hematoma": 9,
    "subarachnoid hemorrhage": 8.5,
    "intraparenchymal hemorrhage": 8.5,
    "subdural hematoma": 8,
    "midline shift": 8,
    "infarct": 8,
    "aortic aneurysm": 7.5,
    "pneumothorax": 7.5,
    "hydrocephalus": 7,
    "renal mass": 7,
    "liver lesion": 6,
    "pericardial effusion": 6,
    "lung nodule": 6,
    "hydronephrosis": 5.5,
    "airspace opacity": 5.5,
    "ascites": 5,
    "ground-glass opacity": 5,
    "pleural effusion": 5,
    "kidney stone": 4.5,
    "emphysema": 4,
    "gallstone": 3.5,
    "renal cyst": 2,
}

_REGION = {
    "abdomen": ("abdomen", "upper abdomen"),
    "chest": ("chest", "thorax"),
    "head": ("head", "brain"),
}
_LEVEL = {
    "liver": "at the level of the liver",
    "kidneys": "at the level of the kidneys",
    "carina": "just below the carina",
    "heart": "at the level of the heart",
    "centrum semiovale": "at the level of the centrum semiovale",
    "ventricular bodies": "at the level of the lateral ventricles",
    "basal ganglia": "at the level of the basal ganglia",
}


@functools.cache
def grammar() -> Grammar:
    """The rules for what is present, parsed once per process."""
    return Grammar(lexicon.rules())


def write_report(study: Study, seed: int, index: int) -> Report:
    """Writes the report of ``study``; equal arguments give equal words on any machine.

    Args:
      study: the truth; region, level, phase and window may be named.
      seed, index: choose style, order and words. Another pair gives another report of the
        same study.
    """
    chooser = Chooser(f"ct report {seed} {index}")
    style = chooser.pick(tuple(_STYLES), tuple(_STYLES.values()))
    form = "full" if style == "prose" else "note"
    lines = _lines(study, form, chooser)
    opening = _technique(study, chooser)
    if style == "structured":
        groups = dict.fromkeys(group for group, _ in lines)
        body = [
            f"{group}: " + " ".join(sentence(text) for g, text in lines if g == group)
            for group in groups
        ]
        text = chooser.pick(("\n", " ")).join([sentence(opening), *body])
    else:
        text = " ".join(sentence(line) for line in (opening, *(text for _, text in lines)))
    phrases = {i: _phrase(f, study, chooser) for i, f in enumerate(study.findings)}
    return Report(findings=text, impression=_impression(study, chooser), phrases=phrases)


def _technique(study: Study, chooser: Chooser) -> str:
    contrast = {
        "non-contrast": ("non-contrast", "unenhanced", "plain"),
        "arterial": ("contrast-enhanced", "arterial phase"),
        "portal venous": ("contrast-enhanced", "portal venous phase"),
    }[study.phase]
    region = chooser.pick(_REGION[study.region])
    what = f"{chooser.pick(contrast)} CT of the {region}"
    head = chooser.pick((f"Axial {what}", f"{what}, axial slice", f"CT slice: {what}"))
    if chooser.chance(0.6):
        head += f" {_LEVEL[study.level]}"
    if chooser.chance(0.6):
        head += f", {study.window} window"
    return head


def _phrase(finding: Finding, study: Study, chooser: Chooser) -> str:
    phrase = grammar().expand(f"{finding.name}.np", values_of(finding, chooser), chooser)
    if chooser.chance(0.3):
        contrast = "non-contrast" if study.phase == "non-contrast" else "contrast-enhanced"
        phrase += chooser.pick(
            (" on CT", f" on axial CT of the {study.region}", f" on {contrast} CT")
        )
    return tidy(phrase)


def _lines(study: Study, form: str, chooser: Chooser) -> list[tuple[str, str]]:
    """(heading, statement) of everything that the report says, organ by organ."""
    present = {f.name for f in study.findings}
    lines: list[tuple[str, str]] = []
    for f in study.findings:
        text = grammar().expand(f"{f.name}.{form}", values_of(f, chooser), chooser)
        lines.append((_GROUPS[f.name], text))
    said = {group for group, _ in lines}
    rate = 0.75 if form == "full" else 0.6
    for normal in normals.NORMALS[study.region]:
        fits = normal.level in ("", study.level) and not normal.blocked & present
        if fits and normal.group not in said and chooser.chance(rate):
            lines.append(
                (normal.group, chooser.pick(normal.full if form == "full" else normal.note))
            )
    lines = chooser.shuffled(lines)
    absent = [n for n in judged(study) if n not in present]
    denied = chooser.sample(absent, chooser.pick((1, 2, 3)))
    words = {name: chooser.pick(normals.DENIALS[name]) for name in denied}
    if study.region == "head" and not present & set(HEMORRHAGES) and chooser.chance(0.6):
        words = {k: v for k, v in words.items() if k not in HEMORRHAGES}
        words["any"] = chooser.pick(normals.INTRACRANIAL)
    if words:
        verb = chooser.pick(("No {}", "There is no {}", "No evidence of {}"))
        if form == "note":
            verb = "No {}"
        lines.append(("Other", verb.format(listing(list(words.values()), "or"))))
    return lines


def _impression(study: Study, chooser: Chooser) -> str:
    if not study.findings:
        return sentence(chooser.pick(normals.IMPRESSION_NORMAL[study.region]))

    def rank(f: Finding) -> float:
        return _URGENCY[f.name] + SEVERITIES.index(f.severity)

    ranked = sorted(chooser.shuffled(study.findings), key=rank, reverse=True)
    nouns = [grammar().expand(f"{f.name}.np", values_of(f, chooser), chooser) for f in ranked]
    if len(nouns) > 1 and chooser.chance(0.35):
        return sentence(listing(nouns, "and"))
    lines = [sentence(noun) for noun in nouns]
    if len(lines) > 1 and chooser.chance(0.35):
        lines = [f"{i}. {line}" for i, line in enumerate(lines, 1)]
    return " ".join(lines)
