"""Findings of the head: blood, lost tissue, wide ventricles, a pushed midline, with their truth."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from data_gen.phantom.ct.picture.canvas import Canvas
from data_gen.phantom.ct.picture.shapes import Map, capsule, ellipse, step


def _bump(x: Map, y: Map) -> Map:
    near = step(54.0 - jnp.abs(x), 24.0) * step(54.0 - jnp.abs(y), 24.0)
    return near * jnp.exp(-((x / 32.0) ** 2) - (y / 44.0) ** 2)


def push(c: Canvas) -> None:
    """Moves what lies near the midline, all but the ends of the falx."""
    shift, owner = c.s["shift"][0, 7], c.s["shift"][0, 6]
    amount = jnp.where(owner >= 0, shift, 0.0)
    moved = _bump(c.x - 0.6 * amount, c.y)
    c.mark(owner, moved > 0.35)
    c.x = c.x - amount * moved


def horns(c: Canvas, wide: Array) -> Map:
    """Distance to the ventricles; with ``wide`` 1 as hydrocephalus leaves them."""
    owner, swell = c.s["hydro"][0, 6], c.s["hydro"][0, 7]
    grow = 1.0 + wide * jnp.where(owner >= 0, swell, 0.0)

    def add(d: Map, stroke: Array) -> tuple[Map, None]:
        x0, y0, x1, y1, r0, r1 = stroke
        # A horn that swells keeps clear of the midline; the third ventricle swells on it.
        out0, out1 = jnp.sign(x0) * (grow - 1.0) * r0, jnp.sign(x1) * (grow - 1.0) * r1
        return jnp.maximum(
            d, capsule(c.x, c.y, x0 + 0.75 * out0, y0, x1 + 0.75 * out1, y1, r0 * grow, r1 * grow)
        ), None

    start = jnp.full_like(c.x, -99.0)
    d, _ = jax.lax.scan(add, start, c.s["horns"])
    return d + 0.35 * c.noise["ripple_x"]


def blood_in_fluid(c: Canvas, inner: Map) -> Map:
    """0 to 1: how much of the fluid in furrows and cisterns is blood."""
    total = jnp.zeros_like(inner)
    for i in range(2):
        cx, cy, rx, ry, turn, _, owner, _, _ = c.s["subarachnoid"][i]
        d = ellipse(c.x, c.y, cx, cy, rx, ry, turn) + 5.0 * c.noise["bend_x"]
        total = jnp.maximum(total, step(d, 9.0) * (owner >= 0))
    return total


def mark_blood(c: Canvas, wet: Map, blood: Map, inner: Map) -> None:
    """The truth of subarachnoid blood: fluid spaces in which it is."""
    for i in range(2):
        c.mark(c.s["subarachnoid"][i, 6], (wet > 0.3) & (blood > 0.4) & (inner > 0))


def _wedge(c: Canvas, inner: Map) -> Map:
    """Distance to the territory of an infarct: a wedge that widens to the surface, or a dot."""
    cx, cy, rx, ry, turn, _, owner, spread, _ = c.s["infarct"][0]
    dx, dy = c.x - cx, c.y - cy
    rho = jnp.hypot(dx, dy)
    ahead = (dx * jnp.cos(turn) + dy * jnp.sin(turn)) / (rho + 1e-3)
    off = jnp.arccos(jnp.clip(ahead, -0.999, 0.999))
    wedge = jnp.minimum((spread - off) * rho, rho - rx)
    wedge = jnp.minimum(wedge, rx + ry - rho) + 3.2 * c.noise["ripple_y"] + 2.0 * c.noise["bend_x"]
    dot = ellipse(c.x, c.y, cx, cy, rx, ry, turn) + 0.6 * c.noise["ripple_x"]
    d = jnp.where(spread > 0.0, wedge, dot)
    return jnp.where(owner >= 0, jnp.minimum(d, inner - 0.5), -99.0)


def tissue(c: Canvas, tissue: Map, inner: Map, pattern: Map) -> Map:
    """The brain with an infarct: dark, and grey and white matter alike."""
    d = _wedge(c, inner)
    alpha = step(d, 4.0)
    hu, owner = c.s["infarct"][0, 5], c.s["infarct"][0, 6]
    c.mark(owner, d > 0)
    del pattern
    return tissue + alpha * (hu + 0.25 * (tissue - 33.0) - tissue)


def effaced(c: Canvas) -> Map:
    """0 to 1: where swelling has closed the furrows."""
    return 0.75 * step(_wedge(c, jnp.full_like(c.x, 99.0)), 6.0)


def after_tissue(c: Canvas) -> None:
    """The infarct where it takes in the ganglia."""
    d = _wedge(c, jnp.full_like(c.x, 99.0))
    hu = c.s["infarct"][0, 5]
    deep = step(d, 4.0) * step(c.hu - hu - 2.0, 4.0) * (c.hu < 45.0)
    c.hu = c.hu + 0.7 * deep * (hu + 1.0 - c.hu)


def swollen(c: Canvas, ventricle: Map) -> None:
    """The truth of hydrocephalus: the ventricles."""
    c.mark(c.s["hydro"][0, 6], ventricle > 0)


def bleeding(c: Canvas) -> None:
    """Blood within the brain with its rim of edema, over whatever it has broken into."""
    c.sites("hematoma", lambda site: _bleeding(c, site))


def _bleeding(c: Canvas, site: Array) -> None:
    cx, cy, rx, ry, turn, hu, owner, rim, _ = site
    d = ellipse(c.x, c.y, cx, cy, rx, ry, turn)
    d = d + 0.13 * rx * (c.noise["ripple_x"] + 0.6 * c.noise["bend_y"])
    c.paint(d + rim, 21.0 + 1.5 * c.noise["lump"], 3.0, 0.85)
    c.paint(d, hu + 3.0 * c.noise["lump"] + 2.0 * c.noise["ripple_y"], 2.0)
    c.mark(owner, d > 0)


def extra_axial(c: Canvas, inner: Map) -> None:
    """Blood between skull and brain: a crescent (subdural) or a lens (epidural)."""
    theta = jnp.arctan2(c.plain_y, c.plain_x)
    for name, power in (("subdural", 0.75), ("epidural", 1.35)):
        facing, spread, hu, owner, thick, mix = (c.s[name][0, k] for k in (0, 1, 5, 6, 7, 8))
        off = jnp.abs(jnp.arctan2(jnp.sin(theta - facing), jnp.cos(theta - facing))) / spread
        profile = jnp.clip(1.0 - off * off, 0.0, 1.0) ** power
        ragged = 0.6 * c.noise["ripple_x"] * (power < 1.0)
        edge = thick * profile + ragged - inner
        d = jnp.where(owner >= 0, jnp.minimum(edge, inner + 0.4), -99.0)
        # The falx keeps it on its side.
        d = jnp.where((off < 1.0) & (c.plain_x * jnp.cos(facing) > 1.5), d, -99.0)
        # Old and new blood in one collection settle: the denser part lies behind.
        layered = hu + mix * jnp.clip(c.plain_y / 60.0, -1.0, 1.0) * 16.0
        c.truth = jnp.where(d > 0, jnp.uint32(0), c.truth)
        c.paint(d, layered + 2.5 * c.noise["lump"] + 2.0 * c.noise["ripple_y"], 1.6)
        c.mark(owner, d > 0)
