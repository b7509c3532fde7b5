"""The bank that the ontology spans: wordings times severity, side and place, where they make sense.

What the phantom can draw is composed from findings that it drew, so that words and picture agree
in side, zone, severity, lobe and size.
"""

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np

from data_gen.entities.entity import Entity, Value, negated
from data_gen.entities.extract import _ORDINALS, numbered_forms
from data_gen.entities.ontology import Concept, Form, Ontology
from data_gen.phantom.chest_xray.draw import make_device, make_finding
from data_gen.phantom.chest_xray.findings import SUPPORT_DEVICES, Finding

#: Before what is denied.
_DENIED = ("definite", "convincing", "significant", "obvious", "visible", "gross", "appreciable")
_ADVERBS = {
    "mild": "mildly",
    "slight": "slightly",
    "minimal": "minimally",
    "moderate": "moderately",
    "severe": "severely",
    "marked": "markedly",
}
_PARTICIPLES = (
    *("enlarged", "increased", "widened", "prominent", "blunted", "thickened", "tortuous"),
    *("elevated", "flattened", "dilated", "hyperinflated", "hyperexpanded"),
)
_REGIONS = ("region of the", "area of the", "visualized portion of the", "imaged portion of the")
_PLURALS = {"apex": "apices", "hilum": "hila", "sulcus": "sulci", "axilla": "axillae"}
_ZONES = {
    "upper": ("upper zone", "upper lung"),
    "mid": ("mid zone", "midlung"),
    "lower": ("lower zone", "lower lung"),
    "basal": ("basal", "basilar"),
    "apical": ("apical",),
    "perihilar": ("perihilar",),
    "retrocardiac": ("retrocardiac",),
    "diffuse": ("diffuse",),
}
_PLACES = {
    "upper": ("in the {side} upper zone", "in the {side} upper lung"),
    "mid": ("in the {side} mid zone", "in the {side} midlung"),
    "lower": ("in the {side} lower zone", "at the {side} lung base"),
    "basal": ("at the {side} lung base",),
    "apical": ("at the {side} lung apex",),
    "perihilar": ("in the {side} perihilar region",),
    "retrocardiac": ("in the left retrocardiac region",),
    "diffuse": ("throughout the {side} lung",),
}
#: Tries per wanted entity; a concept with few wordings gives fewer entities.
_TRIES = 12


def compose(words: Ontology, per_finding: int = 300, seed: int = 0) -> list[Entity]:
    """All entities of an ontology, each text and type once, in a fixed order.

    Args:
      words: the ontology.
      per_finding: at most so many entities of each concept that the phantom draws.
      seed: of the choice of those.
    """
    found: dict[tuple[str, bool], Entity] = {}
    for concept in words.concepts.values():
        for entity in _of(concept, words, per_finding, seed):
            found.setdefault((entity.text, entity.negative), entity)
    return list(found.values())


def _of(concept: Concept, words: Ontology, per_finding: int, seed: int) -> Iterator[Entity]:
    if concept.type == "ANATOMY":
        yield from _anatomies(concept, words)
        return
    if concept.finding:
        yield from _drawable(concept, words, per_finding, seed)
    else:
        yield from _present(concept, words)
    yield from _absent(concept)


