"""From entities to the phantom: the findings that it draws, and the labels that they give."""

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from data_gen.entities.entity import Entity
from data_gen.phantom.chest_xray.draw import make_device, make_finding
from data_gen.phantom.chest_xray.findings import (
    DEVICES,
    NO_FINDING,
    SEVERITIES,
    SUPPORT_DEVICES,
    Finding,
    Study,
)
from medvlp_jax.core.errors import UserError

#: Draws of a finding until it is the one that the words describe.
_TRIES = 5000
_NUMBERS = ("size_mm", "width_mm", "rib")
#: Sizes in millimetres up to which a finding is mild and moderate (those of ``draw``).
_GRADES = {"nodule": (12, 19), "mass": (40, 55), "pneumothorax": (17, 34)}


def findings_of(
    entities: Iterable[Entity], seed: int, position: str = "erect"
) -> tuple[Finding, ...]:
    """The findings of a study with these entities; a pure function of its arguments.

    Args:
      entities: of one study. Those that are absent, places, or without ``finding`` are passed over.
      seed: of what the words leave open, such as the exact place.
      position: of the patient, ``erect`` or ``supine`` (an effusion layers in the latter).

    Returns:
      One per positive entity that the phantom draws, in order.

    Raises:
      UserError: an entity describes what the phantom never draws.
    """
    found = []
    for number, entity in enumerate(e for e in entities if e.positive and e.finding):
        key = np.array([seed, 6], np.uint64)
        rng = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, number]))
        found.append(draw(entity, rng, position))
    return tuple(found)


def draw(entity: Entity, rng: np.random.Generator, position: str = "erect") -> Finding:
    """One finding with the side, zone, severity and attributes of ``entity``.

    Raises:
      UserError: there is no such finding.
    """
    wanted = {k: v for k, v in entity.attributes.items() if k not in _NUMBERS}
    mild, moderate, severe = (float(entity.severity in ("", s)) for s in SEVERITIES)
    for _ in range(_TRIES):
        if entity.finding == SUPPORT_DEVICES:
            device = str(wanted.get("device") or DEVICES[int(rng.integers(len(DEVICES)))])
            f = make_device(rng, device)
        else:
            f = make_finding(rng, entity.finding, position, (mild, moderate, severe))
        if entity.side not in ("", f.side):
            continue
        if entity.zone not in ("", f.zone) and entity.finding != "fracture":
            continue
        if all(f.attributes.get(k) == v for k, v in wanted.items()):
            return _with_numbers(f, entity)
    raise UserError(
        f"the phantom draws no {entity.finding} like {entity.text!r} ({entity.side or 'any side'}, "
        f"{entity.zone or 'any zone'}, {dict(entity.attributes)}); leave it out of the bank"
    )


def _with_numbers(f: Finding, entity: Entity) -> Finding:
    numbers = {k: float(entity.attributes[k]) for k in _NUMBERS if k in entity.attributes}
    zone = f.zone
    if "rib" in numbers:
        zone = "upper" if numbers["rib"] <= 4 else "mid" if numbers["rib"] <= 6 else "lower"
    return dataclasses.replace(f, zone=zone, attributes={**f.attributes, **numbers})


def complete(entity: Entity, seed: int = 0) -> Entity | None:
    """A drawable entity with what its words leave open fixed: side, zone, severity, lobe.

    With this, two entities can be compared before anything is drawn. None if the phantom draws no
    such thing.
    """
    severity = entity.severity
    size = entity.attributes.get("size_mm", entity.attributes.get("width_mm"))
    if size is not None and entity.finding in _GRADES:
        severity = SEVERITIES[sum(float(size) > limit for limit in _GRADES[entity.finding])]
    entity = dataclasses.replace(entity, severity=severity)
    digest = hashlib.sha256(f"{seed} {entity.text}".encode()).digest()
    rng = np.random.Generator(np.random.Philox(int.from_bytes(digest[:8], "little")))
    try:
        f = draw(entity, rng)
    except UserError:
        return None
    kept = {k: f.attributes[k] for k in ("pattern", "lobe", "device") if f.attributes.get(k)}
    return dataclasses.replace(
        entity,
        side=f.side,
        zone=f.zone,
        severity=f.severity,
        attributes={**kept, **entity.attributes},
    )


def as_finding(entity: Entity) -> Finding:
    """A completed entity as a finding without geometry: enough to ask what is compatible."""
    return Finding(
        entity.finding,
        entity.side,
        entity.zone,
        entity.severity or "mild",
        dict(entity.attributes),
    )


def labels_of(entities: Sequence[Entity]) -> dict[str, int]:
    """The labels of a study: those of :meth:`data_gen.phantom.chest_xray.findings.Study.labels`.

    1 for what is present, 0 for what is not, -1 for the pneumonia that a consolidation may be;
    "no finding" is 1 where nothing but devices is present.
    """
    found = tuple(as_finding(e) for e in entities if e.positive and e.finding)
    study = Study(0, 0, found, "PA", "erect", "female", 50.0, "average", 0.0, 0.5)
    labels = study.labels()
    if any(e.positive and not e.finding for e in entities):
        labels[NO_FINDING] = 0
    return labels
