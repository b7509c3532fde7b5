"""Draws findings and support devices: side, zone, severity and the geometry that shows them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from data_gen.phantom.base import FindingMix
from data_gen.phantom.chest_xray.findings import (
    LOBES,
    SEVERITIES,
    SUPPORT_DEVICES,
    Finding,
    compatible,
)

_WEIGHTS = {
    "cardiomegaly": 1.1,
    "pleural effusion": 1.3,
    "pneumothorax": 1.0,
    "consolidation": 1.0,
    "pneumonia": 1.2,
    "atelectasis": 1.1,
    "edema": 1.1,
    "nodule": 1.1,
    "mass": 0.8,
    "fracture": 0.8,
    "emphysema": 0.9,
}
_TOGETHER = {
    frozenset({"cardiomegaly", "edema"}): 1.6,
    frozenset({"cardiomegaly", "pleural effusion"}): 1.4,
    frozenset({"edema", "pleural effusion"}): 1.5,
    frozenset({"pleural effusion", "atelectasis"}): 1.5,
    frozenset({"pneumonia", "pleural effusion"}): 1.3,
    frozenset({"pneumothorax", "fracture"}): 1.5,
    frozenset({"emphysema", "pneumothorax"}): 1.3,
    frozenset({"emphysema", "nodule"}): 1.3,
}
_DEVICE_RATES = {  # PA, AP
    "endotracheal tube": (0.01, 0.22),
    "central line": (0.06, 0.28),
    "nasogastric tube": (0.02, 0.20),
    "chest drain": (0.02, 0.06),
    "pacemaker": (0.06, 0.07),
    "ecg leads": (0.05, 0.30),
    "sternal wires": (0.06, 0.07),
}


def pick(rng: np.random.Generator, words: tuple[Any, ...], weights: Any = None) -> Any:
    """One of ``words``, with the given relative weights."""
    p = None if weights is None else np.asarray(weights, float) / np.sum(weights)
    return words[int(rng.choice(len(words), p=p))]


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between the two, rounded so that JSON keeps it exactly."""
    return round(float(rng.uniform(low, high)), 4)


def sample_findings(
    rng: np.random.Generator, position: str, mix: FindingMix | None = None
) -> tuple[Finding, ...]:
    """Draws none to three compatible findings, devices apart."""
    mix = mix or FindingMix()
    if rng.random() < mix.normal:
        return ()
    wanted = pick(rng, (1, 2, 3), mix.count)
    found: list[Finding] = []
    for _ in range(4 * wanted):
        if len(found) == wanted:
            break
        weights = []
        for name, weight in _WEIGHTS.items():
            for other in found:
                weight *= _TOGETHER.get(frozenset({name, other.name}), 1.0)
                if name == other.name:
                    weight *= 0.35
            weights.append(weight)
        name = pick(rng, tuple(_WEIGHTS), weights)
        candidate = make_finding(rng, name, position, mix.severity)
        if all(compatible(candidate, f) for f in found):
            found.append(candidate)
    return tuple(found)


def make_finding(
    rng: np.random.Generator,
    name: str,
    position: str = "erect",
    severities: tuple[float, float, float] = FindingMix.severity,
) -> Finding:
    """Draws one finding ``name`` with plausible side, zone, severity and geometry.

    Raises:
      KeyError: ``name`` is not a finding other than support devices.
    """
    severity = pick(rng, SEVERITIES, severities)
    grade = SEVERITIES.index(severity)
    side, zone, attributes = _MAKERS[name](rng, grade, position)
    attributes["seed"] = float(rng.integers(0, 1 << 20))
    return Finding(name, side, zone, severity, attributes)


Made = tuple[str, str, dict[str, Any]]


def _side(rng: np.random.Generator, bilateral: float = 0.0) -> str:
    if rng.random() < bilateral:
        return "bilateral"
    return pick(rng, ("left", "right"))


def _cardiomegaly(rng: np.random.Generator, grade: int, position: str) -> Made:
    # Excess over the limit of the view; findings.ctr_limit says what the limit is.
    low, high = ((0.025, 0.05), (0.05, 0.10), (0.10, 0.17))[grade]
    return "", "", {"excess": uniform(rng, low, high)}


