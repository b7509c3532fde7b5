"""From a structured finding to the words that fill the slots of the report grammar."""

from data_gen.phantom.chest_xray.findings import SEVERITIES, SUPPORT_DEVICES, Finding
from data_gen.phantom.grammar import Chooser

Values = dict[str, str | None]

#: Adjectives by the kind of thing that they grade: mild, moderate, severe.
_SIZE = (("small", "tiny", "minor"), ("moderate", "moderate-sized"), ("large", "sizeable"))
_DEGREE = (
    ("mild", "slight", "minimal"),
    ("moderate",),
    ("severe", "marked", "pronounced"),
)
_DENSITY = (("faint", "subtle", "mild"), ("moderate",), ("dense", "extensive", "severe"))
_ADJECTIVES = {
    "cardiomegaly": _DEGREE,
    "pleural effusion": _SIZE,
    "pneumothorax": _SIZE,
    "consolidation": _DENSITY,
    "pneumonia": (("mild", "early", "subtle"), ("moderate",), ("severe", "extensive", "florid")),
    "atelectasis": (("mild", "minor", "minimal"), ("moderate",), ("marked", "extensive")),
    "edema": _DEGREE,
    "nodule": (("small", "tiny"), ("",), ("large", "sizeable")),
    "mass": (("",), ("",), ("large", "bulky")),
    "fracture": (
        ("minimally displaced", "slightly displaced"),
        ("displaced", "mildly displaced"),
        ("displaced", "clearly displaced"),
    ),
    "emphysema": (("mild", "early"), ("moderate",), ("severe", "advanced", "marked")),
    SUPPORT_DEVICES: (("",), ("",), ("",)),
}
_ADVERBS = (("mildly", "slightly"), ("moderately",), ("markedly", "severely", "grossly"))
_COUNTABLE = {"pleural effusion", "pneumothorax", "nodule", "mass", "fracture"}
_ORDINALS = {
    3: "third",
    4: "fourth",
    5: "fifth",
    6: "sixth",
    7: "seventh",
    8: "eighth",
    9: "ninth",
}

#: Zone -> adjectives that hold the side, and prepositional phrases; one side, then both sides.
_WHERE = {
    "upper": ("{side} upper zone", "{side} upper lung", "{side} upper lung zone"),
    "mid": ("{side} mid zone", "{side} midlung", "{side} mid lung zone"),
    "lower": ("{side} lower zone", "{side} lower lung", "{side} basilar"),
    "basal": ("{side} basilar", "{side} basal", "{side} lung base"),
    "apical": ("{side} apical",),
    "perihilar": ("{side} perihilar", "{side} hilar"),
    "diffuse": ("diffuse {side}", "widespread {side}"),
    "retrocardiac": ("{side} retrocardiac",),
    "": ("{side}",),
}
_WHERE_BOTH = {
    "upper": ("bilateral upper zone", "bilateral upper lung"),
    "mid": ("bilateral mid zone", "bilateral midlung"),
    "lower": ("bilateral lower zone", "bibasilar", "bilateral lower lung"),
    "basal": ("bibasilar", "bibasal", "bilateral basilar"),
    "perihilar": ("bilateral perihilar", "symmetric bilateral perihilar"),
    "diffuse": ("diffuse bilateral", "diffuse", "widespread bilateral"),
    "": ("bilateral",),
}
_AT = {
    "upper": ("in the {side} upper zone", "in the upper {side} lung", "in the {side} upper lung"),
    "mid": (
        "in the {side} mid zone",
        "in the {side} midlung",
        "in the mid portion of the {side} lung",
    ),
    "lower": ("in the {side} lower zone", "in the lower {side} lung", "at the {side} lung base"),
    "basal": ("at the {side} lung base", "at the {side} base"),
    "apical": ("at the {side} apex", "at the {side} lung apex"),
    "perihilar": ("in the {side} perihilar region", "adjacent to the {side} hilum"),
    "diffuse": ("throughout the {side} lung", "in all zones of the {side} lung"),
    "retrocardiac": ("in the {side} retrocardiac region", "behind the {side} side of the heart"),
    "": ("on the {side}",),
}
_AT_BOTH = {
    "upper": ("in both upper zones", "in the upper zones of both lungs"),
    "mid": ("in both mid zones", "in the mid zones of both lungs"),
    "lower": ("in both lower zones", "at both lung bases"),
    "basal": ("at both lung bases", "at both bases"),
    "perihilar": ("in both perihilar regions", "around both hila"),
    "diffuse": ("throughout both lungs", "in all zones of both lungs"),
    "": ("on both sides",),
}

_DEVICE_FLAGS = {
    "endotracheal tube": "ett",
    "central line": "line",
    "nasogastric tube": "ngt",
    "chest drain": "drain",
    "pacemaker": "pacer",
    "ecg leads": "ecg",
    "sternal wires": "wires",
}
_TIP_FLAGS = {"appropriate": "good", "too high": "high", "too low": "low"}
_ROUTES = {"jugular": ("internal jugular", "IJ", "jugular"), "subclavian": ("subclavian",)}
_PATTERN_FLAGS = {
    "lobar": "lobar",
    "bronchopneumonia": "broncho",
    "interstitial": "interstitial",
    "alveolar": "alveolar",
    "plate-like": "plate",
    "layering": "layering",
}


