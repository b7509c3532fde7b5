"""From a study of the brain to the arrays that the renderer is compiled for."""

import math
from typing import Any

import numpy as np

from data_gen.phantom.fields import blob_row, no_blob, noise_grid, waves
from data_gen.phantom.mri.brain_site import (
    CENTRES,
    EDEMA,
    HEMORRHAGE,
    HYDROCEPHALUS,
    INFARCT,
    PLAQUES,
    TUMOR,
)
from data_gen.phantom.mri.picture import signal
from data_gen.phantom.mri.picture.brain_lesions import PLAQUES as SLOTS
from data_gen.phantom.mri.picture.scanner import MATRIX
from data_gen.phantom.regional import Finding, Study

NOISE = {
    **dict.fromkeys(("mid", "mid_2", "mid_3"), (48, 26.0)),
    **dict.fromkeys(("fine", "fine_2"), (96, 7.5)),
    "dots": (128, 4.5),
}
"""Noise maps -> side of the grid, and length in millimetres of what they show."""

_NOWHERE = (1e4, 1e4, 1.0, 1.0, 0.0)


def brain_scene(study: Study) -> dict[str, Any]:
    """Arrays of one study, without a batch axis."""
    levels = signal.levels(study.technique)
    rng = np.random.Generator(np.random.Philox(int(study.anatomy["texture_seed"])))
    scene: dict[str, Any] = {**study.anatomy, **study.acquisition}
    scene["grey"] = levels
    scene["pitch"] = study.acquisition["field_of_view"] / MATRIX
    for name, (side, length) in NOISE.items():
        cells = study.acquisition["field_of_view"] / length
        scene[name] = noise_grid(rng, side, cells)
    scene["outer_waves"] = waves(rng, 6, (2 * math.pi / 27, 0.06), (0.0, 2 * math.pi / 42))
    scene["inner_waves"] = waves(rng, 5, (2 * math.pi / 30, 0.06), (0.0, 2 * math.pi / 45))
    skull_waves = np.stack([rng.normal(0, (1.4, 0.8, 1.1, 0.4)), rng.uniform(0, 2 * np.pi, 4)], 1)
    scene["skull_waves"] = skull_waves.astype(np.float32)
    scene["scalp_phase"] = rng.uniform(0, 2 * math.pi)
    scene |= {
        "plaques": np.tile(_NOWHERE, (SLOTS, 1)),
        "infarct_angle": 0.0,
        "infarct_half": 0.0,
        "infarct_depth": 0.0,
        "tumor_ring": 0.0,
        "tumor_hollow": 0.0,
        "blood_rim": 0.0,
        **dict.fromkeys(("blood_core", "blood_centre", "blood_edge"), 0.0),
        **dict.fromkeys(("tumor_push", "blood_push"), 0.0),
    }
    for name in ("tumor_blob", "tumor_edema", "blood_blob", "blood_edema", "edema_blob", "lacune"):
        scene[name] = no_blob()
    for found in study.findings:
        own = np.random.Generator(np.random.Philox(int(found.attributes["seed"])))
        scene |= _SIGNS[found.name](found, scene, own)
    del scene["texture_seed"], scene["field_of_view"]
    return scene


def _numbers(found: Finding) -> dict[str, float]:
    return {k: v for k, v in found.attributes.items() if isinstance(v, (int, float))}


def _tumor(f: Finding, scene: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    n = _numbers(f)
    at, r = (n["x"], n["y"]), 0.5 * n["size_mm"]
    angle = rng.uniform(0, math.pi)
    out = {
        "tumor_blob": blob_row(rng, at, r, rng.uniform(0.82, 1.1), angle, 0.09),
        "tumor_ring": (0.22 + 0.12 * rng.random()) * r,
        "tumor_hollow": 1.0 if f.attributes["kind"] == "ring-enhancing" else 0.0,
        "tumor_push": 0.22 + 0.1 * rng.random(),
    }
    if "margin" in n:
        around = (at[0] * 0.92, at[1] * 0.95)
        out["tumor_edema"] = blob_row(rng, around, r + n["margin"], 0.85, angle, 0.16)
    return out


def _infarct(f: Finding, scene: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    n = _numbers(f)
    if f.attributes["kind"] == "lacunar":
        row = blob_row(rng, (n["x"], n["y"]), 0.5 * n["size_mm"], 0.7, rng.uniform(1.1, 1.9), 0.1)
        return {"lacune": row}
    cx, cy = CENTRES[f.zone]
    sign = 1.0 if f.side == "left" else -1.0
    x, y = sign * cx * scene["half_width"], cy * scene["half_length"]
    half = n["half"]
    # Not past the midline: the other hemisphere has arteries of its own.
    angle = math.atan2(abs(x), -y) + rng.uniform(-0.1, 0.1)
    angle = sign * min(max(angle, half + 0.12), math.pi - half - 0.12)
    return {"infarct_angle": angle, "infarct_half": half, "infarct_depth": n["reach"]}


def _plaques(f: Finding, scene: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    rows = []
    level = scene["level"]
    for i in range(int(f.attributes["count"])):
        sign = 1.0 if i % 2 else -1.0
        if f.attributes["pattern"] == "periventricular":
            t = rng.uniform(-1, 1)
            x = 14 + 5 * abs(t) + 7 * max(t, 0) * (1 - level) + rng.uniform(1, 9)
            y = 33 * t + 4
            angle = math.atan2(0.5 * t, sign) + rng.normal(0, 0.3)
            row = [sign * x, y, rng.uniform(3.6, 6.2), math.cos(angle), math.sin(angle)]
        else:
            x, y = rng.uniform(16, 36), rng.uniform(-40, 44)
            row = [sign * x, y, rng.uniform(3.0, 5.2), 1.0, 0.0]
        rows.append(row)
    return {"plaques": np.array(rows + [list(_NOWHERE)] * (SLOTS - len(rows)), np.float32)}


def _edema(f: Finding, scene: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    n = _numbers(f)
    at = (0.85 * n["x"], 0.95 * n["y"])
    return {"edema_blob": blob_row(rng, at, n["radius"], 0.8, rng.uniform(1.2, 1.9), 0.16)}


def _hemorrhage(f: Finding, scene: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    n, grey = _numbers(f), scene["grey"]
    at, r = (n["x"], n["y"]), 0.5 * n["size_mm"]
    core, centre, edge, rim = {
        "acute": ("blood acute", "blood acute", "blood late", 1.1),
        "subacute": ("blood subacute", "blood acute", "blood subacute", 2.0),
        "late subacute": ("blood late", "blood late", "hemosiderin", 2.2),
    }[str(f.attributes["stage"])]
    angle = rng.uniform(0, math.pi)
    return {
        "blood_blob": blob_row(rng, at, r, rng.uniform(0.7, 1.05), angle, 0.08),
        "blood_edema": blob_row(rng, at, r + rng.uniform(4, 9), 0.85, angle, 0.12),
        "blood_core": grey[core],
        "blood_centre": grey[centre],
        "blood_edge": grey[edge],
        "blood_rim": rim,
        "blood_push": 0.2 + 0.1 * rng.random(),
    }


def _hydrocephalus(f: Finding, scene: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    return {
        "ventricle": max(scene["ventricle"], 0.95) * _numbers(f)["width"],
        "sulcus": 0.45 * scene["sulcus"],
        "caps": 1.0,
    }


_SIGNS = {
    TUMOR: _tumor,
    INFARCT: _infarct,
    PLAQUES: _plaques,
    EDEMA: _edema,
    HEMORRHAGE: _hemorrhage,
    HYDROCEPHALUS: _hydrocephalus,
}
