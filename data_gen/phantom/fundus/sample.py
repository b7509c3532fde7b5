"""Draws studies: what is wrong, whose eye it is, and how it was photographed.

The three come from independent random streams, so nothing about eye or camera tells which findings
are there.
"""

from typing import Any

import numpy as np

from data_gen.phantom.base import FindingMix
from data_gen.phantom.colour.draws import pick, rare, stream, uniform
from data_gen.phantom.fundus.findings import (
    DIABETIC,
    MACULAR,
    MAX_FINDINGS,
    SEVERITIES,
    ZONES,
    Finding,
    Study,
    View,
    compatible,
)

_WEIGHTS = {
    "microaneurysms": 1.0,
    "retinal hemorrhages": 1.2,
    "hard exudates": 1.0,
    "cotton wool spots": 0.8,
    "neovascularization": 0.8,
    "drusen": 1.2,
    "geographic atrophy": 0.8,
    "glaucoma": 1.2,
    "pathologic myopia": 0.9,
    "cataract": 0.9,
}
_FINDINGS, _EYE, _CAMERA = 1, 2, 3


def sample_study(seed: int, index: int, mix: FindingMix | None = None) -> Study:
    """Draws study ``index`` of the data set ``seed``.

    Args:
      seed, index: non-negative integers; equal pairs give equal studies on any machine.
      mix: how ill the eyes are; eye and photograph stay the same under every mix.
    """
    eye = _eye(stream(seed, index, _EYE))
    view, acquisition = _camera(stream(seed, index, _CAMERA), eye["anatomy"])
    found = sample_findings(stream(seed, index, _FINDINGS), mix or FindingMix())
    return Study(seed=seed, index=index, findings=found, view=view, acquisition=acquisition, **eye)


def sample_findings(rng: np.random.Generator, mix: FindingMix) -> tuple[Finding, ...]:
    """Draws none to three compatible findings; signs of one disease come together."""
    if rng.random() < mix.normal:
        return ()
    wanted = pick(rng, (1, 2, 3), mix.count)
    found: list[Finding] = []
    for _ in range(6 * wanted):
        if len(found) == wanted:
            break
        weights = [
            weight * np.prod([_together(name, other.name) for other in found])
            for name, weight in _WEIGHTS.items()
        ]
        candidate = make_finding(rng, pick(rng, tuple(_WEIGHTS), weights), mix.severity)
        if all(compatible(candidate, f) for f in found):
            found.append(candidate)
    return tuple(found[:MAX_FINDINGS])


def _together(a: str, b: str) -> float:
    return 2.5 if any({a, b} <= set(group) for group in (DIABETIC, MACULAR)) else 1.0


def make_finding(
    rng: np.random.Generator,
    name: str,
    severities: tuple[float, float, float] = FindingMix.severity,
) -> Finding:
    """Draws one finding ``name``: severity, zone and the numbers that shape it.

    Raises:
      KeyError: ``name`` is no finding.
    """
    severity = pick(rng, SEVERITIES, severities)
    grade = SEVERITIES.index(severity)
    zones = ZONES[name]
    zone = pick(rng, zones)
    attributes: dict[str, Any] = {"seed": float(rng.integers(0, 1 << 24))}
    if name == "retinal hemorrhages":
        zone = "four quadrants" if grade == 2 else pick(rng, zones[:3])
        attributes["form"] = pick(rng, ("dot and blot", "flame-shaped"), (0.65, 0.35))
    elif name == "hard exudates":
        attributes["pattern"] = pick(rng, ("clustered", "circinate"), (0.65, 0.35))
    elif name == "drusen":
        attributes["kind"] = pick(rng, ("hard", "soft"), (0.4, 0.6))
    elif name == "glaucoma":
        low, high = ((0.66, 0.72), (0.73, 0.81), (0.82, 0.91))[grade]
        attributes["cup_to_disc"] = uniform(rng, low, high)
    elif name == "neovascularization":
        attributes["site"] = "disc" if zone == "disc" else "elsewhere"
    elif name == "pathologic myopia":
        attributes["crescent"] = uniform(rng, *((0.45, 0.7), (0.7, 1.1), (1.1, 1.6))[grade])
    elif name == "cataract":
        attributes["haze"] = uniform(rng, *((0.32, 0.42), (0.44, 0.56), (0.58, 0.70))[grade])
    elif name == "geographic atrophy":
        attributes["extent"] = uniform(rng, *((0.35, 0.55), (0.6, 0.95), (1.0, 1.5))[grade])
    return Finding(name, "", zone, severity, attributes)


