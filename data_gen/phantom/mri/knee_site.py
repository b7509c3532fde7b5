"""The knee in sagittal slices: through a condyle, where menisci are seen, or through the notch."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from data_gen.phantom.mri.machine import machine
from data_gen.phantom.regional import Site, Value, pick, uniform

MENISCUS, ACL, EFFUSION = "meniscal tear", "acl tear", "joint effusion"
CONDYLE_NAME, NOTCH_NAME = "knee condyle", "knee notch"


def _patient(rng: np.random.Generator) -> tuple[str, float, dict[str, Any]]:
    sex = pick(rng, ("female", "male"))
    anatomy = {
        "side": pick(rng, ("left", "right")),
        "scale": round((1.0 if sex == "male" else 0.92) * uniform(rng, 0.95, 1.06), 4),
        "flexion": uniform(rng, -0.02, 0.16),
        "femur": uniform(rng, 0.94, 1.06),
        "tibia": uniform(rng, 0.94, 1.06),
        "slope": uniform(rng, 0.02, 0.13),
        "cartilage": uniform(rng, 1.9, 2.9),
        "patella_y": uniform(rng, -5, 5),
        "front": uniform(rng, 5, 13),
        "back": uniform(rng, 62, 76),
        "muscle": uniform(rng, 0.8, 1.2),
        "fluid": uniform(rng, 0.2, 1.0),
        "scar": uniform(rng, 0.1, 0.5),
        "texture_seed": float(rng.integers(0, 1 << 24)),
    }
    return sex, uniform(rng, 16, 78), anatomy


def condyle_patient(rng: np.random.Generator) -> tuple[str, float, dict[str, Any]]:
    """A slice through the medial or the lateral condyle."""
    sex, age, anatomy = _patient(rng)
    compartment = pick(rng, ("medial", "lateral"))
    return sex, age, {**anatomy, "notch": 0.0, "compartment": compartment}


def notch_patient(rng: np.random.Generator) -> tuple[str, float, dict[str, Any]]:
    """A slice between the condyles, along the cruciate ligaments."""
    sex, age, anatomy = _patient(rng)
    return sex, age, {**anatomy, "notch": 1.0, "compartment": ""}


def technique(rng: np.random.Generator) -> tuple[str, str, dict[str, Any]]:
    """Sequence, view and numbers of the scanner."""
    sequence = pick(rng, ("PD", "fat-suppressed PD"), (0.6, 0.4))
    numbers = machine(rng, kept=(0.5, 0.8))
    numbers["field_of_view"] = uniform(rng, 124, 152)
    return sequence, f"Sagittal {sequence} knee", numbers


def finding(
    rng: np.random.Generator, name: str, grade: int, anatomy: Mapping[str, Any]
) -> tuple[str, str, dict[str, Value]]:
    """Side, zone and geometry of one finding; the side is that of the knee."""
    side = anatomy["side"]
    if name == EFFUSION:
        return side, "", {"thick": uniform(rng, *((3.2, 4.8), (5.2, 7.6), (8.2, 12))[grade])}
    if name == ACL:
        kind = "partial" if grade == 0 else "complete"
        return side, "", {
            "kind": kind,
            "gap": uniform(rng, *((0.25, 0.35), (0.4, 0.55), (0.6, 0.8))[grade]),
            "at": uniform(rng, 0.4, 0.6),
        }  # fmt: skip
    zone = pick(rng, ("posterior horn", "anterior horn"), (0.7, 0.3))
    kind = "complex" if grade == 2 else pick(rng, ("horizontal", "oblique", "vertical"))
    return side, zone, {
        "kind": kind,
        "meniscus": anatomy["compartment"],
        "wide": uniform(rng, *((1.2, 1.5), (1.6, 2.1), (2.0, 2.6))[grade]),
    }  # fmt: skip


CONDYLE = Site(
    CONDYLE_NAME, 0.16, {MENISCUS: 1.2, EFFUSION: 1.0}, condyle_patient, technique, finding
)
NOTCH = Site(NOTCH_NAME, 0.14, {ACL: 1.2, EFFUSION: 1.0}, notch_patient, technique, finding)
