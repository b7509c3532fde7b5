"""Places of the findings of the head."""

import numpy as np

from data_gen.phantom.ct.findings import Finding, Study
from data_gen.phantom.ct.picture.items import Site
from data_gen.phantom.ct.sites.values import At, Place, Sites, number, signs, stream

#: Place -> centre of a bleeding, on the patient's left.
_SPOTS = {
    "basal ganglia": (27.0, -6.0),
    "thalamus": (12.0, 9.0),
    "frontal lobe": (27.0, -46.0),
    "temporal lobe": (50.0, 12.0),
    "parietal lobe": (32.0, 28.0),
    "occipital lobe": (26.0, 54.0),
}


def _bleeding(study: Study, f: Finding, owner: int, at: At) -> Sites:
    (sign,) = signs(f)
    rng, r = stream(f), 0.5 * number(f, "size_mm")
    if f.place == "thalamus":
        r = min(r, 15.0)
    x, y = _SPOTS[f.place]
    x, y = sign * (x + rng.normal() * 2 + 0.15 * max(r - 12, 0)), y + rng.normal() * 3
    turn = number(f, "turn")
    return [
        Site(
            x,
            y,
            r * rng.uniform(0.66, 0.85),
            r,
            turn,
            number(f, "hu"),
            owner,
            rng.uniform(2.5, 6) + 0.1 * r,
        )
    ]


_TERRITORIES = {  # centre, inner and outer reach, direction in degrees on the left, half-angle
    "MCA territory": ((30.0, -4.0), 2.0, 62.0, 4.0, 0.80),
    "PCA territory": ((13.0, 32.0), 3.0, 62.0, 68.0, 0.50),
    "ACA territory": ((4.0, -16.0), 3.0, 80.0, 285.0, 0.24),
}


def _territory(study: Study, f: Finding, owner: int, at: At) -> Sites:
    (sign,) = signs(f)
    (x, y), near, far, facing, spread = _TERRITORIES[f.place]
    extent = number(f, "extent")
    turn = facing + (number(f, "turn") * (f.place == "MCA territory"))
    turn = turn if sign > 0 else 180.0 - turn
    return [
        Site(
            sign * x,
            y,
            near,
            far,
            float(np.deg2rad(turn)),
            number(f, "hu"),
            owner,
            spread * extent,
        )
    ]


def _around(study: Study, f: Finding, owner: int, at: At) -> Sites:
    (sign,) = signs(f)
    if f.name == "subdural hematoma":
        facing, mixed = number(f, "facing"), number(f, "mixed")
    else:
        facing = {"frontal": -48.0, "parietal": 32.0, "temporoparietal": 4.0}[f.place]
        mixed = 0.0
    facing = facing if sign > 0 else 180.0 - facing
    spread = float(np.deg2rad(number(f, "spread")))
    return [
        Site(
            float(np.deg2rad(facing)),
            spread,
            1,
            1,
            0,
            number(f, "hu"),
            owner,
            number(f, "thickness_mm"),
            mixed,
        )
    ]


def _cisterns(study: Study, f: Finding, owner: int, at: At) -> Sites:
    rng, extent = stream(f), number(f, "extent")
    out = []
    if f.place == "interhemispheric fissure":
        front = rng.random() < 0.7
        return [Site(0.0, -62.0 if front else 58.0, 9.0, 26.0 * extent, 0.0, 0.0, owner)]
    for sign in signs(f):
        if f.place == "sylvian fissure":
            out.append(Site(sign * 52.0, -10.0, 22.0 * extent, 24.0 * extent, 0.0, 0.0, owner))
        else:
            y = rng.uniform(-40, 40)
            out.append(Site(sign * 56.0, y, 24.0 * extent, 30.0 * extent, 0.0, 0.0, owner))
    return out


def _swell(study: Study, f: Finding, owner: int, at: At) -> Sites:
    return [Site(0, 0, 1, 1, 0, 0, owner, number(f, "swell"))]


def _moved(study: Study, f: Finding, owner: int, at: At) -> Sites:
    (sign,) = signs(f)
    return [Site(0, 0, 1, 1, 0, 0, owner, sign * number(f, "size_mm"))]


#: Finding -> the kind of its sites, and how they are placed.
HEAD: dict[str, tuple[str, Place]] = {
    "intraparenchymal hemorrhage": ("hematoma", _bleeding),
    "subdural hematoma": ("subdural", _around),
    "epidural hematoma": ("epidural", _around),
    "subarachnoid hemorrhage": ("subarachnoid", _cisterns),
    "infarct": ("infarct", _territory),
    "hydrocephalus": ("hydro", _swell),
    "midline shift": ("shift", _moved),
}
