"""Soft anatomy of the chest as projected path lengths, in the patient's adult millimetres.

``x`` grows towards the image's right (the patient's left) from the midline, ``y`` grows downwards
from the lung apices; the top of the right dome is at ``y = height``. All maps are [h, w] in mm of
path unless said; all parameters are the scalars of
:mod:`data_gen.phantom.chest_xray.picture.scene`.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

Params = dict[str, Any]
Map = Float[Array, "h w"]


def step(x: Array, width: float | Array) -> Array:
    """Smooth step from 0 to 1 as ``x`` runs over ``width`` around zero."""
    t = jnp.clip(x / width + 0.5, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def root(x: Array) -> Array:
    """Square root, zero below zero."""
    return jnp.sqrt(jnp.maximum(x, 0.0))


def chest_half_width(a: Params, y: Array) -> Array:
    """Inner half width of the rib cage at height ``y``: a dome above, nearly straight below."""
    height = a["height"]
    t = jnp.clip(y / (0.30 * a["shape"] * height), 0.0, 1.0)
    bow = root(1.0 - (1.0 - t) ** 2)
    low = jnp.clip((y - 0.6 * height) / (0.5 * height), 0.0, 1.3)
    return a["thorax"] * (0.36 + 0.52 * bow + 0.12 * jnp.clip(y / height, 0.0, 1.0) + 0.03 * low)


def apex_border(a: Params, y: Array) -> Array:
    """Medial limit of the lung near its apex; with the chest wall it closes the dome at y = 0."""
    t = jnp.clip(y / (0.20 * a["height"]), 0.0, 1.0)
    return 0.36 * a["thorax"] * (1.0 - root(1.0 - (1.0 - t) ** 2))


def heart_extent(a: Params) -> tuple[Array, Array]:
    """Transverse reach (mm) of the heart right and left of the midline at its widest."""
    width = 2.0 * a["heart_ctr"][0] * chest_half_width(a, 0.92 * a["height"])
    share = 0.305 + 0.05 * a["asymmetry"]
    return share * width, (1.0 - share) * width


def mediastinum(a: Params, y: Array) -> tuple[Array, Array]:
    """Distance from the midline to the right and the left mediastinal and cardiac border."""
    height, column = a["height"], a["mediastinum"]
    right_reach, left_reach = heart_extent(a)
    top = jnp.clip(1.0 - y / (0.22 * height), 0.0, 2.0)
    vein = root(1.0 - ((y - 0.24 * height) / (0.20 * height)) ** 2)
    column_right = column * (0.80 + 0.22 * top + 0.16 * vein)
    column_left = column * (0.72 + 0.30 * top)
    # Right atrium: a convex arc. Left: knob, pulmonary trunk, then the ventricle's slope.
    centre = (0.76 - 0.4 * a["heart_lift"]) * height
    # Below its widest part the heart keeps its width: it rests on the diaphragm.
    tall = a["atrium"] * height * jnp.where(y > centre, 1.9, 1.0)
    arc = root(1.0 - ((y - centre) / tall) ** 2)
    atrium = column_right + (right_reach - column_right) * arc
    right = jnp.maximum(column_right, atrium)
    apex = (0.87 - a["heart_lift"]) * height
    t = jnp.clip((y - 0.36 * height) / (apex - 0.36 * height), 0.0, 1.0)
    slope = t * t * (3 - 2 * t)
    slope = a["heart_round"] * jnp.sqrt(slope + 1e-6) + (1 - a["heart_round"]) * slope
    below = 1.0 - 0.30 * jnp.clip((y - apex) / (a["heart_tail"] * height), 0.0, 1.2) ** 2
    ventricle = (column_left + (left_reach - column_left) * slope) * below
    knob_y, radius = 0.25 * height, a["aorta"]
    knob = column_left * 0.55 + radius * 1.15 * root(1.0 - ((y - knob_y) / (1.25 * radius)) ** 2)
    trunk = column_left * 0.75 + a["trunk"] * root(
        1.0 - ((y - 0.40 * height) / (0.11 * height)) ** 2
    )
    left = jnp.maximum(jnp.maximum(column_left, ventricle), jnp.maximum(knob, trunk))
    thymus = a["thymus"] * 16.0 * root(1.0 - ((y - 0.30 * height) / (0.22 * height)) ** 2)
    return right + thymus, left + 0.8 * thymus


def dome(a: Params, x: Array, row: int) -> Array:
    """Height ``y`` of a hemidiaphragm at lateral distance ``x`` (mm, positive) from the midline."""
    width = chest_half_width(a, a["height"])
    top = a["height"] + (a["dome_gap"] if row else 0.0) - a["lift"][row] + a["flat_drop"]
    crest = (0.48 + 0.05 * a["dome_wave"] * (1 - 2 * row)) * width
    out = jnp.clip((x - crest) / (width - crest), 0.0, 1.0)
    inward = jnp.clip((crest - x) / crest, 0.0, 1.0)
    curve = a["dome_curve"] * a["dome_flatness"]
    return top + curve * (58.0 * (1.0 - root(1.0 - out**2.2)) + 13.0 * inward**2)


def lung_point(a: Params, side: Array, u: Array, v: Array) -> tuple[Array, Array]:
    """Millimetres of a point of a lung: ``u`` 0 medial to 1 lateral, ``v`` 0 apex to 1 dome."""
    gap = a["dome_gap"] * (side > 0)
    lift = jnp.where(side > 0, a["lift"][1], a["lift"][0])
    y = v * (a["height"] + gap - lift + a["flat_drop"])
    right, left = mediastinum(a, y)
    inner = jnp.maximum(jnp.where(side > 0, left, right), apex_border(a, y))
    x = inner + u * (chest_half_width(a, y) - inner)
    return side * x + a["shift"] * (1 - u), y


def hila(a: Params) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Centres (x, y) of the right and the left hilum; the left one is higher."""
    shift = a["shift"] + 0.7 * a["rotation"]
    right = (-a["mediastinum"] - 4.0 + shift, 0.43 * a["height"])
    return right, (a["mediastinum"] + 2.0 + shift, 0.385 * a["height"])


