"""The chest as lists of structures: below the carina and through the heart."""

from typing import Any

import numpy as np

from data_gen.phantom.ct.findings import Study
from data_gen.phantom.ct.picture import trunk
from data_gen.phantom.ct.picture.items import Layers, Stage
from data_gen.phantom.ct.picture.shapes import blob, ellipse_blob, inside

Scene = dict[str, Any]

STAGES = {"back": Stage(10, 60), "organs": Stage(20, 30), "lungs": Stage(0, 220)}

#: Structure -> HU without contrast, and with it.
DENSITY = {
    "aorta": (42, 290),
    "artery": (42, 330),
    "vein": (42, 170),
    "chamber": (42, 240),
    "wall": (44, 105),
    "muscle": (54, 60),
}


def density(study: Study, name: str) -> float:
    """HU of a structure, with or without contrast."""
    plain, enhanced = DENSITY[name]
    if study.phase == "non-contrast":
        return float(plain)
    return float(plain + (enhanced - plain) * (0.75 + 0.5 * study.anatomy["bolus"]))


def pack(study: Study, rng: np.random.Generator) -> Scene:
    """Arrays of the anatomy of a slice; what lesions need to know of it is under ``"at"``."""
    a = study.anatomy
    back, organs, lungs = (Layers(STAGES[k]) for k in STAGES)
    heart_level = study.level == "heart"
    # The bony cage: lungs fill it up to a few millimetres of wall.
    cage = trunk.ring(129 * a["cage"], 97, 2.0, 2.35)
    bulge = (
        7.0
        + (7.0 if heart_level else 13.0) * np.exp(-(((trunk.ANGLES - 42) / 26) ** 2))
        + (7.0 if heart_level else 13.0) * np.exp(-(((trunk.ANGLES - 138) / 26) ** 2))
    )
    pectoral = np.exp(-(((trunk.ANGLES - 305) / 26) ** 2)) + np.exp(
        -(((trunk.ANGLES - 235) / 26) ** 2)
    )
    bulge = bulge + (4.0 if heart_level else 12.0) * pectoral * (1.2 - 0.7 * a["wasting"])
    muscle, skin, _ = trunk.shell(rng, cage + bulge, a["fat"])
    still = np.random.default_rng(0)
    cavity = blob(still, (0.0, 0.0), [float(r) for r in cage - 9.0], 0.0)
    red = density(study, "muscle") - 14.0 * a["wasting"]
    trunk.back_muscles(back, rng, 0.95, red, lumbar=False)
    trunk.spine(back, rng, 0.0, 46.0, a["spine"] * 0.86, a["bone"], 96.0, True)
    angles = [12.0, 33, 52, 68, 112, 128, 147, 168, 192, 216, 237, 303, 324, 348]
    angles = [v for v in angles if rng.random() < 0.88]
    trunk.ribs(back, rng, cage, 3.5, angles, (4, 19), a["bone"])
    _front_and_shoulder(back, rng, study, heart_level)
    middle = (_heart if heart_level else _carina)(study, rng, organs)
    hearts = middle["block"]
    trees = []
    for side in (-1.0, 1.0):
        trees.append(_vessel_tree(lungs, rng, side, cavity, hearts, study, heart_level))
    breasts = _breasts(study, rng)
    scene: Scene = {
        "muscle": muscle,
        "skin": skin,
        "breasts": breasts,
        "cage": cavity,
        "block": hearts,
        "column": blob(
            rng, (0.0, 62.0), [30, 33, 36, 34, 32, 34, 36, 33, 30, 27, 22, 19, 18, 19, 22, 27], 0.03
        ),
        "link": np.asarray([10.0 if heart_level else 16.0], np.float32),
        "muscle_hu": np.float32(red),
        "lung_hu": np.float32(-880.0 + 60 * a["lung_density"] + (15 if heart_level else 0)),
        "at": {
            "heart": middle["heart"],
            "artery": middle["artery"],
            "cavity": cavity,
            "block": hearts,
        },
    }
    for name, layers in zip(STAGES, (back, organs, lungs), strict=True):
        scene[f"{name}_blobs"], scene[f"{name}_strokes"] = layers.arrays()
    return scene


def _breasts(study: Study, rng: np.random.Generator) -> np.ndarray:
    """Two outlines in front of the wall; nowhere in a man."""
    size = study.anatomy["breast"]
    out = []
    for side in (-1.0, 1.0):
        x = side * (66 + rng.normal() * 4 + 12 * size)
        shape = ellipse_blob(
            rng, (x, -88.0 + 10 * size), 52 * (0.8 + 0.4 * size), 34 * (0.5 + size), side * 22, 0.04
        )
        if study.sex == "male":
            shape[0] = 1e4
        out.append(shape)
    return np.stack(out)


