"""Tubes, lines and wires as chains of points on the patient.

A device is a set of polylines in adult millimetres. Each is resampled at even steps, and every
point becomes a small Gaussian of :func:`chains.splat`; the same points make the truth mask.
"""

import math
from typing import Any

import numpy as np

from data_gen.phantom.chest_xray.findings import SUPPORT_DEVICES, Finding, Study
from data_gen.phantom.chest_xray.picture.frame import image_map

MAX_POINTS = 768
"""Points of all devices of one study; the step grows when the budget is short."""
MAX_PADS = 6
"""Solid shapes (a pacemaker's can, electrode pads) of one study."""

_SIGN = {"right": -1.0, "left": 1.0, "": 1.0}

Line = tuple[
    np.ndarray, float, float
]  # control points [n, 2], half width in mm, peak log attenuation


def _curve(points: list[tuple[float, float]]) -> np.ndarray:
    """A smooth curve through the points (Catmull-Rom), densely sampled: [m, 2]."""
    p = np.asarray(points, np.float64)
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = np.linspace(0, 1, 12, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True):
        pieces.append(
            b
            + 0.5 * t * (c - a)
            + t**2 * (a - 2.5 * b + 2 * c - 0.5 * d)
            + t**3 * (1.5 * (b - c) + 0.5 * (d - a))
        )
    return np.concatenate([*pieces, p[-2:-1]])


def _beside(path: np.ndarray, offset: float) -> np.ndarray:
    """The path shifted sideways by ``offset`` mm: the wall of a tube."""
    along = np.gradient(path, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], 1)
    return path + offset * normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)


def _endotracheal(f: Finding, height: float) -> tuple[list[Line], list[list[float]]]:
    p0, p1 = float(f.attributes["p0"]), float(f.attributes["p1"])
    carina = 0.30 * height
    tip = {
        "appropriate": carina - 38 - 20 * p0,
        "too high": carina - 88 - 15 * p0,
        "too low": carina + 6 + 12 * p0,
    }[str(f.attributes["tip"])]
    end = -7.0 if tip > carina else -1.0
    bend = 6 * (p1 - 0.5)
    path = _curve([(bend * 2, -150), (bend, -70), (-1, min(tip, carina) - 18), (end, tip)])
    walls: list[Line] = [(_beside(path, s * 4.2), 0.7, 0.3) for s in (-1, 1)]
    return [*walls, (_beside(path, 1.5), 0.8, 0.8)], []


def _central(f: Finding, height: float) -> tuple[list[Line], list[list[float]]]:
    s, (p0, p1) = _SIGN[f.side], (float(f.attributes["p0"]), float(f.attributes["p1"]))
    tip = {"appropriate": 0.42, "too high": 0.22, "too low": 0.66}[
        str(f.attributes["tip"])
    ] + 0.05 * p0
    start = {
        "jugular": [(s * (42 + 14 * p1), -85.0), (s * 34, -35.0), (s * 27, 2.0)],
        "subclavian": [(s * (112 + 18 * p1), 22.0), (s * 75, 6 + 8 * p1), (s * 42, 6.0)],
        "arm": [(s * 215, 150.0), (s * 168, 62.0), (s * 120, 18 + 8 * p1), (s * 60, 6.0)],
    }[str(f.attributes["route"])]
    joint = [(-17.0, 30.0)] if s < 0 else [(18.0, 18.0), (-8.0, 36.0), (-19.0, 52.0)]
    path = [*start, *joint]
    if tip * height > path[-1][1] + 6:
        path.append((-23 - 3 * p0, tip * height))
    lines: list[Line] = [(_curve(path), 0.9, 0.65)]
    if f.attributes["route"] == "jugular" and p0 > 0.5:
        tail = _curve([(s * (42 + 14 * p1), -85), (s * 70, -70), (s * 85, -20)])
        lines.append((tail, 0.9, 0.45))
    return lines, []


