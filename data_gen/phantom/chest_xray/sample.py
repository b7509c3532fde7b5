"""Draws studies: what is wrong, who the patient is, and how the exposure was made.

The three are drawn from independent random streams, so nothing about the patient, the exposure or
the film tells which findings are there. The only links are physical: a pleural effusion layers in
a supine patient, and devices are commoner on AP views, with or without disease.
"""

from typing import Any

import numpy as np

from data_gen.phantom.base import FindingMix
from data_gen.phantom.chest_xray import draw
from data_gen.phantom.chest_xray.draw import pick, uniform
from data_gen.phantom.chest_xray.findings import MAX_FINDINGS, Study, ctr_limit

_STREAMS = {"findings": 1, "patient": 2, "acquisition": 3, "devices": 4, "switched": 5}


def stream(seed: int, index: int, name: str) -> np.random.Generator:
    """The random stream ``name`` of study ``index``: counter-based, independent of any batch."""
    key = np.array([seed, index], dtype=np.uint64)
    counter = np.array([0, 0, 0, _STREAMS[name]], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def sample_study(seed: int, index: int, mix: FindingMix | None = None) -> Study:
    """Draws study ``index`` of the data set ``seed``.

    Args:
      seed, index: non-negative integers; equal pairs give equal studies on any machine.
      mix: how ill the patients are; patient and film stay the same under every mix.
    """
    patient = _patient(stream(seed, index, "patient"))
    acquisition = sample_acquisition(stream(seed, index, "acquisition"), patient["view"])
    ill = draw.sample_findings(stream(seed, index, "findings"), patient["position"], mix)
    devices = draw.sample_devices(stream(seed, index, "devices"), patient["view"])
    found = (*ill, *devices)[:MAX_FINDINGS]
    return Study(seed=seed, index=index, findings=found, acquisition=acquisition, **patient)


def _patient(rng: np.random.Generator) -> dict[str, Any]:
    """View, position, build; every number of ``anatomy`` is in adult millimetres unless said."""
    view = pick(rng, ("PA", "AP"), (0.6, 0.4))
    position = "supine" if view == "AP" and rng.random() < 0.55 else "erect"
    sex = pick(rng, ("female", "male"))
    child = rng.random() < 0.2
    age = uniform(rng, 0.5, 15) if child else uniform(rng, 16, 92)
    habitus = pick(rng, ("thin", "average", "large", "obese"), (0.22, 0.42, 0.24, 0.12))
    if child and habitus == "obese":
        habitus = "average"
    grown = min(age / 17.0, 1.0)
    wall = {"thin": (9, 15), "average": (14, 24), "large": (22, 38), "obese": (36, 62)}[habitus]
    wall = uniform(rng, *wall) * (0.65 + 0.35 * grown)
    inspiration = float(np.clip(rng.normal(0.68 if view == "PA" else 0.45, 0.2), 0.0, 1.0))
    limit = ctr_limit(view, age)
    rotation = float(np.clip(rng.normal(0.0, 2.5 if view == "PA" else 5.0), -12, 12))
    breast = 0.0
    if sex == "female" and age > 12:
        breast = (
            uniform(rng, 0.15, 1.0)
            * {"thin": 0.5, "average": 0.8, "large": 1.1, "obese": 1.4}[habitus]
        )
    anatomy = {
        "scale": round((0.40 + 0.60 * grown**0.8) * uniform(rng, 0.93, 1.06), 4),
        "thorax": uniform(rng, 124, 146) + (4 if sex == "male" else -3),
        "height": round(172 + 52 * inspiration + uniform(rng, -9, 14) - 38 * (1 - grown), 3),
        "shape": uniform(rng, 1.75, 2.5),
        "depth": uniform(rng, 125, 165) + (8 if sex == "male" else 0) + 15 * (1 - grown),
        "wall": round(wall, 3),
        "breast": round(breast, 4),
        "breast_drop": uniform(rng, 0.0, 1.0),
        "pectoral": uniform(rng, 0.2, 1.0) if sex == "male" else uniform(rng, 0.0, 0.5),
        "ctr": round(limit - uniform(rng, 0.02, 0.115), 4),
        "heart_lift": uniform(rng, -0.06, 0.08),
        "heart_tail": uniform(rng, 0.16, 0.40),
        "atrium": uniform(rng, 0.22, 0.36),
        "trunk": uniform(rng, 6, 19),
        "heart_round": uniform(rng, 0.0, 1.0),
        "aorta": round(12 + 6 * grown + uniform(rng, -2, 3) + 6 * max(0.0, age - 50) / 40, 3),
        "thymus": uniform(rng, 0.0, 1.0) if age < 3 else 0.0,
        "mediastinum": uniform(rng, 21, 28) + (5 if position == "supine" else 0),
        "dome_gap": uniform(rng, 4, 18),
        "dome_curve": uniform(rng, 0.6, 1.25),
        "dome_wave": uniform(rng, -1.0, 1.0),
        "stomach": uniform(rng, 0.0, 1.0),
        "stomach_x": uniform(rng, 0.3, 0.62),
        "bowel": uniform(rng, 0.0, 1.0),
        "rib_top": uniform(rng, -2, 8),
        "rib_spacing": uniform(rng, 0.094, 0.108),
        "rib_tilt": uniform(rng, 0.75, 1.2) * (0.6 + 0.4 * grown),
        "rib_half": uniform(rng, 4.6, 6.3),
        "rib_density": uniform(rng, 0.7, 1.35) * (1.35 - 0.35 * grown),
        "rib_cortex": uniform(rng, 0.8, 1.9),
        "rib_seed": uniform(rng, 0, 6.28),
        "cartilage": uniform(rng, 0, 1) * max(0.0, (age - 35) / 45),
        "spine_density": uniform(rng, 0.45, 0.95) * (1.25 - 0.25 * grown),
        "spine_curve": uniform(rng, -1, 1) * uniform(rng, 0, 1),
        "clavicle_y": uniform(rng, 26, 50) - (18 if view == "AP" else 0),
        "clavicle_slope": uniform(rng, -0.28, -0.06) - (0.06 if view == "AP" else 0),
        "clavicle_density": uniform(rng, 0.7, 1.3),
        "scapula_in": uniform(rng, 0, 22) + (uniform(rng, 8, 26) if view == "AP" else 0),
        "shoulder_y": uniform(rng, -14, 14),
        "arm_angle": uniform(rng, 0.05, 0.55),
        "neck": uniform(rng, 46, 60),
        "head": uniform(rng, 0, 1),
        "trachea": uniform(rng, 7.0, 10.0),
        "lung_density": uniform(rng, 0.16, 0.50),
        "vessels": uniform(rng, 0.7, 1.35),
        "hila": uniform(rng, 0.6, 1.4),
        "interstitium": uniform(rng, 0.4, 1.3),
        "asymmetry": uniform(rng, -1, 1),
        "texture_seed": float(rng.integers(0, 1 << 24)),
    }
    return {
        "view": view,
        "position": position,
        "sex": sex,
        "age": round(age, 1),
        "habitus": habitus,
        "rotation": round(rotation, 3),
        "inspiration": round(inspiration, 4),
        "anatomy": anatomy,
    }


def sample_acquisition(rng: np.random.Generator, view: str) -> dict[str, float]:
    """Geometry of the beam, physics of the exposure, processing and film of one picture."""

    def rare(p: float, low: float, high: float, otherwise: float = 0.0) -> float:
        hit, value = rng.random() < p, uniform(rng, low, high)
        return value if hit else otherwise

    border = {s: rare(0.25, 0.005, 0.08) for s in ("left", "right", "top", "bottom")}
    return {
        "fill": uniform(rng, 0.66, 0.92),
        "shift_x": float(np.clip(rng.normal(0, 0.025), -0.07, 0.07)),
        "shift_y": float(np.clip(rng.normal(0, 0.04), -0.10, 0.12)),
        "tilt": float(np.clip(rng.normal(0, 2.0), -7, 7)),
        "aspect": uniform(rng, 0.94, 1.06),
        "kvp": uniform(rng, 0.0, 1.0),
        "scatter": uniform(rng, 0.03, 0.18) + (0.07 if view == "AP" else 0.0),
        "blur_mm": uniform(rng, 0.1, 0.75) + (0.15 if view == "AP" else 0.0),
        "noise": float(np.exp(rng.uniform(np.log(0.003), np.log(0.014)))),
        "noise_seed": float(rng.integers(0, 1 << 24)),
        "window_low": uniform(rng, 0.05, 0.75),
        "window_high": uniform(rng, -0.55, 0.5),
        "centre": float(np.clip(rng.normal(0, 0.22), -0.6, 0.6)),
        "autoexposure": uniform(rng, 0.0, 1.0),
        "gamma": float(np.exp(rng.uniform(np.log(0.7), np.log(1.5)))),
        "curve": uniform(rng, 0.0, 1.0),
        "equalise": rare(0.5, 0.1, 0.65),
        "sharpen": rare(0.4, 0.2, 1.4),
        "level_low": rare(0.3, 5, 70),
        "level_high": rare(0.4, 170, 250, 255.0),
        "heel_x": float(rng.normal(0, 0.05)),
        "heel_y": float(rng.normal(0, 0.07)),
        "vignette": rare(0.3, 0.05, 0.3),
        "grid_lines": rare(0.05, 0.004, 0.02),
        "grid_period": uniform(rng, 2.3, 4.0),
        **{f"border_{side}": width for side, width in border.items()},
        "border_tilt": float(rng.normal(0, 0.012)),
        "border_level": rare(0.2, 0.6, 1.0),
        "inverted": float(rng.random() < 0.01),
        "marker": float(rng.integers(0, 4)),  # 0 none, 1 plain letter, 2 letter in a box, 3 disc
        "marker_side": float(rng.random() < 0.5),  # 1: on the patient's left
        "marker_x": uniform(rng, 0.03, 0.16),
        "marker_y": uniform(rng, 0.03, 0.30),
        "marker_size": uniform(rng, 0.025, 0.06),
        "marker_level": uniform(rng, 0.75, 1.0),
        "text": float(rng.integers(0, 6)) if rng.random() < 0.35 else -1.0,
        "text_x": uniform(rng, 0.02, 0.75),
        "text_y": pick(rng, (0.02, 0.05, 0.93)),
        "text_size": uniform(rng, 0.012, 0.026),
        "haze": rare(0.35, 4.0, 24.0),
    }