def values_of(finding: Finding, view: str, chooser: Chooser) -> Values:
    """Values for one wording of ``finding``; synonyms are drawn anew at every call.

    Values that do not apply are absent, None or "", so that the grammar passes over the wordings
    that need them. The keys are the slots of :mod:`data_gen.phantom.chest_xray.words.lexicon`.
    """
    attributes = finding.attributes
    grade = SEVERITIES.index(finding.severity)
    both = finding.side == "bilateral"
    countable = finding.name in _COUNTABLE
    where, at = _places(finding, chooser)
    slots: Values = {
        "sev": chooser.pick(_ADJECTIVES[finding.name][grade]),
        "adv": chooser.pick(_ADVERBS[grade]),
        "side": finding.side,
        "sided": finding.side if both else f"{finding.side}-sided",
        "where": where,
        "at": at,
        "over": at.replace("in ", "over ", 1)
        if at.startswith("in ")
        else at.replace("at", "over", 1),
        "s": "s" if both else "",
        "is": "are" if both and countable else "is",
        "a": "a" if countable and not both else "",
        "ap": "AP" if view == "AP" else "",
    }
    for key in ("pattern", "form"):
        flag = _PATTERN_FLAGS.get(str(attributes.get(key)))
        if flag:
            slots[flag] = "yes"
    for key in ("calcified", "bullae"):
        slots[key] = "yes" if attributes.get(key) == "yes" else ""
    slots["bronchogram"] = "yes" if attributes.get("air_bronchogram") == "yes" else ""
    slots["kerley"] = "yes" if attributes.get("kerley_lines") == "yes" else ""
    slots["lobe"] = str(attributes.get("lobe", "")) or None
    slots["collapse"] = "" if slots.get("plate") else "yes"
    slots["upper_zone"] = "yes" if finding.zone == "upper" else ""
    if "size_mm" in attributes:
        slots["size"] = _length(float(attributes["size_mm"]), chooser)
    if "width_mm" in attributes:
        slots["width"] = _length(float(attributes["width_mm"]), chooser)
    slots["margin"] = str(attributes["margin"]) if "margin" in attributes else None
    if finding.name == "pleural effusion":
        slots |= _pleural(finding)
    elif finding.name == "fracture":
        slots |= _fracture(finding, chooser)
    elif finding.name == SUPPORT_DEVICES:
        slots |= _device(finding, chooser)
    return slots


def _places(finding: Finding, chooser: Chooser) -> tuple[str, str]:
    """An adjective and a prepositional phrase for side and zone, or for the lobe."""
    lobe = str(finding.attributes.get("lobe", ""))
    both = finding.side == "bilateral"
    where = chooser.pick((_WHERE_BOTH if both else _WHERE)[finding.zone])
    at = chooser.pick((_AT_BOTH if both else _AT)[finding.zone])
    if lobe and chooser.chance(0.6):
        where = "lingular" if lobe == "lingula" else lobe
    if lobe and chooser.chance(0.6):
        at = f"in the {lobe}"
    return where.format(side=finding.side), at.format(side=finding.side)


def _length(mm: float, chooser: Chooser) -> str:
    if mm >= 15 and chooser.chance(0.5):
        return f"{mm / 10:.1f} cm"
    return f"{mm:.0f} mm"


def _pleural(finding: Finding) -> Values:
    both = finding.side == "bilateral"
    side = finding.side
    angle = "both costophrenic angles" if both else f"the {side} costophrenic angle"
    hidden = "obscure both hemidiaphragms" if both else f"obscures the {side} hemidiaphragm"
    return {
        "angle": angle if finding.severity != "severe" else None,
        "obscures": hidden if finding.severity != "mild" else None,
        "at_base": "at both lung bases" if both else f"at the {side} lung base",
        "at_side": "on both sides" if both else f"on the {side}",
        "of_lung": "of both lungs" if both else f"of the {side} lung",
    }


def _fracture(finding: Finding, chooser: Chooser) -> Values:
    rib = round(float(finding.attributes["rib"]))
    stage = str(finding.attributes["stage"])
    return {
        "rib": chooser.pick((_ORDINALS[rib], f"{rib}rd" if rib == 3 else f"{rib}th")),
        "arc": str(finding.attributes["arc"]),
        "stage": stage,
        "acute": "yes" if stage == "acute" else "",
    }


def _device(finding: Finding, chooser: Chooser) -> Values:
    device, route = str(finding.attributes["device"]), str(finding.attributes.get("route", ""))
    slots: Values = {
        _DEVICE_FLAGS[device]: "yes",
        "route": chooser.pick(_ROUTES[route]) if route in _ROUTES else None,
        "arm": "yes" if route == "arm" else "",
    }
    tip = _TIP_FLAGS.get(str(finding.attributes.get("tip", "")))
    if tip:
        slots[tip] = "yes"
    return slots
