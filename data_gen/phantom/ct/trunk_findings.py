"""Findings of abdomen and chest: side, place and the geometry that shows them, by severity."""

from collections.abc import Callable

from data_gen.phantom.ct.choices import Made, Rng, pick, side_of, size_of, uniform
from data_gen.phantom.ct.findings import Study


def _liver_lesion(rng: Rng, grade: int, study: Study) -> Made:
    kind = pick(rng, ("cyst", "hypodense mass", "metastases"), (0.3, 0.35, 0.35))
    size = size_of(rng, grade, (18, 26), (27, 42), (45, 70))
    if kind == "metastases":
        size = size_of(rng, grade, (16, 20), (20, 27), (27, 36))
    count = float(rng.integers(2, 4) + (grade > 0)) if kind == "metastases" else 1.0
    lobe = (
        "right lobe" if study.level == "kidneys" else pick(rng, ("right lobe", "left lobe"), (3, 1))
    )
    if lobe == "left lobe":
        size = min(size, 32.0)
    if kind == "metastases":
        lobe = ""
    drop = {"cyst": 0.0, "hypodense mass": -38.0, "metastases": -36.0}[kind]
    return (
        "",
        lobe,
        {"kind": kind, "size_mm": size, "count": count, "hu": drop + uniform(rng, -6, 5)},
    )


def _gallstone(rng: Rng, grade: int, study: Study) -> Made:
    many = rng.random() < 0.45
    size = size_of(rng, grade, (6, 9), (9, 14), (14, 20))
    if many:
        size = size_of(rng, grade, (4.5, 6), (6, 8), (8, 10))
    return (
        "",
        "",
        {
            "size_mm": size,
            "count": float(rng.integers(2, 5)) if many else 1.0,
            "hu": uniform(rng, 190, 620),
        },
    )


def _kidney_stone(rng: Rng, grade: int, study: Study) -> Made:
    place = pick(rng, ("renal pelvis", "calyx"))
    size = size_of(rng, grade, (4.5, 6.5), (7, 11), (12, 20))
    return side_of(rng, 0.15), place, {"size_mm": size, "hu": uniform(rng, 550, 1250)}


def _renal_cyst(rng: Rng, grade: int, study: Study) -> Made:
    return (
        side_of(rng, 0.15),
        "cortex",
        {
            "size_mm": size_of(rng, grade, (15, 24), (25, 40), (42, 65)),
            "angle": uniform(rng, -100, 60),
            "hu": uniform(rng, 2, 14),
        },
    )


def _renal_mass(rng: Rng, grade: int, study: Study) -> Made:
    size = size_of(rng, grade, (20, 30), (32, 48), (50, 75))
    return (
        side_of(rng),
        "cortex",
        {
            "size_mm": size,
            "angle": uniform(rng, -90, 50),
            "necrosis": uniform(rng, -0.6, 0.2 + 0.3 * grade),
        },
    )


def _hydronephrosis(rng: Rng, grade: int, study: Study) -> Made:
    return (
        side_of(rng, 0.12),
        "",
        {"size_mm": size_of(rng, grade, (11, 14), (15, 19), (20, 26)), "hu": uniform(rng, 3, 12)},
    )


def _ascites(rng: Rng, grade: int, study: Study) -> Made:
    return (
        "",
        "",
        {"depth_mm": size_of(rng, grade, (9, 13), (16, 24), (28, 42)), "hu": uniform(rng, 3, 16)},
    )


def _aneurysm(rng: Rng, grade: int, study: Study) -> Made:
    return (
        "",
        "",
        {
            "size_mm": size_of(rng, grade, (33, 42), (44, 56), (58, 76)),
            "lumen": uniform(rng, 0.5, 0.85),
        },
    )


_LOBES = {
    ("carina", "right"): ("upper lobe", "lower lobe"),
    ("carina", "left"): ("upper lobe", "lower lobe"),
    ("heart", "right"): ("middle lobe", "lower lobe"),
    ("heart", "left"): ("lingula", "lower lobe"),
}


def _nodule(rng: Rng, grade: int, study: Study) -> Made:
    side = side_of(rng)
    place = pick(rng, _LOBES[study.level, side])
    margin = pick(rng, ("smooth", "spiculated"), (0.6, 0.4))
    calcified = "yes" if margin == "smooth" and rng.random() < 0.2 else "no"
    size = size_of(rng, grade, (8, 12), (13, 20), (21, 30))
    return (
        side,
        place,
        {"size_mm": size, "margin": margin, "calcified": calcified, "u": uniform(rng, 0, 1)},
    )


def _opacity(rng: Rng, grade: int, study: Study) -> Made:
    side = side_of(rng, 0.3 if grade else 0.1)
    place = "lower lobes" if side == "bilateral" else pick(rng, _LOBES[study.level, side], (1, 2))
    return (
        side,
        place,
        {"size_mm": size_of(rng, grade, (36, 46), (54, 70), (76, 110)), "hu": uniform(rng, 15, 55)},
    )


def _ground_glass(rng: Rng, grade: int, study: Study) -> Made:
    side = side_of(rng, 0.55)
    place = "" if side == "bilateral" else pick(rng, _LOBES[study.level, side])
    return (
        side,
        place,
        {
            "size_mm": size_of(rng, grade, (38, 50), (54, 72), (75, 105)),
            "hu": uniform(rng, -580, -450) + 40 * grade,
        },
    )


def _emphysema(rng: Rng, grade: int, study: Study) -> Made:
    amount = uniform(rng, *((0.30, 0.42), (0.48, 0.66), (0.72, 0.95))[grade])
    return "bilateral", "", {"amount": amount, "pattern": "centrilobular"}


def _effusion(rng: Rng, grade: int, study: Study) -> Made:
    return (
        side_of(rng, 0.35),
        "",
        {"depth_mm": size_of(rng, grade, (13, 19), (26, 40), (52, 76)), "hu": uniform(rng, 0, 18)},
    )


def _pneumothorax(rng: Rng, grade: int, study: Study) -> Made:
    return side_of(rng), "anterior", {"depth_mm": size_of(rng, grade, (13, 19), (24, 38), (46, 70))}


def _pericardial(rng: Rng, grade: int, study: Study) -> Made:
    return (
        "",
        "",
        {"depth_mm": size_of(rng, grade, (8, 10), (12, 15), (17, 22)), "hu": uniform(rng, 5, 22)},
    )


def _embolism(rng: Rng, grade: int, study: Study) -> Made:
    side = pick(rng, ("right", "left", "bilateral"), (0.5, 0.2, 0.3))
    return (
        side,
        "main pulmonary artery",
        {"size_mm": size_of(rng, grade, (9, 11), (12, 16), (17, 26)), "hu": uniform(rng, 35, 70)},
    )


TRUNK: dict[str, Callable[[Rng, int, Study], Made]] = {
    "liver lesion": _liver_lesion,
    "gallstone": _gallstone,
    "kidney stone": _kidney_stone,
    "renal cyst": _renal_cyst,
    "renal mass": _renal_mass,
    "hydronephrosis": _hydronephrosis,
    "ascites": _ascites,
    "aortic aneurysm": _aneurysm,
    "lung nodule": _nodule,
    "airspace opacity": _opacity,
    "ground-glass opacity": _ground_glass,
    "emphysema": _emphysema,
    "pleural effusion": _effusion,
    "pneumothorax": _pneumothorax,
    "pericardial effusion": _pericardial,
    "pulmonary embolism": _embolism,
}
