"""From findings to the slots of signs that the renderer draws.

Every kind of sign has a fixed number of slots with a weight of zero when unused, so one compiled
function draws any study. Each slot carries its *owner*, the index of the finding that it belongs
to (-1: none), from which the renderer makes the truth masks.
"""

from collections.abc import Callable

import numpy as np

from data_gen.phantom.chest_xray.findings import SUPPORT_DEVICES, Finding, Study, ctr_limit

SLOTS: dict[str, tuple[int, tuple[str, ...]]] = {
    # soft-edged opacities: lobes and patches
    "opacity": (
        8,
        (
            *("side", "u", "v", "a", "b", "angle", "density", "warp", "mottle"),
            *("top", "bottom", "edge", "bronchogram", "behind_heart", "turn", "taper"),
        ),
    ),
    "nodule": (
        3,
        ("side", "u", "v", "radius", "lobulation", "spiculation", "calcium", "phase"),
    ),
    "plate": (6, ("side", "u", "v", "length", "thickness", "angle", "bend")),
    "effusion": (2, ("level", "layering")),  # first row right, second row left
    "pneumothorax": (2, ("width", "apex", "phase")),  # first row right, second row left
    "edema": (1, ("amount", "alveolar", "kerley", "reach")),
    "emphysema": (1, ("amount", "upper")),
    "bulla": (4, ("side", "u", "v", "radius")),
    "fracture": (3, ("side", "rib", "u", "step", "callus")),
    "heart": (1, ("ctr",)),
}
"""Kind of sign -> (number of slots, fields); every slot also has ``on`` (0 or 1) and ``owner``."""

LOOPED = ("opacity", "nodule", "plate", "bulla")
"""Kinds whose slots are drawn one after another, as many as a batch uses."""

ROW = {"right": 0, "left": 1}
SIGN = {"right": -1.0, "left": 1.0}
_ZONE_V = {
    "upper": 0.30,
    "mid": 0.52,
    "lower": 0.76,
    "perihilar": 0.47,
    "retrocardiac": 0.80,
    "diffuse": 0.52,
}


