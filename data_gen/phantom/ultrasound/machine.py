"""Numbers of an ultrasound machine and its screen, drawn blind to any finding."""

from typing import Any

import numpy as np

from data_gen.phantom.regional import pick, uniform


def machine(rng: np.random.Generator) -> dict[str, Any]:
    """Resolution, gain and marks that every probe shares."""
    return {
        "pulse": uniform(rng, 0.9, 1.5),
        "beam_sharp": uniform(rng, 1.0, 1.5),
        "beam_wide": uniform(rng, 2.2, 3.6),
        "focus": uniform(rng, 0.3, 0.6),
        "floor": uniform(rng, -60, -48),
        "fade": uniform(rng, 0, 12),
        "smooth": uniform(rng, 0.3, 1.0),
        "gain": uniform(rng, -8, 2),
        "range": uniform(rng, 48, 64),
        "gamma": uniform(rng, 0.9, 1.25),
        "backdrop": pick(rng, (0.0, 0.0, 0.0, 8.0, 18.0)),
        "noise_seed": float(rng.integers(0, 1 << 24)),
        "marks": float(rng.integers(0, 1 << 24)),
        "marked": float(rng.random() < 0.8),
    }


def linear(rng: np.random.Generator, depth: tuple[float, float]) -> dict[str, Any]:
    """A linear probe: parallel beams, a rectangle on the screen; lengths in millimetres."""
    deep, wide = uniform(rng, *depth), uniform(rng, 37, 50)
    fill = uniform(rng, 0.86, 1.15)
    side = max(wide, 1.12 * deep) / fill
    return {
        **machine(rng),
        "fan": 0.0,
        "depth": deep,
        "width": wide,
        "radius": 1.0,
        "angle": 1.0,
        "view_side": round(side, 4),
        "view_x": uniform(rng, 0.47, 0.53),
        "view_y": round(max(0.06, 0.52 - 0.5 * deep / side) * uniform(rng, 0.8, 1.1), 4),
    }


def curved(rng: np.random.Generator, depth: tuple[float, float]) -> dict[str, Any]:
    """A curved probe: a fan on the screen."""
    deep, radius = uniform(rng, *depth), uniform(rng, 38, 60)
    angle = uniform(rng, 1.0, 1.28)
    across = 2.0 * (radius + deep) * float(np.sin(0.5 * angle))
    side = max(across / uniform(rng, 0.92, 1.12), 1.16 * deep)
    return {
        **machine(rng),
        "fan": 1.0,
        "depth": deep,
        "width": 1.0,
        "radius": radius,
        "angle": angle,
        "view_side": round(side, 4),
        "view_x": uniform(rng, 0.47, 0.53),
        "view_y": round(max(0.07, 0.52 - 0.5 * deep / side) * uniform(rng, 0.85, 1.1), 4),
    }
