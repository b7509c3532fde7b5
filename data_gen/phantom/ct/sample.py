"""Draws studies: which slice of whom, how it was scanned, and what is wrong.

Patient with slice, scanner and findings come from independent random streams, so nothing about the
first two tells which findings are there; which ones *can* be there follows from the slice
(:func:`data_gen.phantom.ct.findings.judged`).
"""

from typing import Any

import numpy as np

from data_gen.phantom.base import FindingMix
from data_gen.phantom.ct import draw
from data_gen.phantom.ct.choices import pick, uniform
from data_gen.phantom.ct.findings import LEVELS, WINDOWS, Study

_STREAMS = {"findings": 1, "patient": 2, "acquisition": 3, "switch": 4}


def stream(seed: int, index: int, name: str) -> np.random.Generator:
    """The random stream ``name`` of study ``index``: counter-based, independent of any batch."""
    key = np.array([seed, index], dtype=np.uint64)
    counter = np.array([0, 0, 0, _STREAMS[name]], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def sample_study(seed: int, index: int, mix: FindingMix | None = None) -> Study:
    """Draws study ``index`` of the data set ``seed``.

    Args:
      seed, index: non-negative integers; equal pairs give equal studies on any machine.
      mix: how ill the patients are; patient, slice and scan stay the same under every mix.
    """
    patient = _patient(stream(seed, index, "patient"))
    acquisition = _acquisition(stream(seed, index, "acquisition"), patient)
    well = Study(
        seed=seed, index=index, findings=(), view="axial", acquisition=acquisition, **patient
    )
    found = draw.sample_findings(stream(seed, index, "findings"), well, mix)
    return Study(
        seed=seed, index=index, findings=found, view="axial", acquisition=acquisition, **patient
    )


def _patient(rng: np.random.Generator) -> dict[str, Any]:
    """Who, and which slice in which phase and window; lengths of ``anatomy`` are mm."""
    region = pick(rng, tuple(LEVELS), (0.36, 0.34, 0.30))
    level = pick(rng, LEVELS[region])
    phase = {
        "abdomen": pick(rng, ("non-contrast", "arterial", "portal venous"), (0.35, 0.15, 0.5)),
        "chest": pick(rng, ("non-contrast", "arterial"), (0.5, 0.5)),
        "head": "non-contrast",
    }[region]
    window = {
        "abdomen": pick(rng, ("soft tissue", "liver"), (0.8, 0.2)),
        "chest": pick(rng, ("lung", "mediastinal"), (0.55, 0.45)),
        "head": pick(rng, ("brain", "subdural"), (0.8, 0.2)),
    }[region]
    sex = pick(rng, ("female", "male"))
    age = round(float(np.clip(rng.normal(58, 17), 19, 94)), 1)
    old = (age - 19) / 75
    habitus = pick(rng, ("thin", "average", "large", "obese"), (0.2, 0.42, 0.26, 0.12))
    fat = uniform(
        rng, *{"thin": (4, 10), "average": (10, 20), "large": (18, 32), "obese": (30, 52)}[habitus]
    )
    if region == "chest":
        fat *= 0.55
    spread = {"thin": -0.04, "average": 0.02, "large": 0.08, "obese": 0.13}[habitus]
    anatomy = {
        "scale": round(uniform(rng, 0.93, 1.06) * (1.03 if sex == "male" else 0.95), 4),
        "depth": uniform(rng, 0.93, 1.07),
        "fat": round(fat, 3),
        "visceral": round(1.0 + spread + 0.04 * (sex == "male") + uniform(rng, -0.03, 0.04), 4),
        "cage": uniform(rng, 0.95, 1.06),
        "breast": round(uniform(rng, 0.2, 1.0) * (0.7 + fat / 60), 4),
        "wasting": round(old * uniform(rng, 0.2, 1.0), 4),
        "bone": round(1.0 - old * uniform(rng, 0.3, 1.0), 4),
        "calcium": round(min(1.0, old * uniform(rng, 0.3, 1.5)), 4),
        "steatosis": uniform(rng, 0.0, 1.0) * uniform(rng, 0.0, 1.0),
        "bolus": uniform(rng, 0.0, 1.0),
        "oral": uniform(rng, 0.0, 1.0),
        "stomach": uniform(rng, 0.0, 1.0),
        "bases": uniform(rng, 6.0, 15.0) if rng.random() < 0.45 else 0.0,
        "liver": uniform(rng, 0.9, 1.08),
        "left_lobe": uniform(rng, 0.75, 1.15),
        "spleen": uniform(rng, 0.75, 1.05),
        "kidney": uniform(rng, 0.86, 1.08),
        "gallbladder": uniform(rng, 0.85, 1.35),
        "spine": uniform(rng, 0.92, 1.12) + (0.06 if sex == "male" else -0.03),
        "aorta": round(8.5 + 2.6 * old + uniform(rng, -0.8, 1.2) + 0.8 * (sex == "male"), 3),
        "heart": uniform(rng, 0.86, 1.06),
        "lung_density": uniform(rng, 0.0, 1.0),
        "skull": uniform(rng, 0.95, 1.05),
        "skull_mm": uniform(rng, 5.0, 8.5),
        "scalp": round(4.0 + 0.10 * fat + uniform(rng, 0.0, 2.0), 3),
        "atrophy": round(float(np.clip(0.85 * old**1.3 + rng.normal(0, 0.09), 0.02, 1.0)), 4),
        "asymmetry": uniform(rng, -1.0, 1.0),
        "leuko": round(old * uniform(rng, 0.0, 1.2), 4),
        "wobble": uniform(rng, 0.8, 1.5),
        "texture_seed": float(rng.integers(0, 1 << 24)),
    }
    return {
        "region": region,
        "level": level,
        "phase": phase,
        "window": window,
        "sex": sex,
        "age": age,
        "habitus": habitus,
        "anatomy": {k: round(float(v), 4) for k, v in anatomy.items()},
    }


def _acquisition(rng: np.random.Generator, patient: dict[str, Any]) -> dict[str, float]:
    """Geometry, kernel, noise and window of one picture."""
    region, window = patient["region"], patient["window"]
    half = {"abdomen": 152.0, "chest": 172.0, "head": 96.0}[region]
    a = patient["anatomy"]
    half = (half * (a["visceral"] if region == "abdomen" else 1.0) + 1.2 * a["fat"]) * a["scale"]
    if region == "head":
        half = 96.0 * a["scale"]
    wide = rng.random() < 0.25
    room = uniform(rng, 1.25, 1.6) if wide else uniform(rng, 1.03, 1.25)
    width, level = WINDOWS[window]
    width *= uniform(rng, 0.85, 1.2)
    level += uniform(rng, -0.05, 0.05) * width
    sharp = window == "lung" or rng.random() < 0.15
    dose = float(np.exp(rng.uniform(np.log(7.0), np.log(22.0))))
    if region == "head":
        dose = float(np.exp(rng.uniform(np.log(2.5), np.log(7.0))))
    acquisition = {
        "fov": 2.0 * half * room,
        "shift_x": float(rng.normal(0, 0.02)),
        "shift_y": float(rng.normal(0, 0.02)) - 0.02,
        "tilt": float(np.clip(rng.normal(0, 5.0 if region == "head" else 2.0), -14, 14)),
        "kernel_cut": uniform(rng, 0.62, 0.85) if sharp else uniform(rng, 0.38, 0.6),
        "edge": uniform(rng, 0.4, 1.2) if sharp else uniform(rng, 0.0, 0.35),
        "noise": dose * (1.9 if sharp else 1.0),
        "streak": uniform(rng, 0.2, 2.5),
        "noise_seed": float(rng.integers(0, 1 << 24)),
        "hardening": uniform(rng, 0.4, 1.3),
        "window_low": level - width / 2,
        "window_high": level + width / 2,
        "circle": 0.5 if rng.random() < 0.12 else 1.0,
        "padding": pick(rng, (0.0, 0.0, 0.0, 0.35)),
        "black": uniform(rng, 0.0, 0.4) if rng.random() < 0.15 else 0.0,
        "white": 1.0,
        "table": uniform(rng, 2.0, 16.0),
        "table_curve": uniform(rng, 0.0002, 0.0011),
        "table_gap": uniform(rng, 18.0, 60.0),
        "table_hu": uniform(rng, -350.0, 250.0),
        "holder": uniform(rng, 16.0, 38.0),
        "sheet": uniform(rng, 2.0, 18.0) if rng.random() < 0.5 else 1e4,
    }
    return {k: round(float(v), 4) for k, v in acquisition.items()}
