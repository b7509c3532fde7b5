"""Findings as spots: each is a cloud of round Gaussians in mm of the retina.

A finding's spots depend on its own seed, on the eye and on the field of view, never on the other
findings, so one of them can be taken away and the rest stays.
"""

import math
from collections.abc import Callable

import numpy as np

from data_gen.phantom.colour.draws import keyed
from data_gen.phantom.fundus.findings import Finding, Study
from data_gen.phantom.fundus.picture.vessels import course

SLOTS = {
    "microaneurysms": 64,
    "retinal hemorrhages": 420,
    "hard exudates": 360,
    "cotton wool spots": 130,
    "neovascularization": 720,
    "drusen": 340,
    "geographic atrophy": 60,
    "pathologic myopia": 60,
}
"""Finding that is drawn with spots -> the most of them."""

Spots = list[tuple[float, float, float, float]]  # x, y, sigma (mm), peak
Place = tuple[float, float]


def spots_of(name: str, study: Study) -> np.ndarray:
    """Spots [SLOTS[name], 4] of a finding: x, y, sigma in mm, peak; zeros where it is absent."""
    out = np.zeros((SLOTS[name], 4), np.float32)
    out[:, 2] = 0.05
    for finding in study.findings:
        if finding.name == name:
            rng = keyed(float(finding.attributes["seed"]))
            rows = _MAKERS[name](rng, finding, study)[: SLOTS[name]]
            if rows:  # mild myopia has a crescent and no scars
                out[: len(rows)] = rows
    return out


def _inside(study: Study, x: float, y: float, margin: float = 0.88) -> bool:
    q = study.acquisition
    reach = math.hypot(x - q["centre_x"], y - q["centre_y"]) / q["radius"]
    # Above and below a field may be cut straight.
    flat = abs(y - q["centre_y"]) * q["fill"] / q["radius"] < min(q["cut"], 0.5) - 0.05
    wide = abs(x - q["centre_x"]) * q["fill"] / q["radius"] < 0.45
    return reach < margin and flat and wide


def _place(rng: np.random.Generator, zone: str, study: Study, fovea: float = 0.7) -> Place:
    """A point of the zone that the photograph shows, off the fovea and the disc."""
    a = study.anatomy
    point = (0.0, 1.6)
    for _ in range(200):
        if zone == "macular":
            r, t = rng.uniform(fovea, 1.9), rng.uniform(0, 2 * math.pi)
            point = (r * math.cos(t), r * math.sin(t))
        elif zone in ("posterior pole", "four quadrants"):
            far = 4.0 if zone == "posterior pole" else 6.0
            point = (rng.uniform(-far, far + 3.0), rng.uniform(-far, far))
        elif zone == "nasal":
            point = (a["disc_x"] + rng.uniform(1.1, 2.4), rng.uniform(-2.2, 2.2))
        else:
            up = -1.0 if zone == "superotemporal" else 1.0
            point = (rng.uniform(-2.5, 3.2), up * rng.uniform(1.3, 4.2))
        off_disc = math.hypot(point[0] - a["disc_x"], point[1] - a["disc_y"]) > 1.35
        if _inside(study, *point) and off_disc and math.hypot(*point) > fovea:
            return point
    return point


def _grade(finding: Finding) -> int:
    return ("mild", "moderate", "severe").index(finding.severity)


def _microaneurysms(rng: np.random.Generator, finding: Finding, study: Study) -> Spots:
    low, high = ((8, 14), (14, 26), (26, 46))[_grade(finding)]
    rows = []
    for _ in range(int(rng.integers(low, high))):
        x, y = _place(rng, finding.zone, study, 0.5)
        rows.append((x, y, rng.uniform(0.032, 0.052), rng.uniform(1.2, 2.2)))
    return rows


