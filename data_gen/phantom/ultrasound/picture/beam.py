"""From tissue to picture: scatterers, pulse, attenuation, log compression and the screen.

Everything up to the screen lives on the machine's own grid: a row per depth and a column per beam,
so speckle widens with depth in a fan and shadows run along beams, as they do on a machine.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from data_gen.phantom.fields import Map, Params, hash_noise

ROWS, BEAMS = 320, 192
SCREEN = 320
"""Pixels a side of the machine's screen, whatever size is asked for."""


def places(a: Params) -> tuple[Array, Array, Array]:
    """Millimetres across and down of every sample, and its depth along the beam."""
    s = (jnp.arange(ROWS) + 0.5)[:, None] / ROWS * a["depth"]
    b = (jnp.arange(BEAMS) + 0.5)[None, :] / BEAMS - 0.5
    flat_x, flat_z = b * a["width"] + 0 * s, s + 0 * b
    radius = a["radius"] + s
    angle = b * a["angle"]
    fan_x, fan_z = radius * jnp.sin(angle), radius * jnp.cos(angle) - a["radius"]
    return (
        jnp.where(a["fan"] > 0, fan_x, flat_x),
        jnp.where(a["fan"] > 0, fan_z, flat_z),
        s + 0 * b,
    )


def _smear(field: Array, sigma: Any, axis: int, reach: int) -> Array:
    weights = jnp.exp(-0.5 * (jnp.arange(-reach, reach + 1) / sigma) ** 2)
    weights = weights / jnp.sqrt((weights**2).sum())
    pad = [(reach, reach) if d == axis else (0, 0) for d in (0, 1)]
    padded = jnp.pad(field, pad, mode="reflect")
    n = field.shape[axis]
    parts = (
        weights[k] * (padded[k : k + n] if axis == 0 else padded[:, k : k + n])
        for k in range(2 * reach + 1)
    )
    return jnp.asarray(sum(parts))


def listen(a: Params, echo: Map, loss: Map) -> Map:
    """Grey levels 0 to 255 on the grid of beams.

    Args:
      echo: strength of scatterers in decibels.
      loss: attenuation per sample in decibels, beyond what the machine's gain makes up for.
    """
    shape = (ROWS, BEAMS)
    seed, strength = a["noise_seed"], 10.0 ** (echo / 20.0)
    s = (jnp.arange(ROWS) + 0.5)[:, None] / ROWS
    away = jnp.clip(jnp.abs(s - a["focus"]) / 0.5, 0.0, 1.0)
    total = jnp.zeros(shape)
    for salt in (11, 47):
        # Many scatterers in a cell of resolution: both parts of the echo are normal.
        pulse = _smear(hash_noise(seed, shape, salt) * strength, a["pulse"], 0, 3)
        sharp = _smear(pulse, a["beam_sharp"], 1, 4)
        wide = _smear(pulse, a["beam_wide"], 1, 8)
        total = total + (sharp + away * (wide - sharp)) ** 2
    # Shadow borders are as blurred as the beam is wide.
    path = _smear(jnp.cumsum(loss, 0), 1.6, 1, 4) / 2.371
    power = total * 10.0 ** (-(path + a["fade"] * s) / 10.0)
    floor = 10.0 ** ((a["floor"] + 20.0 * s**2) / 10.0)
    power = power + floor * (hash_noise(seed, shape, 83) ** 2 + hash_noise(seed, shape, 29) ** 2)
    decibel = 10.0 * jnp.log10(power + 1e-9) + a["gain"]
    t = jnp.clip(decibel / a["range"] + 0.60, 0.0, 1.0)
    soft = _smear(_smear(t, 0.7, 0, 1), 0.8, 1, 1) / 2.465
    return 255.0 * jnp.clip(t + a["smooth"] * (soft - t), 0.0, 1.0) ** a["gamma"]


def screen(a: Params) -> tuple[Float[Array, "h w"], Float[Array, "h w"]]:
    """Row and beam, as fractions, that every pixel of the screen shows; outside they leave 0..1."""
    frac = (jnp.arange(SCREEN) + 0.5) / SCREEN
    side = a["view_side"]
    x = (frac[None, :] - a["view_x"]) * side
    z = (frac[:, None] - a["view_y"]) * side
    flat = (z / a["depth"] + 0 * x, x / a["width"] + 0.5 + 0 * z)
    zc = z + a["radius"]
    fan = (
        (jnp.sqrt(x * x + zc * zc) - a["radius"]) / a["depth"],
        jnp.arctan2(x, zc) / a["angle"] + 0.5,
    )
    row = jnp.where(a["fan"] > 0, fan[0], flat[0])
    return row, jnp.where(a["fan"] > 0, fan[1], flat[1])


def convert(a: Params, grey: Map, truth: Array) -> tuple[Map, Array]:
    """Scan conversion: the picture by bilinear interpolation, the truth by the nearest sample."""
    row, beam = screen(a)
    seen = (row >= 0) & (row < 1) & (beam >= 0) & (beam < 1)
    r, c = row * ROWS - 0.5, beam * BEAMS - 0.5
    r, c = jnp.clip(r, 0, ROWS - 1.001), jnp.clip(c, 0, BEAMS - 1.001)
    r0, c0 = r.astype(jnp.int32), c.astype(jnp.int32)
    tr, tc = r - r0, c - c0
    flat, at = grey.reshape(-1), r0 * BEAMS + c0
    upper = flat[at] * (1 - tc) + flat[at + 1] * tc
    lower = flat[at + BEAMS] * (1 - tc) + flat[at + BEAMS + 1] * tc
    image = upper * (1 - tr) + lower * tr
    nearest = (r + 0.5).astype(jnp.int32) * BEAMS + (c + 0.5).astype(jnp.int32)
    return jnp.where(seen, image, a["backdrop"]), jnp.where(seen, truth.reshape(-1)[nearest], 0)
