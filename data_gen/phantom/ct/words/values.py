"""Slots of the report grammar for one finding."""

from data_gen.phantom.ct.findings import Finding
from data_gen.phantom.grammar import Chooser

_SEVERITY = {
    "mild": ("mild", "minor", "slight"),
    "moderate": ("moderate",),
    "severe": ("severe", "marked", "extensive"),
}
_SIZED = {
    "mild": ("small",),
    "moderate": ("moderate", "moderate-sized"),
    "severe": ("large", "massive", "sizeable"),
}
_BY_SIZE = frozenset(
    {
        "liver lesion",
        "gallstone",
        "kidney stone",
        "renal cyst",
        "renal mass",
        "aortic aneurysm",
        "lung nodule",
        "pleural effusion",
        "pneumothorax",
        "pericardial effusion",
        "intraparenchymal hemorrhage",
        "subdural hematoma",
        "epidural hematoma",
        "infarct",
        "pulmonary embolism",
    }
)
_LENGTHS = ("size_mm", "depth_mm", "thickness_mm")


def length(mm: float, chooser: Chooser) -> str:
    """A length as reports give it, in mm or cm."""
    if mm >= 10 and chooser.chance(0.5):
        return f"{mm / 10:.1f} cm"
    return f"{mm:.0f} mm"


def values_of(finding: Finding, chooser: Chooser) -> dict[str, str | None]:
    """What a rule may write about ``finding``; None where it has no such thing."""
    words = _SIZED if finding.name in _BY_SIZE else _SEVERITY
    a = finding.attributes
    both = finding.side == "bilateral"
    mm = next((float(a[k]) for k in _LENGTHS if k in a), None)
    slots: dict[str, str | None] = {
        "sev": chooser.pick(words[finding.severity]),
        "side": finding.side or None,
        "sided": {"left": "leftward", "right": "rightward"}.get(finding.side),
        "size": None if mm is None else length(mm, chooser),
        "s": "s" if both else "",
        "es": "es" if both else "",
        "y": "ies" if both else "y",
        "is": "are" if both else "is",
        "verb": "" if both else "s",
        "a": "" if both else "a",
        "where": _where(finding),
    }
    many = float(a.get("count", 1.0)) > 1
    slots |= {"one": "" if many else "1", "many": "1" if many else ""}
    if finding.name == "liver lesion":
        kind = str(a["kind"])
        slots |= {
            "kind": "cystic" if kind == "cyst" else "hypodense",
            "lobe": finding.place or None,
            "cyst": "1" if kind == "cyst" else "",
            "mass": "1" if kind == "hypodense mass" else "",
        }
    if finding.name == "lung nodule":
        slots |= {
            "margin": "calcified" if a["calcified"] == "yes" else str(a["margin"]),
            "calcified": "1" if a["calcified"] == "yes" else "",
            "spiculated": "1" if a["margin"] == "spiculated" else "",
        }
    if "age" in a:
        slots["age"] = str(a["age"])
    if finding.name == "infarct":
        slots["territory"] = finding.place.removesuffix(" territory")
    # A rule tests a slot by {?slot}, which needs something in it; empty ones are left out.
    tests = ("one", "many", "cyst", "mass", "calcified", "spiculated")
    return {k: (v or None) if k in tests else v for k, v in slots.items()}


def _where(f: Finding) -> str | None:
    """The place in words, with the side where it needs one."""
    if f.name == "subarachnoid hemorrhage":
        plural = {"convexity": "convexity sulci", "sylvian fissure": "sylvian fissure"}
        if f.side == "bilateral":
            return {
                "convexity": "sulci of both convexities",
                "sylvian fissure": "sylvian fissures",
            }[f.place]
        return f"{f.side} {plural[f.place]}" if f.side else f.place
    if f.name in ("lung nodule", "airspace opacity", "ground-glass opacity"):
        if f.side == "bilateral":
            return "both lower lobes" if f.place else "both lungs"
        return "lingula" if f.place == "lingula" else f"{f.side} {f.place}"
    if f.name == "kidney stone":
        if f.side == "bilateral":
            return {"calyx": "renal calyces", "renal pelvis": "renal pelves"}[f.place]
        return {"calyx": "renal calyx"}.get(f.place, f.place)
    return f.place or None
