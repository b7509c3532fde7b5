"""The abdomen as lists of structures: at the liver's level and at the kidneys'."""

from typing import Any

import numpy as np

from data_gen.phantom.ct.findings import Study
from data_gen.phantom.ct.picture import trunk
from data_gen.phantom.ct.picture.bowel import colon, mesentery, small_bowel, stomach
from data_gen.phantom.ct.picture.items import Layers, Stage
from data_gen.phantom.ct.picture.shapes import blob, ellipse_blob

Scene = dict[str, Any]

STAGES = {"back": Stage(10, 40), "organs": Stage(46, 40), "front": Stage(10, 48)}

#: Structure -> HU without contrast, in the arterial and in the portal venous phase.
DENSITY = {
    "aorta": (42, 310, 150),
    "vein": (40, 75, 145),
    "liver": (57, 72, 110),
    "spleen": (48, 120, 122),
    "cortex": (33, 175, 180),
    "medulla": (32, 70, 165),
    "pancreas": (40, 105, 90),
    "muscle": (54, 60, 66),
    "wall": (38, 85, 82),
}
PHASES = ("non-contrast", "arterial", "portal venous")


def density(study: Study, name: str) -> float:
    """HU of a structure in the study's phase; a fatty liver is darker."""
    hu = float(DENSITY[name][PHASES.index(study.phase)])
    a = study.anatomy
    if name == "liver":
        hu -= 20.0 * a["steatosis"]
    if study.phase != "non-contrast":
        hu *= 0.88 + 0.24 * a["bolus"]
    return hu


def pack(study: Study, rng: np.random.Generator) -> Scene:
    """Arrays of the anatomy of a slice; what lesions need to know of it is under ``"at"``."""
    a = study.anatomy
    back, organs, front = (Layers(STAGES[k]) for k in STAGES)
    low = study.level == "kidneys"
    visceral = a["visceral"]
    radii = trunk.ring(131 * visceral, 93 * visceral**1.3, 2.05, 2.5)
    muscle, skin, muscle_radii = trunk.shell(rng, radii, a["fat"])
    red = density(study, "muscle") - 14.0 * a["wasting"]
    trunk.back_muscles(back, rng, 1.0, red, lumbar=low)
    trunk.spine(back, rng, 0.0, 40.0, a["spine"], a["bone"], muscle_radii[8] - 6.0, not low)
    angles = [24, 48, 135, 158, 202, 335] if low else _RIBS
    trunk.ribs(front, rng, muscle_radii, 5.5, [float(v) for v in angles], (3.5, 11), a["bone"])
    places = (_kidney_level if low else _liver_level)(study, rng, organs, visceral)
    scene: Scene = {
        "muscle": muscle,
        "skin": skin,
        "wall": np.float32(8.0 + 3.0 * (not low) + 3.0 * (1 - a["wasting"])),
        "muscle_hu": np.float32(red),
        "rectus": np.asarray([12.0 + 4 * low, 5.0 + 2.0 * (1 - a["wasting"])], np.float32),
        "bases": np.asarray([0.0 if low else a["bases"], 0.0], np.float32),
        "at": places,
    }
    for name, layers in zip(STAGES, (back, organs, front), strict=True):
        scene[f"{name}_blobs"], scene[f"{name}_strokes"] = layers.arrays()
    return scene


_RIBS = [8, 28, 47, 66, 114, 133, 152, 172, 196, 222, 318, 344]


def _great_vessels(
    study: Study, rng: np.random.Generator, organs: Layers, vein: tuple[float, float]
) -> dict[str, np.ndarray]:
    a = study.anatomy
    radius = a["aorta"]
    centre = (6.0 + rng.normal() * 3, 40.0 - 21 * a["spine"] - radius * 0.8)
    aorta = ellipse_blob(rng, centre, radius, radius, jitter=0.02)
    calcium = a["calcium"] > 0.6
    wall = (density(study, "aorta"), 0.0)
    organs.blob(aorta, density(study, "aorta"), wall, organ="aorta", halo=1.5)
    if calcium:
        for _ in range(int(rng.integers(1, 4))):
            angle = rng.uniform(0, 2 * np.pi)
            at = [
                (
                    centre[0] + radius * 0.9 * np.cos(angle + d),
                    centre[1] + radius * 0.9 * np.sin(angle + d),
                )
                for d in (0.0, 0.5)
            ]
            organs.stroke(at[0], at[1], (0.9, 0.7), 600.0)
    flat = rng.uniform(0.55, 0.95)
    cava = ellipse_blob(rng, vein, 12.0, 12.0 * flat, rng.uniform(-15, 15), 0.05)
    organs.blob(cava, density(study, "vein"), halo=1.0)
    return {"aorta": aorta, "cava": cava}


