"""From attenuation to grey levels: scatter, noise, blur, processing, window, borders, marks.

Only acquisition and anatomy numbers of :mod:`data_gen.phantom.chest_xray.picture.scene` steer what
happens here; findings are not read, so exposure and film cannot betray them.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt32

from data_gen.phantom.chest_xray.picture import marks
from data_gen.phantom.chest_xray.picture.anatomy import step

Params = dict[str, Any]
Map = Float[Array, "h w"]

_COARSE = 32
"""Grid on which smooth fields (scatter, local mean) are computed."""


def _interpolation(size: int, grid: int) -> np.ndarray:
    """Cubic B-spline weights [size, grid] from a grid that covers the picture, edges clamped."""
    at = (np.arange(size) + 0.5) / size * grid - 0.5
    base = np.floor(at).astype(int)
    t = at - base
    weights = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    matrix = np.zeros((size, grid), np.float32)
    for k, w in enumerate(weights):
        np.add.at(matrix, (np.arange(size), np.clip(base + k - 1, 0, grid - 1)), w / 6.0)
    return matrix


def _pooling(size: int, grid: int) -> np.ndarray:
    """Area means [grid, size]; exact for any size."""
    edges = np.linspace(0, size, grid + 1)
    low, high = edges[:-1, None], edges[1:, None]
    pixel = np.arange(size)[None, :]
    overlap = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, None)
    return (overlap / overlap.sum(1, keepdims=True)).astype(np.float32)


def _gaussian(grid: int, sigma: float) -> np.ndarray:
    """Row-normalised Gaussian smoothing [grid, grid], ``sigma`` in cells."""
    i = np.arange(grid)
    kernel = np.exp(-0.5 * ((i[:, None] - i[None, :]) / sigma) ** 2)
    return (kernel / kernel.sum(1, keepdims=True)).astype(np.float32)


def noise_map(values: Float[Array, "g g"], size: int) -> Map:
    """Smooth map of about unit variance from independent unit values on a coarse grid."""
    weights = _interpolation(size, values.shape[0])
    return jnp.asarray(weights) @ values @ weights.T * 2.05


def shrink(image: Map, grid: int = _COARSE) -> Float[Array, "g g"]:
    """Area mean on a coarse grid."""
    pool = _pooling(image.shape[0], grid)
    return jnp.asarray(pool) @ image @ pool.T


def smooth(coarse: Float[Array, "g g"], sigma: float, size: int) -> Map:
    """Gaussian smoothing on the coarse grid (``sigma`` is a fraction of the picture), enlarged."""
    grid = coarse.shape[0]
    weights = _interpolation(size, grid) @ _gaussian(grid, sigma * grid)
    return jnp.asarray(weights) @ coarse @ weights.T


def hash_bits(seed: Array, size: int, salt: int) -> UInt32[Array, "h w"]:
    """A different 32-bit pattern for every pixel and seed (integer mixing: equal on any device)."""
    n = jnp.arange(size, dtype=jnp.uint32)
    h = n[:, None] * jnp.uint32(0x9E3779B1) + n[None, :] * jnp.uint32(0x85EBCA77)
    h = h + seed.astype(jnp.uint32) * jnp.uint32(0xC2B2AE3D) + jnp.uint32(salt)
    h = (h ^ (h >> 16)) * jnp.uint32(0x7FEB352D)
    h = (h ^ (h >> 15)) * jnp.uint32(0x846CA68B)
    return h ^ (h >> 16)


def gaussian_noise(seed: Array, size: int) -> Map:
    """Nearly normal noise of unit variance: the sum of the four bytes of a hash."""
    h = hash_bits(seed, size, 0x1B873593)
    total = (h & 255) + ((h >> 8) & 255) + ((h >> 16) & 255) + (h >> 24)
    return (total.astype(jnp.float32) - 510.0) / 147.8


def _taps(image: Map, sigma: Array) -> Map:
    """Separable Gaussian blur with a per-picture ``sigma`` in pixels, up to about 1.5 pixels."""
    reach = 2 if image.shape[0] <= 256 else 4
    offsets = jnp.arange(-reach, reach + 1)
    weights = jnp.exp(-0.5 * (offsets / jnp.maximum(sigma, 0.05)) ** 2)
    weights = weights / weights.sum()
    for axis in (0, 1):
        padded = jnp.pad(
            image, [(reach, reach) if d == axis else (0, 0) for d in (0, 1)], mode="edge"
        )
        size = image.shape[axis]
        shifted = (
            weights[k] * (padded[k : k + size] if axis == 0 else padded[:, k : k + size])
            for k in range(2 * reach + 1)
        )
        image = jnp.asarray(sum(shifted))
    return image


def coefficients(a: Params) -> tuple[Array, Array]:
    """Effective attenuation per mm of soft tissue and of mineral at the study's tube voltage."""
    return 0.0222 - 0.0050 * a["kvp"], 0.040 - 0.017 * a["kvp"]


