"""The head in axial slices: patients, sequences, and what can be wrong."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from data_gen.phantom.mri.machine import machine
from data_gen.phantom.regional import Site, Value, pick, uniform

TUMOR, INFARCT, PLAQUES = "brain tumor", "infarct", "white matter lesions"
EDEMA, HEMORRHAGE, HYDROCEPHALUS = "brain edema", "hemorrhage", "hydrocephalus"

_SEQUENCES = {"T1": 0.16, "T1 post-contrast": 0.22, "T2": 0.24, "FLAIR": 0.24, "DWI": 0.14}

#: Zone -> middle in shares of half width and half length of the brain, for the patient's left.
CENTRES: Mapping[str, tuple[float, float]] = {
    "frontal": (0.42, -0.50),
    "temporal": (0.66, 0.08),
    "parietal": (0.52, 0.32),
    "occipital": (0.36, 0.66),
    "basal ganglia": (0.36, -0.06),
}
LOW = 0.35
"""Levels below this one show temporal lobes and basal ganglia, those above parietal lobes."""


def lobes(level: float) -> tuple[str, ...]:
    """Zones that a slice shows; level 0 is at the third ventricle, 1 above the bodies."""
    return ("frontal", "temporal" if level < LOW else "parietal", "occipital")


def patient(rng: np.random.Generator) -> tuple[str, float, dict[str, Any]]:
    """Sex, age and build of the head; lengths in millimetres."""
    sex = pick(rng, ("female", "male"))
    age = uniform(rng, 18, 90)
    worn = max(0.0, (age - 45) / 45)
    big = 1.0 if sex == "male" else 0.96
    anatomy = {
        "level": uniform(rng, 0.0, 0.72),
        "half_width": round(big * uniform(rng, 61, 69), 3),
        "half_length": round(big * uniform(rng, 79, 89), 3),
        "skew": uniform(rng, -1.0, 1.0),
        "ventricle": round(uniform(rng, 0.7, 1.15) + 0.55 * worn * uniform(rng, 0.5, 1.0), 4),
        "uneven": uniform(rng, -0.14, 0.14),
        "bow": uniform(rng, -1.6, 1.6),
        "sulcus": round(uniform(rng, 0.30, 0.75) + 0.75 * worn * uniform(rng, 0.4, 1.0), 4),
        "gap": round(uniform(rng, 1.4, 2.4) + 1.8 * worn * uniform(rng, 0.4, 1.0), 4),
        "ribbon": uniform(rng, 2.7, 3.5),
        "caps": round(uniform(rng, 0.1, 0.4) + 0.5 * worn, 4),
        "bone": uniform(rng, 5.5, 8.5),
        "scalp": uniform(rng, 4.5, 8.5),
        "muscle": uniform(rng, 0.5, 1.2),
        "texture_seed": float(rng.integers(0, 1 << 24)),
    }
    return sex, age, anatomy


def technique(rng: np.random.Generator) -> tuple[str, str, dict[str, Any]]:
    """Sequence, view and numbers of the scanner."""
    sequence = pick(rng, tuple(_SEQUENCES), list(_SEQUENCES.values()))
    numbers = machine(rng, (0.36, 0.52)) if sequence == "DWI" else machine(rng)
    numbers["field_of_view"] = uniform(rng, 205, 248)
    return sequence, f"Axial {sequence} brain", numbers


def _place(
    rng: np.random.Generator, zone: str, anatomy: Mapping[str, Any], side: str
) -> dict[str, Value]:
    cx, cy = CENTRES[zone]
    x = (cx + rng.uniform(-0.06, 0.06)) * anatomy["half_width"]
    sign = 1.0 if side == "left" else -1.0
    return {
        "x": round(float(sign * x), 3),
        "y": round(float((cy + rng.uniform(-0.07, 0.07)) * anatomy["half_length"]), 3),
    }


def finding(
    rng: np.random.Generator, name: str, grade: int, anatomy: Mapping[str, Any]
) -> tuple[str, str, dict[str, Value]]:
    """Side, zone and geometry of one finding."""
    level = anatomy["level"]
    side = pick(rng, ("left", "right"))
    if name == HYDROCEPHALUS:
        low, high = ((1.75, 2.0), (2.05, 2.5), (2.5, 3.1))[grade]
        return "", "", {"width": uniform(rng, low, high)}
    if name == PLAQUES:
        count = int(rng.integers(*((4, 7), (8, 12), (13, 17))[grade]))
        pattern = pick(rng, ("periventricular", "scattered"))
        return "bilateral", "", {"pattern": pattern, "count": float(count)}
    if name == INFARCT:
        deep = grade == 0 and level < LOW and rng.random() < 0.6
        if deep:
            place = _place(rng, "basal ganglia", anatomy, side)
            return side, "basal ganglia", {
                **place, "kind": "lacunar", "size_mm": uniform(rng, 11, 17)
            }  # fmt: skip
        zone = pick(rng, lobes(level))
        half = uniform(rng, *((0.20, 0.28), (0.28, 0.42), (0.45, 0.62))[grade])
        reach = uniform(rng, *((24, 32), (30, 42), (42, 58))[grade])
        return side, zone, {"kind": "territorial", "half": half, "reach": reach}
    zone = pick(rng, lobes(level))
    if name == TUMOR:
        radius = uniform(rng, *((8.5, 11.5), (12, 16), (16.5, 22))[grade])
        kind = pick(rng, ("ring-enhancing", "solid"), (0.65, 0.35))
        swollen = rng.random() < (0.55, 0.8, 0.95)[grade]
        more: dict[str, Value] = {"kind": kind, "size_mm": round(2 * radius, 2)}
        if swollen:
            more |= {"brings": EDEMA, "margin": uniform(rng, 9, 17)}
        return side, zone, {**_place(rng, zone, anatomy, side), **more}
    if name == EDEMA:
        radius = uniform(rng, *((17, 21), (22, 28), (29, 36))[grade])
        return side, zone, {**_place(rng, zone, anatomy, side), "radius": radius}
    if level < LOW and rng.random() < 0.4:
        zone = "basal ganglia"
    radius = uniform(rng, *((8, 11), (12, 16), (16.5, 22))[grade])
    stage = pick(rng, ("acute", "subacute", "late subacute"), (0.35, 0.35, 0.3))
    return side, zone, {
        **_place(rng, zone, anatomy, side), "stage": stage, "size_mm": round(2 * radius, 2)
    }  # fmt: skip


BRAIN = Site(
    name="brain",
    weight=0.7,
    findings={
        TUMOR: 1.2, INFARCT: 1.1, PLAQUES: 1.0, EDEMA: 0.9, HEMORRHAGE: 1.0, HYDROCEPHALUS: 0.8
    },
    patient=patient,
    technique=technique,
    finding=finding,
    exclusive=frozenset(
        {frozenset({INFARCT, EDEMA}), frozenset({TUMOR, PLAQUES}), frozenset({TUMOR, HEMORRHAGE})}
    ),
)  # fmt: skip
