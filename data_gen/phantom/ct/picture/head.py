"""The head as lists of structures: ganglia, bodies of the ventricles, and above them."""

from typing import Any

import numpy as np

from data_gen.phantom.ct.findings import Study
from data_gen.phantom.ct.picture.items import Layers, Stage
from data_gen.phantom.ct.picture.shapes import blob

Scene = dict[str, Any]

STAGES = {"grey": Stage(0, 28), "after": Stage(0, 14)}

GREY, WHITE, FLUID = 37.5, 29.0, 6.0
_FRONT = 270.0
#: Waves of the pattern of furrows: cycles around the head, 1/mm of depth, phase.
FURROWS = 12
#: Strokes that make up the ventricles.
HORNS = 10


def pack(study: Study, rng: np.random.Generator) -> Scene:
    """Arrays of the anatomy of a slice; what lesions need to know of it is under ``"at"``."""
    a = study.anatomy
    level = study.level
    high, low = level == "centrum semiovale", level == "basal ganglia"
    size = 0.94 if high else 1.0
    theta = np.deg2rad(np.arange(32) * 360 / 32)
    rx, back, front = 71.0 * size * a["skull"], 89.0 * size, 88.0 * size
    cos, sin = np.cos(theta), np.sin(theta)
    half = np.where(sin > 0, back, front)
    radii = ((np.abs(cos) / rx) ** 2.15 + (np.abs(sin) / half) ** 2.15) ** (-1 / 2.15)
    # The head is widest behind the middle; the front is narrower, the back a little flat.
    radii = radii * (1.0 + 0.035 * sin * np.abs(cos) - 0.05 * (sin < 0) * np.abs(sin * cos))
    for k in (1, 2, 3, 4):
        radii = radii * (1 + rng.normal() * 0.011 * np.cos(k * theta + rng.uniform(0, 6.28)))
    still = np.random.default_rng(0)
    outer = blob(still, (0.0, 0.0), [float(r) for r in radii], 0.0)
    thick = a["skull_mm"] * (1.0 + 0.22 * np.cos(2 * theta) * -1 + 0.1 * np.sin(3 * theta + 1.0))
    thick = thick + 2.5 * np.exp(-(((np.rad2deg(theta) - 90) / 12) ** 2))
    thick = thick + 2.2 * np.exp(-(((np.rad2deg(theta) - _FRONT) / 10) ** 2))
    inner = blob(still, (0.0, 0.0), [float(r) for r in radii - thick], 0.0)
    temple = np.exp(-(((np.rad2deg(theta) - 325) / 16) ** 2)) + np.exp(
        -(((np.rad2deg(theta) - 215) / 16) ** 2)
    )
    scalp = a["scalp"] + (9.0 if low else 2.0) * temple
    skin = blob(still, (0.0, 0.0), [float(r) for r in radii + scalp], 0.0)
    grey, after = (Layers(STAGES[k]) for k in STAGES)
    horns = _ventricles(study, rng, level)
    if low:
        _ganglia(study, rng, grey, after)
    for _ in range(2):  # the sinus at the back, and a vein in front
        after.stroke((rng.normal(), 79 * size), (0.0, 74 * size), (3.4, 2.0), 52.0, soft=2)
    waves = np.stack(
        [
            rng.choice(np.arange(11, 29), FURROWS, replace=False) * (0.95 if high else 1.0),
            rng.normal(0, 0.10, FURROWS),
            rng.uniform(0, 2 * np.pi, FURROWS),
        ],
        1,
    )
    waves[:, 0] = np.round(waves[:, 0])  # so that the pattern closes around the head
    scene: Scene = {
        "skin": skin,
        "outer": outer,
        "inner": inner,
        "waves": waves.astype(np.float32),
        "horns": horns,
        "sulcus": np.float32(a["atrophy"]),
        "sulcus_depth": np.float32(19.0 if high else 13.0),
        "rim": np.float32(0.7 + 2.6 * a["atrophy"]),
        "fissure": np.float32((0.35 if low else 0.65) + 0.9 * a["atrophy"]),
        "falx": np.float32(1.0),
        "sylvian": np.asarray(_sylvian(rng, a["atrophy"]) if low else [[1e4] * 4] * 6, np.float32),
        "gap": np.asarray([30.0, 34.0] if low else [0.0, 0.0], np.float32),
        "leuko": np.float32(max(0.0, a["leuko"] - 0.45)),
        "diploe": np.float32(500 + 500 * a["bone"]),
        "at": {"inner": inner},
    }
    for name, layers in zip(STAGES, (grey, after), strict=True):
        scene[f"{name}_blobs"], scene[f"{name}_strokes"] = layers.arrays()
    return scene


