"""Places of the findings of the abdomen, in this patient's own organs."""

import numpy as np

from data_gen.phantom.ct.findings import Finding, Study
from data_gen.phantom.ct.picture.abdomen import density
from data_gen.phantom.ct.picture.items import Site
from data_gen.phantom.ct.picture.shapes import rim
from data_gen.phantom.ct.sites.values import At, Place, Sites, number, signs, stream


def _liver(study: Study, f: Finding, owner: int, at: At) -> Sites:
    rng, out = stream(f), []
    lobe = at["left_lobe"] if f.place == "left lobe" else at["liver"]
    low = study.level == "kidneys"
    kind, size = f.attributes["kind"], number(f, "size_mm")
    hu = number(f, "hu") + (6.0 if kind == "cyst" else density(study, "liver"))
    hu = max(hu, 0.0)
    start = rng.uniform(0, 360)
    count = int(number(f, "count"))
    for k in range(count):
        r = 0.5 * size * (1.0 if k == 0 else rng.uniform(0.6, 0.95))
        angle = start + k * 360 / count + rng.normal() * 12
        part = rng.uniform(0.05, 0.35) if count == 1 else rng.uniform(0.35, 0.58)
        x, y = rim(lobe, angle, part)
        if low:  # only a strip of it is in the slice
            x, r = x - 2.0, min(r, 24.0)
        soft, bright = (1.2, -999.0) if kind == "cyst" else (4.0, hu + 22.0)
        rx = r * (1.0 if kind == "cyst" else rng.uniform(0.88, 1.0))
        out.append(Site(x, y, rx, r, rng.uniform(0, 3.1), hu, owner, soft, bright))
    return out


def _gallstones(study: Study, f: Finding, owner: int, at: At) -> Sites:
    rng, out = stream(f), []
    count, r = int(number(f, "count")), 0.5 * number(f, "size_mm")
    for k in range(count):
        angle = 90 + (k - (count - 1) / 2) * 46 + rng.normal() * 5
        x, y = rim(at["gallbladder"], angle, 1.0)
        back = (r + 1.6) / max(np.hypot(x - at["gallbladder"][0], y - at["gallbladder"][1]), 1.0)
        x, y = rim(at["gallbladder"], angle, max(0.0, 1.0 - back))
        out.append(
            Site(x, y, r, r * rng.uniform(0.75, 1.0), rng.uniform(0, 3), number(f, "hu"), owner)
        )
    return out


def _kidney(f: Finding, sign: float, at: At) -> tuple[np.ndarray, np.ndarray]:
    name = "left" if sign > 0 else "right"
    return at[f"{name}_kidney"], at[f"{name}_hilum"]


def _stones(study: Study, f: Finding, owner: int, at: At) -> Sites:
    rng, out = stream(f), []
    for sign in signs(f):
        _, hilum = _kidney(f, sign, at)
        off = 3.0 if f.place == "renal pelvis" else -8.0
        x, y = hilum[:2] + off * hilum[2:] + (0.0 if off > 0 else rng.normal(0, 4, 2))
        r = 0.5 * number(f, "size_mm") * (1.0 if sign == signs(f)[0] else 0.8)
        turn = rng.uniform(0, 3)
        out.append(
            Site(float(x), float(y), r, r * rng.uniform(0.6, 0.9), turn, number(f, "hu"), owner)
        )
    return out


def _on_cortex(f: Finding, sign: float, at: At, r: float) -> tuple[float, float]:
    """A centre at the outer rim of a kidney; angles count from its lateral side, upwards."""
    kidney, _ = _kidney(f, sign, at)
    angle = number(f, "angle")
    return rim(kidney, angle if sign > 0 else 180 - angle, 0.92 if r < 14 else 1.05)


def _cysts(study: Study, f: Finding, owner: int, at: At) -> Sites:
    rng, out = stream(f), []
    for k, sign in enumerate(signs(f)):
        r = 0.5 * number(f, "size_mm") * (1.0 if k == 0 else rng.uniform(0.5, 0.9))
        x, y = _on_cortex(f, sign, at, r)
        out.append(Site(x, y, r, r * rng.uniform(0.9, 1.0), 0.0, number(f, "hu"), owner))
    return out


def _masses(study: Study, f: Finding, owner: int, at: At) -> Sites:
    rng, r = stream(f), 0.5 * number(f, "size_mm")
    (sign,) = signs(f)
    x, y = _on_cortex(f, sign, at, r)
    hu = {"non-contrast": 38.0, "arterial": 130.0, "portal venous": 98.0}[study.phase]
    return [
        Site(
            x,
            y,
            r,
            r * rng.uniform(0.85, 1.0),
            rng.uniform(0, 3),
            hu,
            owner,
            number(f, "necrosis"),
        )
    ]


def _pelvis(study: Study, f: Finding, owner: int, at: At) -> Sites:
    out = []
    for sign in signs(f):
        _, hilum = _kidney(f, sign, at)
        x, y = hilum[:2] + 4.0 * hilum[2:]
        size = number(f, "size_mm") * 0.72
        facing = float(np.arctan2(-hilum[3], -hilum[2]))
        out.append(
            Site(
                float(x),
                float(y),
                0.95 * size,
                0.68 * size,
                facing,
                number(f, "hu"),
                owner,
                facing,
                size,
            )
        )
    return out


def _sac(study: Study, f: Finding, owner: int, at: At) -> Sites:
    r = 0.5 * number(f, "size_mm")
    x, back = float(at["aorta"][0]), float(at["aorta"][1]) + float(at["aorta"][2])
    hu = density(study, "aorta")
    return [Site(x + 0.15 * r, back - r, r, 0.95 * r, 0.3, hu, owner, number(f, "lumen"))]


def _fluid(study: Study, f: Finding, owner: int, at: At) -> Sites:
    return [Site(0, 0, 1, 1, 0, number(f, "hu"), owner, number(f, "depth_mm"))]


#: Finding -> the kind of its sites, and how they are placed.
ABDOMEN: dict[str, tuple[str, Place]] = {
    "liver lesion": ("liver_lesion", _liver),
    "gallstone": ("gallstone", _gallstones),
    "kidney stone": ("kidney_stone", _stones),
    "renal cyst": ("renal_cyst", _cysts),
    "renal mass": ("renal_mass", _masses),
    "hydronephrosis": ("hydronephrosis", _pelvis),
    "ascites": ("ascites", _fluid),
    "aortic aneurysm": ("aneurysm", _sac),
}
