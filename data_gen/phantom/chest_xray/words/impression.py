"""The IMPRESSION: what matters, first things first, in few words."""

from data_gen.phantom.chest_xray.findings import SEVERITIES, SUPPORT_DEVICES, Finding, Study
from data_gen.phantom.chest_xray.words import lexicon, normals
from data_gen.phantom.chest_xray.words.facts import facts_of
from data_gen.phantom.chest_xray.words.values import values_of
from data_gen.phantom.grammar import Chooser, Grammar, listing, sentence

#: Rank of a mild finding; a grade of severity adds one.
_URGENCY = {
    "pneumothorax": 9.0,
    "mass": 8.0,
    "pneumonia": 7.5,
    "edema": 7.0,
    "consolidation": 7.0,
    "nodule": 6.0,
    "pleural effusion": 5.5,
    "fracture": 5.0,
    "cardiomegaly": 4.0,
    "emphysema": 3.5,
    "atelectasis": 3.0,
    SUPPORT_DEVICES: 1.0,
}
_TRIVIAL = 5.0  # what ranks below may go unsaid beside something weightier

_NORMAL = (
    "No acute cardiopulmonary abnormality",
    "No acute cardiopulmonary disease",
    "No acute process in the chest",
    "No acute thoracic abnormality",
    "No active disease in the lungs or pleura",
    "No radiographic abnormality of the lungs, pleura or heart",
)
_NORMAL_BARE = (
    "Normal chest radiograph",
    "Normal frontal view of the chest",
    "Unremarkable chest radiograph",
    "Normal examination",
)
_DEVICES_FINE = (
    "Support devices as described",
    "Lines and tubes as detailed above",
    "Support devices without complication",
)
_ADVICE = {
    "nodule": ("CT of the chest is suggested", "Follow-up with CT is advised"),
    "mass": ("CT of the chest is recommended", "Further work-up with CT is advised"),
    "pneumonia": ("Follow-up to resolution is advised", "Follow-up radiograph after treatment"),
    "consolidation": ("Clinical correlation is advised", "Follow-up to resolution is suggested"),
    "pneumothorax": ("Close follow-up is advised", "Prompt clinical review is advised"),
    "fracture": ("Correlate with the site of pain", "Clinical correlation is suggested"),
}
_HEDGES = ("Possible", "Probable", "Suspected")


def write_impression(study: Study, grammar: Grammar, chooser: Chooser) -> str:
    """Ranked summary of ``study``: one sentence, several, or a numbered list.

    Every finding above a threshold is in it; lesser ones (a mild cardiomegaly, a plate of
    atelectasis, a well-placed tube) may be left out beside something weightier.
    """
    ill = [f for f in study.findings if f.name != SUPPORT_DEVICES]
    devices = [f for f in study.findings if f.name == SUPPORT_DEVICES]
    if not ill:
        items = [chooser.pick(_NORMAL if devices else (*_NORMAL, *_NORMAL_BARE))]
        return _layout([*items, *_device_items(devices, grammar, chooser, 0.5)], chooser)
    facts = facts_of(study)
    ranked = sorted(chooser.shuffled(ill), key=_rank, reverse=True)
    kept = [f for f in ranked if f is ranked[0] or _rank(f) >= _TRIVIAL or chooser.chance(0.6)]
    nouns = [_noun(f, study, grammar, chooser) for f in kept]
    if len(nouns) > 1 and chooser.chance(0.35):
        word = chooser.pick(("and", "with"))
        joined = listing(nouns, "and") if len(nouns) > 2 else f" {word} ".join(nouns)
        items = [joined]
    else:
        items = nouns
    advised = [f.name for f in kept[:2] if _wants_advice(f)]
    if advised and chooser.chance(0.25):
        items.append(chooser.pick(_ADVICE[advised[0]]))
    items += _device_items(devices, grammar, chooser, 0.15)
    if chooser.chance(0.2):
        items += _negative(facts, chooser)
    return _layout(items, chooser)


def _wants_advice(finding: Finding) -> bool:
    # A calcified nodule is an old granuloma and needs none.
    return finding.name in _ADVICE and finding.attributes.get("calcified") != "yes"


def _rank(finding: Finding) -> float:
    return _URGENCY[finding.name] + SEVERITIES.index(finding.severity)


def _noun(finding: Finding, study: Study, grammar: Grammar, chooser: Chooser) -> str:
    slots = values_of(finding, study.view, chooser)
    text = grammar.expand(f"{finding.name}.np", slots, chooser)
    if finding.name == "consolidation" and chooser.chance(0.3):
        text += chooser.pick((", possibly infectious", ", infection not excluded"))
    hedged = finding.severity == "mild" and lexicon.has_hedge(finding.name)
    if hedged and chooser.chance(0.25):
        text = f"{chooser.pick(_HEDGES).lower()} {text}"
    return text


def _device_items(
    devices: list[Finding], grammar: Grammar, chooser: Chooser, rate: float
) -> list[str]:
    """Wrongly placed devices nearly always; the rest, summed up, at the given rate."""
    astray = [f for f in devices if str(f.attributes.get("tip")).startswith("too")]
    items = [
        grammar.expand(f"{f.name}.note", values_of(f, "", chooser), chooser)
        for f in astray
        if chooser.chance(0.85)
    ]
    if devices and not astray and chooser.chance(rate):
        items.append(chooser.pick(_DEVICES_FINE))
    return items


def _negative(facts: frozenset[str], chooser: Chooser) -> list[str]:
    allowed = [n for n in normals.NEGATIONS if not n.blocked & facts and n.weight >= 2]
    if not allowed:
        return []
    one = chooser.pick(allowed, [n.weight for n in allowed])
    return [f"No {chooser.pick(one.words)}"]


def _layout(items: list[str], chooser: Chooser) -> str:
    lines = [sentence(item) for item in items]
    if len(lines) > 1 and chooser.chance(0.35):
        lines = [f"{i}. {line}" for i, line in enumerate(lines, 1)]
        return chooser.pick(("\n", " ")).join(lines)
    return " ".join(lines)
