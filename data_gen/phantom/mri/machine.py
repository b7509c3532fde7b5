"""Numbers of a scanner and of how its picture was shown, drawn blind to any finding."""

from typing import Any

import numpy as np

from data_gen.phantom.regional import uniform


def machine(rng: np.random.Generator, kept: tuple[float, float] = (0.62, 1.0)) -> dict[str, Any]:
    """Coil, k-space, noise and window of one picture.

    ``kept``: range of the share of k-space that is measured.
    """

    def rare(p: float, low: float, high: float) -> float:
        hit, value = rng.random() < p, uniform(rng, low, high)
        return value if hit else 0.0

    width = uniform(rng, *kept)
    return {
        "tilt": round(float(np.clip(rng.normal(0, 3.0), -9, 9)), 3),
        "shift_x": round(float(np.clip(rng.normal(0, 0.012), -0.03, 0.03)), 4),
        "shift_y": round(float(np.clip(rng.normal(0, 0.015), -0.04, 0.04)), 4),
        "coil": [
            *(round(float(v), 4) for v in rng.normal(0, (0.12, 0.12, 0.22, 0.1))),
            uniform(rng, -0.10, 0.18),
            uniform(rng, -0.4, 0.4),
            uniform(rng, -0.4, 0.4),
        ],
        "matrix_x": width,
        "matrix_y": round(width * uniform(rng, 0.72, 1.0), 4),
        "taper": uniform(rng, 0.05, 0.30),
        "noise": round(float(np.exp(rng.uniform(np.log(0.008), np.log(0.035)))), 4),
        "noise_seed": float(rng.integers(0, 1 << 24)),
        "ghost": rare(0.35, 0.004, 0.02),
        "black": uniform(rng, 0.0, 0.05),
        "bright": uniform(rng, 0.82, 1.15),
        "gamma": uniform(rng, 0.85, 1.15),
    }
