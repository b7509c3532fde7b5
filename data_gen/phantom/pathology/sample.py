"""Draws studies: what is wrong, the tissue, and how it was stained and scanned.

The three come from independent random streams; the specimen alone says which findings there can be.
"""

from typing import Any

import numpy as np

from data_gen.phantom.base import FindingMix
from data_gen.phantom.colour.draws import pick, rare, stream, uniform
from data_gen.phantom.pathology.findings import (
    JUDGED,
    SEVERITIES,
    SPECIMENS,
    TUMOURS,
    Finding,
    Specimen,
    Study,
)

_FINDINGS, _TISSUE, _SCANNER = 1, 2, 3
_WEIGHTS = {"inflammation": 0.7, "necrosis": 0.5, "mitotic figures": 0.5}


def sample_study(seed: int, index: int, mix: FindingMix | None = None) -> Study:
    """Draws study ``index`` of the data set ``seed``.

    Args:
      seed, index: non-negative integers; equal pairs give equal studies on any machine.
      mix: how ill the patients are; slide and scan stay the same under every mix.
    """
    rng = stream(seed, index, _TISSUE)
    specimen: Specimen = pick(rng, SPECIMENS)
    anatomy = _tissue(rng, specimen)
    acquisition = _scanner(stream(seed, index, _SCANNER))
    found = sample_findings(stream(seed, index, _FINDINGS), specimen, mix or FindingMix())
    view = "Giemsa" if specimen == "blood" else "H&E"
    return Study(seed, index, found, view, specimen, anatomy, acquisition)


def sample_findings(
    rng: np.random.Generator, specimen: Specimen, mix: FindingMix
) -> tuple[Finding, ...]:
    """Draws none to three findings of the specimen."""
    if rng.random() < mix.normal:
        return ()
    left = list(JUDGED[specimen])
    found: list[Finding] = []
    for _ in range(pick(rng, (1, 2, 3), mix.count)):
        name = pick(rng, left, [_WEIGHTS.get(n, 1.6) for n in left])
        left.remove(name)
        found.append(make_finding(rng, name, mix.severity))
    return tuple(found)


def make_finding(
    rng: np.random.Generator,
    name: str,
    severities: tuple[float, float, float] = FindingMix.severity,
) -> Finding:
    """Draws one finding ``name``: severity and the numbers that shape it."""
    severity = pick(rng, SEVERITIES, severities)
    grade = SEVERITIES.index(severity)
    more: dict[str, Any] = {
        "seed": float(rng.integers(0, 1 << 24)),
        "x": uniform(rng, -0.3, 0.3),
        "y": uniform(rng, -0.3, 0.3),
    }
    if name in TUMOURS.values():
        # Radius in sides of the field: from a part of it to all of it.
        more["extent"] = uniform(rng, *((0.34, 0.5), (0.45, 0.75), (0.6, 1.2))[grade])
        more["differentiation"] = ("well", "moderately", "poorly")[grade]
    elif name in ("necrosis", "inflammation"):
        more["extent"] = uniform(rng, *((0.14, 0.19), (0.19, 0.26), (0.26, 0.38))[grade])
    elif name == "malaria parasites":
        more["form"] = pick(rng, ("ring", "trophozoite"), (0.7, 0.3))
    return Finding(name, "", "", severity, more)


def _tissue(rng: np.random.Generator, specimen: Specimen) -> dict[str, float]:
    """The tissue; lengths in micrometres."""
    side = uniform(rng, 40, 66) if specimen == "blood" else uniform(rng, 120, 230)
    return {
        "side": side,
        "seed": float(rng.integers(0, 1 << 24)),
        "texture_seed": float(rng.integers(0, 1 << 24)),
        "warp": uniform(rng, 1.5, 4.8),
        "fibre_angle": uniform(rng, 0, 3.14),
        "fibre_wave": uniform(rng, 4.0, 16.0),
        "dense": uniform(rng, 0.0, 1.0),
        "clefts": rare(rng, 0.5, 0.2, 1.0),
        "cellular": uniform(rng, 0.4, 1.0),
        "gland": uniform(rng, 0.85, 1.2),
        "mucin": uniform(rng, 0.4, 1.0),
        "fat": rare(rng, 0.4, 0.2, 0.7),
        "follicle": rare(rng, 0.6, 0.2, 0.45),
        "follicle_x": uniform(rng, -0.4, 0.4),
        "follicle_y": uniform(rng, -0.4, 0.4),
        "edge": rare(rng, 0.2, 0.15, 0.42, 9.0),
        "edge_angle": uniform(rng, 0, 6.28),
        "crowd": uniform(rng, 0.25, 0.75),
        "pallor": uniform(rng, 0.65, 1.1),
        "shape": uniform(rng, 0.0, 1.0),
        "whites": float(rng.integers(0, 3)),
        "platelets": float(rng.integers(1, 7)),
    }


def _scanner(rng: np.random.Generator) -> dict[str, float]:
    return {
        "haematoxylin": uniform(rng, 0.75, 1.3),
        "eosin": uniform(rng, 0.6, 1.35),
        "h_hue": uniform(rng, -1.0, 1.0),
        "e_hue": uniform(rng, -1.0, 1.0),
        "uneven": uniform(rng, 0.0, 0.12),
        "white": uniform(rng, 0.90, 0.985),
        "tint_r": uniform(rng, -0.025, 0.015),
        "tint_b": uniform(rng, -0.035, 0.02),
        "vignette": rare(rng, 0.4, 0.02, 0.15),
        "blur": uniform(rng, 0.18, 0.50),
        "noise": uniform(rng, 0.004, 0.014),
        "noise_seed": float(rng.integers(0, 1 << 24)),
        "gamma": uniform(rng, 0.9, 1.12),
    }
