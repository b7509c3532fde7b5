"""Findings of the abdomen, painted in and around the organs, with their truth."""

import jax.numpy as jnp
from jaxtyping import Array

from data_gen.phantom.ct.picture.canvas import Canvas
from data_gen.phantom.ct.picture.shapes import Map, ellipse, outline, step, union


def fluid(c: Canvas) -> None:
    """Ascites: it gathers around liver and spleen, at the flanks and between the loops."""
    c.sites("ascites", lambda site: _fluid(c, site))


def _fluid(c: Canvas, site: Array) -> None:
    hu, owner, amount = site[5], site[6], site[7]
    away = 1.0 + 0.35 * c.noise["bend_x"] + 0.25 * c.noise["ripple_y"]
    # Behind, in front of spine and kidneys, the fat of the retroperitoneum stays.
    back = step(34.0 - c.y + 0.25 * jnp.abs(c.x), 24.0)
    flank = 0.45 + 0.75 * step(jnp.abs(c.x) - 45.0, 60.0) - 0.15 * step(-c.y - 50.0, 30.0)
    d = jnp.minimum(amount * away * flank * back - c.cavity, c.cavity)
    between = amount - 26.0 + 12.0 * c.noise["ripple_x"] - 0.02 * (c.x**2 + (c.y + 12.0) ** 2)
    d = jnp.minimum(union(d, between, 6.0), c.cavity)
    c.paint(d, hu + 2.0 * c.noise["lump"], 1.8)
    # Organs that are painted over it take its bit away.
    c.mark(owner, d > 0)


def organs(c: Canvas) -> None:
    """Lesions in organs, stones, cysts, and a wide aorta."""
    liver, before = c.shows("liver"), c.hu
    c.sites("liver_lesion", lambda site: _in_liver(c, site, liver, before))
    c.sites("hydronephrosis", lambda site: _wide_pelvis(c, site))
    c.sites("renal_cyst", lambda site: _cyst(c, site))
    c.sites("renal_mass", lambda site: _mass(c, site))
    c.sites("kidney_stone", lambda site: _stone(c, site))
    c.sites("gallstone", lambda site: _gallstone(c, site))
    c.sites("aneurysm", lambda site: _sac(c, site))


def _round(c: Canvas, site: Array) -> Map:
    return ellipse(c.x, c.y, *(site[k] for k in range(5)))


def _in_liver(c: Canvas, site: Array, liver: Array, before: Map) -> None:
    rx, hu, owner, soft, rim = (site[k] for k in (2, 5, 6, 7, 8))
    lobes = jnp.maximum(
        outline(c.s["liver_shape"], c.x, c.y), outline(c.s["left_lobe_shape"], c.x, c.y)
    )
    bumpy = 0.10 * rx * (c.noise["ripple_x"] + 0.5 * c.noise["lump"]) * (soft > 2.5)
    d = jnp.minimum(_round(c, site) + bumpy, lobes - 0.5)
    core = hu + (rim - hu) * step(3.0 - d, 4.0) * (rim > -900)
    c.paint(d, core + 3.0 * c.noise["fine"] * (soft > 2.5), 1.2)
    # What lies in front of the liver stays in front.
    c.hu = jnp.where(liver, c.hu, before)
    c.mark(owner, (d > 0) & liver)


def _wide_pelvis(c: Canvas, site: Array) -> None:
    cx, cy, hu, owner, facing, size = (site[k] for k in (0, 1, 5, 6, 7, 8))
    d = _round(c, site)
    for k in (-1.0, 0.0, 1.0):
        angle = facing + 0.85 * k
        reach = size * (1.0 - 0.18 * abs(k))
        x, y = cx + reach * jnp.cos(angle), cy + reach * jnp.sin(angle)
        d = union(d, ellipse(c.x, c.y, x, y, 0.42 * size, 0.5 * size, angle), 5.0)
    c.paint(d, hu, 1.6)
    c.mark(owner, d > 0)


def _cyst(c: Canvas, site: Array) -> None:
    d = _round(c, site)
    c.paint(d, site[5], 1.3)
    c.mark(site[6], d > 0)


def _mass(c: Canvas, site: Array) -> None:
    rx, hu, owner, necrosis = (site[k] for k in (2, 5, 6, 7))
    d = _round(c, site) + 0.09 * rx * c.noise["ripple_y"]
    dead = jnp.clip(c.noise["ripple_x"] + necrosis, 0.0, 1.0) * step(d - 4.0, 5.0)
    c.paint(d, hu - 55.0 * dead + 9.0 * c.noise["lump"], 1.4)
    c.mark(owner, d > 0)


def _stone(c: Canvas, site: Array) -> None:
    d = _round(c, site)
    c.paint(d, site[5], 1.0)
    c.mark_small(site, d)


def _gallstone(c: Canvas, site: Array) -> None:
    d = jnp.minimum(_round(c, site), outline(c.s["gallbladder_shape"], c.x, c.y) - 1.2)
    # Many stones are denser at the surface.
    c.paint(d, site[5] * (0.72 + 0.45 * step(2.2 - d, 1.5)), 1.0)
    c.mark_small(site, d)


def _sac(c: Canvas, site: Array) -> None:
    cx, cy, rx, ry, turn, hu, owner, lumen = (site[k] for k in range(8))
    sac = _round(c, site) + 0.8 * c.noise["ripple_x"]
    c.paint(sac + 1.5, -95.0, 1.2, 0.9)
    c.paint(sac, 42.0 + 3.0 * c.noise["fine"], 1.2)
    inner = ellipse(c.x, c.y, cx + 2.0, cy + 2.5, rx * lumen, ry * lumen, turn)
    c.paint(jnp.minimum(inner, sac - 2.0), hu, 1.6)
    shell = jnp.minimum(sac, 1.2 - sac) - 9.0 * (c.noise["ripple_y"] < 0.9)
    c.paint(shell, 480.0, 1.2, 0.8)
    c.mark(owner, sac > 0)