def _effusion(rng: np.random.Generator, grade: int, position: str) -> Made:
    low, high = ((0.07, 0.17), (0.22, 0.42), (0.50, 0.85))[grade]
    form = "layering" if position == "supine" else "meniscus"
    return _side(rng, 0.3), "basal", {"form": form, "level": uniform(rng, low, high)}


def _pneumothorax(rng: np.random.Generator, grade: int, position: str) -> Made:
    low, high = ((8, 16), (18, 32), (36, 60))[grade]
    return (
        _side(rng),
        "apical",
        {"width_mm": uniform(rng, low, high), "apex": uniform(rng, 0.8, 1.7)},
    )


def _lobe(rng: np.random.Generator, side: str) -> tuple[str, str]:
    return pick(rng, LOBES[side])


def _consolidation(rng: np.random.Generator, grade: int, position: str) -> Made:
    side = _side(rng)
    lobe, zone = _lobe(rng, side)
    bronchogram = pick(rng, ("yes", "no"), (0.65, 0.35))
    return (
        side,
        zone,
        {
            "lobe": lobe,
            "air_bronchogram": bronchogram,
            "density": uniform(rng, *((0.30, 0.45), (0.45, 0.65), (0.65, 0.9))[grade]),
            "extent": uniform(rng, *((0.45, 0.65), (0.65, 0.9), (0.9, 1.15))[grade]),
            "u": uniform(rng, 0.3, 0.7),
        },
    )


def _pneumonia(rng: np.random.Generator, grade: int, position: str) -> Made:
    pattern = pick(rng, ("lobar", "bronchopneumonia", "interstitial"), (0.3, 0.5, 0.2))
    density = uniform(rng, *((0.18, 0.30), (0.28, 0.45), (0.42, 0.7))[grade])
    more: dict[str, Any] = {"pattern": pattern, "lobe": "", "density": density}
    if pattern == "lobar":
        side = _side(rng)
        more["lobe"], zone = pick(rng, LOBES[side][:3])
        more["extent"] = uniform(rng, *((0.45, 0.65), (0.65, 0.9), (0.9, 1.1))[grade])
    elif pattern == "bronchopneumonia":
        side = _side(rng, 0.35)
        zone = pick(rng, ("upper", "mid", "lower", "diffuse"), (0.15, 0.25, 0.4, 0.2))
        more["patches"] = float(rng.integers(2, 4 + grade))
    else:
        side = "bilateral"
        zone = pick(rng, ("perihilar", "diffuse"))
    more["u"] = uniform(rng, 0.3, 0.7)
    return side, zone, more


def _atelectasis(rng: np.random.Generator, grade: int, position: str) -> Made:
    if grade == 0 or rng.random() < 0.45:
        side, zone = _side(rng, 0.25), "basal"
        more: dict[str, Any] = {
            "pattern": "plate-like",
            "lobe": "",
            "lines": float(rng.integers(1, 2 + grade + 1)),
            "length_mm": uniform(rng, 32, 50 + 10 * grade),
            "thickness_mm": uniform(rng, 1.8, 3.0 + 0.6 * grade),
            "u": uniform(rng, 0.25, 0.6),
        }
        return side, zone, more
    side = _side(rng)
    lobe, zone = _lobe(rng, side)
    return (
        side,
        zone,
        {"pattern": "lobar", "lobe": lobe, "loss": uniform(rng, 0.2, 0.35) + 0.2 * grade},
    )


def _edema(rng: np.random.Generator, grade: int, position: str) -> Made:
    alveolar = grade == 2 or (grade == 1 and rng.random() < 0.4)
    side, zone = "bilateral", pick(rng, ("perihilar", "diffuse"), (0.65, 0.35))
    more: dict[str, Any] = {
        "pattern": "alveolar" if alveolar else "interstitial",
        "kerley_lines": pick(rng, ("yes", "no"), (0.6, 0.4)),
        "amount": uniform(rng, *((0.25, 0.45), (0.45, 0.7), (0.7, 1.0))[grade]),
    }
    return side, zone, more


