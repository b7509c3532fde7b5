"""Where the pixels of the scanner lie in the patient."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from data_gen.phantom.mri.picture.scanner import MATRIX


def places(a: dict[str, Any]) -> tuple[Array, Array]:
    """Millimetres of the patient at every pixel."""
    frac = (jnp.arange(MATRIX) + 0.5) / MATRIX - 0.5
    side = a["pitch"] * MATRIX
    angle = jnp.deg2rad(a["tilt"])
    u, v = (frac[None, :] - a["shift_x"]) * side, (frac[:, None] - a["shift_y"]) * side
    return u * jnp.cos(angle) + v * jnp.sin(angle), v * jnp.cos(angle) - u * jnp.sin(angle)
