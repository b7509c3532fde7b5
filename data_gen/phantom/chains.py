"""Thin curved things (vessels, tubes, wires, lines) as chains of round Gaussians.

A round Gaussian is separable, so a sum of thousands of them is one matrix product of their profiles
along y and along x: exact at any image size, free of scatter operations, and fast on any backend.
"""

from typing import Any

import jax
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


_TRUNKS, _CHILDREN = 7, (3, 2, 2)
_STEPS = (12, 10, 8, 7)  # points per segment of each generation
_LENGTH = (0.30, 0.24, 0.20, 0.16)  # of the lung's height
_RADIUS = (3.0, 1.75, 1.05, 0.7)  # mm at the start of a segment


def vessel_tree(
    a: Params, key: Array, side: float, hilum: tuple[Array, Array]
) -> tuple[Float[Array, " p"], Float[Array, " p"], Float[Array, " p"], Float[Array, " p"]]:
    """Pulmonary vessels of one lung: four generations of tapering, slightly bent segments.

    Returns:
        (x mm, y mm, sigma mm, mass): ``mass`` is mm of blood times mm², before the lung's own air.
    """
    keys = jax.random.split(key, 12)
    fan = jnp.linspace(-1.25, 1.35, _TRUNKS) + 0.16 * jax.random.normal(keys[0], (_TRUNKS,))
    length = a["height"] * (0.8 + 0.4 * jax.random.uniform(keys[1], (_TRUNKS,)))
    # Lower lobes carry more flow in an erect patient; the renderer turns it round in edema.
    flow = 1.0 + 0.22 * jnp.sin(fan) * (2 * a["cephalisation_inverse"] - 1.0)
    x0 = jnp.broadcast_to(hilum[0], (_TRUNKS,)) + side * 3.0 * jax.random.normal(
        keys[2], (_TRUNKS,)
    )
    y0 = hilum[1] + 11.0 * jnp.linspace(-1, 1, _TRUNKS)
    angle, radius = fan, _RADIUS[0] * flow
    out = []
    for generation, steps in enumerate(_STEPS):
        n = angle.shape[0]
        reach = _LENGTH[generation] * length
        bend = 0.5 * jax.random.normal(keys[3 + generation], (n,))
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
            jitter = jax.random.normal(keys[7 + generation], (n, k))
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
    return x, y, 0.55 * radius, jnp.pi * radius**2 * step