def _hemorrhages(rng: np.random.Generator, finding: Finding, study: Study) -> Spots:
    low, high = ((4, 8), (9, 17), (24, 38))[_grade(finding)]
    disc = (study.anatomy["disc_x"], study.anatomy["disc_y"])
    flames = 0.75 if finding.attributes["form"] == "flame-shaped" else 0.12
    rows: Spots = []
    for _ in range(int(rng.integers(low, high))):
        x, y = _place(rng, finding.zone, study)
        if rng.random() < flames:
            way = course(x, y, disc) + rng.normal(0, 0.12)
            length, wide = rng.uniform(0.25, 0.7), rng.uniform(0.035, 0.08)
            for _ in range(11):
                t, u = rng.uniform(-0.5, 0.5), rng.normal(0, 0.35)
                thin = wide * (1.15 - 1.6 * abs(t))
                along, across = t * length, u * wide * 2 * (1 - abs(t))
                rows.append(
                    (
                        x + along * math.cos(way) - across * math.sin(way),
                        y + along * math.sin(way) + across * math.cos(way),
                        thin,
                        rng.uniform(0.35, 0.8),
                    )
                )
        else:
            size = rng.uniform(0.05, 0.10) if rng.random() < 0.5 else rng.uniform(0.10, 0.22)
            rows.append((x, y, size, 1.2))
            for _ in range(int(rng.integers(2, 7))):
                t, r = rng.uniform(0, 6.28), size * rng.uniform(0.6, 1.4)
                rows.append(
                    (
                        x + r * math.cos(t),
                        y + r * math.sin(t),
                        size * rng.uniform(0.35, 0.7),
                        rng.uniform(0.4, 0.9),
                    )
                )
    return rows


def _exudates(rng: np.random.Generator, finding: Finding, study: Study) -> Spots:
    grade = _grade(finding)
    rows: Spots = []
    for _ in range((1, 2, 4)[grade] + int(rng.integers(0, 2))):
        x, y = _place(rng, finding.zone, study, 0.9)
        count = int(rng.integers(*((8, 16), (14, 28), (24, 44))[grade]))
        ring = rng.uniform(0.35, 0.8)
        start, arc = rng.uniform(0, 6.28), rng.uniform(3.2, 5.6)
        for _ in range(count):
            if finding.attributes["pattern"] == "circinate":
                t, r = start + rng.uniform(0, arc), ring * rng.normal(1.0, 0.10)
            else:
                t, r = rng.uniform(0, 6.28), 0.42 * math.sqrt(rng.random()) * rng.uniform(0.6, 1.6)
            size = rng.uniform(0.022, 0.045) if rng.random() < 0.7 else rng.uniform(0.045, 0.085)
            px, py = x + r * math.cos(t), y + r * math.sin(t)
            if math.hypot(px, py) > 0.25:
                rows.append((px, py, size, rng.uniform(0.9, 1.8)))
    return rows


def _cotton_wool(rng: np.random.Generator, finding: Finding, study: Study) -> Spots:
    low, high = ((1, 3), (3, 5), (5, 8))[_grade(finding)]
    disc = (study.anatomy["disc_x"], study.anatomy["disc_y"])
    rows: Spots = []
    for _ in range(int(rng.integers(low, high))):
        x, y = _place(rng, finding.zone, study, 1.2)
        way = course(x, y, disc) + math.pi / 2
        long, wide = rng.uniform(0.22, 0.44), rng.uniform(0.13, 0.24)
        for _ in range(16):
            u, v = rng.normal(0, 0.6) * long, rng.normal(0, 0.6) * wide
            rows.append(
                (
                    x + u * math.cos(way) - v * math.sin(way),
                    y + u * math.sin(way) + v * math.cos(way),
                    rng.uniform(0.07, 0.15),
                    rng.uniform(0.2, 0.42),
                )
            )
    return rows


