"""Draws findings: side, place, severity and the geometry that shows them."""

import numpy as np

from data_gen.phantom.base import FindingMix
from data_gen.phantom.ct.choices import pick
from data_gen.phantom.ct.findings import (
    SEVERITIES,
    Finding,
    Study,
    compatible,
    judged,
)
from data_gen.phantom.ct.head_findings import HEAD
from data_gen.phantom.ct.trunk_findings import TRUNK

_MAKERS = {**TRUNK, **HEAD}

_WEIGHTS = {"midline shift": 0.25, "pulmonary embolism": 1.3, "pericardial effusion": 1.2}
#: Times as likely beside each other.
_TOGETHER = {
    frozenset({"subdural hematoma", "midline shift"}): 8.0,
    frozenset({"epidural hematoma", "midline shift"}): 6.0,
    frozenset({"intraparenchymal hemorrhage", "midline shift"}): 6.0,
    frozenset({"infarct", "midline shift"}): 3.0,
    frozenset({"pleural effusion", "pericardial effusion"}): 1.6,
    frozenset({"pleural effusion", "airspace opacity"}): 1.6,
    frozenset({"liver lesion", "ascites"}): 1.4,
}


def sample_findings(
    rng: np.random.Generator, study: Study, mix: FindingMix | None = None
) -> tuple[Finding, ...]:
    """Draws none to three compatible findings that a slice like this one can show."""
    mix = mix or FindingMix()
    if rng.random() < mix.normal:
        return ()
    wanted = pick(rng, (1, 2, 3), mix.count)
    names = judged(study)
    found: list[Finding] = []
    for _ in range(5 * wanted):
        if len(found) == wanted:
            break
        weights = []
        for name in names:
            weight = _WEIGHTS.get(name, 1.0)
            for other in found:
                weight *= _TOGETHER.get(frozenset({name, other.name}), 1.0)
            weights.append(weight)
        candidate = make_finding(rng, pick(rng, names, weights), study, mix.severity)
        if all(compatible(candidate, f) for f in found):
            found.append(candidate)
    return tuple(found)


def make_finding(
    rng: np.random.Generator,
    name: str,
    study: Study,
    severities: tuple[float, float, float] = FindingMix.severity,
) -> Finding:
    """Draws one finding ``name`` as a slice like ``study`` may show it.

    Raises:
      KeyError: there is no such finding.
    """
    severity = pick(rng, SEVERITIES, severities)
    side, place, attributes = _MAKERS[name](rng, SEVERITIES.index(severity), study)
    attributes["seed"] = float(rng.integers(0, 1 << 20))
    return Finding(name, side, place, severity, attributes)