class _Slots:
    """Fills the slots of one study."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, float]]] = {kind: [] for kind in SLOTS}
        self.shift = 0.0  # of the mediastinum, mm towards the patient's left
        self.lift = [0.0, 0.0]  # of the right and the left dome, mm upwards

    def add(self, kind: str, owner: int, **fields: float) -> None:
        if kind == "opacity":  # every opacity has its own outline
            fields["turn"] = 2.1 * len(self.rows[kind]) + 0.7 * owner
        self.rows[kind].append({"on": 1.0, "owner": float(owner), **fields})

    def arrays(self) -> dict[str, np.ndarray]:
        out: dict[str, np.ndarray] = {}
        for kind, (count, names) in SLOTS.items():
            rows = self.rows[kind]
            if len(rows) > count:
                raise ValueError(f"{len(rows)} signs of kind {kind!r}, but only {count} slots")
            paired = kind in ("effusion", "pneumothorax")
            for name in ("on", "owner", *names):
                column = np.full(count, -1.0 if name == "owner" else 0.0, np.float32)
                for i, row in enumerate(rows):
                    column[int(row["row"]) if paired else i] = row.get(name, 0.0)
                out[f"{kind}_{name}"] = column
        out["shift"] = np.asarray(self.shift, np.float32)
        out["lift"] = np.asarray(self.lift, np.float32)
        return out


def _sides(finding: Finding) -> tuple[str, ...]:
    return ("right", "left") if finding.side == "bilateral" else (finding.side,)


def _rng(finding: Finding) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(int(finding.attributes["seed"])))


def _lobar(slots: _Slots, owner: int, f: Finding, density: float, bronchogram: float) -> None:
    """A lobe or a part of it, cut off at its fissure."""
    rng, extent = _rng(f), float(f.attributes["extent"])
    lobe, side = str(f.attributes["lobe"]), f.side
    v, top, bottom, u = {
        "right upper lobe": (0.30, -0.3, 0.50, f.attributes["u"]),
        "left upper lobe": (0.30, -0.3, 1.5, f.attributes["u"]),
        "right middle lobe": (0.70, 0.50, 1.5, 0.25),
        "lingula": (0.66, -0.3, 1.5, 0.25),
        "right lower lobe": (0.82, -0.3, 1.5, f.attributes["u"]),
        "left lower lobe": (0.82, -0.3, 1.5, f.attributes["u"]),
    }[lobe]
    behind = float(f.zone == "retrocardiac")
    slots.add(
        "opacity",
        owner,
        side=SIGN[side],
        u=-0.25 if behind else float(u),
        v=v + rng.uniform(-0.04, 0.04),
        a=(52 if behind else 58) * extent,
        b=(44 if "middle" in lobe or lobe == "lingula" else 56) * extent,
        angle=rng.uniform(-0.4, 0.4),
        density=density,
        warp=0.35,
        mottle=0.16,
        top=top,
        bottom=bottom,
        edge=0.85,
        bronchogram=bronchogram,
        behind_heart=behind,
    )


def _consolidation(slots: _Slots, owner: int, f: Finding, study: Study) -> None:
    air = 1.0 if f.attributes["air_bronchogram"] == "yes" else 0.0
    _lobar(slots, owner, f, float(f.attributes["density"]), air)


def _pneumonia(slots: _Slots, owner: int, f: Finding, study: Study) -> None:
    rng, density = _rng(f), float(f.attributes["density"])
    pattern = f.attributes["pattern"]
    if pattern == "lobar":
        _lobar(slots, owner, f, density * 1.25, 0.5)
        return
    for side in _sides(f):
        if pattern == "interstitial":
            wide = f.zone == "diffuse"
            slots.add(
                "opacity",
                owner,
                side=SIGN[side],
                u=0.45 if wide else 0.2,
                v=0.52,
                a=70 if wide else 48,
                b=100 if wide else 62,
                density=density * 0.75,
                warp=0.5,
                mottle=0.55,
                top=-0.3,
                bottom=1.5,
                edge=1.2,
            )
            continue
        patches = int(f.attributes["patches"])
        patches = min(patches, 3) if f.side == "bilateral" else patches
        for _ in range(patches):
            spread = 0.30 if f.zone == "diffuse" else 0.13
            slots.add(
                "opacity",
                owner,
                side=SIGN[side],
                u=float(f.attributes["u"]) + rng.uniform(-0.25, 0.25),
                v=_ZONE_V[f.zone] + rng.uniform(-spread, spread),
                a=rng.uniform(16, 34),
                b=rng.uniform(16, 36),
                angle=rng.uniform(-1.5, 1.5),
                density=density * rng.uniform(0.7, 1.2),
                warp=0.8,
                mottle=0.4,
                top=-0.3,
                bottom=1.5,
                edge=1.0,
                bronchogram=0.3,
            )


def _atelectasis(slots: _Slots, owner: int, f: Finding, study: Study) -> None:
    rng = _rng(f)
    if f.attributes["pattern"] == "plate-like":
        for side in _sides(f):
            for i in range(min(int(f.attributes["lines"]), 6 // len(_sides(f)))):
                slots.add(
                    "plate",
                    owner,
                    side=SIGN[side],
                    u=float(f.attributes["u"]) + rng.uniform(-0.12, 0.12),
                    v=0.90 - 0.085 * i + rng.uniform(-0.02, 0.02),
                    length=float(f.attributes["length_mm"]) * rng.uniform(0.75, 1.0),
                    thickness=float(f.attributes["thickness_mm"]),
                    angle=rng.uniform(-0.30, 0.35),
                    bend=rng.uniform(-0.004, 0.004),
                )
            slots.lift[ROW[side]] += 6.0
        return
    loss, side = float(f.attributes["loss"]), f.side
    sign, lobe = SIGN[side], str(f.attributes["lobe"])
    upper = "upper" in lobe
    wedge = {
        "right upper lobe": {"u": 0.25, "v": 0.16, "a": 62, "b": 46, "bottom": 0.50 - 0.28 * loss},
        "left upper lobe": {"u": 0.30, "v": 0.34, "a": 60, "b": 80, "bottom": 1.5},
        "right middle lobe": {"u": 0.05, "v": 0.74, "a": 46, "b": 24, "bottom": 1.5},
        "lingula": {"u": 0.05, "v": 0.72, "a": 46, "b": 26, "bottom": 1.5},
    }.get(
        lobe,
        {
            "u": 0.02 if f.zone != "retrocardiac" else -0.35,
            "v": 0.97,
            "a": 52,
            "b": 66,
            "taper": 0.85,
        },
    )
    slots.add(
        "opacity",
        owner,
        **{
            "side": sign,
            "angle": sign * (0.5 if not upper else 0.0),
            "density": 0.36 + 0.5 * loss,
            "warp": 0.12,
            "mottle": 0.08,
            "top": 0.5 + 0.1 * loss if lobe == "right middle lobe" else -0.3,
            "bottom": 1.5,
            "edge": 0.5 if lobe != "left upper lobe" else 1.0,
            "behind_heart": float(f.zone == "retrocardiac"),
            **wedge,
        },
    )
    slots.shift += sign * 22 * loss
    slots.lift[ROW[side]] += 38 * loss


def _effusion(slots: _Slots, owner: int, f: Finding, study: Study) -> None:
    level = float(f.attributes["level"])
    layering = f.attributes["form"] == "layering"
    for i, side in enumerate(_sides(f)):
        here = level * (1.0 if i == 0 else 0.8)
        slots.add(
            "effusion",
            owner,
            row=ROW[side],
            level=min(here, 0.12) if layering else here,
            layering=0.25 + 0.75 * here if layering else 0.0,
        )
        if level > 0.5 and f.side != "bilateral":
            slots.shift -= SIGN[side] * 26 * (level - 0.4)


def _pneumothorax(slots: _Slots, owner: int, f: Finding, study: Study) -> None:
    width = float(f.attributes["width_mm"]) / study.anatomy["scale"] ** 0.5
    slots.add(
        "pneumothorax",
        owner,
        row=ROW[f.side],
        width=width,
        apex=float(f.attributes["apex"]),
        phase=_rng(f).uniform(0, 6.28),
    )
    if width > 34:
        slots.shift -= SIGN[f.side] * 0.35 * (width - 34)
        slots.lift[ROW[f.side]] -= 0.4 * (width - 34)


def _edema(slots: _Slots, owner: int, f: Finding, study: Study) -> None:
    slots.add(
        "edema",
        owner,
        amount=float(f.attributes["amount"]),
        alveolar=1.0 if f.attributes["pattern"] == "alveolar" else 0.35,
        kerley=1.0 if f.attributes["kerley_lines"] == "yes" else 0.0,
        reach=1.0 if f.zone == "perihilar" else 1.6,
    )


def _nodule(slots: _Slots, owner: int, f: Finding, study: Study) -> None:
    rng, mass = _rng(f), f.name == "mass"
    margin = f.attributes.get("margin", "smooth")
    slots.add(
        "nodule",
        owner,
        side=SIGN[f.side],
        u=float(f.attributes["u"]),
        v=_ZONE_V[f.zone] + float(f.attributes["v"]),
        radius=0.5 * float(f.attributes["size_mm"]) / study.anatomy["scale"],
        lobulation={"lobulated": 0.30, "spiculated": 0.10, "smooth": 0.06}[str(margin)],
        spiculation=1.0 if margin == "spiculated" else 0.0,
        calcium=1.0 if f.attributes.get("calcified") == "yes" and not mass else 0.0,
        phase=rng.uniform(0, 6.28),
    )


def _fracture(slots: _Slots, owner: int, f: Finding, study: Study) -> None:
    slots.add(
        "fracture",
        owner,
        side=SIGN[f.side],
        rib=float(f.attributes["rib"]),
        u=float(f.attributes["u"]),
        step=float(f.attributes["step_mm"]) * (1 if _rng(f).random() < 0.5 else -1),
        callus=1.0 if f.attributes["stage"] == "healing" else 0.0,
    )


def _emphysema(slots: _Slots, owner: int, f: Finding, study: Study) -> None:
    amount, rng = float(f.attributes["amount"]), _rng(f)
    slots.add("emphysema", owner, amount=amount, upper=1.0 if f.zone == "upper" else 0.0)
    if f.attributes["bullae"] == "yes":
        for side in (-1.0, 1.0, -1.0, 1.0)[: int(rng.integers(1, 5))]:
            slots.add(
                "bulla",
                owner,
                side=side,
                u=rng.uniform(0.35, 0.8),
                v=rng.uniform(0.12, 0.4) if f.zone == "upper" else rng.uniform(0.15, 0.8),
                radius=rng.uniform(14, 30),
            )


def _cardiomegaly(slots: _Slots, owner: int, f: Finding, study: Study) -> None:
    ratio = ctr_limit(study.view, study.age) + float(f.attributes["excess"])
    slots.add("heart", owner, ctr=min(ratio, 0.78))


_FILL: dict[str, Callable[[_Slots, int, Finding, Study], None]] = {
    "cardiomegaly": _cardiomegaly,
    "pleural effusion": _effusion,
    "pneumothorax": _pneumothorax,
    "consolidation": _consolidation,
    "pneumonia": _pneumonia,
    "atelectasis": _atelectasis,
    "edema": _edema,
    "nodule": _nodule,
    "mass": _nodule,
    "fracture": _fracture,
    "emphysema": _emphysema,
}


def sign_arrays(study: Study) -> dict[str, np.ndarray]:
    """Slots of all findings of a study but its devices, as ``<kind>_<field>`` float32 arrays."""
    slots = _Slots()
    for owner, finding in enumerate(study.findings):
        if finding.name != SUPPORT_DEVICES:
            _FILL[finding.name](slots, owner, finding, study)
    if not slots.rows["heart"]:
        slots.rows["heart"].append({"on": 0.0, "owner": -1.0, "ctr": study.anatomy["ctr"]})
    return slots.arrays()