def _count(concept: Concept, rank: int) -> int:
    """The prior count of the wording that comes ``rank``-th: common concepts, first wordings."""
    return max(1, 2 * 4**concept.common // (1 + rank))


def _drawable(concept: Concept, words: Ontology, wanted: int, seed: int) -> Iterator[Entity]:
    digest = hashlib.sha256(f"{seed} {concept.name}".encode()).digest()
    rng = np.random.Generator(np.random.Philox(int.from_bytes(digest[:8], "little")))
    texts: set[str] = set()
    for _ in range(_TRIES * wanted):
        if len(texts) >= wanted:
            return
        device = concept.attributes.get("device")
        finding = make_device(rng, str(device)) if device else make_finding(rng, concept.finding)
        rank, text, said = _word(concept, finding, words, rng)
        if text in texts:
            continue
        texts.add(text)
        yield Entity(
            text,
            concept.type,
            concept.name,
            _count(concept, rank),
            finding.side,
            finding.zone,
            "" if device else finding.severity,
            concept.finding,
            said,
        )


#: Attributes that go with side and zone, and are therefore kept even where the words omit them.
_KEPT = ("pattern", "lobe", "device")


def _word(
    concept: Concept, f: Finding, words: Ontology, rng: np.random.Generator
) -> tuple[int, str, dict[str, Value]]:
    """Words for a finding, the rank of their form, and the attributes that they fix."""

    def pick(options: tuple[str, ...]) -> str:
        return options[int(rng.integers(len(options)))]

    fitting = [
        (rank, form)
        for rank, form in enumerate(concept.forms)
        if all(f.attributes.get(k) == v for k, v in form.attributes.items())
    ]
    rank, form = fitting[int(rng.integers(len(fitting)))]
    said = {k: f.attributes[k] for k in _KEPT if f.attributes.get(k)} | dict(form.attributes)
    grade, place, after = "", "", ""
    if concept.scale and rng.random() < 0.7:
        grade = pick(words.scales[concept.scale][f.severity])
    if f.name == SUPPORT_DEVICES:
        tip = str(f.attributes.get("tip", ""))
        if tip in concept.tips and rng.random() < 0.6:
            after = pick(concept.tips[tip])
            said["tip"] = tip
        return rank, _join(form, "", f.side, "", after), said
    if f.name == "fracture":
        number = round(float(f.attributes["rib"]))
        said["rib"] = float(number)
        rib = f"{f.side} {pick((_ORDINALS[number - 1], f'{number}{_suffix(number)}'))} rib"
        return rank, _join(Form(form.text.replace("rib", rib, 1)), grade, "", "", ""), said
    if f.name in ("nodule", "mass") and rng.random() < 0.7:
        size = round(float(f.attributes["size_mm"]))
        said["size_mm"] = float(size)
        grade = f"{size} mm" if rng.random() < 0.5 else f"{size / 10:.1f} cm"
    if f.name == "pneumothorax" and rng.random() < 0.3:
        said["width_mm"] = float(round(float(f.attributes["width_mm"])))
        after = f"measuring {said['width_mm']:.0f} mm at the apex"
    if f.attributes.get("air_bronchogram") == "yes" and rng.random() < 0.4:
        said["air_bronchogram"] = "yes"
        after = "with air bronchograms"
    if f.name == "emphysema" and f.attributes["bullae"] == "yes" and rng.random() < 0.4:
        said["bullae"] = "yes"
        after = "with bullae"
    lobe = str(f.attributes.get("lobe", ""))
    inner = " of " in form.text or " in " in form.text
    if " in the " in form.text:
        return rank, form.text.replace(" in the ", f" in the {f.side} ", 1), said
    if lobe and rng.random() < 0.5:
        if inner or rng.random() < 0.5:
            after = f"in the {lobe} {after}"
        else:
            place = "lingular" if lobe == "lingula" else lobe
        return rank, _join(form, grade, "", place, after), said
    if f.side == "bilateral":
        place = "" if inner else pick(("bilateral", "", "diffuse" if f.zone == "diffuse" else ""))
        if f.zone == "perihilar" and not inner and rng.random() < 0.5:
            place = "perihilar"
        if f.name == "emphysema":
            place = "upper lobe predominant" if f.zone == "upper" else ""
        if f.zone in ("basal", "lower") and rng.random() < 0.4:
            place, after = "", f"at both lung bases {after}"
        return rank, _join(form, grade, "", place, after), said
    if f.side and not inner and rng.random() < 0.55:
        zone = pick(("", *_ZONES.get(f.zone, ())))
        if "apical" in form.text or f.name == "pleural effusion":
            zone = ""
        place = f"{f.side} {zone}" if zone != "diffuse" else f"diffuse {f.side}"
        return rank, _join(form, grade, "", place, after), said
    if f.side and not after.startswith("measuring"):
        after = f"{pick(_PLACES[f.zone]).format(side=f.side)} {after}"
    elif f.side and not inner:
        place = f.side
    return rank, _join(form, grade, "", place, after), said


def _suffix(number: int) -> str:
    return {1: "st", 2: "nd", 3: "rd"}.get(number, "th")


def _join(form: Form, grade: str, side: str, place: str, after: str) -> str:
    """The parts in the order of a report; a participle is graded by an adverb."""
    text = form.text
    if grade and text.startswith(_PARTICIPLES):
        grade = _ADVERBS.get(grade, "")
    if grade and text.split()[0] in grade.split():
        grade = ""
    return " ".join(f"{grade} {side} {place} {text} {after}".split())


def _present(concept: Concept, words: Ontology) -> Iterator[Entity]:
    """What the phantom does not draw."""
    grades = [("", "")]
    if concept.scale:
        scale = words.scales[concept.scale]
        grades += [(severity, word) for severity, some in scale.items() for word in some]
    for rank, form in enumerate(concept.forms):
        inner = " of " in form.text or " in " in form.text
        for side in ("", *(() if inner else concept.sides)):
            for severity, word in grades:
                yield Entity(
                    _join(form, word, side, "", ""),
                    concept.type,
                    concept.name,
                    max(1, _count(concept, rank) // (1 + bool(side) + bool(word))),
                    side,
                    "",
                    severity,
                )


def _absent(concept: Concept) -> Iterator[Entity]:
    kind = negated(concept.type)
    for rank, form in enumerate(concept.forms):
        inner = " of " in form.text or " in " in form.text
        for side in ("", *(() if inner else concept.sides)):
            before = ("", *_DENIED) if not side else ("", "definite", "visible")
            for n, word in enumerate(before):
                text = " ".join(f"{word} {side} {form.text}".split())
                count = max(1, _count(concept, rank) // (1 + 2 * n + bool(side)))
                yield Entity(text, kind, concept.name, count, side)


def _anatomies(concept: Concept, words: Ontology) -> Iterator[Entity]:
    sides = concept.sides or ("",)
    for rank, (text, attributes) in enumerate(_places(concept)):
        for side in sides:
            name = _both(text) if side == "bilateral" else f"{side} {text}".strip()
            whole = _count(concept, rank)
            real = side or concept.fixed
            yield Entity(
                name, "ANATOMY", concept.name, whole, real, concept.zone, "", "", attributes
            )
            if side == "bilateral":
                continue
            for part in (*_REGIONS, *words.parts.get(concept.parts, ())):
                yield Entity(
                    f"{part} {name}",
                    "ANATOMY",
                    concept.name,
                    max(1, whole // 8),
                    real,
                    concept.zone,
                    "",
                    "",
                    attributes,
                )
    if concept.numbered == "rib":
        for side in concept.sides:
            for n, ordinal in enumerate(_ORDINALS, 1):
                for arc in ("posterior", "lateral", "anterior"):
                    text = f"{arc} arc of the {side} {ordinal} rib"
                    yield Entity(
                        text, "ANATOMY", concept.name, 1, side, "", "", "", {"rib": float(n)}
                    )


def _places(concept: Concept) -> Iterator[tuple[str, Mapping[str, Value]]]:
    for form in concept.forms:
        if not (concept.numbered and form.text == concept.name and concept.name != "vertebra"):
            yield form.text, {}
    if concept.numbered:
        for i, text in enumerate(numbered_forms(concept)):
            yield text, {concept.numbered: float(i % 12 + 1)}


def _both(text: str) -> str:
    head, _, rest = text.partition(" of ")
    words = head.split()
    last = _PLURALS.get(words[-1], words[-1] if words[-1].endswith("s") else words[-1] + "s")
    return " ".join(["both", *words[:-1], last] + ([f"of {rest}"] if rest else []))
