"""Shapes and smooth noise as functions of a place: what pictures of organs are put together from.

Distances are positive inside and in the unit of the coordinates; :func:`cover` turns one into a
soft mask, so that an edge between two tissues is shared by a pixel as on a scanner.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, UInt32

Map = Float[Array, "h w"]
Params = Mapping[str, Any]

HARMONICS = 5
"""Terms of a blob's outline beyond the circle."""


def cover(distance: Array, width: Any) -> Array:
    """1 inside, 0 outside, smooth over ``width`` around the edge."""
    t = jnp.clip(0.5 + distance / width, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def ellipse(x: Array, y: Array, cx: Any, cy: Any, rx: Any, ry: Any, angle: Any = 0.0) -> Array:
    """Distance to an ellipse along the ray from its middle; exact on the edge."""
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    dx, dy = x - cx, y - cy
    u, v = dx * cos + dy * sin, dy * cos - dx * sin
    q = jnp.sqrt((u / rx) ** 2 + (v / ry) ** 2 + 1e-9)
    return jnp.sqrt(u * u + v * v + 1e-9) * (1.0 / q - 1.0)


def blob(x: Array, y: Array, row: Array) -> Array:
    """Distance to an uneven ellipse.

    Args:
      row: (middle x, y, radius, aspect, angle, then amplitude and phase of :data:`HARMONICS`
        waves of the outline, amplitudes relative to the radius).
    """
    cos, sin = jnp.cos(row[4]), jnp.sin(row[4])
    dx, dy = x - row[0], y - row[1]
    u, v = dx * cos + dy * sin, (dy * cos - dx * sin) * row[3]
    rho = jnp.sqrt(u * u + v * v + 1e-9)
    rows = row[5:].reshape(HARMONICS, 2)
    return row[2] * (1.0 + wavy(turns(v, u), rows)) - rho


def turns(up: Array, along: Array) -> Array:
    """Angle of a direction in whole turns, -1/2 to 1/2."""
    return jnp.arctan2(up, along) * (0.5 / np.pi)


def wavy(angle: Array, rows: Float[Array, "k 2"]) -> Array:
    """Sum of ``amplitude cos(k angle + phase)`` from k = 2 up.

    Args:
      angle: in turns.
      rows: amplitude and phase of each wave, phases in radians.
    """
    phases = rows[:, 1] * (0.5 / np.pi) + 0.25
    parts = [rows[k, 0] * quick_sin((k + 2) * angle + phases[k]) for k in range(rows.shape[0])]
    return jnp.asarray(sum(parts))


def quick_sin(angle: Array) -> Array:
    """Sine of an angle in whole turns to three digits, many times faster than the exact one."""
    t = angle - jnp.round(angle)
    y = 8.0 * t - 16.0 * t * jnp.abs(t)
    return 0.225 * (y * jnp.abs(y) - y) + y


def blob_row(
    rng: np.random.Generator,
    centre: tuple[float, float],
    radius: float,
    aspect: float = 1.0,
    angle: float = 0.0,
    rough: float = 0.08,
) -> list[float]:
    """A row for :func:`blob`; ``rough`` is about the relative height of its bumps."""
    waves: list[float] = []
    for k in range(HARMONICS):
        waves += [rough * rng.normal() / (1 + 0.9 * k), rng.uniform(0, 2 * np.pi)]
    return [float(v) for v in (*centre, radius, aspect, angle, *waves)]


def no_blob() -> list[float]:
    """A row whose blob covers nothing."""
    return [0.0, 0.0, -1e4, 1.0, 0.0, *([0.0] * (2 * HARMONICS))]


def tube(x: Array, y: Array, points: Sequence[tuple[Any, Any]], radii: Sequence[Any]) -> Array:
    """Distance to a bent tube through ``points`` whose radius runs from one to the next."""
    best = jnp.full_like(x, -1e4)
    for i in range(len(points) - 1):
        (ax, ay), (bx, by) = points[i], points[i + 1]
        ux, uy = bx - ax, by - ay
        t = ((x - ax) * ux + (y - ay) * uy) / (ux * ux + uy * uy + 1e-6)
        t = jnp.clip(t, 0.0, 1.0)
        away = jnp.sqrt((x - ax - t * ux) ** 2 + (y - ay - t * uy) ** 2 + 1e-9)
        best = jnp.maximum(best, radii[i] + t * (radii[i + 1] - radii[i]) - away)
    return best


def union(a: Array, b: Array, width: Any) -> Array:
    """Distance to both shapes, the corner between them filled over ``width``."""
    h = jnp.clip(0.5 + 0.5 * (a - b) / width, 0.0, 1.0)
    return b + (a - b) * h + width * h * (1.0 - h)


def hold(tree: Any) -> Any:
    """Keeps the compiler from computing these maps again inside every one of their users."""
    return jax.lax.optimization_barrier(tree)


def enlarge(grid: Float[Array, "g g"], rows: int, columns: int = 0) -> Map:
    """A periodic grid as a picture, square unless ``columns`` says else, by cubic B-splines."""
    left = jnp.asarray(_spline(rows, grid.shape[0]))
    return left @ grid @ jnp.asarray(_spline(columns or rows, grid.shape[0])).T


@functools.cache
def _spline(size: int, grid: int) -> np.ndarray:
    at = (np.arange(size) + 0.5) / size * grid - 0.5
    base = np.floor(at).astype(int)
    t = at - base
    weights = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    matrix = np.zeros((size, grid), np.float32)
    for k, w in enumerate(weights):
        np.add.at(matrix, (np.arange(size), (base + k - 1) % grid), w / 6.0)
    return matrix


def noise_grid(
    rng: np.random.Generator, side: int, cells: float, stretch: float = 1.0
) -> np.ndarray:
    """Smooth periodic noise of unit variance [side, side].

    ``cells`` bumps fit along a side; they are ``stretch`` times as high as wide.
    """
    f = np.fft.fftfreq(side) * side
    power = np.exp(-0.5 * ((stretch * f[:, None]) ** 2 + f[None, :] ** 2) / (0.42 * cells) ** 2)
    spectrum = np.fft.fft2(rng.standard_normal((side, side))) * np.sqrt(power)
    spectrum[0, 0] = 0.0
    noise = np.fft.ifft2(spectrum).real
    return (noise / noise.std()).astype(np.float32)


def waves(
    rng: np.random.Generator, count: int, ku: tuple[float, float], kv: tuple[float, float]
) -> np.ndarray:
    """Plane waves [count, 3] (wave numbers along u and v, phase): mean and spread of each."""
    sign = rng.choice([-1.0, 1.0], (2, count))
    u, v = rng.normal(*ku, count) * sign[0], rng.normal(*kv, count) * sign[1]
    return np.stack([u, v, rng.uniform(0, 2 * np.pi, count)], 1).astype(np.float32)


def interference(
    rows: Float[Array, "k 3"], u: Array, v: Array, squeeze: Array | float = 1.0
) -> tuple[Array, Array]:
    """Sum of plane waves and the length of its gradient.

    ``squeeze``: how much shorter a step along u is at a place than u says.
    """
    value, gu, gv = jnp.zeros_like(u), jnp.zeros_like(u), jnp.zeros_like(u)
    for k in range(rows.shape[0]):
        angle = (rows[k, 0] * u + rows[k, 1] * v + rows[k, 2]) * (0.5 / np.pi)
        sin = quick_sin(angle)
        value = value + quick_sin(angle + 0.25)
        gu, gv = gu + rows[k, 0] * sin, gv + rows[k, 1] * sin
    return value, jnp.sqrt((gu * squeeze) ** 2 + gv**2 + 1e-6)


def hash_noise(seed: Array, shape: tuple[int, int], salt: int) -> Map:
    """Independent, nearly normal noise of unit variance, equal on any device."""
    rows = jnp.arange(shape[0], dtype=jnp.uint32)[:, None]
    columns = jnp.arange(shape[1], dtype=jnp.uint32)[None, :]
    h: UInt32[Array, "h w"] = rows * jnp.uint32(0x9E3779B1) + columns * jnp.uint32(0x85EBCA77)
    h = h + seed.astype(jnp.uint32) * jnp.uint32(0xC2B2AE3D) + jnp.uint32(salt)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        h = (h ^ (h >> shift)) * jnp.uint32(factor)
    h = h ^ (h >> 16)
    total = (h & 255) + ((h >> 8) & 255) + ((h >> 16) & 255) + (h >> 24)
    return (total.astype(jnp.float32) - 510.0) / 147.8


def bits(masks: Sequence[Array]) -> Int32[Array, "h w"]:
    """Bit i of the result is mask i."""
    out = jnp.zeros(masks[0].shape, jnp.int32)
    for i, mask in enumerate(masks):
        out = out | (mask.astype(jnp.int32) << i)
    return out


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """A square uint8 picture at another size: area means downwards, cubic upwards."""
    if image.shape[0] == size:
        return image
    how = cv2.INTER_AREA if size < image.shape[0] else cv2.INTER_CUBIC
    return cv2.resize(image, (size, size), interpolation=how)


def resized_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """A mask of 0 and 1 at another size; one that is not empty keeps at least a pixel."""
    if mask.shape[0] == size or not mask.any():
        return mask if mask.shape[0] == size else np.zeros((size, size), np.uint8)
    how = cv2.INTER_AREA if size < mask.shape[0] else cv2.INTER_LINEAR
    share = cv2.resize(mask.astype(np.float32), (size, size), interpolation=how)
    return (share >= min(0.5, float(share.max()))).astype(np.uint8)