def body(a: Params, x: Map, y: Map) -> Map:
    """Path of the ray through the body, bones and lungs taken as soft tissue."""
    side = jnp.abs(x)
    wall = a["wall"]
    trunk = chest_half_width(a, jnp.maximum(y, 0.45 * a["height"])) + wall + 12.0
    shoulder_y = a["shoulder_y"] - 62.0
    # The outline runs from the neck over the shoulder and down to the axilla.
    yoke = step(75.0 - y, 110.0) * (84.0 + 0.3 * wall)
    half = trunk + yoke
    thick = (a["depth"] + 2.0 * wall + 18.0) * (0.80 + 0.20 * step(y - 60.0, 170.0))
    chord = thick * root(1.0 - (side / half) ** 4)
    slope = shoulder_y + 0.26 * jnp.maximum(side - a["neck"], 0.0) + 0.0006 * side**2
    rise = jnp.clip((y - slope) / 85.0, 0.0, 1.0)
    ramp = root(rise * (2.0 - rise))
    trunk_path = chord * ramp
    neck_half = a["neck"] * (1.0 + 0.15 * step(y + 30.0, 60.0))
    neck = 2.0 * root(neck_half**2 - (x - 0.4 * a["rotation"]) ** 2) * step(40.0 - y, 60.0)
    # Arms hang from the shoulders, more or less abducted.
    shoulder_x = a["thorax"] + 0.6 * wall + 34.0
    arm_radius = 40.0 + 0.55 * wall
    axis = shoulder_x + a["arm_angle"] * jnp.maximum(y - 10.0, 0.0) + 8.0
    arm = 2.0 * root(arm_radius**2 - (side - axis) ** 2 / (1 + a["arm_angle"] ** 2))
    arm = arm * step(y - slope - 12.0, 60.0)
    head_y = -150.0 - 30.0 * a["head"]
    head = 150.0 * root(1.0 - (x / 72.0) ** 2 - ((y - head_y) / 78.0) ** 2)
    breast_y = (0.60 + 0.22 * a["breast_drop"]) * a["height"]
    bx = (side - 0.58 * a["thorax"]) / (0.46 * a["thorax"])
    by = (y - breast_y + 6.0 * bx) / (0.36 * a["height"])
    # Steeper below: the breast's lower edge is its sharp one.
    round_ = 1.0 - bx**2 - jnp.where(by > 0, 2.0 * by, by) ** 2
    breast = 52.0 * a["breast"] * jnp.maximum(round_, 0.0)
    px = (side - 0.62 * a["thorax"] - 0.10 * y) / 60.0
    muscle = (
        20.0
        * a["pectoral"]
        * root(1.0 - px**2)
        * step(y - 30, 60)
        * step(0.55 * a["height"] - y, 26.0)
    )
    return (
        jnp.maximum(jnp.maximum(trunk_path, neck), head)
        + jnp.maximum(arm - 0.5 * trunk_path, 0.0)
        + breast
        + muscle
    )


