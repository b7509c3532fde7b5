"""What a report may and may not say about a study: its facts, as words that tables refer to."""

from data_gen.phantom.chest_xray.findings import SUPPORT_DEVICES, Finding, Study

LUNG = frozenset(
    {"consolidation", "pneumonia", "atelectasis", "edema", "nodule", "mass", "emphysema"}
)
OPACITY = LUNG - {"emphysema"}
PLEURA = frozenset({"pleural effusion", "pneumothorax"})
GROUPS = ("devices", "lungs", "pleura", "heart", "mediastinum", "bones")
_GROUP_OF = {
    **dict.fromkeys(LUNG, "lungs"),
    **dict.fromkeys(PLEURA, "pleura"),
    "cardiomegaly": "heart",
    "fracture": "bones",
    SUPPORT_DEVICES: "devices",
}


def group_of(finding: Finding) -> str:
    """The part of a report that ``finding`` belongs to, one of :data:`GROUPS`."""
    return _GROUP_OF[finding.name]


def facts_of(study: Study) -> frozenset[str]:
    """What can block or license a statement about ``study``, as a set of words.

    Names of findings; ``"<side> lung"`` and ``"<side> pleura"`` where something is on that side;
    ``"veil"`` for pleural fluid or air that changes a whole lung; ``"diffuse"`` for disease of
    all zones, ``"focal"`` for other disease of the lungs; view, position, ``"infant"``,
    ``"shallow"`` and ``"deep"`` inspiration, ``"rotated"`` and ``"straight"``. A consolidation
    brings ``"pneumonia?"``, for it may be one, and a pneumonia ``"consolidation?"``.
    """
    facts = {study.view, study.position}
    for finding in study.findings:
        facts.add(finding.name)
        sides = ("left", "right") if finding.side == "bilateral" else (finding.side,)
        place = {"lungs": "lung", "pleura": "pleura"}.get(group_of(finding))
        if place:
            facts.update(f"{side} {place}" for side in sides)
        form = finding.attributes.get("form")
        if finding.name in PLEURA and (finding.severity == "severe" or form == "layering"):
            facts.add("veil")
        if group_of(finding) == "lungs":
            spread = finding.zone == "diffuse" or finding.name in ("edema", "emphysema")
            facts.add("diffuse" if spread else "focal")
        if finding.name == "consolidation":
            facts.add("pneumonia?")
        if finding.name == "pneumonia":
            facts.add("consolidation?")
    if study.age < 3:
        facts.add("infant")
    facts.add("shallow" if study.inspiration < 0.3 else "deep" if study.inspiration > 0.7 else "")
    facts.add("rotated" if abs(study.rotation) > 5 else "straight")
    return frozenset(facts - {""})
