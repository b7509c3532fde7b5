"""From a study to the arrays that the renderer is compiled for."""

import math
from typing import Any

import numpy as np

from data_gen.phantom.fields import blob_row, no_blob, noise_grid
from data_gen.phantom.regional import Finding, Study
from data_gen.phantom.ultrasound import sites as S

NOISE = {
    "slow": (12, 3.2, 1.0),
    "mid": (24, 9.0, 1.0),
    "mid_2": (24, 9.0, 0.6),
    "fine": (96, 34.0, 1.0),
    "lines": (96, 30.0, 0.16),
    "septa": (64, 15.0, 0.45),
    "lumps": (64, 18.0, 0.8),
}
"""Noise maps over the beams -> side of the grid, bumps across, and height of a bump to its width.
"""

STONES = 6


def scene(study: Study) -> dict[str, Any]:
    """Arrays of one study, without a batch axis; the same keys for every site."""
    rng = np.random.Generator(np.random.Philox(int(study.anatomy["texture_seed"])))
    out: dict[str, Any] = {
        k: v for k, v in study.anatomy.items() if k not in ("side", "texture_seed")
    }
    out |= {k: v for k, v in study.acquisition.items() if k not in ("marks", "marked")}
    for name, (side, cells, stretch) in NOISE.items():
        out[name] = noise_grid(rng, side, cells, 1.0 / stretch if stretch > 1 else stretch)
    out["mirror"] = 1.0 if study.anatomy["side"] != "left" else -1.0
    out["lesion"] = no_blob()
    for name in ("echo", "mottle", "loss", "halo", "holes", "calc", "spikes"):
        out[f"lesion_{name}"] = 0.0
    out["stones"] = np.tile(np.array([1e4, 1e4, 1.0], np.float32), (STONES, 1))
    out["benign"] = out["malignant"] = out["thick"] = 0.0
    for found in study.findings:
        own = np.random.Generator(np.random.Philox(int(found.attributes["seed"])))
        out |= _SIGNS[found.name](found, study, own)
    return out


def _lesion(kind: str) -> dict[str, float]:
    """Echo in decibels over the organ, loss in decibels per millimetre, and so on."""
    return {
        "fibroadenoma": {"echo": -13.0, "mottle": 1.2, "loss": -0.10, "halo": 0.25},
        "cyst": {"echo": -45.0, "mottle": 0.0, "loss": -0.75, "halo": 0.35},
        "spiculated": {"echo": -21.0, "mottle": 2.6, "loss": 0.95, "halo": 1.0, "spikes": 1.0},
        "irregular": {"echo": -20.0, "mottle": 3.0, "loss": 0.65, "halo": 0.6, "spikes": 0.4},
        "spongiform": {"echo": -3.0, "mottle": 1.5, "loss": -0.12, "holes": 1.0, "halo": -0.5},
        "isoechoic": {"echo": -2.0, "mottle": 1.2, "loss": 0.0, "halo": -1.0},
        "cystic": {"echo": -38.0, "mottle": 0.5, "loss": -0.7, "halo": 0.2},
        "solid": {"echo": -15.0, "mottle": 2.2, "loss": 0.28, "halo": 0.0, "spikes": 0.25},
    }[kind]


def _mass(f: Finding, study: Study, rng: np.random.Generator) -> dict[str, Any]:
    numbers = {k: v for k, v in f.attributes.items() if isinstance(v, (int, float))}
    radius = 0.5 * numbers["size_mm"]
    bad = f.name in (S.MALIGNANT_BREAST, S.MALIGNANT_THYROID)
    if "u" in numbers:
        a = study.anatomy
        x, z = numbers["u"] * a["lobe_x"], numbers["v"] * a["lobe_z"]
        at = (x, z + lobe_depth(a))
    else:
        at = (numbers["x"], numbers["z"])
    if bad:
        row = blob_row(rng, at, radius, rng.uniform(0.72, 0.86), rng.normal(0, 0.2), 0.13)
    else:
        row = blob_row(rng, at, radius, rng.uniform(1.35, 1.75), rng.normal(0, 0.12), 0.035)
        row[2] *= 1.15
    out: dict[str, Any] = {f"lesion_{k}": v for k, v in _lesion(str(f.attributes["kind"])).items()}
    out["lesion"] = row
    out["lesion_calc"] = 1.0 if f.attributes.get("calcified") == "yes" else 0.0
    out["malignant" if bad else "benign"] = 1.0
    return out


def lobe_depth(anatomy: Any) -> float:
    """Depth of the middle of the thyroid lobe in millimetres."""
    return anatomy["skin"] + anatomy["fat"] + anatomy["strap"] + 0.95 * anatomy["lobe_z"]


def _wall(f: Finding, study: Study, rng: np.random.Generator) -> dict[str, Any]:
    return {"bladder_wall": float(f.attributes["thick_mm"]), "thick": 1.0}


def _stones(f: Finding, study: Study, rng: np.random.Generator) -> dict[str, Any]:
    """Stones side by side along the wall that is farther from the probe."""
    a = study.anatomy
    long, wide, tilt = a["bladder_long"], a["bladder_wide"], a["bladder_tilt"]
    rows = []
    count, size = int(f.attributes["count"]), float(f.attributes["size_mm"])
    start = float(f.attributes["at"]) - 0.5 * (count - 1) * 0.78 * size / long
    for i in range(count):
        r = 0.5 * size * rng.uniform(0.75, 1.0)
        u = float(np.clip(start + i * 0.78 * size / long, -0.62, 0.62))
        v = wide * math.sqrt(1 - u * u) * (1.0 + 0.18 * u) - 0.9 * r
        along = u * long
        cos, sin = math.cos(tilt), math.sin(tilt)
        rows.append(
            [a["bladder_x"] + along * cos - v * sin, a["bladder_z"] + along * sin + v * cos, r]
        )
    rows += [[1e4, 1e4, 1.0]] * (STONES - len(rows))
    return {"stones": np.array(rows, np.float32)}


_SIGNS = {
    S.BENIGN_BREAST: _mass,
    S.MALIGNANT_BREAST: _mass,
    S.BENIGN_THYROID: _mass,
    S.MALIGNANT_THYROID: _mass,
    S.STONES: _stones,
    S.WALL: _wall,
}