def _new_vessels(rng: np.random.Generator, finding: Finding, study: Study) -> Spots:
    grade = _grade(finding)
    if finding.attributes["site"] == "disc":
        x0, y0 = study.anatomy["disc_x"], study.anatomy["disc_y"]
        spread, lengths = 0.35, (0.7, 1.5)
    else:
        x0, y0 = _place(rng, finding.zone, study, 1.8)
        spread, lengths = 0.12, (0.4, 0.95)
    rows: Spots = []
    for _ in range((9, 14, 20)[grade]):
        x, y = x0 + rng.normal(0, spread), y0 + rng.normal(0, spread)
        way, bend = rng.uniform(0, 6.28), rng.normal(0, 0.09)
        radius = rng.uniform(0.014, 0.026)
        steps = int(rng.uniform(*lengths) * (0.8 + 0.2 * grade) / 0.035)
        for i in range(steps):
            bend = 0.9 * bend + 0.09 * rng.standard_normal()
            way += bend
            # The ends loop back towards where they came from.
            if i > 0.6 * steps:
                way += 0.10 * math.sin(math.atan2(y0 - y, x0 - x) - way)
            x, y = x + 0.035 * math.cos(way), y + 0.035 * math.sin(way)
            rows.append((x, y, radius, 0.6))
    return rows


def _drusen(rng: np.random.Generator, finding: Finding, study: Study) -> Spots:
    low, high = ((14, 26), (36, 65), (80, 140))[_grade(finding)]
    soft = finding.attributes["kind"] == "soft"
    rows: Spots = []
    for _ in range(int(rng.integers(low, high))):
        t, r = rng.uniform(0, 6.28), abs(rng.normal(0, 1.05))
        size = rng.uniform(0.05, 0.12) if soft else rng.uniform(0.028, 0.05)
        x, y = r * math.cos(t), r * math.sin(t)
        rows.append((x, y, size, rng.uniform(0.7, 1.2)))
        if soft and rng.random() < 0.5:
            t = rng.uniform(0, 6.28)
            rows.append((x + size * math.cos(t), y + size * math.sin(t), 0.8 * size, 0.7))
    return rows


def _blotch(rng: np.random.Generator, x: float, y: float, extent: float, count: int) -> Spots:
    """A patch of irregular outline, ``extent`` mm from its middle to its edge."""
    rows: Spots = [(x, y, 0.45 * extent, 1.0)]
    for _ in range(count):
        t, r = rng.uniform(0, 6.28), extent * math.sqrt(rng.random()) * 0.85
        size = extent * rng.uniform(0.18, 0.42)
        rows.append((x + 1.15 * r * math.cos(t), y + r * math.sin(t), size, 0.55))
    return rows


def _geographic(rng: np.random.Generator, finding: Finding, study: Study) -> Spots:
    extent = float(finding.attributes["extent"])
    x, y = rng.normal(0, 0.2), rng.normal(0, 0.2)
    rows = _blotch(rng, x, y, extent, 18)
    for _ in range(int(rng.integers(0, 4))):
        t, r = rng.uniform(0, 6.28), extent * rng.uniform(1.1, 1.7)
        rows += _blotch(rng, x + r * math.cos(t), y + r * math.sin(t), 0.3 * extent, 4)
    return rows


def _myopia(rng: np.random.Generator, finding: Finding, study: Study) -> Spots:
    """Patches of atrophy at the posterior pole; the crescent at the disc is the renderer's."""
    rows: Spots = []
    for _ in range(_grade(finding) + (rng.random() < 0.4)):
        x, y = _place(rng, "macular", study, 0.8)
        rows += _blotch(rng, x, y, rng.uniform(0.25, 0.6), 8)
    return rows


_MAKERS: dict[str, Callable[[np.random.Generator, Finding, Study], Spots]] = {
    "microaneurysms": _microaneurysms,
    "retinal hemorrhages": _hemorrhages,
    "hard exudates": _exudates,
    "cotton wool spots": _cotton_wool,
    "neovascularization": _new_vessels,
    "drusen": _drusen,
    "geographic atrophy": _geographic,
    "pathologic myopia": _myopia,
}