def _response(a: Params, attenuation: Array, veil: Array) -> Array:
    """Log signal of a detector that also sees the scattered ``veil``; harder beam deeper down."""
    primary = jnp.exp(-attenuation * (1.0 - 0.022 * attenuation))
    return -jnp.log(primary + veil + 2e-3)


def develop(a: Params, attenuation: Map) -> Float[Array, "h w"]:
    """The picture, 0 to 255 as floats, from the attenuation integral (log units)."""
    size = attenuation.shape[0]
    frac = (jnp.arange(size) + 0.5) / size
    fx, fy = frac[None, :], frac[:, None]
    attenuation = jnp.minimum(attenuation, 8.0)

    primary = jnp.exp(-attenuation * (1.0 - 0.022 * attenuation))
    # Air around the patient scatters little: it is capped at the dose behind the lungs.
    dose = shrink(jnp.minimum(primary, 0.3))
    veil = a["scatter"] * smooth(dose, 0.10, size)
    signal = primary + veil + 2e-3
    pixel_noise = a["noise"] * (size / 224.0) * gaussian_noise(a["noise_seed"], size)
    log = -jnp.log(signal) + pixel_noise * jnp.sqrt(0.16 / (signal + 0.01))
    log = jnp.maximum(log, 0.0)
    log = _taps(log, a["blur_mm"] / a["scale"] * size / a["frame"][1])

    # The window is set for the patient's build, then partly for what the detector saw.
    soft, _ = coefficients(a)
    thick = a["depth"] + 2.0 * a["wall"] + 18.0
    thin = soft * (thick - 0.74 * a["depth"])
    guess = a["scatter"] * 0.5 * jnp.exp(-thin)
    lung, dense = _response(a, thin, guess), _response(a, soft * thick, guess)
    coarse = shrink(log)
    middle = 0.5 * (lung + dense)
    seen = jnp.mean(coarse[_COARSE // 5 : -_COARSE // 5, _COARSE // 5 : -_COARSE // 5])
    pull = a["autoexposure"] * (seen - middle)
    span = dense - lung
    local = smooth(coarse, 0.07, size)
    log = log - a["equalise"] * (local - middle)
    fine = smooth(shrink(log, 2 * _COARSE), 0.012, size)
    log = log + a["sharpen"] * (log - fine) * 0.5
    shrunk = 1.0 - 0.75 * a["equalise"]
    low = middle - (0.5 * span + (0.25 + a["window_low"]) * span) * shrunk
    high = middle + (0.5 * span + (0.45 + a["window_high"] * 0.6) * span) * shrunk
    t = (log - low - pull * shrunk + a["centre"] * 0.35 * span * shrunk) / (high - low)
    t = t + a["heel_x"] * (fx - 0.5) + a["heel_y"] * (fy - 0.5)
    t = t - a["vignette"] * ((fx - 0.5) ** 2 + (fy - 0.5) ** 2)
    lines = jnp.abs(2.0 * ((fx * size / a["grid_period"]) % 1.0) - 1.0) - 0.5
    t = jnp.clip(t + a["grid_lines"] * lines, 0.0, 1.0)
    curve = t * t * (3.0 - 2.0 * t)
    t = t + 0.7 * a["curve"] * (curve - t)
    t = jnp.maximum(t, 1e-5) ** a["gamma"]
    return _print(a, t, fx, fy)


def _print(a: Params, t: Map, fx: Array, fy: Array) -> Map:
    """Borders, marks, level range and polarity."""
    edge = 0.004
    lean = a["border_tilt"]
    inside = step(fx - a["border_left"] + lean * (fy - 0.5), edge)
    inside = inside * step(1.0 - a["border_right"] - fx - lean * (fy - 0.5), edge)
    inside = inside * step(fy - a["border_top"] - lean * (fx - 0.5), edge)
    inside = inside * step(1.0 - a["border_bottom"] - fy + lean * (fx - 0.5), edge)
    used = a["border_left"] + a["border_right"] + a["border_top"] + a["border_bottom"]
    inside = jnp.where(used > 0, inside, 1.0)
    t = t * inside + a["border_level"] * (1.0 - inside)
    ink, level = marks.draw(a, t.shape[0])
    t = t * (1.0 - ink) + level * ink
    t = jnp.where(a["inverted"] > 0, 1.0 - t, t)
    return a["level_low"] + t * (a["level_high"] - a["level_low"])
