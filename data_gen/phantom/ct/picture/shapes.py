"""Outlines as signed distances in millimetres, positive inside, and smooth random maps.

Outlines of organs are closed curves given by their radius at equal angles, interpolated by a
Fourier series, so a study keeps them as one short vector. Angles run clockwise from the image's
right: 90 degrees is posterior.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Map = Float[Array, "h w"]

HARMONICS = 8


def blob(
    rng: np.random.Generator,
    centre: tuple[float, float],
    radii: Sequence[float],
    jitter: float = 0.06,
    turn: float = 0.0,
) -> Float[np.ndarray, " n"]:
    """The vector of a closed outline: centre, then cosine and sine coefficients.

    Args:
      rng: gives the patient's own shape.
      centre: mm.
      radii: mm at equal angles, clockwise from the image's right.
      jitter: relative deviation of a radius, smooth along the outline.
      turn: degrees, clockwise.
    """
    given = np.asarray(radii, float)
    theta = np.arange(32) * 2 * np.pi / 32
    padded = np.interp(
        theta, np.arange(len(given) + 1) * 2 * np.pi / len(given), [*given, given[0]]
    )
    # The straight interpolation has corners; a little smoothing of the ring rounds them.
    ring = sum(w * np.roll(padded, k) for k, w in ((-1, 0.25), (0, 0.5), (1, 0.25)))
    for k in range(2, 6):
        amplitude, phase = rng.normal() * jitter / (k - 0.5), rng.uniform(0, 2 * np.pi)
        ring = ring * (1.0 + amplitude * np.cos(k * theta + phase))
    spectrum = np.fft.rfft(ring)[: HARMONICS + 1] / 16.0
    spectrum[0] /= 2.0
    spectrum = spectrum * np.exp(-1j * np.arange(HARMONICS + 1) * np.deg2rad(turn))
    return np.concatenate([centre, spectrum.real, -spectrum.imag]).astype(np.float32)


def ellipse_blob(
    rng: np.random.Generator,
    centre: tuple[float, float],
    rx: float,
    ry: float,
    turn: float = 0.0,
    jitter: float = 0.05,
) -> Float[np.ndarray, " n"]:
    """:func:`blob` of an ellipse."""
    theta = np.arange(32) * 2 * np.pi / 32
    radii = rx * ry / np.hypot(ry * np.cos(theta), rx * np.sin(theta))
    return blob(rng, centre, [float(r) for r in radii], jitter, turn)


def inside(vector: Float[np.ndarray, " n"], x: float, y: float) -> float:
    """Radius of the outline towards a point minus the point's own: positive inside (NumPy)."""
    dx, dy = x - float(vector[0]), y - float(vector[1])
    theta, k = np.arctan2(dy, dx), np.arange(HARMONICS + 1)
    cosines, sines = vector[2 : 3 + HARMONICS], vector[3 + HARMONICS :]
    radius = (cosines * np.cos(k * theta) + sines * np.sin(k * theta)).sum()
    return float(radius - np.hypot(dx, dy))


def rim(vector: Float[np.ndarray, " n"], angle: float, part: float = 1.0) -> tuple[float, float]:
    """The point at ``angle`` degrees and the fraction ``part`` of the radius (NumPy)."""
    theta, k = np.deg2rad(angle), np.arange(HARMONICS + 1)
    cosines, sines = vector[2 : 3 + HARMONICS], vector[3 + HARMONICS :]
    radius = part * float((cosines * np.cos(k * theta) + sines * np.sin(k * theta)).sum())
    return (
        float(vector[0]) + radius * float(np.cos(theta)),
        float(vector[1]) + radius * float(np.sin(theta)),
    )


