"""Findings as changes of the lungs: where air is replaced, which vessels are lost, what is added.

Every function reads the slots of :mod:`data_gen.phantom.chest_xray.picture.signs` and returns
maps together with the truth bits: bit ``FINDING_BIT + i`` of the truth map is set where finding
``i`` is.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt32

from data_gen.phantom.chest_xray.picture.anatomy import chest_half_width, hila, lung_point, step

Params = dict[str, Any]
Map = Float[Array, "h w"]
Truth = UInt32[Array, "h w"]

LEFT_LUNG_BIT, RIGHT_LUNG_BIT, HEART_BIT, LEFT_HALF_BIT, FINDING_BIT = 0, 1, 2, 3, 4


class Change(NamedTuple):
    """What findings do to the lungs.

    Attributes:
      kept: 0 to 1, the share of the air path that stays air.
      veil: 0 to 1, the share that stays air, where vessels remain visible through the loss.
      density: factor of the density of the lung that still holds air.
      vessels: 0 to 1, factor of the vessels.
      bronchi: 0 to 1, how far bronchi show as dark branches where vessels would be.
      soft: mm of added soft tissue.
      mineral: mm of added mineral.
      interstitium: factor of the fine lung texture.
      truth: bits.
    """

    kept: Map
    veil: Map
    density: Map
    vessels: Map
    bronchi: Map
    soft: Map
    mineral: Map
    interstitium: Map
    truth: Truth


def owner_bit(owner: Array, where: Bool[Array, "h w"]) -> Truth:
    """Sets the bit of finding ``owner`` (float, -1: none) where ``where`` holds."""
    shift = jnp.maximum(owner, 0.0).astype(jnp.uint32) + FINDING_BIT
    return jnp.where(where & (owner >= 0), jnp.uint32(1) << shift, jnp.uint32(0))


def _slots(a: Params, kind: str) -> Params:
    prefix = f"{kind}_"
    return {k[len(prefix) :]: v for k, v in a.items() if k.startswith(prefix)}


def _slot(a: Params, kind: str, i: int) -> Params:
    return {name: values[i] for name, values in _slots(a, kind).items()}


def _opacity(
    a: Params, s: Params, c: Params, x: Map, y: Map, noise: Params
) -> tuple[Map, Map, Truth]:
    """One lobe or patch: (opacity 0 to 1, bronchi 0 to 1, truth)."""
    cx, cy = lung_point(a, s["side"], s["u"], s["v"])
    cos, sin = jnp.cos(s["angle"]), jnp.sin(s["angle"])
    dx, dy = x - cx, y - cy
    along, across = (dx * cos + dy * sin), (dy * cos - dx * sin)
    wobble = jnp.cos(s["turn"]) * noise["broad"] + jnp.sin(s["turn"]) * noise["broad_2"]
    # A collapsed lower lobe is a triangle that narrows upwards.
    narrow = jnp.clip(0.6 - 0.6 * across / (s["b"] + 1e-3), 0.0, 1.0)
    half = s["a"] * (1.0 - s["taper"] * narrow)
    inside = 1.0 - (along / (half + 1e-3)) ** 2 - (across / (s["b"] + 1e-3)) ** 2
    inside = inside + s["warp"] * wobble + 0.15 * s["warp"] * noise["patch"]
    # Fissures run a little downhill towards the side.
    v = c["v"] - 0.06 * (c["u"] - 0.5) + 0.008 * wobble
    sharp = jnp.where(s["bottom"] < 1.0, step(s["bottom"] - v, 0.02), 1.0)
    sharp = sharp * jnp.where(s["top"] > 0.0, step(v - s["top"], 0.02), 1.0)
    lung = (c["left"] == (s["side"] > 0)) * (s["on"] * sharp)
    shape = step(inside - 0.25 * s["edge"], s["edge"] + 0.05) * lung
    grain = jnp.clip(1.0 + s["mottle"] * (0.6 * noise["patch"] + 0.3 * noise["fine"]), 0.0, 1.9)
    seen = jnp.maximum(c["field"], s["behind_heart"] * (c["above"] > 0))
    truth = owner_bit(s["owner"], (shape > 0.35) & (seen > 0.5))
    opacity = jnp.clip(s["density"] * shape * grain, 0.0, 0.97)
    return opacity, shape * s["bronchogram"], truth


def _nodule(
    a: Params, s: Params, c: Params, x: Map, y: Map, noise: Params
) -> tuple[Map, Map, Truth]:
    """One nodule or mass: (mm of soft tissue, mm of mineral, truth)."""
    cx, cy = lung_point(a, s["side"], s["u"], s["v"])
    dx, dy = x - cx, y - cy
    far = jnp.sqrt(dx**2 + dy**2) + 1e-3
    cos, sin = dx / far, dy / far
    far = far * (1.0 + 0.10 * noise["broad_2"] + 0.05 * noise["patch"])
    # Powers of e^{i angle} give the harmonics of the outline without any arctangent.
    two = (cos * cos - sin * sin, 2 * cos * sin)
    three = (two[0] * cos - two[1] * sin, two[0] * sin + two[1] * cos)
    five = (three[0] * two[0] - three[1] * two[1], three[0] * two[1] + three[1] * two[0])
    eleven = (
        2 * five[0] * five[1] * cos + (five[0] ** 2 - five[1] ** 2) * -sin,
        (five[0] ** 2 - five[1] ** 2) * cos + 2 * five[0] * five[1] * sin,
    )
    p, q = jnp.cos(s["phase"]), jnp.sin(s["phase"])
    wave = 0.5 * (two[0] * p + two[1] * q) + 0.4 * (three[0] * q - three[1] * p)
    wave = wave + 0.35 * (five[0] * p - five[1] * q)
    radius = jnp.maximum(s["radius"], 0.5) * (1.0 + s["lobulation"] * wave)
    inside = jnp.maximum(1.0 - (far / radius) ** 2, 0.0)
    chord = 2.0 * radius * inside**0.7
    ray = jnp.maximum(eleven[0] * p + eleven[1] * q + 0.35 * wave, 0.0) ** 3
    reach = jnp.clip((1.7 * radius - far) / (0.75 * radius), 0.0, 1.0)
    spikes = s["spiculation"] * ray * reach * jnp.clip(far / radius, 0, 1) * 9.0
    truth = owner_bit(s["owner"], (far < radius) & (s["on"] > 0))
    soft = 1.45 * chord / (1.0 + chord / 55.0) + spikes
    # It takes the place of lung, so it cannot be thicker than the lung is there.
    soft = jnp.minimum(soft, 0.8 * c["air"] + 3.0)
    return s["on"] * soft, s["on"] * s["calcium"] * 0.30 * chord, truth


def _plate(a: Params, s: Params, c: Params, x: Map, y: Map) -> tuple[Map, Truth]:
    """One plate-like line: (mm of soft tissue, truth)."""
    cx, cy = lung_point(a, s["side"], s["u"], s["v"])
    cos, sin = jnp.cos(s["angle"]), jnp.sin(s["angle"])
    dx, dy = x - cx, y - cy
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    across = across + s["bend"] * along**2
    thick = jnp.maximum(s["thickness"], 0.5)
    ends = step(0.5 * s["length"] - jnp.abs(along), 12.0) * s["on"]
    line = jnp.exp(-((across / thick) ** 2)) * ends * c["field"]
    truth = owner_bit(s["owner"], (jnp.abs(across) < 1.5 * thick) & (ends * c["field"] > 0.4))
    return (9.0 + 4.0 * thick) * line, truth


def _effusion(a: Params, c: Params, y: Map, row: int) -> tuple[Map, Map, Truth]:
    """Fluid of one side: (kept, veil, truth)."""
    s = _slot(a, "effusion", row)
    here = (c["left"] == bool(row)) * s["on"]
    bottom = a["height"] + 56.0 * a["dome_curve"] * a["dome_flatness"] + a["dome_gap"] * row
    surface = bottom - s["level"] * bottom
    rise = 46.0 * jnp.minimum(1.0, 3.0 * s["level"])
    # The meniscus climbs the chest wall and, less, the mediastinum.
    surface = surface - rise * jnp.exp(-c["wall"] / 20.0) * (1.0 - 0.5 * s["level"])
    surface = surface - 0.3 * rise * jnp.exp(-jnp.maximum(c["u"], 0.0) * 8.0)
    fluid = step(y - surface - 5.0, 20.0) * here
    layer = s["layering"] * here * (0.34 + 0.46 * jnp.clip(c["v"], 0, 1.1))
    layer = layer + 0.5 * s["layering"] * here * jnp.exp(-c["wall"] / 5.0)
    upright = (fluid > 0.35) & (c["v"] < 1.6) & (c["wall"] > 0)
    upright = upright & (jnp.maximum(c["field"], 1.0 * (c["above"] < 0)) > 0.5)
    upright = upright & (c["above"] > -28.0) & (c["u"] > 0)
    flat = (layer > 0.1) & (c["field"] > 0.5)
    return (
        1.0 - 0.97 * fluid,
        1.0 - jnp.clip(layer, 0.0, 0.8),
        owner_bit(s["owner"], upright | flat),
    )


def _pneumothorax(a: Params, c: Params, y: Map, row: int) -> tuple[Map, Map, Truth]:
    """Free air of one side: (1 in the pleural space, pleural line 0 to 1, truth)."""
    s = _slot(a, "pneumothorax", row)
    here = (c["left"] == bool(row)) * s["on"]
    down = s["width"] * s["apex"]
    taper = 1.0 - 0.62 * jnp.clip(c["v"], 0.0, 1.2)
    wave = 2.5 * jnp.sin(y / 23.0 + s["phase"]) + 1.5 * jnp.sin(y / 9.5 + 2.0 * s["phase"])
    inner = chest_half_width(a, y - down) - s["width"] * taper + wave - c["side"]
    # Rounded apex of the collapsed lung.
    inner = jnp.minimum(inner, 1.3 * (y - down) - 0.010 * (c["side"] - 0.40 * a["thorax"]) ** 2)
    free = step(-inner, 2.5) * here * c["field"]
    line = jnp.exp(-((inner / 1.25) ** 2)) * here * c["field"]
    return free, line, owner_bit(s["owner"], free > 0.5)


def apply(a: Params, used: Mapping[str, Array], c: Params, x: Map, y: Map, noise: Params) -> Change:
    """All findings of the lungs and pleurae.

    Args:
      a: parameters of the study.
      used: slots to draw of the kinds in :data:`signs.LOOPED`, for the whole batch; unused slots
        change nothing, so a smaller number only saves time.
      c: the maps of :func:`anatomy.cavity`.
      noise: unit-variance noise maps ``broad``, ``broad_2`` (centimetres), ``patch`` (about
        10 mm), ``fine`` (about 4 mm).
    """
    one = jnp.ones_like(x)
    kept, veil, density, vessels = one, one, one, one
    bronchi, soft, mineral = 0.0 * one, 0.0 * one, 0.0 * one
    interstitium, truth = one, jnp.zeros(x.shape, jnp.uint32)

    def add_opacity(i: Any, carry: Any) -> Any:
        kept, bronchi, soft, truth = carry
        s = _slot(a, "opacity", i)
        opacity, branches, bits = _opacity(a, s, c, x, y, noise)
        behind = s["behind_heart"] * (c["above"] > 0)
        soft = soft + behind * 22.0 * opacity * (1.0 - c["field"])
        kept, bronchi = kept * (1.0 - opacity), jnp.maximum(bronchi, branches)
        return kept, bronchi, soft, truth | bits

    def add_nodule(i: Any, carry: Any) -> Any:
        soft, mineral, truth = carry
        s = _slot(a, "nodule", i)
        tissue, calcium, bits = _nodule(a, s, c, x, y, noise)
        return soft + tissue, mineral + calcium, truth | bits

    def add_plate(i: Any, carry: Any) -> Any:
        soft, truth = carry
        s = _slot(a, "plate", i)
        tissue, bits = _plate(a, s, c, x, y)
        return soft + tissue, truth | bits

    carry = (kept, bronchi, soft, truth)
    kept, bronchi, soft, truth = jax.lax.fori_loop(0, used["opacity"], add_opacity, carry)
    carry = (soft, mineral, truth)
    soft, mineral, truth = jax.lax.fori_loop(0, used["nodule"], add_nodule, carry)
    soft, truth = jax.lax.fori_loop(0, used["plate"], add_plate, (soft, truth))

    s = _slot(a, "edema", 0)
    (rx, ry), (lx, ly) = hila(a)
    hx, hy = jnp.where(c["left"], lx + 14.0, rx - 14.0), jnp.where(c["left"], ly, ry) + 16.0
    spread = ((x - hx) / (54.0 * s["reach"] + 1.0)) ** 2 + (
        (y - hy) / (74.0 * s["reach"] + 1.0)
    ) ** 2
    wings = jnp.exp(-spread * jnp.clip(1.0 + 0.3 * noise["broad"], 0.2, 2.0)) * s["on"]
    haze = s["amount"] * wings * (0.75 + 0.25 * jnp.clip(c["v"], 0, 1))
    grain = jnp.clip(1.0 + 0.22 * noise["patch"] + 0.20 * noise["fine"], 0.1, 2.0)
    kept = kept * (1.0 - jnp.clip(0.62 * s["alveolar"] * haze * grain, 0.0, 0.92))
    veil = veil * (1.0 - 0.20 * s["amount"] * s["on"] * (0.4 + wings))
    vessels = vessels * (1.0 - 0.35 * s["amount"] * s["on"])
    interstitium = interstitium + 1.2 * s["amount"] * s["on"] * (0.6 + wings)
    rung = y + 0.16 * x * jnp.sign(x) + 2.2 * noise["patch"]
    rung = rung / 6.5 - jnp.round(rung / 6.5)
    kerley = (
        jnp.exp(-((rung / 0.13) ** 2)) * step(c["wall"] - 2.0, 2.0) * step(17.0 - c["wall"], 5.0)
    )
    kerley = kerley * step(c["v"] - 0.60, 0.1) * step(0.97 - c["v"], 0.1) * s["kerley"] * s["on"]
    soft = soft + 3.2 * s["amount"] * kerley * c["field"]
    truth = truth | owner_bit(s["owner"], (spread < 1.15) & (c["field"] > 0.5))

    s = _slot(a, "emphysema", 0)
    weight = s["amount"] * s["on"] * (1.0 - s["upper"] * 0.8 * jnp.clip(c["v"], 0, 1))
    density = density * (1.0 - 0.55 * weight)
    vessels = vessels * (1.0 - 0.60 * weight * jnp.clip(0.25 + c["u"], 0, 1))
    interstitium = interstitium * (1.0 - 0.4 * weight)
    truth = truth | owner_bit(s["owner"], c["field"] > 0.5)

    def add_bulla(i: Any, carry: Any) -> Any:
        open_, soft = carry
        s = _slot(a, "bulla", i)
        cx, cy = lung_point(a, s["side"], s["u"], s["v"])
        far = jnp.sqrt((x - cx) ** 2 + 0.8 * (y - cy) ** 2) + 2.5 * noise["broad_2"]
        shown = s["on"] * c["field"]
        wall = 2.0 * jnp.exp(-(((far - s["radius"]) / 1.2) ** 2)) * shown
        return jnp.maximum(open_, step(s["radius"] - far, 8.0) * shown), soft + wall

    open_, soft = jax.lax.fori_loop(0, used["bulla"], add_bulla, (0.0 * one, soft))
    density, vessels = density * (1.0 - 0.45 * open_), vessels * (1.0 - 0.95 * open_)
    interstitium = interstitium * (1.0 - 0.9 * open_)

    for row in range(2):
        fluid, layer, bits = _effusion(a, c, y, row)
        kept, veil, truth = kept * fluid, veil * layer, truth | bits
        free, line, bits = _pneumothorax(a, c, y, row)
        vessels = vessels * (1.0 - free)
        interstitium = interstitium * (1.0 - 0.97 * free)
        loss = a["pneumothorax_on"][row] * a["pneumothorax_width"][row] / 60.0
        collapsed = (c["left"] == bool(row)) * (1.0 - free)
        density = density * (1.0 - 0.92 * free) * (1.0 + 0.9 * loss * collapsed)
        soft, truth = soft + 3.4 * line, truth | bits
    return Change(kept, veil, density, vessels, bronchi, soft, mineral, interstitium, truth)
