"""Thin curved things (vessels, tubes, wires, lines) as chains of round Gaussians.

A round Gaussian is separable, so a sum of thousands of them is one matrix product of their profiles
along y and along x: exact at any image size, free of scatter operations, and fast on any backend.
"""

import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

Params = dict[str, Any]

_ROOT_2PI = 2.5066283


def splat(
    x: Float[Array, " p"],
    y: Float[Array, " p"],
    sigma: Float[Array, " p"],
    mass: Float[Array, " p"],
    columns: Float[Array, " w"],
    rows: Float[Array, " h"],
    pitch: float | Array,
) -> Float[Array, "h w"]:
    """Sum of Gaussians at (x, y).

    Args:
      x, y, columns, rows, sigma, pitch: in one unit of length; ``pitch`` is the pixel size, below
        which a Gaussian is widened with its mass kept, as a detector element would.
      mass: integral of each Gaussian over the plane.
    """
    sigma = jnp.sqrt(sigma**2 + (0.42 * pitch) ** 2)
    scale = 0.5 / sigma**2
    weight = mass / (_ROOT_2PI * sigma) ** 2
    along_y = weight[:, None] * jnp.exp(-scale[:, None] * (rows[None, :] - y[:, None]) ** 2)
    along_x = jnp.exp(-scale[:, None] * (columns[None, :] - x[:, None]) ** 2)
    return jnp.einsum("ph,pw->hw", along_y, along_x)


_TRUNKS, _CHILDREN = 8, (3, 2, 2)
_STEPS = (14, 15, 13, 8)  # points per segment of each generation
_LENGTH = (0.30, 0.23, 0.18, 0.11)  # of the lung's height
_RADIUS = (4.6, 2.7, 1.6, 1.0)  # mm at the start of a segment

TREE_CHANCES = 3 * _TRUNKS + _TRUNKS * (1 + 3 + 3 + 6 + 6 + 12 + 12)
"""Random numbers that one tree uses."""


def _hilar_arteries(
    a: Params, side: float, hilum: tuple[Array, Array]
) -> tuple[Array, Array, Array, Array]:
    """The lower and the upper lobe artery of one hilum: (x, y, radius, step), each [2, 14]."""
    t = (jnp.arange(14) + 0.5) / 14
    reach = a["height"] * jnp.array([0.30, 0.17])[:, None]
    angle = jnp.array([0.72, -0.95])[:, None] + jnp.array([0.75, -0.35])[:, None] * t
    step = reach / 14 * jnp.ones_like(angle)
    x = hilum[0] + side * jnp.cumsum(step * jnp.cos(angle), axis=1)
    y = hilum[1] + jnp.cumsum(step * jnp.sin(angle), axis=1)
    radius = a["hila"] ** 0.5 * jnp.array([7.2, 5.4])[:, None] * (1.0 - 0.55 * t)
    return x, y, radius, step


def vessel_tree(
    a: Params, chance: Float[Array, " r"], side: float, hilum: tuple[Array, Array]
) -> tuple[Float[Array, " p"], Float[Array, " p"], Float[Array, " p"], Float[Array, " p"]]:
    """Pulmonary vessels of one lung: four generations of tapering, slightly bent segments.

    Args:
      a: parameters of the study; side: -1 right, +1 left; hilum: its (x, y) in mm.
      chance: :data:`TREE_CHANCES` independent unit normals.

    Returns:
      (x mm, y mm, sigma mm, mass): ``mass`` is mm of blood times mm², before the lung's own air.
    """
    used = 0

    def normal(*shape: int) -> Array:
        nonlocal used
        count = math.prod(shape)
        used += count
        return chance[used - count : used].reshape(shape)

    fan = jnp.linspace(-1.25, 1.35, _TRUNKS) + 0.16 * normal(_TRUNKS)
    length = a["height"] * jnp.clip(1.0 + 0.15 * normal(_TRUNKS), 0.7, 1.35)
    # Lower lobes carry more flow in an erect patient; the renderer turns it round in edema.
    flow = 1.0 + 0.22 * jnp.sin(fan) * (2 * a["cephalisation_inverse"] - 1.0)
    x0 = jnp.broadcast_to(hilum[0], (_TRUNKS,)) + side * 3.0 * normal(_TRUNKS)
    y0 = hilum[1] + 11.0 * jnp.linspace(-1, 1, _TRUNKS)
    angle, radius = fan, _RADIUS[0] * flow
    out = [_hilar_arteries(a, side, hilum)]
    for generation, steps in enumerate(_STEPS):
        n = angle.shape[0]
        reach = _LENGTH[generation] * length
        bend = 0.5 * normal(n)
        t = (jnp.arange(steps) + 0.5) / steps
        turn = angle[:, None] + bend[:, None] * (t - 0.3)
        step = (reach / steps)[:, None]
        x = x0[:, None] + side * jnp.cumsum(step * jnp.cos(turn), axis=1)
        y = y0[:, None] + jnp.cumsum(step * jnp.sin(turn), axis=1)
        taper = radius[:, None] * (1.0 - 0.4 * t)
        out.append((x, y, taper, jnp.broadcast_to(step, x.shape)))
        if generation < len(_CHILDREN):
            k = _CHILDREN[generation]
            # Children leave along the outer part of the parent, spread to both sides.
            at = jnp.array([0.99, 0.62, 0.34])[:k]
            spread = jnp.array([[-1.0, 1.0, -1.0], [1.0, -1.0, 1.0]])[:, :k]
            jitter = normal(n, k)
            way = spread[jnp.arange(n) % 2]
            index = jnp.clip((at * steps).astype(int), 0, steps - 1)
            fork = jnp.array([0.30, 0.62, 0.75])[:k]
            angle = (turn[:, index] + way * fork + 0.16 * jitter).reshape(-1)
            x0, y0 = x[:, index].reshape(-1), y[:, index].reshape(-1)
            radius = (radius[:, None] * _RADIUS[generation + 1] / _RADIUS[generation]) * jnp.exp(
                0.22 * jitter
            )
            radius = radius.reshape(-1)
            length = jnp.repeat(length, k)
    flat = [jnp.concatenate([g[i].reshape(-1) for g in out]) for i in range(4)]
    x, y, radius, step = flat
    return x, y, jnp.maximum(0.55 * radius, 1.1), jnp.pi * radius**2 * step
