"""Draws studies: what is wrong, who the patient is, and how the exposure was made.

The three are drawn from three independent random streams, so nothing about the patient, the exposure
or the film tells which findings are there. The only links are physical: a pleural effusion layers in a
supine patient, and devices are commoner on AP views (with or without disease).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from data_gen.phantom import findings as F
from data_gen.phantom.findings import Finding, Study

NORMAL_SHARE = 0.28
"""Probability that a study has no finding (it may still have devices)."""

_COUNT = (0.50, 0.32, 0.18)  # one, two or three findings
_SEVERITY = (0.38, 0.36, 0.26)
_WEIGHTS = {
    "cardiomegaly": 1.1,
    "pleural effusion": 1.3,
    "pneumothorax": 1.0,
    "consolidation": 1.0,
    "pneumonia": 1.2,
    "atelectasis": 1.1,
    "edema": 1.1,
    "nodule": 1.1,
    "mass": 0.8,
    "fracture": 0.8,
    "emphysema": 0.9,
}
_TOGETHER = {
    frozenset({"cardiomegaly", "edema"}): 1.6,
    frozenset({"cardiomegaly", "pleural effusion"}): 1.4,
    frozenset({"edema", "pleural effusion"}): 1.5,
    frozenset({"pleural effusion", "atelectasis"}): 1.5,
    frozenset({"pneumonia", "pleural effusion"}): 1.3,
    frozenset({"pneumothorax", "fracture"}): 1.5,
    frozenset({"emphysema", "pneumothorax"}): 1.3,
    frozenset({"emphysema", "nodule"}): 1.3,
}
_DEVICE_RATES = {  # PA, AP
    "endotracheal tube": (0.01, 0.22),
    "central line": (0.06, 0.28),
    "nasogastric tube": (0.02, 0.20),
    "chest drain": (0.02, 0.06),
    "pacemaker": (0.06, 0.07),
    "ecg leads": (0.05, 0.30),
    "sternal wires": (0.06, 0.07),
}
_STREAMS = {"findings": 1, "patient": 2, "acquisition": 3, "devices": 4}


def stream(seed: int, index: int, name: str) -> np.random.Generator:
    """The random stream ``name`` of study ``index``: counter-based, independent of any batch."""
    key = np.array([seed, index], dtype=np.uint64)
    counter = np.array([0, 0, 0, _STREAMS[name]], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def sample_study(seed: int, index: int) -> Study:
    """Draws study ``index`` of the data set ``seed``.

    Args:
        seed, index: non-negative integers; equal pairs give equal studies on any machine.
    """
    patient = _patient(stream(seed, index, "patient"))
    acquisition = sample_acquisition(stream(seed, index, "acquisition"), patient["view"])
    ill = sample_findings(stream(seed, index, "findings"), patient["position"])
    devices = _devices(stream(seed, index, "devices"), patient["view"])
    found = (*ill, *devices)[: F.MAX_FINDINGS]
    return Study(seed=seed, index=index, findings=found, acquisition=acquisition, **patient)


def _pick(rng: np.random.Generator, words: tuple[Any, ...], weights: Any = None) -> Any:
    p = None if weights is None else np.asarray(weights, float) / np.sum(weights)
    return words[int(rng.choice(len(words), p=p))]


def _u(rng: np.random.Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), 4)


def _patient(rng: np.random.Generator) -> dict[str, Any]:
    """View, position, build; every number of ``anatomy`` is in adult millimetres unless said."""
    view = _pick(rng, ("PA", "AP"), (0.6, 0.4))
    position = "supine" if view == "AP" and rng.random() < 0.55 else "erect"
    sex = _pick(rng, ("female", "male"))
    child = rng.random() < 0.2
    age = _u(rng, 0.5, 15) if child else _u(rng, 16, 92)
    habitus = _pick(rng, ("thin", "average", "large", "obese"), (0.22, 0.42, 0.24, 0.12))
    if child and habitus == "obese":
        habitus = "average"
    grown = min(age / 17.0, 1.0)
    wall = {"thin": (9, 15), "average": (14, 24), "large": (22, 38), "obese": (36, 62)}[habitus]
    wall = _u(rng, *wall) * (0.65 + 0.35 * grown)
    inspiration = float(np.clip(rng.normal(0.68 if view == "PA" else 0.45, 0.2), 0.0, 1.0))
    limit = F.ctr_limit(view, age)
    rotation = float(np.clip(rng.normal(0.0, 2.5 if view == "PA" else 5.0), -12, 12))
    breast = 0.0
    if sex == "female" and age > 12:
        breast = (
            _u(rng, 0.15, 1.0) * {"thin": 0.5, "average": 0.8, "large": 1.1, "obese": 1.4}[habitus]
        )
    anatomy = {
        "scale": round((0.40 + 0.60 * grown**0.8) * _u(rng, 0.93, 1.06), 4),
        "thorax": _u(rng, 124, 146) + (4 if sex == "male" else -3),
        "height": round(172 + 52 * inspiration + _u(rng, -9, 14) - 20 * (1 - grown), 3),
        "shape": _u(rng, 1.75, 2.5),
        "depth": _u(rng, 125, 165) + (8 if sex == "male" else 0),
        "wall": round(wall, 3),
        "breast": round(breast, 4),
        "breast_drop": _u(rng, 0.0, 1.0),
        "pectoral": _u(rng, 0.2, 1.0) if sex == "male" else _u(rng, 0.0, 0.5),
        "ctr": round(limit - _u(rng, 0.02, 0.115), 4),
        "heart_lift": _u(rng, -0.04, 0.04),
        "heart_round": _u(rng, 0.0, 1.0),
        "aorta": round(12 + 6 * grown + _u(rng, -2, 3) + 6 * max(0.0, age - 50) / 40, 3),
        "thymus": _u(rng, 0.0, 1.0) if age < 3 else 0.0,
        "mediastinum": _u(rng, 25, 33) + (5 if position == "supine" else 0),
        "dome_gap": _u(rng, 4, 18),
        "dome_curve": _u(rng, 0.75, 1.2),
        "dome_wave": _u(rng, -1.0, 1.0),
        "stomach": _u(rng, 0.0, 1.0),
        "stomach_x": _u(rng, 0.3, 0.62),
        "bowel": _u(rng, 0.0, 1.0),
        "rib_top": _u(rng, -2, 8),
        "rib_spacing": _u(rng, 0.094, 0.108),
        "rib_tilt": _u(rng, 0.75, 1.2) * (0.75 + 0.25 * grown),
        "rib_half": _u(rng, 5.4, 7.2),
        "rib_density": _u(rng, 0.7, 1.35),
        "rib_cortex": _u(rng, 0.5, 1.3),
        "rib_seed": _u(rng, 0, 6.28),
        "cartilage": _u(rng, 0, 1) * max(0.0, (age - 35) / 45),
        "spine_density": _u(rng, 0.7, 1.4),
        "spine_curve": _u(rng, -1, 1) * _u(rng, 0, 1),
        "clavicle_y": _u(rng, -6, 24) + (-14 if view == "AP" else 4),
        "clavicle_slope": _u(rng, -0.32, 0.02) + (-0.08 if view == "AP" else 0),
        "clavicle_density": _u(rng, 0.7, 1.3),
        "scapula_in": _u(rng, 0, 22) + (_u(rng, 8, 26) if view == "AP" else 0),
        "shoulder_y": _u(rng, -14, 14),
        "arm_angle": _u(rng, 0.05, 0.55),
        "neck": _u(rng, 46, 60),
        "head": _u(rng, 0, 1),
        "trachea": _u(rng, 7.0, 10.0),
        "lung_density": _u(rng, 0.22, 0.36),
        "vessels": _u(rng, 0.7, 1.35),
        "hila": _u(rng, 0.6, 1.4),
        "interstitium": _u(rng, 0.4, 1.3),
        "asymmetry": _u(rng, -1, 1),
        "texture_seed": float(rng.integers(0, 1 << 24)),
    }
    return dict(
        view=view,
        position=position,
        sex=sex,
        age=round(age, 1),
        habitus=habitus,
        rotation=round(rotation, 3),
        inspiration=round(inspiration, 4),
        anatomy=anatomy,
    )


def sample_acquisition(rng: np.random.Generator, view: str) -> dict[str, float]:
    """Geometry of the beam, physics of the exposure, processing and film of one picture."""

    def rare(p: float, low: float, high: float, otherwise: float = 0.0) -> float:
        hit, value = rng.random() < p, _u(rng, low, high)
        return value if hit else otherwise

    border = {s: rare(0.25, 0.005, 0.08) for s in ("left", "right", "top", "bottom")}
    return {
        "fill": _u(rng, 0.58, 0.86),
        "shift_x": float(np.clip(rng.normal(0, 0.025), -0.07, 0.07)),
        "shift_y": float(np.clip(rng.normal(0, 0.04), -0.10, 0.12)),
        "tilt": float(np.clip(rng.normal(0, 2.0), -7, 7)),
        "aspect": _u(rng, 0.94, 1.06),
        "kvp": _u(rng, 0.0, 1.0),
        "scatter": _u(rng, 0.05, 0.30) + (0.12 if view == "AP" else 0.0),
        "blur_mm": _u(rng, 0.25, 1.3) + (0.3 if view == "AP" else 0.0),
        "noise": float(np.exp(rng.uniform(np.log(0.006), np.log(0.045)))),
        "noise_seed": float(rng.integers(0, 1 << 24)),
        "window_low": _u(rng, 0.05, 0.75),
        "window_high": _u(rng, -0.55, 0.5),
        "centre": float(np.clip(rng.normal(0, 0.22), -0.6, 0.6)),
        "autoexposure": _u(rng, 0.0, 1.0),
        "gamma": float(np.exp(rng.uniform(np.log(0.7), np.log(1.5)))),
        "curve": _u(rng, 0.0, 1.0),
        "equalise": rare(0.5, 0.1, 0.65),
        "sharpen": rare(0.5, 0.2, 1.6),
        "level_low": rare(0.3, 5, 70),
        "level_high": rare(0.4, 170, 250, 255.0),
        "heel_x": float(rng.normal(0, 0.05)),
        "heel_y": float(rng.normal(0, 0.07)),
        "vignette": rare(0.3, 0.05, 0.3),
        "grid_lines": rare(0.05, 0.004, 0.02),
        "grid_period": _u(rng, 2.3, 4.0),
        **{f"border_{side}": width for side, width in border.items()},
        "border_tilt": float(rng.normal(0, 0.012)),
        "border_level": rare(0.2, 0.6, 1.0),
        "inverted": float(rng.random() < 0.01),
        "marker": float(rng.integers(0, 4)),  # 0 none, 1 plain letter, 2 letter in a box, 3 disc
        "marker_side": float(rng.random() < 0.5),  # 1: on the patient's left
        "marker_x": _u(rng, 0.03, 0.16),
        "marker_y": _u(rng, 0.03, 0.30),
        "marker_size": _u(rng, 0.025, 0.06),
        "marker_level": _u(rng, 0.75, 1.0),
        "text": float(rng.integers(0, 6)) if rng.random() < 0.35 else -1.0,
        "text_x": _u(rng, 0.02, 0.75),
        "text_y": _pick(rng, (0.02, 0.05, 0.93)),
        "text_size": _u(rng, 0.012, 0.026),
        "debris": rare(0.08, 0.2, 1.0),
    }


def sample_findings(rng: np.random.Generator, position: str) -> tuple[Finding, ...]:
    """Draws none to three compatible findings, devices apart."""
    if rng.random() < NORMAL_SHARE:
        return ()
    wanted = 1 + int(rng.choice(3, p=_COUNT))
    found: list[Finding] = []
    for _ in range(4 * wanted):
        if len(found) == wanted:
            break
        weights = []
        for name, weight in _WEIGHTS.items():
            for other in found:
                weight *= _TOGETHER.get(frozenset({name, other.name}), 1.0)
                if name == other.name:
                    weight *= 0.35
            weights.append(weight)
        name = _pick(rng, tuple(_WEIGHTS), weights)
        candidate = make_finding(rng, name, position)
        if all(F.compatible(candidate, f) for f in found):
            found.append(candidate)
    return tuple(found)


def make_finding(rng: np.random.Generator, name: str, position: str = "erect") -> Finding:
    """Draws one finding ``name`` with plausible side, zone, severity and geometry.

    Raises:
        KeyError: ``name`` is not a finding other than support devices.
    """
    severity = _pick(rng, F.SEVERITIES, _SEVERITY)
    grade = F.SEVERITIES.index(severity)
    side, zone, attributes = _MAKERS[name](rng, grade, position)
    attributes["seed"] = float(rng.integers(0, 1 << 20))
    return Finding(name, side, zone, severity, attributes)


Made = tuple[str, str, dict[str, Any]]


def _side(rng: np.random.Generator, bilateral: float = 0.0) -> str:
    if rng.random() < bilateral:
        return "bilateral"
    return _pick(rng, ("left", "right"))


def _cardiomegaly(rng: np.random.Generator, grade: int, position: str) -> Made:
    # Excess over the limit of the view; findings.ctr_limit says what the limit is.
    low, high = ((0.025, 0.05), (0.05, 0.10), (0.10, 0.17))[grade]
    return "", "", {"excess": _u(rng, low, high)}


def _effusion(rng: np.random.Generator, grade: int, position: str) -> Made:
    low, high = ((0.07, 0.17), (0.22, 0.42), (0.50, 0.85))[grade]
    form = "layering" if position == "supine" else "meniscus"
    return _side(rng, 0.3), "basal", {"form": form, "level": _u(rng, low, high)}


def _pneumothorax(rng: np.random.Generator, grade: int, position: str) -> Made:
    low, high = ((8, 16), (18, 32), (36, 60))[grade]
    return _side(rng), "apical", {"width_mm": _u(rng, low, high), "apex": _u(rng, 0.8, 1.7)}


def _lobe(rng: np.random.Generator, side: str) -> tuple[str, str]:
    return _pick(rng, F.LOBES[side])


def _consolidation(rng: np.random.Generator, grade: int, position: str) -> Made:
    side = _side(rng)
    lobe, zone = _lobe(rng, side)
    bronchogram = _pick(rng, ("yes", "no"), (0.65, 0.35))
    return side, zone, {
        "lobe": lobe,
        "air_bronchogram": bronchogram,
        "density": _u(rng, *((0.30, 0.45), (0.45, 0.65), (0.65, 0.9))[grade]),
        "extent": _u(rng, *((0.45, 0.65), (0.65, 0.9), (0.9, 1.15))[grade]),
        "u": _u(rng, 0.3, 0.7),
    }  # fmt: skip


def _pneumonia(rng: np.random.Generator, grade: int, position: str) -> Made:
    pattern = _pick(rng, ("lobar", "bronchopneumonia", "interstitial"), (0.3, 0.5, 0.2))
    density = _u(rng, *((0.18, 0.30), (0.28, 0.45), (0.42, 0.7))[grade])
    more: dict[str, Any] = {"pattern": pattern, "lobe": "", "density": density}
    if pattern == "lobar":
        side = _side(rng)
        more["lobe"], zone = _pick(rng, F.LOBES[side][:3])
        more["extent"] = _u(rng, *((0.45, 0.65), (0.65, 0.9), (0.9, 1.1))[grade])
    elif pattern == "bronchopneumonia":
        side = _side(rng, 0.35)
        zone = _pick(rng, ("upper", "mid", "lower", "diffuse"), (0.15, 0.25, 0.4, 0.2))
        more["patches"] = float(rng.integers(2, 4 + grade))
    else:
        side = "bilateral"
        zone = _pick(rng, ("perihilar", "diffuse"))
    more["u"] = _u(rng, 0.3, 0.7)
    return side, zone, more


def _atelectasis(rng: np.random.Generator, grade: int, position: str) -> Made:
    if grade == 0 or rng.random() < 0.45:
        return _side(rng, 0.25), "basal", {
            "pattern": "plate-like",
            "lobe": "",
            "lines": float(rng.integers(1, 2 + grade + 1)),
            "length_mm": _u(rng, 32, 50 + 10 * grade),
            "thickness_mm": _u(rng, 1.8, 3.0 + 0.6 * grade),
            "u": _u(rng, 0.25, 0.6),
        }  # fmt: skip
    side = _side(rng)
    lobe, zone = _lobe(rng, side)
    return side, zone, {"pattern": "lobar", "lobe": lobe, "loss": _u(rng, 0.2, 0.35) + 0.2 * grade}


def _edema(rng: np.random.Generator, grade: int, position: str) -> Made:
    alveolar = grade == 2 or (grade == 1 and rng.random() < 0.4)
    return "bilateral", _pick(rng, ("perihilar", "diffuse"), (0.65, 0.35)), {
        "pattern": "alveolar" if alveolar else "interstitial",
        "kerley_lines": _pick(rng, ("yes", "no"), (0.6, 0.4)),
        "amount": _u(rng, *((0.25, 0.45), (0.45, 0.7), (0.7, 1.0))[grade]),
    }  # fmt: skip


def _nodule(rng: np.random.Generator, grade: int, position: str) -> Made:
    low, high = ((7, 12), (12, 19), (19, 29))[grade]
    return _side(rng), _pick(rng, ("upper", "mid", "lower")), {
        "size_mm": _u(rng, low, high),
        "calcified": _pick(rng, ("yes", "no"), (0.2, 0.8)),
        "u": _u(rng, 0.3, 0.75),
        "v": _u(rng, -0.06, 0.06),
    }  # fmt: skip


def _mass(rng: np.random.Generator, grade: int, position: str) -> Made:
    low, high = ((31, 40), (40, 55), (55, 75))[grade]
    zone = _pick(rng, ("upper", "mid", "lower", "perihilar"))
    return _side(rng), zone, {
        "size_mm": _u(rng, low, high),
        "margin": _pick(rng, ("spiculated", "lobulated", "smooth"), (0.4, 0.4, 0.2)),
        "u": 0.18 if zone == "perihilar" else _u(rng, 0.35, 0.65),
        "v": _u(rng, -0.05, 0.05),
    }  # fmt: skip


def _fracture(rng: np.random.Generator, grade: int, position: str) -> Made:
    rib = int(rng.integers(3, 10))
    arc = _pick(rng, ("posterior", "lateral"))
    zone = "upper" if rib <= 4 else "mid" if rib <= 6 else "lower"
    return _side(rng), zone, {
        "rib": float(rib),
        "arc": arc,
        "stage": _pick(rng, ("acute", "healing"), (0.6, 0.4)),
        "step_mm": _u(rng, *((2.5, 4.0), (4.0, 6.0), (6.0, 9.0))[grade]),
        "u": _u(rng, 0.45, 0.65) if arc == "posterior" else _u(rng, 0.78, 0.9),
    }  # fmt: skip


def _emphysema(rng: np.random.Generator, grade: int, position: str) -> Made:
    return "bilateral", _pick(rng, ("diffuse", "upper"), (0.6, 0.4)), {
        "amount": _u(rng, *((0.35, 0.5), (0.5, 0.75), (0.75, 1.0))[grade]),
        "bullae": _pick(rng, ("yes", "no"), (0.45, 0.55)),
    }  # fmt: skip


_MAKERS: dict[str, Callable[[np.random.Generator, int, str], Made]] = {
    "cardiomegaly": _cardiomegaly,
    "pleural effusion": _effusion,
    "pneumothorax": _pneumothorax,
    "consolidation": _consolidation,
    "pneumonia": _pneumonia,
    "atelectasis": _atelectasis,
    "edema": _edema,
    "nodule": _nodule,
    "mass": _mass,
    "fracture": _fracture,
    "emphysema": _emphysema,
}


def make_device(rng: np.random.Generator, device: str) -> Finding:
    """Draws one support device; ``device`` is one of :data:`findings.DEVICES`."""
    side, more = "", {"device": device, "route": "", "tip": ""}
    if device == "central line":
        side = _pick(rng, ("left", "right"), (0.35, 0.65))
        more["route"] = _pick(rng, ("jugular", "subclavian", "arm"))
        more["tip"] = _pick(rng, ("appropriate", "too high", "too low"), (0.75, 0.12, 0.13))
    elif device in ("endotracheal tube", "nasogastric tube"):
        more["tip"] = _pick(rng, ("appropriate", "too high", "too low"), (0.75, 0.12, 0.13))
        if device == "nasogastric tube" and more["tip"] == "too low":
            more["tip"] = "appropriate"
    elif device == "chest drain":
        side = _side(rng)
    elif device == "pacemaker":
        side = _pick(rng, ("left", "right"), (0.85, 0.15))
    numbers = {f"p{i}": _u(rng, 0, 1) for i in range(4)}
    return Finding(F.SUPPORT_DEVICES, side, "", "mild", {**more, **numbers})


def _devices(rng: np.random.Generator, view: str) -> tuple[Finding, ...]:
    column = 0 if view == "PA" else 1
    drawn = []
    for device, rates in _DEVICE_RATES.items():
        device_rng = np.random.Generator(np.random.Philox(int(rng.integers(0, 1 << 62))))
        if rng.random() < rates[column]:
            drawn.append(make_device(device_rng, device))
    return tuple(drawn)