def _front_and_shoulder(
    back: Layers, rng: np.random.Generator, study: Study, heart_level: bool
) -> None:
    bone = study.anatomy["bone"]
    cortex = (380 + 350 * bone, 1.3)
    y = -94.0
    back.stroke((-13, y), (13, y), (4.5, 4.5), 90 + 90 * bone, cortex, soft=1.6)
    if heart_level:
        for side in (-1, 1):
            back.stroke(
                (side * 19, y + 1), (side * 42, y + 7), (3.6, 4.2), 110.0, (190.0, 1.0), soft=2
            )
        return
    for side in (-1.0, 1.0):
        # The blade of the scapula, with its ridge.
        inner = (side * (78 + rng.normal() * 3), 84 + rng.normal() * 3)
        outer = (side * (122 + rng.normal() * 4), 44 + rng.normal() * 4)
        back.stroke(inner, outer, (1.8, 4.2), 120.0, (cortex[0], 1.2), soft=1.8)
        middle = ((inner[0] + outer[0]) / 2, (inner[1] + outer[1]) / 2)
        if rng.random() < 0.6:
            back.stroke(middle, (middle[0] + side * 9, middle[1] + 13), (1.8, 2.4), 120.0, cortex)
        # Fat between the muscles of the shoulder girdle.
        for shift in (7.0, -8.0):
            start = (inner[0] + side * shift * 0.6, inner[1] + shift * 0.8)
            end = (outer[0] + side * shift * 0.6, outer[1] + shift * 0.8)
            back.stroke(start, end, (1.2, 0.8), -70.0, soft=1.5)


def _heart(study: Study, rng: np.random.Generator, organs: Layers) -> dict[str, Any]:
    a = study.anatomy
    grow = a["heart"]
    radii = [60, 57, 48, 42, 40, 41, 43, 45, 46, 47, 48, 47, 45, 46, 50, 56]
    centre = (16.0, -30.0)
    heart = blob(rng, centre, [r * grow for r in radii], 0.05, 22 + rng.normal() * 7)
    organs.blob(heart, -85.0, clip=0.5, soft=2)
    inner = heart.copy()
    inner[2] -= 4.5
    wall, blood = density(study, "wall"), density(study, "chamber")
    organs.blob(inner, wall, clip=3.0, organ="heart", soft=2.5)
    vein = density(study, "vein")
    chambers = (
        ((40.0, -30.0), 25.0, 12.5, 38.0, blood),  # left ventricle
        ((12.0, -52.0), 24.0, 11.0, 18.0, vein + 0.6 * (blood - vein)),  # right ventricle
        ((-16.0, -32.0), 15.0, 20.0, 10.0, vein),  # right atrium
        ((10.0, 0.0), 24.0, 13.0, 4.0, blood + 12),  # left atrium
    )
    for (x, y), rx, ry, turn, hu in chambers:
        at = (16 + (x - 16) * grow, -30 + (y + 30) * grow)
        shape = ellipse_blob(rng, at, rx * grow, ry * grow, turn + rng.normal() * 5, 0.07)
        organs.blob(shape, hu, clip=4.0, organ="heart", soft=4.5, texture=4.0)
    aorta = ellipse_blob(rng, (21.0, 36.0), a["aorta"], a["aorta"], jitter=0.02)
    organs.blob(aorta, density(study, "aorta"), organ="aorta")
    organs.blob(ellipse_blob(rng, (5.0, 26.0), 8.5, 5.5, 15, 0.08), 45.0, (60.0, 2.0))
    for side in (-1, 1):  # lower lobe veins on their way to the left atrium
        tip = (side * rng.uniform(38, 50), rng.uniform(12, 22))
        organs.stroke((side * 20.0, 3.0), tip, (4.6, 1.2), density(study, "chamber"), soft=4)
    if a["calcium"] > 0.65:
        organs.stroke((24, -52), (34, -55), (1.0, 0.8), 500.0)
    block = heart.copy()
    return {"heart": heart, "artery": aorta, "block": block}


