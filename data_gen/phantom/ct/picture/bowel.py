"""Stomach, small bowel, colon and the vessels of the mesentery."""

import numpy as np

from data_gen.phantom.ct.findings import Study
from data_gen.phantom.ct.picture.items import FAECES, GAS_LEVEL, Layers
from data_gen.phantom.ct.picture.shapes import blob, ellipse_blob

Rng = np.random.Generator


def mesentery(
    organs: Layers,
    rng: Rng,
    hu: float,
    centre: tuple[float, float],
    spread: tuple[float, float],
    count: int,
) -> None:
    """Small vessels in the fat, cut along or across."""
    for _ in range(count):
        x = centre[0] + rng.normal() * spread[0]
        y = centre[1] + rng.normal() * spread[1]
        turn = np.arctan2(y + 5, x) + rng.normal() * 0.5
        length = rng.choice([0.5, 1.0, 7.0, 15.0])
        end = (float(x + length * np.cos(turn)), float(y + length * np.sin(turn)))
        radius = rng.uniform(0.8, 2.0)
        organs.stroke((x, y), end, (radius, radius * 0.8), hu, clip=3.0, soft=1.5)


def stomach(study: Study, rng: Rng, organs: Layers, wall: float) -> dict[str, np.ndarray]:
    """The stomach with gas over fluid or food."""
    full = study.anatomy["stomach"]
    radii = [40, 34, 28, 25, 25, 26, 28, 30, 32, 30, 28, 27, 28, 30, 34, 39]
    shape = blob(
        rng, (50.0, -26.0), [r * (0.8 + 0.4 * full) for r in radii], 0.09, -28 + rng.normal() * 14
    )
    level = -26.0 + 26.0 * (rng.random() - 0.62)
    organs.blob(
        shape,
        rng.uniform(8, 45),
        (wall, 3.6),
        clip=3.0,
        fill=GAS_LEVEL,
        level=level,
        texture=rng.choice([2.0, 14.0]),
        halo=1.5,
        soft=2,
    )
    return {"stomach": shape}


def colon(
    organs: Layers, rng: Rng, centre: tuple[float, float], radius: float, wall: float, gas: float
) -> None:
    """A loop of colon: gas, faeces, or little of either."""
    lobed = [radius * (1.0 + 0.14 * (k % 2)) for k in range(6)]
    shape = blob(rng, centre, lobed, 0.12, rng.uniform(0, 60))
    if rng.random() < gas:
        level = centre[1] + radius * rng.uniform(-0.2, 0.9)
        organs.blob(shape, 25.0, (wall, 2.0), clip=1.5, fill=GAS_LEVEL, level=level, halo=1.5)
    else:
        organs.blob(
            shape, rng.uniform(-10, 25), (wall, 2.6), clip=1.5, fill=FAECES, halo=1.5, soft=1.5
        )


def small_bowel(study: Study, rng: Rng, organs: Layers, wall: float, visceral: float) -> None:
    """Loops of jejunum at the left, and of transverse colon in front."""
    oral = study.anatomy["oral"]
    spots = [
        (34, -24),
        (56, -8),
        (78, -14),
        (50, -34),
        (72, -36),
        (92, -28),
        (30, -44),
        (86, -2),
        (14, -34),
        (-8, -38),
        (60, -20),
        (-26, -34),
    ]
    for i in rng.permutation(len(spots)):
        if rng.random() < 0.18:
            continue
        x, y = spots[i]
        at = (x * visceral + rng.normal() * 4, y * visceral + rng.normal() * 4)
        rx, ry = rng.uniform(11, 20), rng.uniform(8, 12.5)
        content = rng.choice([18.0, 30.0, 240.0 if oral > 0.7 else 34.0])
        gas = rng.random() < 0.12
        shape = ellipse_blob(rng, at, rx, ry, rng.uniform(0, 180), 0.16)
        organs.blob(
            shape,
            content,
            (wall, rng.uniform(1.8, 3.6)),
            clip=3.0,
            fill=GAS_LEVEL if gas else 0.0,
            level=at[1] + 1,
            texture=16.0,
            halo=1.4,
            soft=2.2,
        )
    for x, y in ((-34, -64), (0, -70), (34, -68), (66, -58)):
        if rng.random() < 0.75:
            at = (x * visceral + rng.normal() * 5, y * visceral + rng.normal() * 3)
            colon(organs, rng, at, rng.uniform(11, 18), wall, gas=0.6)
