"""What findings do to healthy tissue, each within a region of its own."""

import math
from typing import NamedTuple

import numpy as np

from data_gen.phantom.colour.draws import keyed
from data_gen.phantom.pathology.findings import SEVERITIES, TUMOURS, Finding, Study
from data_gen.phantom.pathology.picture import glands
from data_gen.phantom.pathology.picture.cells import (
    DUST,
    MITOSIS,
    NUCLEUS,
    VESICULAR,
    cells,
    lattice,
    none,
)
from data_gen.phantom.pathology.picture.tissue import Tissue, healthy, stroma_cells

MITOSES = 8
"""Most mitotic figures of one field."""


class Diseased(NamedTuple):
    """The tissue with its findings.

    Attributes:
      healthy: outlines outside of the tumour.
      tumour: outlines within it.
      cells: all cells.
      regions: tumour, necrosis, inflammation as x, y, radius [3, 3]; radius 0 for none.
      mitoses: x, y of mitotic figures [MITOSES, 2]; far away for none.
    """

    healthy: np.ndarray
    tumour: np.ndarray
    cells: np.ndarray
    regions: np.ndarray
    mitoses: np.ndarray


def diseased(study: Study) -> Diseased:
    """Tissue of a study; each finding depends on its own seed and the tissue alone."""
    found = {f.name: f for f in study.findings}
    tissue = healthy(study)
    rows, regions = tissue.cells, np.zeros((3, 3))
    tumour = found.get(TUMOURS[study.specimen])
    growth = glands.array([])
    if tumour is not None:
        regions[0] = _region(tumour, study)
        new = _tumour(tumour, study, regions[0])
        growth, rows = new.glands, np.concatenate([_outside(rows, regions[0]), new.cells])
    if "inflammation" in found:
        regions[2] = _region(found["inflammation"], study)
        # Outlines count where they are drawn: those of the tumour within it, the others outside.
        outlines = (tissue.glands, growth, regions[0])
        rows = _inflamed(found["inflammation"], study, regions[2], rows, outlines)
    if "necrosis" in found:
        regions[1] = _region(found["necrosis"], study)
        rows = _necrotic(found["necrosis"], study, regions[1], rows)
    mitoses = np.full((MITOSES, 2), 1e4)
    if "mitotic figures" in found:
        rows, mitoses = _dividing(found["mitotic figures"], study, rows)
    return Diseased(tissue.glands, growth, rows, regions, mitoses)


def _region(finding: Finding, study: Study) -> np.ndarray:
    side, more = study.anatomy["side"], finding.attributes
    x, y, extent = (float(more[k]) for k in ("x", "y", "extent"))
    return np.array([x * side, y * side, extent * side])


def _outside(rows: np.ndarray, region: np.ndarray, gap: float = 0.0) -> np.ndarray:
    return rows[np.hypot(rows[:, 0] - region[0], rows[:, 1] - region[1]) > region[2] - gap]


def _within(rows: np.ndarray, region: np.ndarray, gap: float = 0.0) -> np.ndarray:
    return rows[np.hypot(rows[:, 0] - region[0], rows[:, 1] - region[1]) <= region[2] - gap]


