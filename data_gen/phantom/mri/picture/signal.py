"""Grey levels of tissues: the signal equations of the sequences.

Relaxation times are round figures at 1.5 tesla, in milliseconds; diffusion in 1e-3 mm2/s. A spin
echo gives ``PD (1 - exp(-TR/T1)) exp(-TE/T2)``; FLAIR inverts first; a diffusion-weighted picture
decays with ``exp(-b ADC)``.
"""

import dataclasses
import math
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Tissue:
    """Density of protons (water is 1), T1, T2, diffusion, and how much contrast agent it takes."""

    pd: float
    t1: float
    t2: float
    adc: float = 0.8
    uptake: float = 0.0


@dataclasses.dataclass(frozen=True)
class Sequence:
    """What the scanner is told.

    Attributes:
      tr, te: repetition and echo time.
      ti: inversion time; 0 does not invert.
      b: diffusion weighting in s/mm2.
      contrast: whether contrast agent has been given.
      fat: share of the signal of fat that is left.
      white: signal that is shown white, as a share of the reference tissue's.
      reference: the tissue that the window is set on.
    """

    tr: float
    te: float
    white: float
    reference: str
    ti: float = 0.0
    b: float = 0.0
    contrast: bool = False
    fat: float = 1.0


TISSUES: Mapping[str, Tissue] = {
    "skin": Tissue(0.6, 500, 45, 1.0),
    "fat": Tissue(0.95, 260, 95, 0.02, 0.0),
    "muscle": Tissue(0.75, 950, 38, 1.2, 0.15),
    "bone": Tissue(0.06, 500, 12, 0.5),
    "marrow": Tissue(0.62, 340, 75, 0.1),
    "csf": Tissue(1.0, 4200, 1900, 3.0),
    "gray": Tissue(0.84, 1150, 100, 0.82, 0.02),
    "white": Tissue(0.71, 560, 78, 0.72, 0.01),
    "deep": Tissue(0.80, 1000, 86, 0.76, 0.02),
    "pallidum": Tissue(0.74, 780, 66, 0.76, 0.02),
    "thalamus": Tissue(0.79, 880, 86, 0.76, 0.02),
    "dura": Tissue(0.35, 700, 40, 0.7, 0.6),
    "vessel": Tissue(0.12, 900, 30, 1.5, 9.0),
    "choroid": Tissue(0.9, 1500, 190, 1.6, 1.6),
    "tumor rim": Tissue(0.86, 1150, 125, 0.85, 1.6),
    "tumor": Tissue(0.88, 1350, 150, 1.0, 0.9),
    "necrosis": Tissue(0.95, 2300, 330, 1.9, 0.05),
    "edema": Tissue(0.90, 1250, 165, 1.0, 0.0),
    "infarct": Tissue(0.89, 1180, 150, 0.40, 0.0),
    "plaque": Tissue(0.88, 1250, 165, 0.85, 0.03),
    "blood acute": Tissue(0.80, 900, 36, 0.6, 0.0),
    "blood subacute": Tissue(0.85, 330, 48, 0.6, 0.0),
    "blood late": Tissue(0.92, 330, 190, 0.8, 0.0),
    "hemosiderin": Tissue(0.45, 700, 18, 0.6, 0.0),
    "cartilage": Tissue(0.82, 900, 40, 1.2),
    "meniscus": Tissue(0.18, 700, 16, 0.7),
    "tendon": Tissue(0.14, 600, 14, 0.7),
    "fluid": Tissue(1.0, 3000, 700, 2.6),
    "tear": Tissue(0.92, 1500, 140, 1.5),
    "bruise": Tissue(0.85, 1100, 110, 1.2),
}

SEQUENCES: Mapping[str, Sequence] = {
    "T1": Sequence(520, 12, 1.30, "white"),
    "T1 post-contrast": Sequence(520, 12, 1.45, "white", contrast=True),
    "T2": Sequence(4600, 100, 0.95, "csf"),
    "FLAIR": Sequence(9000, 120, 1.75, "gray", ti=2500),
    "DWI": Sequence(5200, 88, 1.75, "gray", b=1000, fat=0.06),
    "PD": Sequence(2600, 22, 1.22, "fat"),
    "fat-suppressed PD": Sequence(3000, 32, 0.98, "fluid", fat=0.14),
}

_RELAXIVITY = 1.05e-3
"""1/T1 in 1/ms that an uptake of 1 adds."""


def signal(tissue: Tissue, sequence: Sequence) -> float:
    """Signal of a tissue; the largest possible is about 1."""
    dose = _RELAXIVITY * tissue.uptake if sequence.contrast else 0.0
    t1 = 1.0 / (1.0 / tissue.t1 + dose)
    grown = 1.0 - math.exp(-sequence.tr / t1)
    if sequence.ti:
        grown = abs(1.0 - 2.0 * math.exp(-sequence.ti / t1) + math.exp(-sequence.tr / t1))
    pd = tissue.pd
    # Blood that flows out of the slice leaves no echo, but what agent is in it shows.
    if dose > 2e-3:
        pd = 0.95
    return pd * grown * math.exp(-sequence.te / tissue.t2 - sequence.b * 1e-3 * tissue.adc)


def levels(name: str) -> dict[str, float]:
    """Tissue -> grey level under the sequence ``name``, 1 where the window ends."""
    sequence = SEQUENCES[name]
    white = sequence.white * signal(TISSUES[sequence.reference], sequence)
    out = {key: signal(tissue, sequence) / white for key, tissue in TISSUES.items()}
    for key in ("fat", "marrow"):
        out[key] *= sequence.fat
    return out