def _sylvian(rng: np.random.Generator, atrophy: float) -> list[list[float]]:
    """The fissures of the sides and the furrow around each insula: x0, y0, x1, y1."""
    out = []
    for side in (-1.0, 1.0):
        j = rng.normal(0, 2.0, 8)
        front, middle = (side * (41 + j[0]), -17 + j[1]), (side * (43 + 0.5 * j[2]), -4.0 + j[3])
        out.append([*front, *middle])
        out.append([*middle, side * (41 + j[4]), 10 + j[5]])
        out.append([side * (45 + j[6]), -15 + j[1], side * (63 + j[6]), -20 + j[7]])
    return out


def _ventricles(study: Study, rng: np.random.Generator, level: str) -> np.ndarray:
    """Strokes x0, y0, x1, y1, r0, r1 of the fluid spaces; radius -9 is none."""
    a = study.anatomy
    wide = 0.75 + 0.9 * a["atrophy"]
    strokes: list[list[float]] = []
    for side in (-1.0, 1.0):
        skew = 1.0 + 0.12 * side * a["asymmetry"]
        j = rng.normal(0, 0.8, 6)
        if level == "ventricular bodies":
            r = 3.6 * wide * skew
            front, middle = [side * (7 + r * 0.7), -31 + j[0]], [side * (8 + r * 0.9), -2 + j[1]]
            back = [side * (19 + j[2] + r * 0.6), 27 + j[3]]
            waist = [side * (9 + r * 0.8 + 0.6 * j[5]), -16 + j[1]]
            strokes += [[*front, *waist, r * 0.75, r * 0.95], [*waist, *middle, r * 0.95, r * 0.8]]
            strokes.append([*middle, *back, r * 0.8, r * 1.5])
            strokes.append([*front, side * (14 + j[4] + r), -39 + j[5], r * 0.8, 0.6])
        elif level == "basal ganglia":
            r = 2.9 * wide * skew
            horn = [side * (4.5 + r * 0.6), -22 + j[0]]
            strokes.append([*horn, side * (11 + j[1] + r), -36 + j[2], r * 0.6, r * 1.05])
            atrium = [side * (23 + j[3]), 30 + j[4]]
            strokes.append([*atrium, side * (25 + j[5]), 46.0, 3.6 * wide * skew, 2.0 * wide])
    if level == "basal ganglia":
        strokes.append([0.0, -4.0, 0.0, 13.0, 1.1 * wide, 1.6 * wide])
    out = np.full((HORNS, 6), -9.0, np.float32)
    out[:, :4] = 1e4
    if strokes:
        out[: len(strokes)] = strokes
    return out


def _ganglia(study: Study, rng: np.random.Generator, grey: Layers, after: Layers) -> None:
    a = study.anatomy
    shift = 1.5 * a["atrophy"]
    for side in (-1.0, 1.0):
        j = rng.normal(0, 1.0, 8)
        spots = (
            ((13 + j[0], -26), (16 + j[1], -15), 4.6, 4.0, GREY + 1.0),  # caudate
            ((24 + j[2], -17), (29 + j[3], 2), 5.0, 5.5, GREY + 1.0),  # lentiform
            ((31, -9), (31, 0), 5.0, 5.0, GREY),
            ((8 + shift, 3 + j[4]), (13 + shift, 15 + j[5]), 6.5, 8.5, GREY - 0.5),  # thalamus
            ((41, -16), (42, 9), 2.6, 2.4, GREY),  # insula
        )
        for (x0, y0), (x1, y1), r0, r1, hu in spots:
            grey.stroke((side * x0, y0), (side * x1, y1), (r0, r1), hu, soft=6.5)
        # The cistern behind the midbrain, and calcified choroid plexus.
        after.stroke((0.0, 27.0), (side * 11, 21 + j[6]), (1.5, 0.8), FLUID + 4, soft=2)
        if a["calcium"] > 0.25:
            after.stroke(
                (side * (23 + j[3]), 38.0),
                (side * (24 + j[3]), 41.0),
                (1.3, 1.6),
                60 + 260 * a["calcium"],
                soft=1.5,
            )
        if a["calcium"] > 0.8:
            after.stroke(
                (side * 20, -7), (side * 21, -3), (1.4, 1.0), 60 + 40 * a["calcium"], soft=2
            )
    if a["calcium"] > 0.15:
        after.stroke((j[7] * 0.4, 22.0), (0.0, 23.5), (1.4, 1.6), 80 + 250 * a["calcium"], soft=1.5)
