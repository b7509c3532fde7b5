"""Bones as projected path lengths (mm of extra mineral), in the patient's adult millimetres.

A rib is a tilted ellipse seen from the front: with ``u`` the lateral distance over the half width
of the cage, its posterior arc is ``y = y_k + T_k (1 - sqrt(1 - u²)) / 2`` and its anterior arc the
same with a plus sign. Both spacing and tilt are linear in the rib's number, so the number is a
closed function of the pixel and all ribs cost as much as one.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from data_gen.phantom.chest_xray.picture.anatomy import chest_half_width, root, step

Params = dict[str, Any]
Map = Float[Array, "h w"]


def _tube(distance: Map, half: Array, cortex: Array) -> Map:
    """Path through a hollow tube: bright cortical edges around a fainter core."""
    outer = root(half**2 - distance**2)
    inner = root((half - 1.5) ** 2 - distance**2)
    return cortex * (outer - inner) + 0.62 * outer


def _arcs(a: Params, u: Map, y: Map, width: Map, front: bool) -> tuple[Map, Map, Map]:
    """(nearest rib number, perpendicular distance in mm, 1 / cosine of the obliquity)."""
    bow = root(1.0 - u**2)
    c = 0.5 * (1.0 + bow) if front else 0.5 * (1.0 - bow)
    spacing = a["rib_spacing"] * a["height"]
    tilt0, tilt1 = 52.0 * a["rib_tilt"], 6.0 * a["rib_tilt"]
    # Near the spine a posterior rib first rises a little.
    rise = 0.0 if front else -7.0 * u * (1.0 - u) * 2.0
    pitch = spacing + tilt1 * c
    number = (y - a["rib_top"] - tilt0 * c - rise) / pitch
    nearest = jnp.round(number)
    wander = 1.8 * jnp.sin(nearest * 2.4 + a["rib_seed"] + (1.5 if front else 0.0))
    distance = (number - nearest) * pitch + wander
    slope = (tilt0 + tilt1 * nearest) * 0.5 * u / (jnp.maximum(bow, 0.12) * width)
    return (
        nearest,
        distance / (1.0 + slope**2) ** 0.3,
        jnp.minimum(1.0 / jnp.maximum(bow, 0.3), 2.0),
    )


def ribs(a: Params, x: Map, y: Map) -> tuple[Map, Map]:
    """Posterior and anterior ribs with their fractures.

    Returns:
      (mineral path in mm, truth of the fractures as a map of 1 + slot index, 0 elsewhere).
    """
    xs = x - a["spine_bend"] * (1.0 - ((y - 0.5 * a["height"]) / a["height"]) ** 2)
    side = jnp.abs(xs)
    width = chest_half_width(a, y) + 5.0
    u = jnp.minimum(side / width, 1.0)
    inside = step(width - side, 4.0)
    number, distance, oblique = _arcs(a, u, y, width, front=False)
    break_, truth = jnp.ones_like(x), jnp.zeros_like(x)
    extra = jnp.zeros_like(x)
    for slot in range(a["fracture_on"].shape[0]):
        on = a["fracture_on"][slot]
        hit = (number == a["fracture_rib"][slot]) & (xs * a["fracture_side"][slot] > 0) & (on > 0)
        along = (u - a["fracture_u"][slot]) * width * oblique
        distance = jnp.where(hit, distance + a["fracture_step"][slot] * step(along, 3.0), distance)
        callus = a["fracture_callus"][slot]
        gap = jnp.exp(-((along / 1.8) ** 2)) * (1.0 - callus)
        break_ = jnp.where(hit, break_ * (1.0 - 0.95 * gap), break_)
        lump = jnp.exp(-((along / 8.0) ** 2) - (distance / 7.0) ** 2)
        extra = extra + jnp.where(hit, callus * 5.0 * lump, 0.0)
        near = hit & (jnp.abs(along) < 13.0) & (jnp.abs(distance) < a["rib_half"] + 5.0)
        truth = jnp.where(near, slot + 1.0, truth)
    half = a["rib_half"] * (1.0 - 0.22 * step(2.5 - number, 3.0))
    low = 1.0 - 0.75 * step(y - a["height"] - 15.0, 50.0)
    valid = (number >= 0) & (number <= 10)
    back = _tube(distance, half, a["rib_cortex"]) * oblique * break_
    back = jnp.where(valid, back, 0.0) * step(side - 14.0, 10.0)
    number, distance, oblique = _arcs(a, u, y, width, front=True)
    valid = (number >= 0) & (number <= 8)
    end = 0.40 + 0.035 * number
    # The rib turns into cartilage, which calcifies with age.
    bony = step(u - end, 0.05)
    cartilage = 0.5 * a["cartilage"] * step(u - 0.18, 0.1) * (1.0 - bony)
    front = _tube(distance, half * 1.05, 0.8 * a["rib_cortex"]) * oblique * (0.6 * bony + cartilage)
    front = jnp.where(valid, front, 0.0)
    return a["rib_density"] * ((back + front) * inside * low + extra), truth


def spine(a: Params, x: Map, y: Map) -> Map:
    """Vertebral bodies with end plates, discs, pedicles and spinous processes."""
    bend = a["spine_bend"] * (1.0 - ((y - 0.5 * a["height"]) / a["height"]) ** 2)
    xs = x - bend + 0.4 * a["rotation"]
    down = jnp.clip((y + 60.0) / 380.0, 0.0, 1.0)
    period = 0.096 * a["height"] * (0.82 + 0.36 * down)
    phase = (y + 140.0) / period
    near = phase - jnp.round(phase)
    body_half = 13.0 + 8.0 * down
    edge = step(body_half + 1.5 * (4 * near**2) - jnp.abs(xs), 4.0)
    disc = step(jnp.abs(near) - 0.41, 0.07)
    plate = jnp.exp(-(((jnp.abs(near) - 0.37) / 0.035) ** 2))
    bodies = edge * (5.5 * (1.0 - 0.6 * disc) + 2.4 * plate)
    rim = 1.6 * jnp.exp(-(((jnp.abs(xs) - body_half) / 2.0) ** 2)) * (1 - disc)
    pedicle = ((jnp.abs(xs) - 0.62 * body_half) / 3.2) ** 2 + ((near + 0.12) * period / 4.6) ** 2
    spinous = (xs / 2.6) ** 2 + ((near - 0.25) * period / 7.0) ** 2
    transverse = step(body_half + 17.0 - jnp.abs(xs), 8.0) * jnp.exp(
        -(((near + 0.1) * period / 4.5) ** 2)
    )
    detail = 3.5 * jnp.exp(-pedicle) + 4.0 * jnp.exp(-spinous) + 2.0 * transverse
    return a["spine_density"] * (bodies + rim + detail)


def girdle(a: Params, x: Map, y: Map) -> Map:
    """Clavicles, scapulae and humeri of both sides."""
    side = jnp.abs(x)
    signed = jnp.sign(x)
    half = jnp.asarray(5.6)
    shoulder_x = a["thorax"] + 0.5 * a["wall"] + 34.0
    # Clavicle: an S; rotation moves its medial end, which lies in front.
    t = (side - 16.0 - 0.9 * a["rotation"] * signed) / (shoulder_x - 26.0)
    tilt = a["clavicle_slope"] + 0.03 * a["asymmetry"] * signed
    line = a["clavicle_y"] + tilt * shoulder_x * t - 24.0 * t * (1.0 - t) * (2.2 - 3.6 * t)
    inside = step(t, 0.04) * step(1.0 - t, 0.05)
    flare = 1.0 + 0.45 * jnp.clip(1.0 - 6.0 * t, 0.0, 1.0) + 0.3 * jnp.clip(3.0 * t - 2.0, 0.0, 1.0)
    clavicle = 1.65 * _tube(
        (y - line) / jnp.sqrt(1.0 + tilt**2), half * flare, 1.1 * a["rib_cortex"]
    )
    clavicle = a["clavicle_density"] * clavicle * inside
    # Scapula: a thin blade with thick lateral border and spine.
    medial = a["thorax"] * 0.98 - a["scapula_in"] + 0.06 * jnp.maximum(y, 0)
    top, bottom = 8.0 + a["shoulder_y"], 150.0 + a["shoulder_y"]
    down = jnp.clip((y - top) / (bottom - top), 0.0, 1.0)
    lateral = medial + 4.0 + 52.0 * (1.0 - down) ** 1.6
    blade = step(side - medial, 3.0) * step(lateral - side, 3.0) * step(y - top, 5.0)
    blade = blade * step(bottom - y, 6.0)
    border = (
        jnp.exp(-(((lateral - 4.0 - side) / 4.6) ** 2)) * step(y - top, 10) * step(bottom - y, 20)
    )
    spine_line = top + 22.0 - 0.62 * (side - medial)
    ridge = jnp.exp(-(((y - spine_line) / 4.5) ** 2)) * step(side - medial, 8.0)
    ridge = ridge * step(shoulder_x + 12.0 - side, 10.0)
    scapula = 2.8 * blade + 2.4 * border + 4.5 * ridge
    hx, hy = shoulder_x + 6.0, 16.0 + a["shoulder_y"]
    radius = 22.0
    head = root(1.0 - ((side - hx) ** 2 + (y - hy) ** 2) / radius**2)
    axis = hx + 4.0 + a["arm_angle"] * (y - hy)
    across = (side - axis) / jnp.sqrt(1.0 + a["arm_angle"] ** 2)
    shaft = _tube(across, jnp.asarray(11.0), jnp.asarray(2.2)) * step(y - hy - 6.0, 14.0)
    rim = jnp.exp(-(((jnp.sqrt((side - hx) ** 2 + (y - hy) ** 2) - radius + 1.0) / 1.6) ** 2))
    humerus = 11.0 * head + 2.5 * rim * step(hy + 14 - y, 10.0) + 1.3 * shaft
    skull = root(1.0 - (x / 66.0) ** 2 - ((y + 150.0 + 30.0 * a["head"]) / 70.0) ** 2)
    return a["rib_density"] * (scapula + humerus + 14.0 * skull) + clavicle