def _nasogastric(f: Finding, height: float) -> tuple[list[Line], list[list[float]]]:
    p0, p1 = float(f.attributes["p0"]), float(f.attributes["p1"])
    path = [
        (4 * (p1 - 0.5), -150.0),
        (3.0, -40.0),
        (5 + 4 * p1, 0.32 * height),
        (7.0, 0.7 * height),
    ]
    if f.attributes["tip"] == "appropriate":
        path += [
            (12, height + 2),
            (34 + 10 * p0, height + 32),
            (62 + 24 * p0, height + 46 + 18 * p1),
        ]
    else:
        path += [(9.0, (0.78 + 0.1 * p0) * height)]
    return [(_curve(path), 0.9, 0.65)], []


def _drain(f: Finding, height: float, width: float) -> tuple[list[Line], list[list[float]]]:
    s, (p0, p1) = _SIGN[f.side], (float(f.attributes["p0"]), float(f.attributes["p1"]))
    entry = (0.55 + 0.3 * p0) * height
    up = p1 < 0.7
    end = (s * (62 + 12 * p0), (0.12 + 0.15 * p1) * height) if up else (s * 55, 0.86 * height)
    middle = (s * 0.72 * width, 0.5 * (entry + end[1]) + 8)
    path = _curve([(s * (width + 75), entry + 45), (s * (width + 4), entry), middle, end])
    walls: list[Line] = [(_beside(path, k * 2.8), 0.7, 0.26) for k in (-1, 1)]
    return [*walls, (_beside(path, 0.8), 0.8, 0.75)], []


def _pacemaker(
    f: Finding, height: float, ctr: float, width: float
) -> tuple[list[Line], list[list[float]]]:
    s, (p0, p1, p2) = _SIGN[f.side], (float(f.attributes[k]) for k in ("p0", "p1", "p2"))
    x, y = s * (92 + 20 * p0), 42 + 26 * p1
    apex = 1.05 * ctr * width
    vein = [(x - s * 10, y - 16), (s * 70, 2 + 6 * p2), (s * 36, 8.0)]
    vein += [(-17.0, 30.0)] if s < 0 else [(14.0, 22.0), (-10.0, 38.0)]
    ventricle = [(-22, 0.45 * height), (-24, 0.72 * height), (8, 0.86 * height)]
    lines: list[Line] = [(_curve([*vein, *ventricle, (apex, 0.9 * height)]), 0.9, 0.75)]
    if p2 > 0.35:
        lines.append(
            (
                _curve([*vein, (-24, 0.45 * height), (-30, 0.66 * height), (-18, 0.62 * height)]),
                0.9,
                0.7,
            )
        )
    return lines, [[x, y, 23.0, 19.0, 0.35 * (p2 - 0.5), 1.5]]


def _electrodes(f: Finding, height: float, width: float) -> tuple[list[Line], list[list[float]]]:
    rng = np.random.Generator(np.random.Philox(int(1e6 * float(f.attributes["p0"]))))
    sites = [(-0.72, 0.10), (0.72, 0.12), (-0.85, 0.95), (0.9, 0.92), (0.45, 0.72)]
    lines: list[Line] = []
    pads: list[list[float]] = []
    away = rng.choice([-1.0, 1.0])
    for sx, sy in sites[: int(rng.integers(3, 6))]:
        x, y = sx * width + rng.normal(0, 10), sy * height + rng.normal(0, 10)
        pads.append([x, y, 5.0, 5.0, 0.0, 0.45])
        ex, ey = (away if rng.random() < 0.75 else -away) * (width + 120), y + rng.normal(40, 60)
        mid = ((x + ex) / 2 + rng.normal(0, 20), (y + ey) / 2 + rng.normal(10, 30))
        lines.append((_curve([(x, y), mid, (ex, ey)]), 0.75, float(rng.uniform(0.3, 0.55))))
    return lines, pads


