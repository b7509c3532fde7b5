"""What abdomen and chest share: outlines of the trunk, spine, ribs, wall, and the table beneath."""

import numpy as np

from data_gen.phantom.ct.picture.items import Layers
from data_gen.phantom.ct.picture.shapes import blob

Rng = np.random.Generator
Vector = np.ndarray

ANGLES = np.arange(32) * 360.0 / 32


def ring(rx: float, ry: float, power_front: float, power_back: float) -> np.ndarray:
    """Radii of a superellipse at :data:`ANGLES` whose front and back differ in squareness."""
    cos, sin = np.abs(np.cos(np.deg2rad(ANGLES))), np.abs(np.sin(np.deg2rad(ANGLES)))
    power = np.where(ANGLES <= 180, power_back, power_front)
    return ((cos / rx) ** power + (sin / ry) ** power) ** (-1.0 / power)


def shell(
    rng: Rng, radii: np.ndarray, fat: float, jitter: float = 0.02
) -> tuple[Vector, Vector, np.ndarray]:
    """(muscular outline, skin, radii of the first) around the origin.

    ``fat`` is the mean thickness under the skin in mm; it is thickest at the flanks' back.
    """
    theta = np.deg2rad(ANGLES)
    for k in (2, 3, 4):
        radii = radii * (1 + rng.normal() * jitter / k * np.cos(k * theta + rng.uniform(0, 6.28)))
    # The furrow over the spine, and the midline of the belly.
    furrow = np.exp(-(((ANGLES - 90) / 9.0) ** 2)) * 3.0
    muscle = radii - furrow
    flank = np.exp(-(((ANGLES - 52) / 24.0) ** 2)) + np.exp(-(((ANGLES - 128) / 24.0) ** 2))
    front = np.exp(-(((ANGLES - 270) / 55.0) ** 2))
    thickness = fat * (0.75 + rng.uniform(0.3, 0.7) * flank + rng.uniform(0.0, 0.5) * front) + 3.0
    still = np.random.default_rng(0)  # without jitter nothing is drawn from it
    return (
        blob(still, (0.0, 0.0), [float(r) for r in muscle], 0.0),
        blob(still, (0.0, 0.0), [float(r) for r in muscle + thickness], 0.0),
        muscle,
    )


def spine(
    layers: Layers,
    rng: Rng,
    cx: float,
    cy: float,
    size: float,
    bone: float,
    limit: float,
    thoracic: bool,
) -> None:
    """A vertebra with its arch, its processes down to ``limit``, and the canal."""
    cortex = (430.0 + 420.0 * bone, 1.5)
    core = 110.0 + 110.0 * bone
    back = cy + 20 * size
    # Arch and processes lie oblique to the slice, so a part of them is seen, more or less dense.
    reach = 27.0 if thoracic else 33.0
    for side in (-1.0, 1.0):
        dense = rng.uniform(0.55, 1.0)
        root = (cx + side * 12 * size, back - 4 * size)
        layers.stroke(root, (cx + side * 13 * size, back + 5 * size), (4.5, 5.5), core, cortex)
        tip = (cx + side * reach * size, back + (9.0 if thoracic else 4.0) * size)
        layers.stroke(root, tip, (4.2, 3.0), core * dense, (cortex[0] * dense, 1.3), soft=2.5)
        layers.stroke(
            (cx + side * 12 * size, back + 6 * size),
            (cx, back + 15 * size),
            (4.4, 3.6),
            core,
            cortex,
        )
    tail = min(back + (14 + rng.uniform(14, 27)) * size, limit)
    layers.stroke((cx, back + 14 * size), (cx, tail), (3.6, 2.6), core, cortex, soft=2.0)
    layers.blob(
        blob(
            rng,
            (cx, cy),
            [size * r for r in _BODY],
            0.03,
        ),
        core,
        cortex,
        texture=22.0,
    )
    canal = [size * r for r in (11.5, 9.5, 8.0, 9.5, 11.5, 9.0, 7.0, 9.0)]
    layers.blob(blob(rng, (cx, back + 1.5 * size), canal, 0.03), 18.0)
    layers.blob(blob(rng, (cx, back + 1.5 * size), [5.2 * size] * 8, 0.03), 38.0, soft=2.5)


#: Radii of a vertebral body: flat behind, round in front.
_BODY = (21, 21, 20.5, 18.5, 16, 18.5, 20.5, 21, 21, 20, 18.5, 17.5, 17, 17.5, 18.5, 20)


def ribs(
    layers: Layers,
    rng: Rng,
    radii: np.ndarray,
    depth: float,
    angles: list[float],
    length: tuple[float, float],
    bone: float,
) -> None:
    """Ribs cut obliquely, ``depth`` mm inside the outline ``radii`` at ``angles``."""
    for angle in angles:
        angle += rng.normal() * 3.0
        r = float(np.interp(angle % 360, [*ANGLES, 360.0], [*radii, radii[0]])) - depth
        ahead = float(np.interp((angle + 6) % 360, [*ANGLES, 360.0], [*radii, radii[0]])) - depth
        at = np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))]) * r
        to = np.array([np.cos(np.deg2rad(angle + 6)), np.sin(np.deg2rad(angle + 6))]) * ahead
        along = (to - at) / np.hypot(*(to - at))
        half = rng.uniform(*length)
        wide = rng.uniform(2.5, 4.6)
        start, end = at - along * half, at + along * half
        # The chest wall curves within the length of a rib.
        bow = at / r * (half * half / (2.0 * r))
        start, end = start - bow, end - bow
        middle = at
        dense = rng.uniform(0.7, 1.0) * (430 + 420 * bone)
        for a, b in ((start, middle), (middle, end)):
            layers.stroke(
                (float(a[0]), float(a[1])),
                (float(b[0]), float(b[1])),
                (wide * 0.85 if a is start else wide, wide * 0.85 if b is end else wide),
                90.0 + 120.0 * bone,
                (dense, 1.4),
                soft=1.6,
            )


def back_muscles(layers: Layers, rng: Rng, size: float, hu: float, lumbar: bool) -> None:
    """Erector spinae on both sides, with the quadratus and psoas of the lumbar level."""
    for side in (-1.0, 1.0):
        ry = rng.uniform(16, 20)
        radii = [27, 25, 20, 17, ry, 20, 26, 28, 27, 23, 19, 17, 16, 18, 22, 26]
        layers.blob(
            blob(rng, (side * 33 * size, 71.0 * size), [r * size for r in radii], 0.07),
            hu,
            texture=9.0,
            clip=-12.0,
            halo=1.5,
        )
        # Fat between the bundles.
        for _ in range(2):
            x, y = side * rng.uniform(22, 46) * size, rng.uniform(62, 80) * size
            turn = rng.uniform(-0.5, 0.5)
            end = (x + side * 11 * np.cos(turn), y + 11 * np.sin(turn))
            layers.stroke((x, y), (float(end[0]), float(end[1])), (0.7, 0.3), -40.0)
        if lumbar:
            layers.blob(
                blob(
                    rng, (side * 58 * size, 55.0 * size), [17 * size, 8 * size] * 2, 0.1, -18 * side
                ),
                hu,
                texture=7.0,
                halo=1.2,
            )
            wide = rng.uniform(10, 15) * size
            layers.blob(
                blob(rng, (side * 33 * size, 42.0 * size), [wide, wide * 1.25] * 2, 0.1, 25 * side),
                hu + 3,
                texture=6.0,
                halo=1.0,
            )
