"""Cells as rows of numbers, and the table by which a pixel finds those near it.

Lengths are micrometres with the middle of the field as origin.
"""

import math

import numpy as np

#: Kinds of what a row draws.
NUCLEUS, VESICULAR, VACUOLE, MITOSIS, DUST, ERYTHROCYTE = range(6)

TILES, DEPTH, FIELDS = 26, 18, 8
"""Tiles a side of the table, cells of one tile, numbers of a cell."""
MARGIN = 14.0
"""What the table knows beyond the field, as outlines are bent by up to this much."""

Points = np.ndarray


def lattice(rng: np.random.Generator, side: float, spacing: float, jitter: float = 0.3) -> Points:
    """Points [n, 2] about ``spacing`` apart that fill the field and its margin."""
    half = 0.5 * side + MARGIN
    row = spacing * 0.87
    across, down = np.arange(-half, half, spacing), np.arange(-half, half, row)
    x, y = np.meshgrid(across, down)
    x = x + 0.5 * spacing * (np.arange(len(down)) % 2)[:, None]
    points = np.stack([x.ravel(), y.ravel()], 1)
    return points + jitter * spacing * rng.uniform(-1, 1, points.shape)


def cells(
    rng: np.random.Generator,
    at: Points,
    long: tuple[float, float],
    wide: tuple[float, float],
    angle: np.ndarray | float | None,
    dark: tuple[float, float],
    kind: int,
) -> np.ndarray:
    """Rows [n, FIELDS] at the given points: half axes and density drawn between two numbers.

    Without an angle each has its own.
    """
    n = len(at)
    a, b = rng.uniform(*long, n), rng.uniform(*wide, n)
    turn = rng.uniform(0, math.pi, n) if angle is None else angle + rng.normal(0, 0.18, n)
    cos, sin = np.cos(turn), np.sin(turn)
    density = rng.uniform(*dark, n)
    columns = [at[:, 0], at[:, 1], cos / a, sin / a, -sin / b, cos / b, density]
    return np.stack([*columns, np.full(n, float(kind))], 1)


def none() -> np.ndarray:
    return np.zeros((0, FIELDS))


def reach(rows: np.ndarray) -> np.ndarray:
    """The longer half axis of each row."""
    return 1.0 / np.minimum(np.hypot(rows[:, 2], rows[:, 3]), np.hypot(rows[:, 4], rows[:, 5]))


def table(rows: np.ndarray, side: float) -> np.ndarray:
    """[TILES * TILES, DEPTH, FIELDS]: for each tile the cells that reach into it, nearest first.

    Empty places hold cells far away.
    """
    out = np.zeros((TILES * TILES, DEPTH, FIELDS), np.float32)
    out[..., :2], out[..., 2], out[..., 5] = 1e4, 1.0, 1.0
    half = 0.5 * side + MARGIN
    pitch = 2 * half / TILES
    centre = (np.arange(TILES) + 0.5) * pitch - half
    far = 1.5 * reach(rows) + 0.5 * pitch
    cx = np.abs(rows[:, 0][None, :] - centre[:, None])  # [tile, cell]
    cy = np.abs(rows[:, 1][None, :] - centre[:, None])
    for j in range(TILES):
        row = np.flatnonzero(cy[j] < far)
        for i in range(TILES):
            near = row[cx[i, row] < far[row]]
            if len(near) > DEPTH:
                gap = (cx[i, near] ** 2 + cy[j, near] ** 2) / far[near] ** 2
                near = near[np.argsort(gap, kind="stable")[:DEPTH]]
            out[j * TILES + i, : len(near)] = rows[near]
    return out
