"""Places of the findings of the chest, in this patient's own lungs and vessels."""

import numpy as np

from data_gen.phantom.ct.findings import Finding, Study
from data_gen.phantom.ct.picture.items import SITES, Site
from data_gen.phantom.ct.picture.shapes import inside
from data_gen.phantom.ct.sites.values import At, Place, Sites, number, signs, stream


def in_lung(
    rng: np.random.Generator, at: At, sign: float, back: bool, room: float, most: float = 1e9
) -> tuple[float, float]:
    """A place in a lung, ``room`` to ``most`` mm from its borders if there is one."""
    best, place = -1e9, (sign * 80.0, 0.0)
    for _ in range(60):
        x, y = sign * rng.uniform(35, 112), rng.uniform(8, 74) if back else rng.uniform(-72, 6)
        free = min(inside(at["cavity"], x, y), -inside(at["block"], x, y), abs(x) - 30.0)
        if room < free < most:
            return float(x), float(y)
        if min(free, most) > best:
            best, place = min(free, most), (float(x), float(y))
    return place


def _nodules(study: Study, f: Finding, owner: int, at: At) -> Sites:
    (sign,) = signs(f)
    rng, r = stream(f), 0.5 * number(f, "size_mm")
    x, y = in_lung(rng, at, sign, f.place == "lower lobe", r + 2.0)
    hu = 420.0 if f.attributes["calcified"] == "yes" else 38.0
    spiky = float(f.attributes["margin"] == "spiculated")
    return [Site(x, y, r, r * rng.uniform(0.85, 1.0), rng.uniform(0, 3), hu, owner, spiky)]


def _opacities(study: Study, f: Finding, owner: int, at: At) -> Sites:
    rng, out = stream(f), []
    dense = float(f.name == "airspace opacity")
    sides = signs(f)
    spots = (1 if dense else 2) if len(sides) > 1 or not dense else 1
    for sign in sides:
        for k in range(spots):
            r = 0.5 * number(f, "size_mm") * (1.0 if k == 0 else rng.uniform(0.5, 0.8))
            back = f.place.startswith("lower") if f.place else bool(k == 0)
            x, y = in_lung(rng, at, sign, back, min(r * 0.45, 16.0), 0.75 * r + 4.0)
            out.append(
                Site(
                    x,
                    y,
                    r,
                    r * rng.uniform(0.6, 0.9),
                    rng.uniform(0, 3),
                    number(f, "hu"),
                    owner,
                    dense,
                )
            )
    return out[:SITES]


def _diffuse(study: Study, f: Finding, owner: int, at: At) -> Sites:
    return [Site(0, 0, 1, 1, 0, 0, owner, number(f, "amount"))]


def _sided(study: Study, f: Finding, owner: int, at: At) -> Sites:
    hu = float(f.attributes.get("hu", 0.0))
    depth = number(f, "depth_mm")
    return [
        Site(sign, 0, 1, 1, 0, hu, owner, depth * (1.0 if k == 0 else 0.8))
        for k, sign in enumerate(signs(f))
    ]


def _emboli(study: Study, f: Finding, owner: int, at: At) -> Sites:
    rng, out = stream(f), []
    artery, size = at["artery"], number(f, "size_mm")
    for sign in signs(f):
        x, y = float(artery[0]) + sign * rng.uniform(8, 13), float(artery[1]) - 2.0 * sign
        out.append(
            Site(
                x,
                y,
                0.5 * size,
                0.5 * min(size * 0.7, 8.5),
                -0.16 + rng.normal() * 0.15,
                number(f, "hu"),
                owner,
            )
        )
    return out


#: Finding -> the kind of its sites, and how they are placed.
CHEST: dict[str, tuple[str, Place]] = {
    "lung nodule": ("nodule", _nodules),
    "airspace opacity": ("opacity", _opacities),
    "ground-glass opacity": ("opacity", _opacities),
    "emphysema": ("emphysema", _diffuse),
    "pleural effusion": ("effusion", _sided),
    "pneumothorax": ("pneumothorax", _sided),
    "pericardial effusion": ("pericardial", _sided),
    "pulmonary embolism": ("embolus", _emboli),
}