def outline(vector: Float[Array, " n"], x: Map, y: Map) -> Map:
    """Signed distance to the outline of :func:`blob`."""
    dx, dy = x - vector[0], y - vector[1]
    rho = jnp.sqrt(dx * dx + dy * dy + 1e-4)
    c1, s1 = dx / rho, dy / rho
    cosines, sines = vector[2 : 3 + HARMONICS], vector[3 + HARMONICS :]
    c, s = c1, s1
    radius, slope = cosines[0] + jnp.zeros_like(x), jnp.zeros_like(x)
    for k in range(1, HARMONICS + 1):
        radius = radius + cosines[k] * c + sines[k] * s
        slope = slope + k * (sines[k] * c - cosines[k] * s)
        c, s = c * c1 - s * s1, s * c1 + c * s1
    steep = slope / jnp.maximum(jnp.maximum(radius, rho), 1.0)
    return (radius - rho) / jnp.sqrt(1.0 + steep * steep)


def ellipse(
    x: Map,
    y: Map,
    cx: Array | float,
    cy: Array | float,
    rx: Array | float,
    ry: Array | float,
    turn: Array | float = 0.0,
) -> Map:
    """Signed distance to an ellipse, exact on it; ``turn`` in radians, clockwise."""
    cos, sin = jnp.cos(turn), jnp.sin(turn)
    rx, ry = jnp.maximum(rx, 0.05), jnp.maximum(ry, 0.05)
    u = ((x - cx) * cos + (y - cy) * sin) / rx
    v = ((y - cy) * cos - (x - cx) * sin) / ry
    k = jnp.sqrt(u * u + v * v + 1e-6)
    g = jnp.sqrt((u / rx) ** 2 + (v / ry) ** 2 + 1e-8)
    return jnp.clip((1.0 - k) * k / g, -300.0, 300.0)


def superellipse(
    x: Map,
    y: Map,
    cx: Array | float,
    cy: Array | float,
    rx: Array | float,
    ry: Array | float,
    power: Array | float,
) -> Map:
    """About the signed distance to a superellipse; power 2 is an ellipse, more is squarer."""
    u, v = jnp.abs(x - cx) / rx + 1e-4, jnp.abs(y - cy) / ry + 1e-4
    k = (u**power + v**power) ** (1.0 / power)
    along = jnp.sqrt((x - cx) ** 2 + (y - cy) ** 2)
    return along / k - along


def capsule(
    x: Map,
    y: Map,
    x0: Array | float,
    y0: Array | float,
    x1: Array | float,
    y1: Array | float,
    r0: Array | float,
    r1: Array | float,
) -> Map:
    """Signed distance to a stroke whose half-width goes from ``r0`` to ``r1``."""
    dx, dy = x1 - x0, y1 - y0
    t = jnp.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy + 1e-6), 0.0, 1.0)
    return r0 + (r1 - r0) * t - jnp.hypot(x - x0 - t * dx, y - y0 - t * dy)


def union(a: Map, b: Map, k: float) -> Map:
    """Smooth union: outlines flow into each other over about ``k`` mm."""
    h = jnp.maximum(k - jnp.abs(a - b), 0.0) / k
    return jnp.maximum(a, b) + h * h * k * 0.25


def step(d: Map, width: Array | float) -> Map:
    """0 outside to 1 inside over ``width`` mm."""
    t = jnp.clip(d / width + 0.5, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _interpolation(size: int, grid: int) -> Float[np.ndarray, "s g"]:
    at = (np.arange(size) + 0.5) / size * (grid - 3) + 1.0
    base = np.floor(at).astype(int)
    t = at - base
    weights = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    matrix = np.zeros((size, grid), np.float32)
    for k, w in enumerate(weights):
        np.add.at(matrix, (np.arange(size), np.clip(base + k - 1, 0, grid - 1)), w / 6.0)
    return matrix


def smooth_map(values: Float[Array, "g g"], size: int) -> Map:
    """Map of about unit variance from independent unit values on a coarse grid."""
    weights = _interpolation(size, values.shape[0])
    return jnp.asarray(weights) @ values @ weights.T * 2.05
