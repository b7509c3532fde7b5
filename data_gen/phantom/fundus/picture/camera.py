"""From the retina to the photograph: lens, light, sensor and the round field on black.

Of the findings only a cataract is read here, because it is in front of the retina.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from data_gen.phantom.colour.maps import blur, gaussian_noise, noise_map, ramp

Params = dict[str, Any]
Map = Float[Array, "h w"]


def field(a: Params, size: int) -> tuple[Map, Map, Map]:
    """(opacity of the picture, distance from its middle in radii, angle)."""
    frac = (jnp.arange(size) + 0.5) / size
    u = (frac[None, :] - 0.5 - a["shift_x"]) / a["fill"]
    v = (frac[:, None] - 0.5 - a["shift_y"]) / a["fill"]
    rho, angle = jnp.hypot(u, v), jnp.arctan2(v, u)
    soft = jnp.maximum(a["edge"], 0.5 / size) / a["fill"]
    inside = 1.0 - ramp(rho, 1.0 - soft, 1.0 + soft)
    cut = jnp.abs(frac[:, None] - 0.5)
    inside = inside * (1.0 - ramp(cut, a["cut"] - 1e-3, a["cut"] + 1.0 / size))
    # The mark that says which way is up.
    cos, sin = jnp.cos(a["notch"]), jnp.sin(a["notch"])
    out, across = cos * u + sin * v, cos * v - sin * u
    mark = (jnp.abs(across) < 0.035) & (out > 0.9) & (out < 1.05) & (a["notch"] < 5.0)
    return jnp.maximum(inside, mark * 1.0), rho, angle


def expose(a: Params, retina: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
    """The photograph, 0 to 1."""
    size = retina.shape[0]
    scale = a["fill"] / a["radius"] * size
    inside, rho, angle = field(a, size)
    haze = a["cataract amount"]
    image = blur(retina, jnp.hypot(a["blur"] + 0.16 * haze**2, 0.35 / scale) * scale)

    u, v = rho * jnp.cos(angle), rho * jnp.sin(angle)
    light = a["light"] * jnp.exp(
        -0.55 * a["vignette"] * rho**2.5 + a["fall_x"] * u + a["fall_y"] * v
    )
    veil = jnp.array([0.60, 0.47, 0.30], jnp.float32)
    image = image + haze * (veil - image)
    image = image + a["veil"] * (jnp.array([0.62, 0.5, 0.45]) - image)
    image = image * light[..., None]

    side = jnp.cos(angle - a["flare_angle"])
    flare = a["flare"] * ramp(side, 0.2, 1.0) * ramp(rho, 0.72, 1.02)
    tint = jnp.array([0.45, 0.40, 0.38]) + a["flare_blue"] * jnp.array([-0.15, -0.05, 0.20])
    image = image + 0.55 * flare[..., None] * tint

    gain = jnp.stack([a["gain_r"], a["gain_g"], a["gain_b"] * (1.25 - 0.6 * a["warmth"])])
    image = jnp.maximum(image * gain, 1e-4)
    grey = image.mean(-1, keepdims=True)
    image = jnp.maximum(grey + a["saturation"] * (image - grey), 1e-4) ** a["gamma"]
    image = jnp.where(image > 0.85, 1.0 - 0.15 * jnp.exp(-(image - 0.85) / 0.15), image)

    grain = jnp.stack([gaussian_noise(a["noise_seed"] + 17.0 * k, size) for k in range(3)], -1)
    common = gaussian_noise(a["noise_seed"] + 99.0, size)[..., None]
    shot = jnp.sqrt(image + 0.02)
    image = image + a["noise"] * shot * (0.6 * grain + 0.8 * common)
    # Chroma is stored coarsely: slow drifts of red against blue.
    drift = jnp.stack([noise_map(a["noise_chroma"][k], size) for k in range(2)], -1)
    image = image + 0.004 * jnp.stack([drift[..., 0], 0 * drift[..., 0], drift[..., 1]], -1)
    black = 0.012 + 0.004 * common
    return jnp.clip(black + inside[..., None] * (image - black), 0.0, 1.0)