def _carina(study: Study, rng: np.random.Generator, organs: Layers) -> dict[str, Any]:
    a = study.anatomy
    radii = [35, 40, 42, 40, 42, 40, 40, 37, 33, 38, 45, 44, 42, 44, 46, 40]
    block = blob(rng, (3.0, -16.0), [1.05 * r for r in radii], 0.05)
    rise = ellipse_blob(
        rng, (-10.0 + rng.normal() * 2, -33.0), a["aorta"] * 1.3, a["aorta"] * 1.3, jitter=0.03
    )
    artery = density(study, "artery")
    trunk_shape = ellipse_blob(rng, (19.0, -33.0), 14.5, 13.0, 30, 0.04)
    organs.blob(trunk_shape, artery, organ="heart", halo=1.5)
    organs.blob(
        blob(rng, (30.0, -16.0), [13, 11, 10, 11, 14, 11, 10, 11], 0.05, 40), artery, halo=1
    )
    right = blob(
        rng, (-6.0, -11.0), [27, 18, 10, 8, 8, 9, 11, 19, 28, 19, 11, 9, 8, 9, 11, 19], 0.03, -9
    )
    organs.blob(right, artery, organ="heart", halo=1.5)
    organs.blob(rise, density(study, "aorta"), organ="aorta", halo=1.5)
    cava = density(study, "artery") * (1.25 if study.phase != "non-contrast" else 1.0)
    organs.blob(ellipse_blob(rng, (-33.0, -24.0), 9.0, 10.0, 0, 0.06), cava, halo=1.2)
    descending = ellipse_blob(rng, (24.0, 33.0), a["aorta"], a["aorta"], jitter=0.02)
    organs.blob(descending, density(study, "aorta"), organ="aorta", halo=1.0)
    organs.blob(ellipse_blob(rng, (4.0, 22.0), 8.0, 5.5, 15, 0.08), 45.0, (60.0, 2.0))
    # Main bronchi: air, with a thin wall.
    for side, end in ((-1, (-32.0, 9.0)), (1, (33.0, 7.0))):
        start = (side * (12.0 + rng.normal()), 6.0 + rng.normal())
        wide = rng.uniform(6.0, 7.8)
        organs.stroke(start, end, (wide, wide * 0.8), -985.0, (20.0, 1.4), soft=1.5)
    # Small nodes and vessels in the fat.
    for _ in range(4):
        x, y = rng.uniform(-25, 30), rng.uniform(-55, 18)
        organs.stroke(
            (x, y), (x + rng.uniform(-4, 4), y + rng.uniform(-3, 3)), (2.2, 1.8), 35.0, soft=2
        )
    return {"heart": rise, "artery": right, "block": block}


def _vessel_tree(
    lungs: Layers,
    rng: np.random.Generator,
    side: float,
    cavity: np.ndarray,
    block: np.ndarray,
    study: Study,
    heart_level: bool,
) -> None:
    """Vessels of a lung: branches in the slice, dots across it, bronchi beside the large ones."""
    count = 0
    room = 108
    hu = density(study, "vein") * 0.8

    def fits(x: float, y: float) -> bool:
        return inside(cavity, x, y) > 3 and inside(block, x, y) < 2

    def grow(x: float, y: float, angle: float, radius: float, depth: int) -> None:
        nonlocal count
        if count >= 66 or depth > 6 or radius < 0.34:
            return
        length = rng.uniform(9, 21) * (0.92**depth)
        ex, ey = x + length * np.cos(angle), y + length * np.sin(angle)
        if depth and not fits(ex, ey):
            return
        if rng.random() < (0.9, 0.85, 0.72, 0.62)[min(depth, 3)]:
            lungs.stroke((x, y), (float(ex), float(ey)), (radius, radius * 0.78), hu, soft=1.2)
            count += 1
            if depth < 2 and rng.random() < 0.45 and count < 56:
                off = radius + 2.4
                nx, ny = -np.sin(angle) * off, np.cos(angle) * off
                lungs.stroke(
                    (x + nx, y + ny),
                    (float(ex + nx), float(ey + ny)),
                    (2.6, 2.0),
                    -960.0,
                    (-250.0, 0.9),
                )
                count += 1
        # A branch goes off; the vessel itself runs on, a little thinner.
        bend = rng.uniform(0.35, 0.95) * rng.choice([-1.0, 1.0])
        grow(float(ex), float(ey), angle - 0.25 * bend, radius * rng.uniform(0.76, 0.9), depth + 1)
        if rng.random() < 0.8:
            grow(float(ex), float(ey), angle + bend, radius * rng.uniform(0.5, 0.7), depth + 1)

    hilum = (side * (48.0 if heart_level else 42.0), 12.0 if heart_level else 2.0)
    if heart_level and side > 0:
        hilum = (54.0, 20.0)
    for angle in (-75, -30, 15, 55, 85):
        facing = np.deg2rad(angle + rng.normal() * 8)
        facing = facing if side > 0 else np.pi - facing
        grow(*hilum, float(facing), rng.uniform(1.6, 3.4), 0)
    # Vessels that run through the slice are dots, smaller towards the wall.
    while count < room:
        count += 1
        x, y = side * rng.uniform(20, 122), rng.uniform(-85, 85)
        if not fits(x, y):
            continue
        depth = inside(cavity, x, y)
        radius = min(0.35 + 0.030 * depth * rng.uniform(0.1, 1.0), 2.2)
        turn = np.arctan2(y - 5.0, x - side * 45.0) + rng.normal() * 0.4
        length = rng.choice([0.3, 0.6, 3.0, 8.0])
        end = (float(x + length * np.cos(turn)), float(y + length * np.sin(turn)))
        lungs.stroke((x, y), end, (radius, radius * 0.8), hu, soft=1.2)
