"""Healthy tissue: crypts of the colon, lobules of the breast, the lymph node."""

import math
from typing import NamedTuple

import numpy as np

from data_gen.phantom.colour.draws import keyed
from data_gen.phantom.pathology.findings import Study
from data_gen.phantom.pathology.picture import glands
from data_gen.phantom.pathology.picture.cells import (
    ERYTHROCYTE,
    NUCLEUS,
    VACUOLE,
    VESICULAR,
    cells,
    lattice,
    none,
)


class Tissue(NamedTuple):
    """Outlines [n, 8] and cells [n, 8]."""

    glands: np.ndarray
    cells: np.ndarray


def healthy(study: Study) -> Tissue:
    """The tissue of a study as it would be without any finding."""
    rng = keyed(study.anatomy["seed"], 1)
    maker = {"colon": _colon, "breast": _breast, "lymph node": _lymph_node}[study.specimen]
    return maker(rng, study)


def stroma_cells(
    rng: np.random.Generator, study: Study, outlines: np.ndarray, immune: float, spindle: float
) -> np.ndarray:
    """Lymphocytes and fibroblasts between the outlines; the two are cells per 100 square um."""
    a = study.anatomy
    side, parts = a["side"], []
    for density, is_immune in ((immune, True), (spindle, False)):
        if density <= 0:
            continue
        points = lattice(rng, side, 10.0 / math.sqrt(density), 0.45)
        points = points[glands.depth(outlines, points)[0] > 2.5]
        if is_immune:
            parts.append(cells(rng, points, (2.9, 3.7), (2.6, 3.3), None, (1.1, 1.5), NUCLEUS))
        else:
            angle = a["fibre_angle"] + 0.25 * np.sin(points[:, 1] / 23.0)
            parts.append(cells(rng, points, (4.6, 8.0), (0.9, 1.6), angle, (0.9, 1.4), NUCLEUS))
    return np.concatenate([none(), *parts])


def capillaries(rng: np.random.Generator, study: Study, outlines: np.ndarray) -> np.ndarray:
    """A few red cells in the stroma."""
    rows = [none()]
    for _ in range(int(rng.integers(0, 4))):
        middle = rng.uniform(-0.5, 0.5, 2) * study.anatomy["side"]
        points = middle + rng.normal(0, 4.0, (int(rng.integers(2, 7)), 2))
        points = points[glands.depth(outlines, points)[0] > 3.0]
        rows.append(cells(rng, points, (2.8, 3.6), (2.2, 3.2), None, (0.9, 1.3), ERYTHROCYTE))
    return np.concatenate(rows)


def _colon(rng: np.random.Generator, study: Study) -> Tissue:
    a = study.anatomy
    size = 31.0 * a["gland"]
    thick = 0.62 * size
    crypts = glands.scatter(
        rng, a["side"], 2.5 * size, (0.85 * size, 1.1 * size), thick, glands.GLAND
    )
    parts = [none()]
    for crypt in crypts:
        at, way = glands.ring(crypt, 4.2, 5.6, rng)
        parts.append(cells(rng, at, (3.6, 4.8), (2.1, 2.8), way, (0.95, 1.25), NUCLEUS))
        # Goblets open towards the lumen.
        at, way = glands.ring(crypt, 0.46 * thick + 3.5, 9.5, rng)
        keep = rng.random(len(at)) < a["mucin"]
        parts.append(cells(rng, at[keep], (5.0, 6.4), (3.6, 4.6), way[keep], (0.8, 1.0), VACUOLE))
    immune, spindle = 0.45 + 0.7 * a["cellular"], 0.30
    parts.append(stroma_cells(rng, study, crypts, immune, spindle))
    parts.append(capillaries(rng, study, crypts))
    return Tissue(crypts, np.concatenate(parts))


def _breast(rng: np.random.Generator, study: Study) -> Tissue:
    a, rows = study.anatomy, []
    side = a["side"]
    size = 13.0 * a["gland"]
    for _ in range(int(rng.integers(1, 3))):  # lobules of a few acini each
        x, y = rng.uniform(-0.36, 0.36, 2) * side
        for px, py in lattice(rng, 2.2 * size * 2, 2.7 * size, 0.2):
            if math.hypot(px, py) < rng.uniform(2.2, 3.4) * size:
                r = size * rng.uniform(0.8, 1.15)
                shape = (r, r * rng.uniform(0.7, 1.0), rng.uniform(0, 3.14))
                rows.append(glands.make(x + px, y + py, *shape, 0.66 * size, glands.GLAND))
    acini = glands.array(rows[:18])
    fat = none()
    if a["fat"] > 0:
        fat = glands.scatter(rng, side, 50.0, (25.0, 29.0), 1.0, glands.FAT, 0.85)
        away = math.cos(a["edge_angle"]) * fat[:, 0] + math.sin(a["edge_angle"]) * fat[:, 1]
        fat = fat[away > (0.5 - a["fat"]) * side]
        if len(acini) and len(fat):
            fat = fat[glands.depth(acini, fat[:, :2])[0] > 27.0]
    parts = [none()]
    for acinus in acini:
        at, way = glands.ring(acinus, 3.4, 5.2, rng)
        parts.append(cells(rng, at, (3.2, 4.0), (2.3, 3.0), way, (0.9, 1.2), NUCLEUS))
        at, way = glands.ring(acinus, 0.2, 9.5, rng)
        flat = way + math.pi / 2
        parts.append(cells(rng, at, (3.6, 5.0), (1.0, 1.6), flat, (0.9, 1.3), NUCLEUS))
    outlines = np.concatenate([acini, fat])[: glands.SLOTS]
    parts.append(
        stroma_cells(rng, study, outlines, 0.05 + 0.1 * a["cellular"], 0.10 + 0.12 * a["cellular"])
    )
    parts.append(capillaries(rng, study, outlines))
    return Tissue(outlines, np.concatenate(parts))


def _lymph_node(rng: np.random.Generator, study: Study) -> Tissue:
    a = study.anatomy
    side = a["side"]
    points = lattice(rng, side, 7.3 - 0.7 * a["cellular"], 0.3)
    middle = np.array([a["follicle_x"], a["follicle_y"]]) * side
    inside = np.hypot(*(points - middle).T) < a["follicle"] * side
    kept = points[~inside & (rng.random(len(points)) > 0.05)]
    parts = [cells(rng, kept, (2.8, 3.5), (2.6, 3.2), None, (1.05, 1.55), NUCLEUS)]
    # The germinal centre: larger, paler cells further apart.
    points = lattice(rng, side, 9.6, 0.3)
    points = points[np.hypot(*(points - middle).T) < a["follicle"] * side - 2.0]
    parts.append(cells(rng, points, (3.6, 5.0), (3.0, 4.0), None, (0.65, 1.0), VESICULAR))
    no_outline = glands.array([])
    parts.append(stroma_cells(rng, study, no_outline, 0.0, 0.05))
    parts.append(capillaries(rng, study, no_outline))
    return Tissue(no_outline, np.concatenate(parts))
