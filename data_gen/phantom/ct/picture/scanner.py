"""From Hounsfield units to grey levels: beam hardening, sharpness, noise, window, field of view.

Only acquisition numbers steer what happens here; findings are not read, so scanner and picture
cannot betray them.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from data_gen.phantom.ct.picture.shapes import Map

Params = dict[str, Any]

#: Side in pixels of the reconstruction that every picture is sampled from.
_MATRIX = 512


def _frequencies(size: int) -> tuple[np.ndarray, np.ndarray]:
    """(fx, fy) of ``rfft2`` in cycles per picture."""
    rows = np.fft.fftfreq(size, 1.0 / size).astype(np.float32)[:, None]
    columns = np.arange(size // 2 + 1, dtype=np.float32)[None, :]
    return columns, rows


def noise_spectrum(size: int, cut: Array, streak: Array) -> Float[Array, "h f"]:
    """Amplitude per frequency of reconstructed noise, so that the full matrix has unit variance.

    Filtered back projection gives a power that rises with frequency (the ramp) and falls with the
    kernel's roll-off at ``cut`` cycles per picture; rays along the long axis of the body are the
    noisiest, which makes the noise finer across than along it by ``streak``.
    """
    fx, fy = _frequencies(size)
    f = jnp.sqrt(fx * fx + fy * fy) + 1e-3
    along = (fy / f) ** 4
    power = f * jnp.exp(-2.0 * (f / cut) ** 2) * (1.0 + streak * along) / (1.0 + 0.375 * streak)
    # Integral of the isotropic power over the plane: 2 pi * int f^2 exp(-2 f^2 / cut^2) df.
    total = 2.0 * jnp.pi * cut**3 * np.sqrt(np.pi) / (8.0 * np.sqrt(2.0))
    return jnp.sqrt(power / total) * size


def scan(s: Params, hu: Map, inside: Map) -> UInt8[Array, "h w"]:
    """The picture of a slice.

    Args:
      s: the scene.
      hu: the slice.
      inside: about 1 in the middle of the patient and 0 in the air, smooth: where noise is strong.
    """
    size = hu.shape[0]
    fx, fy = _frequencies(size)
    f = jnp.sqrt(fx * fx + fy * fy)
    cut = s["kernel_cut"] * _MATRIX / 2.0
    spectrum = jnp.fft.rfft2(hu)
    sharp = (1.0 + s["edge"] * (f / cut) ** 2) * jnp.exp(-((f / (1.25 * cut)) ** 2))
    bone = jnp.fft.rfft2(jnp.clip(hu - 250.0, 0.0, 1200.0))
    # Between dense bones the beam is hardened: dark bands along the line that joins them, and a
    # faint brightness around a closed ring of bone.
    per_mm = 1.0 / s["fov"]
    band = jnp.exp(-2.0 * np.pi**2 * per_mm**2 * ((45.0 * fx) ** 2 + (6.0 * fy) ** 2))
    glow = jnp.exp(-2.0 * np.pi**2 * per_mm**2 * 5.0**2 * f**2)
    halo = jnp.exp(-2.0 * np.pi**2 * per_mm**2 * 14.0**2 * f**2)
    hardening = s["hardening"] * (0.030 * (0.5 * glow + halo) - 0.055 * band)
    white = jax.random.normal(jax.random.key(s["noise_key"]), (size, size), jnp.float32)
    grain = jnp.fft.rfft2(white) * noise_spectrum(size, cut, s["streak"])
    clean = jnp.fft.irfft2(spectrum * sharp + bone * hardening * (sharp > 0), (size, size))
    noise = jnp.fft.irfft2(grain, (size, size))
    hu = clean + s["noise"] * noise * (0.30 + 0.85 * inside)

    low, high = s["window_low"], s["window_high"]
    grey = (hu - low) / (high - low)
    at = (jnp.arange(size) + 0.5) / size - 0.5
    out = at[None, :] ** 2 + at[:, None] ** 2 > s["circle"] ** 2
    grey = jnp.where(out, s["padding"], jnp.clip(grey, 0.0, 1.0))
    grey = s["black"] + (s["white"] - s["black"]) * grey
    return jnp.clip(jnp.round(255.0 * grey), 0, 255).astype(jnp.uint8)