def _liver_vessels(study: Study, rng: np.random.Generator, organs: Layers) -> None:
    """Portal and hepatic veins: as much of the two trees as lies in the slice."""
    hu = density(study, "vein") + (22.0 if study.phase == "portal venous" else -6.0)
    if study.phase == "arterial":
        hu = density(study, "liver") + 6.0

    def grow(x: float, y: float, angle: float, radius: float, depth: int) -> None:
        length = rng.uniform(13, 24) * (0.72**depth) * (1.15 if depth == 0 else 1.0)
        end = (x + length * np.cos(angle), y + length * np.sin(angle))
        if rng.random() < (0.9, 0.75, 0.6)[min(depth, 2)]:
            organs.stroke(
                (x, y), (float(end[0]), float(end[1])), (radius, radius * 0.75), hu, soft=2
            )
        if depth < 2:
            for turn in (rng.uniform(-0.75, -0.2), rng.uniform(0.2, 0.75)):
                grow(float(end[0]), float(end[1]), angle + turn, radius * 0.68, depth + 1)

    root = (-24 + rng.normal() * 3, 8 + rng.normal() * 3)
    for angle in (175, 215, 262):
        grow(*root, np.deg2rad(angle + rng.normal() * 9), rng.uniform(2.2, 4.2), 0)


def _liver_level(
    study: Study, rng: np.random.Generator, organs: Layers, visceral: float
) -> dict[str, np.ndarray]:
    a = study.anatomy
    liver_hu = density(study, "liver")
    mesentery(organs, rng, density(study, "vein"), (25.0, 8.0), (30.0, 18.0), 6)
    gut = stomach(study, rng, organs, density(study, "wall"))
    grow = a["liver"] * visceral
    right = [56, 50, 47, 55, 68, 78, 80, 74, 68, 70, 80, 82, 74, 66, 66, 64]
    lobe = blob(rng, (-66.0 * visceral, -6.0), [r * grow for r in right], 0.06)
    left = [66, 48, 26, 20, 22, 30, 46, 54, 60, 52, 38, 30, 28, 31, 40, 56]
    reach = a["left_lobe"]
    lobe_left = blob(rng, (-2.0, -46.0 * visceral), [r * reach for r in left], 0.07, -8.0)
    spleen_hu = density(study, "spleen")
    radii = [36, 36, 38, 44, 44, 34, 24, 18, 15, 16, 21, 32, 44, 44, 40, 37]
    spleen = blob(
        rng, (90.0 * visceral, 22.0), [r * a["spleen"] for r in radii], 0.06, 14 + rng.normal() * 8
    )
    if rng.random() < 0.55:
        upper = ellipse_blob(rng, (57.0, 44.0), 16, 19, 20)
        organs.blob(upper, density(study, "cortex"), organ="left kidney", halo=2.0, soft=4)
    organs.blob(
        spleen,
        spleen_hu,
        clip=1.0,
        organ="spleen",
        halo=1.2,
        soft=2.5,
        texture=14.0 if study.phase == "arterial" else 2.5,
    )
    if rng.random() < 0.6:
        colon(organs, rng, (96 * visceral, -30.0), 15, density(study, "wall"), gas=0.7)
    organs.blob(lobe_left, liver_hu, clip=1.0, organ="liver", texture=2.0, soft=2.5, halo=1.2)
    organs.blob(lobe, liver_hu, clip=1.0, organ="liver", texture=2.0, soft=2.0)
    vessels = _great_vessels(study, rng, organs, (-21.0, 13.0))
    for side in (-1.0, 1.0):
        organs.stroke((side * 12, 38), (side * 9 + 4, 4), (4.0, 3.0), density(study, "muscle"))
    adrenal = 34 + 0.25 * liver_hu
    x = 31 + rng.normal() * 2
    organs.stroke((x, 31), (x + rng.uniform(3, 6), 24), (1.5, 0.9), adrenal, soft=1.8)
    organs.stroke((x, 31), (x - rng.uniform(1, 5), 24), (1.4, 0.9), adrenal, soft=1.8)
    # The fissure of the ligament, and the vessels of the liver.
    top = (-18 + rng.normal() * 5, -60 * visceral)
    organs.stroke(top, (-13 + rng.normal() * 3, -34.0), (0.8, 1.8), -50.0, soft=3)
    _liver_vessels(study, rng, organs)
    return {"liver": lobe, "left_lobe": lobe_left, "spleen": spleen, **gut, **vessels}