def _tumour(finding: Finding, study: Study, region: np.ndarray) -> Tissue:
    """Crowded irregular glands that turn into solid nests the less differentiated it is."""
    rng = keyed(float(finding.attributes["seed"]))
    grade, side = SEVERITIES.index(finding.severity), study.anatomy["side"]
    wild = 0.8 + 0.25 * grade
    if study.specimen == "colon" and grade < 2:
        size = rng.uniform(26, 38)
        outlines = glands.scatter(
            rng, side, 2.0 * size, (0.7 * size, 1.25 * size), 17.0, glands.GLAND, 0.45
        )
    elif study.specimen == "lymph node" and grade == 2:
        huge = glands.make(region[0], region[1], 3 * side, 3 * side, 0.0, 1.0, glands.NEST)
        outlines = glands.array([huge])
    else:
        size = (rng.uniform(16, 21), rng.uniform(15, 24), rng.uniform(22, 34))[grade]
        kind = glands.GLAND if grade == 0 else glands.NEST
        outlines = glands.scatter(
            rng, side, 2.35 * size, (0.8 * size, 1.25 * size), 0.6 * size, kind, 0.42
        )
    parts = [none()]
    for outline in outlines:
        if outline[7] != glands.GLAND:
            continue
        for level in range(2 if grade == 0 else 3):
            at, way = glands.ring(outline, 4.2 + 5.4 * level, 6.4, rng)
            keep = rng.random(len(at)) < (1.0, 0.6, 0.5)[level]
            axes = ((4.6, 6.2 * wild), (2.6, 3.6 * wild))
            parts.append(cells(rng, at[keep], *axes, way[keep], (0.75, 1.3), VESICULAR))
    points = lattice(rng, side, 9.6 + 1.3 * grade, 0.34)
    deep, nearest = glands.depth(outlines, points)
    solid = (deep < -2.0) & (outlines[nearest, 7] == glands.NEST)
    axes = ((4.2, 5.6 * wild), (3.4, 4.6 * wild))
    parts.append(cells(rng, points[solid], *axes, None, (0.55, 1.15 + 0.2 * grade), VESICULAR))
    parts.append(stroma_cells(rng, study, outlines, 0.08, 0.5))
    return Tissue(outlines, _within(np.concatenate(parts), region))


def _inflamed(
    finding: Finding,
    study: Study,
    region: np.ndarray,
    rows: np.ndarray,
    outlines: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> np.ndarray:
    """A dense crowd of lymphocytes in the stroma of the region."""
    rng = keyed(float(finding.attributes["seed"]))
    grade = SEVERITIES.index(finding.severity)
    points = _within(lattice(rng, study.anatomy["side"], (8.2, 7.4, 6.8)[grade], 0.35), region)
    points = points[_depth(outlines, points) > -1.0]
    crowd = cells(rng, points, (2.8, 3.5), (2.6, 3.2), None, (1.2, 1.6), NUCLEUS)
    spindle = (rows[:, 7] == NUCLEUS) & (_depth(outlines, rows[:, :2]) > 2.0)
    kept = np.concatenate([rows[~spindle], _outside(rows[spindle], region)])
    return np.concatenate([kept, crowd])


def _depth(outlines: tuple[np.ndarray, np.ndarray, np.ndarray], at: np.ndarray) -> np.ndarray:
    """Signed distance of points to the outlines that are drawn there."""
    base, growth, region = outlines
    inside = np.hypot(at[:, 0] - region[0], at[:, 1] - region[1]) < region[2]
    return np.where(inside, glands.depth(growth, at)[0], glands.depth(base, at)[0])


def _necrotic(finding: Finding, study: Study, region: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Cells of the region are gone; dust of their nuclei is left."""
    rng = keyed(float(finding.attributes["seed"]))
    points = _within(lattice(rng, study.anatomy["side"], 6.5, 0.5), region, 2.0)
    points = points[rng.random(len(points)) < 0.55]
    dust = cells(rng, points, (0.6, 1.6), (0.5, 1.3), None, (0.8, 1.8), DUST)
    return np.concatenate([_outside(rows, region, 2.0), dust])


def _dividing(finding: Finding, study: Study, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some places get a plate of chromosomes, or two that part."""
    rng = keyed(float(finding.attributes["seed"]))
    grade, side = SEVERITIES.index(finding.severity), study.anatomy["side"]
    count = (2, 4, MITOSES)[grade]
    at = np.full((MITOSES, 2), 1e4)
    points = lattice(rng, side, side / 4.5, 0.3)
    points = points[np.abs(points).max(1) < 0.44 * side]
    at[:count] = points[rng.permutation(len(points))[:count]]
    gap = np.hypot(rows[:, None, 0] - at[None, :, 0], rows[:, None, 1] - at[None, :, 1]).min(1)
    parts = [rows[gap > 5.5]]
    for x, y in at[:count]:
        turn = rng.uniform(0, math.pi)
        apart = 1.9 if rng.random() < 0.4 else 0.0
        shift = apart * np.array([-math.sin(turn), math.cos(turn)])
        for sign in (-1.0, 1.0) if apart else (0.0,):
            point = np.array([[x, y]]) + sign * shift
            wide = (0.8, 1.1) if apart else (1.2, 1.7)
            parts.append(cells(rng, point, (3.4, 4.6), wide, turn, (2.2, 2.8), MITOSIS))
    return np.concatenate(parts), at