def _nodule(rng: np.random.Generator, grade: int, position: str) -> Made:
    low, high = ((7, 12), (12, 19), (19, 29))[grade]
    side, zone = _side(rng), pick(rng, ("upper", "mid", "lower"))
    more: dict[str, Any] = {
        "size_mm": uniform(rng, low, high),
        "calcified": pick(rng, ("yes", "no"), (0.2, 0.8)),
        "u": uniform(rng, 0.3, 0.75),
        "v": uniform(rng, -0.06, 0.06),
    }
    return side, zone, more


def _mass(rng: np.random.Generator, grade: int, position: str) -> Made:
    low, high = ((31, 40), (40, 55), (55, 75))[grade]
    zone = pick(rng, ("upper", "mid", "lower", "perihilar"))
    side, zone = _side(rng), zone
    more: dict[str, Any] = {
        "size_mm": uniform(rng, low, high),
        "margin": pick(rng, ("spiculated", "lobulated", "smooth"), (0.4, 0.4, 0.2)),
        "u": 0.18 if zone == "perihilar" else uniform(rng, 0.35, 0.65),
        "v": uniform(rng, -0.05, 0.05),
    }
    return side, zone, more


def _fracture(rng: np.random.Generator, grade: int, position: str) -> Made:
    rib = int(rng.integers(3, 10))
    arc = pick(rng, ("posterior", "lateral"))
    zone = "upper" if rib <= 4 else "mid" if rib <= 6 else "lower"
    side, zone = _side(rng), zone
    more: dict[str, Any] = {
        "rib": float(rib),
        "arc": arc,
        "stage": pick(rng, ("acute", "healing"), (0.6, 0.4)),
        "step_mm": uniform(rng, *((2.5, 4.0), (4.0, 6.0), (6.0, 9.0))[grade]),
        "u": uniform(rng, 0.45, 0.65) if arc == "posterior" else uniform(rng, 0.78, 0.9),
    }
    return side, zone, more


def _emphysema(rng: np.random.Generator, grade: int, position: str) -> Made:
    side, zone = "bilateral", pick(rng, ("diffuse", "upper"), (0.6, 0.4))
    more: dict[str, Any] = {
        "amount": uniform(rng, *((0.35, 0.5), (0.5, 0.75), (0.75, 1.0))[grade]),
        "bullae": pick(rng, ("yes", "no"), (0.45, 0.55)),
    }
    return side, zone, more


_MAKERS: dict[str, Callable[[np.random.Generator, int, str], Made]] = {
    "cardiomegaly": _cardiomegaly,
    "pleural effusion": _effusion,
    "pneumothorax": _pneumothorax,
    "consolidation": _consolidation,
    "pneumonia": _pneumonia,
    "atelectasis": _atelectasis,
    "edema": _edema,
    "nodule": _nodule,
    "mass": _mass,
    "fracture": _fracture,
    "emphysema": _emphysema,
}


def make_device(rng: np.random.Generator, device: str) -> Finding:
    """Draws one support device; ``device`` is one of :data:`findings.DEVICES`."""
    side, more = "", {"device": device, "route": "", "tip": ""}
    if device == "central line":
        side = pick(rng, ("left", "right"), (0.35, 0.65))
        more["route"] = pick(rng, ("jugular", "subclavian", "arm"))
        more["tip"] = pick(rng, ("appropriate", "too high", "too low"), (0.75, 0.12, 0.13))
    elif device in ("endotracheal tube", "nasogastric tube"):
        more["tip"] = pick(rng, ("appropriate", "too high", "too low"), (0.75, 0.12, 0.13))
        if device == "nasogastric tube" and more["tip"] == "too low":
            more["tip"] = "appropriate"
    elif device == "chest drain":
        side = _side(rng)
    elif device == "pacemaker":
        side = pick(rng, ("left", "right"), (0.85, 0.15))
    numbers = {f"p{i}": uniform(rng, 0, 1) for i in range(4)}
    return Finding(SUPPORT_DEVICES, side, "", "mild", {**more, **numbers})


def sample_devices(rng: np.random.Generator, view: str) -> tuple[Finding, ...]:
    """Draws devices, commoner on AP views and blind to any disease."""
    column = 0 if view == "PA" else 1
    drawn = []
    for device, rates in _DEVICE_RATES.items():
        device_rng = np.random.Generator(np.random.Philox(int(rng.integers(0, 1 << 62))))
        if rng.random() < rates[column]:
            drawn.append(make_device(device_rng, device))
    return tuple(drawn)