def kidney(
    study: Study, rng: np.random.Generator, organs: Layers, centre: tuple[float, float], side: int
) -> dict[str, np.ndarray]:
    """A kidney with its sinus; ``side`` is 1 for the patient's left (the image's right)."""
    a = study.anatomy
    name = "left" if side > 0 else "right"
    radii = [27, 28, 29, 29, 27, 24, 19, 13, 10, 12, 18, 24, 27, 27, 27, 27]
    if side < 0:
        # Mirrored left to right: angle 180 - a.
        radii = [radii[(8 - k) % 16] for k in range(16)]
    turn = side * (18 + rng.normal() * 8)
    shape = blob(rng, centre, [r * a["kidney"] for r in radii], 0.045, turn)
    organs.blob(
        shape,
        density(study, "medulla"),
        (density(study, "cortex"), 7.0 * a["kidney"]),
        organ=f"{name} kidney",
        halo=2.5,
        soft=1.6,
        texture=5.0 if study.phase == "arterial" else 2.0,
    )
    inward = np.array([-side * np.cos(np.deg2rad(20)), -0.34])
    hilum = np.asarray(centre) + inward * 8.5 * a["kidney"]
    sinus = blob(rng, (float(hilum[0]), float(hilum[1])), [10, 9, 13, 9, 10, 9, 13, 9], 0.14, turn)
    organs.blob(sinus, -75.0, soft=2.5, texture=22.0)
    pelvis = ellipse_blob(
        rng,
        (float(hilum[0] + inward[0] * 5), float(hilum[1] + inward[1] * 5)),
        8,
        3.2,
        turn - 10 * side,
    )
    organs.blob(pelvis, 14.0, soft=2.0)
    # Calyces and vessels in the sinus, and the vein that leaves it.
    for _ in range(3):
        angle = rng.uniform(-1.2, 1.2) + (0 if side > 0 else np.pi)
        out = hilum - 0.0 * inward + 9.5 * a["kidney"] * np.array([np.cos(angle), np.sin(angle)])
        organs.stroke(
            (float(hilum[0]), float(hilum[1])),
            (float(out[0]), float(out[1])),
            (1.3, 2.0),
            float(rng.choice([12.0, density(study, "vein")])),
            soft=2,
        )
    if rng.random() < 0.7:
        end = (4.0, 10.0) if side > 0 else (-14.0, 14.0)
        start = hilum + inward * 8
        organs.stroke(
            (float(start[0]), float(start[1])), end, (3.4, 3.8), density(study, "vein"), soft=2.5
        )
    return {f"{name}_kidney": shape, f"{name}_hilum": np.asarray([*hilum, *inward], np.float32)}


def _kidney_level(
    study: Study, rng: np.random.Generator, organs: Layers, visceral: float
) -> dict[str, np.ndarray]:
    a = study.anatomy
    vein, wall = density(study, "vein"), density(study, "wall")
    mesentery(organs, rng, vein, (22.0, -22.0), (50.0, 30.0), 14)
    places = {}
    for side, spot in ((-1, (-60.0, 30.0)), (1, (61.0, 27.0))):
        at = (spot[0] * visceral**0.8 + rng.normal() * 3, spot[1] + rng.normal() * 4)
        places |= kidney(study, rng, organs, at, side)
    small_bowel(study, rng, organs, wall, visceral)
    colon(organs, rng, (100 * visceral, 6 + rng.normal() * 6), rng.uniform(10, 16), wall, gas=0.35)
    colon(organs, rng, (-64 * visceral, -44.0), rng.uniform(14, 19), wall, gas=0.5)
    grow = a["liver"]
    radii = [22, 21, 24, 33, 50, 58, 50, 44, 42, 44, 48, 50, 46, 36, 27, 23]
    lobe = blob(rng, (-94.0 * visceral, -4.0 + 6 * rng.normal()), [r * grow for r in radii], 0.10)
    organs.blob(
        lobe, density(study, "liver"), clip=1.0, organ="liver", texture=2.0, halo=1.5, soft=2.5
    )
    bladder = blob(
        rng,
        (-54.0 * visceral + rng.normal() * 3, -24.0),
        [a["gallbladder"] * r for r in (12, 13.5, 16, 13.5, 12, 13.5, 17, 13.5)],
        0.06,
        25,
    )
    organs.blob(bladder, 9.0, (wall, 1.6), organ="gallbladder", halo=0.6, soft=1.6)
    head = blob(rng, (-20.0, -6.0), [13, 11, 12, 15, 12, 11, 14, 15], 0.1)
    organs.blob(head, density(study, "pancreas"), texture=9.0, halo=1.0, soft=2)
    organs.blob(
        blob(rng, (-36.0, 0.0), [9, 10, 12, 10, 9, 10, 12, 10], 0.1), 25.0, (wall, 2.2), halo=0.8
    )
    vessels = _great_vessels(study, rng, organs, (-17.0, 15.0))
    artery = density(study, "aorta")
    organs.blob(ellipse_blob(rng, (5.0 + rng.normal(), -6.0), 3.6, 3.6), artery, halo=2.5)
    organs.blob(ellipse_blob(rng, (-6.0 + rng.normal(), -10.0), 5.6, 5.2), vein + 8, halo=0.6)
    return {"liver": lobe, "gallbladder": bladder, **places, **vessels}