def _sternal(f: Finding, height: float) -> tuple[list[Line], list[list[float]]]:
    rng = np.random.Generator(np.random.Philox(int(1e6 * float(f.attributes["p0"]))))
    t = np.linspace(0, 2 * math.pi, 13)
    lines: list[Line] = []
    for i in range(int(rng.integers(4, 7))):
        y = (0.18 + 0.105 * i) * height + rng.normal(0, 2)
        r, tilt = rng.uniform(6, 9), rng.normal(0, 0.2)
        loop = np.stack([r * np.cos(t), 0.45 * r * np.sin(t) + tilt * r * np.cos(t)], 1)
        lines.append((loop + np.array([rng.normal(0, 2), y]), 0.55, 0.9))
    return lines, []


def device_shapes(f: Finding, study: Study) -> tuple[list[Line], list[list[float]]]:
    """Polylines and solid pads (x, y, half width, half height, angle, peak) of one device."""
    a = study.anatomy
    height, width = a["height"], a["thorax"]
    device = f.attributes["device"]
    if device == "endotracheal tube":
        return _endotracheal(f, height)
    if device == "central line":
        return _central(f, height)
    if device == "nasogastric tube":
        return _nasogastric(f, height)
    if device == "chest drain":
        return _drain(f, height, width)
    if device == "pacemaker":
        return _pacemaker(f, height, a["ctr"], width)
    if device == "ecg leads":
        return _electrodes(f, height, width)
    if device == "sternal wires":
        return _sternal(f, height)
    raise ValueError(f"unknown device {device!r}")


def _visible(path: np.ndarray, study: Study) -> list[np.ndarray]:
    """The parts of a densely sampled path that lie in the picture or just outside it."""
    at = path @ image_map(study)[:, :2].T + image_map(study)[:, 2]
    inside = ((at > -0.02) & (at < 1.02)).all(1)
    cuts = np.flatnonzero(np.diff(inside)) + 1
    parts = zip(np.split(path, cuts), np.split(inside, cuts), strict=True)
    return [part for part, ok in parts if ok[0] and len(part) > 1]


def device_arrays(study: Study) -> dict[str, np.ndarray]:
    """Points and pads of all devices of a study.

    Returns:
      ``wire``: float32 [MAX_POINTS, 5] rows (x mm, y mm, half width mm, peak x step, owner);
      ``pad``: float32 [MAX_PADS, 7] rows (x, y, half width, half height, angle, peak, owner).
      Unused rows have weight 0 and owner -1.
    """
    wire = np.zeros((MAX_POINTS, 5), np.float32)
    wire[:, 2], wire[:, 4] = 1.0, -1.0
    pad = np.zeros((MAX_PADS, 7), np.float32)
    pad[:, 2:4], pad[:, 6] = 1.0, -1.0
    lines: list[tuple[Any, ...]] = []
    pads: list[list[float]] = []
    for owner, finding in enumerate(study.findings):
        if finding.name == SUPPORT_DEVICES:
            shapes, solids = device_shapes(finding, study)
            lines += [(path, half, peak, owner) for path, half, peak in shapes]
            pads += [[*solid, float(owner)] for solid in solids]
    if pads:
        pad[: len(pads[:MAX_PADS])] = pads[:MAX_PADS]
    lines = [(part, *rest) for path, *rest in lines for part in _visible(path, study)]
    lengths = [np.linalg.norm(np.diff(path, axis=0), axis=1) for path, *_ in lines]
    total = sum(float(x.sum()) for x in lengths)
    step = max(1.2, total / (MAX_POINTS - 2 * len(lines) - 1))
    row = 0
    for (path, half, peak, owner), steps in zip(lines, lengths, strict=True):
        at = np.concatenate([[0.0], np.cumsum(steps)])
        count = max(2, int(at[-1] / step))
        even = np.linspace(0.0, at[-1], count)
        x, y = (np.interp(even, at, path[:, i]) for i in (0, 1))
        spacing = at[-1] / (count - 1)
        # Wide enough to run together; the product of width and peak stays.
        wide = max(half, 0.65 * spacing)
        values = (wide, peak * spacing * half / wide, float(owner))
        columns = [x, y, *(np.full(count, v) for v in values)]
        wire[row : row + count] = np.stack(columns, 1)
        row += count
    return {"wire": wire, "pad": pad}
