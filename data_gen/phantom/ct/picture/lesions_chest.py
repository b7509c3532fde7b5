"""Findings of the chest, painted into lungs, pleura, pericardium and arteries, with their truth."""

import jax.numpy as jnp
from jaxtyping import Array

from data_gen.phantom.ct.picture.canvas import Canvas
from data_gen.phantom.ct.picture.shapes import Map, ellipse, outline, step


def air(c: Canvas, lung: Map) -> None:
    """What is in the lungs and the pleura, and fluid around the heart, before the organs."""
    c.sites("emphysema", lambda site: _emphysema(c, site, lung))
    bronchi = step(-925.0 - c.hu, 40.0)
    c.sites("opacity", lambda site: _opacity(c, site, lung, bronchi))
    c.sites("nodule", lambda site: _nodule(c, site, lung))
    c.sites("effusion", lambda site: _effusion(c, site, lung))
    c.sites("pneumothorax", lambda site: _pneumothorax(c, site, lung))
    c.sites("pericardial", lambda site: _pericardial(c, site))


def middle(c: Canvas) -> None:
    """Filling defects of the pulmonary arteries."""
    c.sites("embolus", lambda site: _embolus(c, site))


def _round(c: Canvas, site: Array) -> Map:
    return ellipse(c.x, c.y, *(site[k] for k in range(5)))


def _emphysema(c: Canvas, site: Array, lung: Map) -> None:
    owner, amount = site[6], site[7]
    holes = c.noise["lump"] + 0.7 * c.noise["ripple_x"] - (1.25 - 1.5 * amount)
    holes = holes - step(c.y - 40.0, 60.0) * 0.4
    d = jnp.minimum(holes * 4.0, lung - 1.0)
    c.paint(d, -985.0, 2.0, 0.9)
    c.mark(owner, d > 0)


def _opacity(c: Canvas, site: Array, lung: Map, bronchi: Map) -> None:
    rx, hu, owner, dense = (site[k] for k in (2, 5, 6, 7))
    ragged = 3.0 + 0.24 * rx * (0.6 * c.noise["bend_x"] + 0.9 * c.noise["ripple_x"])
    d = jnp.minimum(_round(c, site) + ragged + 0.14 * rx * c.noise["lump"], lung)
    # Consolidation hides the vessels and leaves the bronchi; ground glass leaves both.
    soft = 6.0 + 7.0 * (1.0 - dense)
    alpha = step(d - 1.0, jnp.maximum(c.pitch, soft)) * step(lung, 1.5)
    patch = 0.82 + 0.10 * c.noise["lump"] + 0.10 * c.noise["ripple_y"]
    solid = c.hu + alpha * jnp.minimum(patch * 1.15, 1.0) * (1.0 - 0.9 * bronchi) * (hu - c.hu)
    haze = c.hu + alpha * patch * jnp.maximum(hu - c.hu, 0.0)
    c.hu = jnp.where(dense > 0.5, solid, haze)
    c.mark(owner, (d > 0) & (alpha > 0.25))


def _nodule(c: Canvas, site: Array, lung: Map) -> None:
    cx, cy, rx, turn, hu, spiky = (site[k] for k in (0, 1, 2, 4, 5, 7))
    theta = jnp.arctan2(c.y - cy, c.x - cx) + 0.25 * c.noise["ripple_y"]
    spikes = jnp.cos(5.0 * theta + turn) + jnp.cos(8.0 * theta - turn) + jnp.cos(11.0 * theta)
    spikes = spiky * rx * (0.07 * spikes + 0.10 * c.noise["lump"])
    d = jnp.minimum(_round(c, site) + 0.06 * rx * c.noise["lump"] + spikes, lung + 2.0)
    c.paint(d, hu, 1.4)
    c.mark_small(site, d)


def _effusion(c: Canvas, site: Array, lung: Map) -> None:
    side, hu, owner, deep = (site[k] for k in (0, 5, 6, 7))
    mine = side * c.x > 2.0
    level = deep * (step(c.y - 46.0 + 0.9 * deep, 70.0) ** 0.8)
    level = level * (1.0 + 0.12 * c.noise["bend_x"])
    # A meniscus along the wall, and the flat pool behind.
    pool = c.y - (86.0 - 1.35 * deep) + 0.10 * jnp.abs(c.x)
    # Where the fluid ends, not even a film of it is left on the wall.
    film = 5.0 * (1.0 - jnp.clip(level / 3.0, 0.0, 1.0))
    d = jnp.maximum(level - film - c.cavity, pool)
    d = jnp.where(mine, jnp.minimum(d, lung), -99.0)
    # The lung in front of it is compressed.
    band = 3.0 + 0.22 * deep * (1.0 + 0.5 * c.noise["ripple_x"])
    squeezed = jnp.minimum(d + band * jnp.clip(level / (0.3 * deep), 0.0, 1.0), lung)
    squeezed = jnp.where(mine, squeezed, -99.0)
    c.paint(squeezed, 25.0, 3.0, 0.75)
    c.paint(d, hu, 1.6)
    c.mark(owner, d > 0)


def _pneumothorax(c: Canvas, site: Array, lung: Map) -> None:
    side, owner, deep = (site[k] for k in (0, 6, 7))
    mine = side * c.x > 2.0
    # Air rises: in a patient who lies it is in front.
    width = deep * step(20.0 - c.y - 0.2 * jnp.abs(c.x), 110.0) * (1.0 + 0.12 * c.noise["bend_y"])
    width = width - 5.0 * (1.0 - jnp.clip(width / 4.0, 0.0, 1.0))
    d = jnp.where(mine, jnp.minimum(width - c.cavity, lung), -99.0)
    line = jnp.where(mine & (d > -4.0), jnp.minimum(0.8 - jnp.abs(d), lung - 0.5), -99.0)
    c.paint(d, -1000.0, 1.4)
    c.paint(line, -420.0, 1.2, 0.8 * step(width - 6.0, 3.0))
    c.mark(owner, d > 0)


def _pericardial(c: Canvas, site: Array) -> None:
    hu, owner, thick = (site[k] for k in (5, 6, 7))
    heart = outline(c.s["heart_shape"], c.x, c.y)
    # Fluid is deepest behind and beside the left ventricle.
    around = thick * (0.55 + 0.65 * step(c.x + 0.8 * c.y, 60.0) + 0.15 * c.noise["bend_y"])
    d = jnp.minimum(heart + around, c.cavity - 2.0)
    d = jnp.minimum(d, 24.0 - c.y - 0.15 * jnp.abs(c.x))
    c.paint(d + 2.2, -80.0, 1.4, 0.9)
    c.paint(d, hu, 1.6)
    c.truth = jnp.where(d > 0, jnp.uint32(0), c.truth)
    c.mark(owner, d > 0)


def _embolus(c: Canvas, site: Array) -> None:
    d = _round(c, site) + 0.5 * c.noise["lump"]
    d = jnp.minimum(d, outline(c.s["artery_shape"], c.x, c.y) - 0.6)
    c.paint(d, site[5], 1.2)
    c.mark(site[6], d > 0)
