"""Breast, thyroid and gallbladder: patients, probes, and what can be wrong."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from data_gen.phantom.regional import Regions, Site, Value, pick, uniform
from data_gen.phantom.ultrasound.machine import curved, linear

BENIGN_BREAST, MALIGNANT_BREAST = "benign breast mass", "malignant breast mass"
BENIGN_THYROID, MALIGNANT_THYROID = "benign thyroid nodule", "malignant thyroid nodule"
STONES, WALL = "gallstone", "gallbladder wall thickening"

Numbers = dict[str, Any]


def _side(rng: np.random.Generator) -> str:
    return pick(rng, ("left", "right"))


def breast_patient(rng: np.random.Generator) -> tuple[str, float, Numbers]:
    """Layers of a breast in millimetres, and how dense it is."""
    fat = uniform(rng, 4, 10)
    gland = uniform(rng, 10, 18)
    return "female", uniform(rng, 20, 84), {
        "side": _side(rng),
        "skin": uniform(rng, 1.2, 2.2),
        "fat": fat,
        "gland": gland,
        "dense": uniform(rng, 0.0, 1.0),
        "muscle": uniform(rng, 5, 9),
        "texture_seed": float(rng.integers(0, 1 << 24)),
    }  # fmt: skip


def thyroid_patient(rng: np.random.Generator) -> tuple[str, float, Numbers]:
    """A lobe of the thyroid between trachea and carotid artery, in millimetres."""
    return pick(rng, ("female", "male"), (0.7, 0.3)), uniform(rng, 20, 84), {
        "side": _side(rng),
        "skin": uniform(rng, 1.0, 1.8),
        "fat": uniform(rng, 1.5, 4.0),
        "strap": uniform(rng, 3.5, 5.5),
        "lobe_x": uniform(rng, 9.5, 12.0),
        "lobe_z": uniform(rng, 7.5, 9.5),
        "carotid": uniform(rng, 2.8, 3.8),
        "texture_seed": float(rng.integers(0, 1 << 24)),
    }  # fmt: skip


def gallbladder_patient(rng: np.random.Generator) -> tuple[str, float, Numbers]:
    """Gallbladder in front of the liver, in millimetres."""
    return pick(rng, ("female", "male")), uniform(rng, 20, 84), {
        "side": "",
        "wall_fat": uniform(rng, 5, 16),
        "wall_muscle": uniform(rng, 5, 9),
        "bladder_x": uniform(rng, -14, 14),
        "bladder_z": uniform(rng, 54, 72),
        "bladder_long": uniform(rng, 25, 36),
        "bladder_wide": uniform(rng, 10.5, 15),
        "bladder_tilt": uniform(rng, -0.6, 0.6),
        "bladder_wall": uniform(rng, 1.2, 2.0),
        "diaphragm": uniform(rng, 118, 136),
        "texture_seed": float(rng.integers(0, 1 << 24)),
    }  # fmt: skip


def breast_technique(rng: np.random.Generator) -> tuple[str, str, Numbers]:
    return "linear probe", "Linear-probe breast", linear(rng, (34, 44))


def thyroid_technique(rng: np.random.Generator) -> tuple[str, str, Numbers]:
    return "linear probe", "Linear-probe thyroid", linear(rng, (32, 40))


def gallbladder_technique(rng: np.random.Generator) -> tuple[str, str, Numbers]:
    return "curved probe", "Curved-probe gallbladder", curved(rng, (125, 150))


def breast_finding(
    rng: np.random.Generator, name: str, grade: int, anatomy: Mapping[str, Any]
) -> tuple[str, str, dict[str, Value]]:
    """A mass in the gland; severity is its size."""
    radius = uniform(rng, *((3.4, 4.6), (4.8, 6.4), (6.6, 8.6))[grade])
    depth = anatomy["skin"] + anatomy["fat"] + 0.45 * anatomy["gland"] + rng.uniform(-1, 2)
    place: dict[str, Value] = {
        "x": uniform(rng, -8.5, 8.5),
        "z": round(float(max(depth, anatomy["skin"] + 1.2 + radius)), 3),
        "size_mm": round(2.0 * radius, 2),
    }
    zone = pick(rng, ("upper outer", "upper inner", "lower outer", "lower inner"), (5, 2, 2, 1))
    if name == BENIGN_BREAST:
        return anatomy["side"], f"{zone} quadrant", {
            **place, "kind": pick(rng, ("fibroadenoma", "cyst"), (0.6, 0.4))
        }  # fmt: skip
    more: dict[str, Value] = {
        "kind": pick(rng, ("spiculated", "irregular")),
        "calcified": pick(rng, ("yes", "no"), (0.4, 0.6)),
    }
    return anatomy["side"], f"{zone} quadrant", {**place, **more}


def thyroid_finding(
    rng: np.random.Generator, name: str, grade: int, anatomy: Mapping[str, Any]
) -> tuple[str, str, dict[str, Value]]:
    """A nodule in the lobe; severity is its size."""
    radius = uniform(rng, *((2.6, 3.6), (3.7, 4.9), (5.0, 6.6))[grade])
    place: dict[str, Value] = {
        "u": uniform(rng, -0.35, 0.35),
        "v": uniform(rng, -0.25, 0.25),
        "size_mm": round(2.0 * radius, 2),
    }
    zone = pick(rng, ("upper pole", "mid portion", "lower pole"))
    if name == BENIGN_THYROID:
        return anatomy["side"], zone, {
            **place, "kind": pick(rng, ("spongiform", "isoechoic", "cystic"))
        }  # fmt: skip
    return (
        anatomy["side"],
        zone,
        {**place, "kind": "solid", "calcified": pick(rng, ("yes", "no"), (3, 1))},
    )


def gallbladder_finding(
    rng: np.random.Generator, name: str, grade: int, anatomy: Mapping[str, Any]
) -> tuple[str, str, dict[str, Value]]:
    """Stones that lie on the far wall, or a thick wall."""
    if name == WALL:
        return "", "", {"thick_mm": uniform(rng, *((4.8, 6.0), (6.2, 8.2), (8.5, 12.0))[grade])}
    count = (1, int(rng.integers(2, 4)), int(rng.integers(4, 7)))[grade]
    return "", "", {
        "count": float(count),
        "at": uniform(rng, -0.5, 0.5),
        "size_mm": uniform(rng, *((6, 9), (7, 11), (8, 12))[grade]),
    }  # fmt: skip


def _one_of(*names: str) -> frozenset[frozenset[str]]:
    return frozenset({frozenset(names)})


BREAST = Site(
    "breast", 1.0, {BENIGN_BREAST: 1.0, MALIGNANT_BREAST: 1.0}, breast_patient, breast_technique,
    breast_finding, _one_of(BENIGN_BREAST, MALIGNANT_BREAST),
)  # fmt: skip
THYROID = Site(
    "thyroid", 0.9, {BENIGN_THYROID: 1.0, MALIGNANT_THYROID: 1.0}, thyroid_patient,
    thyroid_technique, thyroid_finding, _one_of(BENIGN_THYROID, MALIGNANT_THYROID),
)  # fmt: skip
GALLBLADDER = Site(
    "gallbladder", 0.9, {STONES: 1.4, WALL: 0.8}, gallbladder_patient, gallbladder_technique,
    gallbladder_finding,
)  # fmt: skip

ULTRASOUND = Regions("ultrasound", (BREAST, THYROID, GALLBLADDER))