def cavity(a: Params, x: Map, y: Map, pitch: Array) -> dict[str, Map]:
    """Air path of both lungs before any finding, and the fields that findings are drawn with.

    Returns a dict of maps: ``air`` (mm of lung along the ray), ``above`` (mm above the dome,
    negative below), ``wall`` (mm inside the chest wall), ``side`` (mm from the midline), ``u`` and
    ``v`` (lung coordinates), ``field`` (0 to 1, the lung field as a radiologist outlines it),
    ``heart_field`` (0 to 1), ``left`` (bool, the patient's left half).
    """
    xs = x - a["spine_bend"] * (1.0 - ((y - 0.5 * a["height"]) / a["height"]) ** 2)
    left = xs > 0
    side = jnp.abs(xs)
    width = chest_half_width(a, y)
    lateral = side / width
    edge = jnp.maximum(2.0, 1.2 * pitch)
    chord = a["depth"] * root(1.0 - lateral**3)
    apex = jnp.clip(y / (0.30 * a["height"]), 0.0, 1.0)
    chord = chord * (0.45 + 0.55 * root(apex))
    border = apex_border(a, y)
    tip = root(jnp.clip((side - border) / 14.0, 0.0, 1.0)) * step(y - 1.0, edge)
    xm = xs - a["shift"] - 0.7 * a["rotation"]
    right_border, left_border = mediastinum(a, y)
    inner = jnp.where(xm > 0, left_border, right_border)
    beside = jnp.abs(xm) - inner
    # Behind the heart some lung remains; behind the column very little.
    heart_path = 0.72 * a["depth"] * root(1.0 - (jnp.abs(xm) / (inner + 0.5)) ** 2) ** 0.7
    column = 0.40 * a["depth"] * step(a["mediastinum"] * 0.85 - jnp.abs(xm), 20.0)
    upper = 0.42 + 0.58 * step(y - 0.20 * a["height"], 0.30 * a["height"])
    heart_path = (heart_path + column) * upper
    right_dome, left_dome = dome(a, side, 0), dome(a, side, 1)
    above = jnp.where(left, left_dome, right_dome) - y
    # Lung reaches behind the dome into the posterior sulcus, fading out downwards.
    sulcus = 0.16 * jnp.clip(1.0 + above / 60.0, 0.0, 1.0) ** 3
    over = sulcus + (1.0 - sulcus) * step(above, edge)
    air = jnp.maximum(chord * tip - heart_path, 0.0) * over
    field = step(width - side, edge) * step(side - border, edge) * step(beside, edge)
    field = field * step(above, edge) * step(y, edge)
    reach = jnp.maximum(width - inner, 20.0)
    heart_field = step(-beside, edge) * step(y - 0.40 * a["height"], edge)
    heart_field = heart_field * step(a["height"] + 6.0 - 0.06 * side - y, edge)
    return {
        "air": air,
        "above": above,
        "wall": width - side,
        "side": side,
        "u": beside / reach,
        "v": y / (y + jnp.maximum(above, -0.2 * a["height"]) + 1e-3),
        "field": field,
        "heart_field": heart_field,
        "left": left,
    }


def airways(a: Params, x: Map, y: Map) -> Map:
    """Air path (mm) of the trachea, the carina and the main bronchi."""
    carina, radius = 0.30 * a["height"], a["trachea"]
    xt = (
        x
        - 0.8 * a["shift"]
        - 0.5 * a["rotation"]
        + 0.10 * a["aorta"] * step(y - 0.16 * a["height"], 40.0)
    )
    tube = 2.0 * root(radius**2 - xt**2) * step(carina - y, 8.0) * step(y + 120.0, 40.0)
    t = jnp.maximum(y - carina + 2.0, 0.0)
    slope = jnp.where(xt < 0, 0.50, 0.95)
    offset = jnp.abs(xt) - 3.0 - slope * t
    bronchus = 2.0 * root((0.68 * radius) ** 2 - offset**2 / (1 + slope**2))
    length = jnp.where(xt < 0, 34.0, 36.0)
    return jnp.maximum(tube, bronchus * step(length - t, 26.0) * step(t - 1.0, 4.0))


def gas(a: Params, x: Map, y: Map, noise: Map) -> Map:
    """Gas (mm) of the stomach and the colon under the left dome; ``noise`` roughens its outline."""
    sx = a["stomach_x"] * a["thorax"]
    sy = dome(a, sx, 1) + 24.0
    on = step(a["stomach"] - 0.5, 0.3)
    dx, dy = (x - sx) / (26.0 + 22.0 * a["stomach"]), (y - sy) / (11.0 + 12.0 * a["stomach"])
    bubble = 34.0 * on * root(1.0 - dx**2 - dy**2 * jnp.where(dy > 0, 1.6, 1.0) + 0.3 * noise)
    cx, cy = (x - 1.15 * sx) / 26.0, (y - sy - 48.0) / 22.0
    colon = 40.0 * step(a["bowel"] - 0.55, 0.4) * root(1.0 - cx**2 - cy**2 + 0.7 * noise)
    cx, cy = (x + 0.6 * sx) / 42.0, (y - sy - 80.0) / 18.0
    colon = colon + 32.0 * step(a["bowel"] - 0.7, 0.3) * root(0.8 - cx**2 - cy**2 + 0.9 * noise)
    return bubble + colon
