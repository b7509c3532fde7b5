"""Glands, ducts, nests and fat cells: ellipses that the renderer bends."""

import math

import numpy as np

from data_gen.phantom.pathology.picture.cells import lattice

GLAND, FAT, NEST = 1, 2, 3

SLOTS, FIELDS = 30, 8
"""Most of them in one layer, and the numbers of one: x, y, the two axes as of a cell, the thickness
of the epithelium, kind."""

EMPTY = np.array([1e4, 1e4, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0])


def make(x: float, y: float, a: float, b: float, angle: float, thick: float, kind: int) -> list:
    """One row; ``a``, ``b`` half axes, all in micrometres."""
    cos, sin = math.cos(angle), math.sin(angle)
    return [x, y, cos / a, sin / a, -sin / b, cos / b, thick, float(kind)]


def array(rows: list) -> np.ndarray:
    """[n, FIELDS]; may be empty."""
    return np.array(rows, float).reshape(-1, FIELDS)


def padded(rows: np.ndarray) -> np.ndarray:
    """[SLOTS, FIELDS] for the renderer."""
    out = np.tile(EMPTY, (SLOTS, 1))
    out[: min(len(rows), SLOTS)] = rows[:SLOTS]
    return out.astype(np.float32)


def depth(rows: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(signed distance to the nearest outline, negative inside; its row) for points [n, 2]."""
    if not len(rows):
        return np.full(len(at), 1e4), np.zeros(len(at), int)
    dx = at[:, None, 0] - rows[None, :, 0]
    dy = at[:, None, 1] - rows[None, :, 1]
    u = rows[:, 2] * dx + rows[:, 3] * dy
    v = rows[:, 4] * dx + rows[:, 5] * dy
    scale = 1.0 / np.sqrt(np.hypot(rows[:, 2], rows[:, 3]) * np.hypot(rows[:, 4], rows[:, 5]))
    signed = (np.hypot(u, v) - 1.0) * scale
    nearest = signed.argmin(1)
    return signed[np.arange(len(at)), nearest], nearest


def ring(
    row: np.ndarray, inset: float, spacing: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Points along the outline, ``inset`` inwards, and the angle of the way in at each."""
    a, b = 1.0 / math.hypot(row[2], row[3]), 1.0 / math.hypot(row[4], row[5])
    turn = math.atan2(row[3], row[2])
    shrink = max(0.1, 1.0 - inset / math.sqrt(a * b))
    count = max(5, int(2 * math.pi * math.sqrt(0.5 * (a * a + b * b)) * shrink / spacing))
    t = (np.arange(count) + rng.uniform(-0.25, 0.25, count)) * 2 * math.pi / count
    wobble = shrink + rng.normal(0, 0.015, count)
    x, y = a * wobble * np.cos(t), b * wobble * np.sin(t)
    cos, sin = math.cos(turn), math.sin(turn)
    points = np.stack([row[0] + cos * x - sin * y, row[1] + sin * x + cos * y], 1)
    way = np.arctan2(np.sin(t) / b, np.cos(t) / a) + turn
    return points, way


def scatter(
    rng: np.random.Generator,
    side: float,
    spacing: float,
    radius: tuple[float, float],
    thick: float,
    kind: int,
    slim: float = 0.75,
) -> np.ndarray:
    """Ellipses that fill the field, ``spacing`` apart, at most :data:`SLOTS` of them."""
    rows = []
    for x, y in lattice(rng, side, spacing, 0.16):
        if max(abs(x), abs(y)) > 0.5 * side + radius[1] + 6:
            continue
        a = rng.uniform(*radius)
        rows.append(make(x, y, a, a * rng.uniform(slim, 1.0), rng.uniform(0, 3.14), thick, kind))
    # The nearest to the middle stay if there are too many.
    rows.sort(key=lambda r: max(abs(r[0]), abs(r[1])))
    return array(rows[:SLOTS])