def _eye(rng: np.random.Generator) -> dict[str, Any]:
    """Side, age and build of the eye; lengths in mm of the retina, the fovea at the origin."""
    age = uniform(rng, 8, 40) if rng.random() < 0.3 else uniform(rng, 40, 92)
    young = max(0.0, min(1.0, (45 - age) / 35))
    anatomy = {
        "disc_x": uniform(rng, 4.1, 4.9),
        "disc_y": uniform(rng, -0.6, 0.05),
        "disc_radius": uniform(rng, 0.76, 0.98),
        "disc_tall": uniform(rng, 1.0, 1.16),
        "disc_tilt": uniform(rng, -0.25, 0.25),
        "disc_pale": uniform(rng, 0.0, 1.0),
        "disc_rim": uniform(rng, 0.0, 1.0),
        "cup": uniform(rng, 0.18, 0.5),
        "cup_x": uniform(rng, -0.15, 0.08),
        "cup_y": uniform(rng, -0.10, 0.10),
        "pigment": uniform(rng, 0.0, 1.0),
        "rosy": uniform(rng, 0.0, 1.0),
        "tessellation": uniform(rng, 0.1, 1.0) * rare(rng, 0.6, 0.5, 1.0, 0.3),
        "fibres": round(young * uniform(rng, 0.3, 1.0), 4),
        "macula": uniform(rng, 0.5, 1.2),
        "macula_size": uniform(rng, 0.8, 1.5),
        "reflex": uniform(rng, 0.0, 1.0) * (0.25 + 0.75 * young),
        "calibre": uniform(rng, 0.9, 1.25),
        "contrast": uniform(rng, 0.7, 1.15),
        "tortuosity": uniform(rng, 0.5, 1.25),
        "vessel_seed": float(rng.integers(0, 1 << 24)),
        "texture_seed": float(rng.integers(0, 1 << 24)),
    }
    anatomy = {name: round(value, 4) for name, value in anatomy.items()}
    return {"eye": pick(rng, ("right", "left")), "age": round(age, 1), "anatomy": anatomy}


def _camera(rng: np.random.Generator, anatomy: dict[str, float]) -> tuple[View, dict[str, float]]:
    """What the photograph is centered on; optics, sensor and frame."""
    on_disc = rng.random() < 0.4
    radius = uniform(rng, 4.4, 5.6) if on_disc else uniform(rng, 5.6, 7.4)
    away = uniform(rng, 0.1, 0.35)
    if on_disc:  # never so far that the fovea leaves the picture
        away = min(anatomy["disc_x"] * (1 - away * 0.6), 0.84 * radius)
        centre_x = away
    else:
        centre_x = anatomy["disc_x"] * away
    clipped = rng.random() < 0.3
    acquisition = {
        "radius": radius,
        "centre_x": round(float(centre_x), 4),
        "centre_y": uniform(rng, -0.4, 0.4),
        "turn": uniform(rng, -0.12, 0.12),
        "fill": uniform(rng, 0.50, 0.60) if clipped else uniform(rng, 0.455, 0.497),
        "cut": uniform(rng, 0.36, 0.46) if clipped and rng.random() < 0.6 else 0.6,
        "shift_x": uniform(rng, -0.012, 0.012),
        "shift_y": uniform(rng, -0.012, 0.012),
        "notch": rare(rng, 0.25, -1.2, 1.2, 9.0),
        "edge": uniform(rng, 0.002, 0.006),
        "light": uniform(rng, 0.66, 1.04),
        "warmth": uniform(rng, 0.0, 1.0),
        "gain_r": uniform(rng, 0.98, 1.22),
        "gain_g": uniform(rng, 0.84, 1.12),
        "gain_b": uniform(rng, 0.6, 1.1),
        "gamma": uniform(rng, 0.85, 1.18),
        "saturation": uniform(rng, 0.9, 1.25),
        "vignette": uniform(rng, 0.2, 1.4),
        "fall_x": uniform(rng, -0.42, 0.42),
        "fall_y": uniform(rng, -0.42, 0.42),
        "flare": rare(rng, 0.25, 0.15, 0.6),
        "flare_angle": uniform(rng, 0, 6.28),
        "flare_blue": uniform(rng, 0, 1),
        "veil": uniform(rng, 0.0, 0.05),
        "blur": uniform(rng, 0.008, 0.030),
        "noise": uniform(rng, 0.004, 0.016),
        "noise_seed": float(rng.integers(0, 1 << 24)),
        "dust": float(rng.integers(0, 1 << 24)),
    }
    return ("disc-centered" if on_disc else "macula-centered"), acquisition
