"""From amounts of stain to the scanned picture: absorption, optics, sensor.

Light that passes a section falls off exponentially with the amount of each stain (Beer-Lambert);
the colours of haematoxylin and eosin are the vectors of Ruifrok and Johnston (2001), turned a
little from slide to slide.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from data_gen.phantom.colour.maps import blur, gaussian_noise

Params = dict[str, Any]
Map = Float[Array, "h w"]

_HAEMATOXYLIN = np.array([0.64, 0.70, 0.34], np.float32)
_EOSIN = np.array([0.09, 0.88, 0.42], np.float32)


def stained(a: Params, blue: Map, eosin: Map, noise: dict[str, Map]) -> Float[Array, "h w 3"]:
    """Transmitted light, 0 to 1, of a section in haematoxylin and eosin."""
    uneven = 1.0 + a["uneven"] * noise["broad"]
    h = _HAEMATOXYLIN + a["h_hue"] * np.array([0.10, -0.06, -0.07], np.float32)
    e = _EOSIN + a["e_hue"] * np.array([0.06, -0.05, -0.13], np.float32)
    density = (a["haematoxylin"] * uneven * blue)[..., None] * h * 1.25
    density = density + (a["eosin"] / uneven * eosin)[..., None] * e * 0.92
    return jnp.exp(-density)


def scan(a: Params, light: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
    """The picture, 0 to 1."""
    size = light.shape[0]
    scale = size / a["side"]
    # An oil immersion lens, for blood, resolves more.
    spread = a["blur"] * jnp.minimum(1.0, a["side"] / 110.0)
    image = blur(light, jnp.maximum(spread * scale, 0.42))
    frac = (jnp.arange(size) + 0.5) / size - 0.5
    fall = 1.0 - a["vignette"] * 2.0 * (frac[None, :] ** 2 + frac[:, None] ** 2)
    white = a["white"] + jnp.stack([a["tint_r"], 0.0 * a["tint_r"], a["tint_b"]])
    image = jnp.maximum(image * white * fall[..., None], 1e-4) ** a["gamma"]
    common = gaussian_noise(a["noise_seed"], size)[..., None]
    grain = jnp.stack([gaussian_noise(a["noise_seed"] + 31.0 * k, size) for k in (1, 2, 3)], -1)
    image = image + a["noise"] * (0.8 * common + 0.4 * grain)
    return jnp.clip(image, 0.0, 1.0)
