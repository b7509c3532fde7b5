"""The head in an axial slice between the basal ganglia and the bodies of the lateral ventricles.

Coordinates are millimetres from the middle of the head: x grows towards the patient's left (the
picture's right), y towards the back.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from data_gen.phantom.fields import (
    Map,
    Params,
    cover,
    ellipse,
    hold,
    interference,
    tube,
    turns,
    union,
    wavy,
)


class Head(NamedTuple):
    """Where things are; distances in mm, positive inside.

    Attributes:
      inside: to the inner table of the skull.
      cortex: to the nearest cerebrospinal fluid outside the ventricles.
      ventricle: to the ventricles.
    """

    inside: Map
    cortex: Map
    ventricle: Map


def skull(a: Params, x: Array, y: Array) -> Map:
    """Distance to the inner table of the skull."""
    wide = a["half_width"] * (
        1.0 + 0.10 * y / a["half_length"] - 0.05 * (y / a["half_length"]) ** 2
    )
    wide = wide * (1.0 + a["skew"] * 0.03 * jnp.sign(x) * y / a["half_length"])
    rho = jnp.sqrt(x * x + y * y + 1e-3)
    q = jnp.sqrt((x / wide) ** 2 + (y / a["half_length"]) ** 2 + 1e-6)
    return rho / q - rho + wavy(turns(x, -y), a["skull_waves"])


def ventricles(a: Params, x: Array, y: Array) -> Map:
    """Distance to the lateral and third ventricles."""
    u, big = a["level"], a["ventricle"]
    side = jnp.where(x > 0, 1.0 + a["uneven"], 1.0 - a["uneven"])
    ax = jnp.abs(x - a["bow"] * (1 - (y / 80.0) ** 2))
    r = big * side
    # Horns in front, bodies above the thalami, atria and the horns behind.
    spread = 1.0 - 0.35 * u
    front = [
        (5.0 + 9.5 * spread, -33.0 + 4 * u),
        (5.5 + 5.0 * spread, -25.0),
        (4.5 + 1.5 * u, -14.0),
        (3.0 + 5.5 * u, -4.0 + 2 * u),
    ]
    radii = [2.2 * r, 3.6 * r, 2.7 * r + 1.2 * u * r, (0.2 + 2.9 * u) * r]
    horn = tube(ax, y, front, radii)
    middle = [(3.0 + 5.5 * u, -4.0), (9.0 + 3 * u, 10.0), (16.0 + 1.5 * u, 24.0)]
    body = tube(ax, y, middle, [(5.2 * u - 1.9) * r, (5.6 * u - 2.1) * r, (3.2 * u + 0.7) * r])
    back = [(17.0, 24.0), (23.0, 33.0), (23.5, 44.0), (20.0, 55.0)]
    gone = 1.0 - 1.05 * u
    atrium = tube(ax, y, back, [2.2 * r * gone, 4.3 * r * gone, 2.9 * r * gone, 0.5 * r * gone])
    lateral = union(union(horn, body, 3.0), atrium, 3.0)
    third = tube(ax, y, [(0.0, 0.0), (0.0, 11.0)], [1.5 * big, 1.9 * big]) - 7.0 * jnp.maximum(
        u - 0.25, 0
    )
    return jnp.maximum(lateral + 0.5 * a["mid"], third)


def folds(a: Params, x: Array, y: Array, inside: Map) -> tuple[Map, Map]:
    """Distance to the fluid of sulci and fissures (negative in it), and the midline fissure's."""
    warp_x, warp_y = 6.5 * a["mid"] + 0.9 * a["fine"], 6.5 * a["mid_2"] + 0.9 * a["fine_2"]
    wide = a["sulcus"] * (1.0 + 0.35 * a["mid_3"])
    surface = inside - a["gap"] * (1.0 + 0.30 * a["mid_2"])
    rho = jnp.sqrt(x * x + y * y + 1e-3)
    s = jnp.arctan2(x, -y) * 76.0
    squeeze = 76.0 / jnp.maximum(rho, 25.0)
    value, slope = interference(a["outer_waves"], s + warp_x, surface + warp_y, squeeze)
    depth = jnp.maximum(15.0 + 2.0 * a["level"] + 6.5 * a["mid_3"], 5.0)
    beyond = jnp.maximum(surface - depth, 0.0)
    outer = jnp.sqrt((value / slope) ** 2 + beyond**2 + 1e-4)
    # Sulci gape at the surface and close towards their floor.
    outer = hold(outer - wide * (1.35 - 0.045 * jnp.minimum(surface, 20.0)))

    middle = x - a["bow"] * (1 - (y / 90.0) ** 2) - 0.35 * a["mid_2"]
    front, rear = -38.0 - 5.0 * (1 - a["level"]), 33.0 + 13.0 * a["level"]
    between = jnp.maximum(jnp.minimum(y - front, rear - y), 0.0)
    fissure = jnp.sqrt(middle**2 + between**2 + 1e-4) - 0.33 * a["gap"]

    value, slope = interference(a["inner_waves"], y + warp_y, jnp.abs(x) + warp_x)
    off = jnp.maximum(jnp.abs(x) - 12.0, 0.0) + between
    inner = hold(jnp.sqrt((value / slope) ** 2 + off**2 + 1e-4) - 0.75 * wide)

    low = jnp.clip(1.0 - 1.7 * a["level"], 0.0, 1.0)
    ax, sy, rim = jnp.abs(x) + 0.4 * warp_x, y + 0.4 * warp_y, a["half_width"]
    stem = [(rim, -14.0), (0.74 * rim, -10.0), (0.60 * rim, -14.0)]
    island = [(0.60 * rim, -17.0), (0.565 * rim, 0.0), (0.61 * rim, 16.0)]
    sylvian = jnp.maximum(
        tube(ax, sy, stem, [2.0, 1.5, 1.0]), tube(ax, sy, island, [0.8, 1.3, 0.7])
    )
    fissures = -(sylvian + 0.5 * wide) + 40.0 * (1.0 - low)
    cistern = tube(jnp.abs(x), y, [(0.0, 26.0), (9.0, 22.0)], [2.6, 0.8])
    cistern = -cistern + 25.0 * jnp.maximum(a["level"] - 0.22, 0.0)
    near = jnp.minimum(jnp.minimum(outer, inner), jnp.minimum(fissures, cistern))
    return jnp.minimum(jnp.minimum(near, fissure), surface), fissure


def distances(a: Params, x: Array, y: Array, px: Array, py: Array) -> dict[str, Map]:
    """Distances to the surfaces of the head, as :func:`draw` wants them.

    Args:
      x, y: place in the resting head.
      px, py: place where the brain's part came from, which a mass or fluid has pushed.
    """
    inside, moved = hold((skull(a, x, y), skull(a, px, py)))
    cortex, fissure = folds(a, px, py, moved)
    ventricle = ventricles(a, px, py)
    return {
        "inside": inside,
        "moved": moved,
        "cortex": cortex,
        "fissure": fissure,
        "ventricles": ventricle,
    }


def draw(a: Params, x: Array, y: Array, px: Array, py: Array) -> Map:
    """Signal of the healthy head; places as in :func:`distances`."""
    g, pitch = a["grey"], a["pitch"]
    inside, moved, cortex, fissure = a["inside"], a["moved"], a["cortex"], a["fissure"]
    ventricle = a["ventricles"]
    edge = 1.1 * pitch
    fine, mid = a["fine"], a["mid"]
    ribbon = a["ribbon"] * (1.0 + 0.16 * mid)
    gray = cover(ribbon - cortex, 1.8)
    image = jnp.full_like(x, g["white"]) * (1.0 + 0.022 * fine + 0.02 * a["mid_2"])
    # Around the horns white matter is a little looser.
    loose = jnp.exp(-jnp.maximum(-ventricle, 0.0) / 3.5) * a["caps"]
    image = image + loose * 0.45 * (g["plaque"] - image)
    image = _nuclei(a, image, px, py, ventricle)
    image = image + gray * (g["gray"] * (1.0 + 0.03 * fine) - image)
    image = image + cover(-cortex, edge) * (g["csf"] - image)
    image = _vessels(a, image, px, py, cortex, moved)
    wet = cover(ventricle, edge)
    image = image + wet * (g["csf"] - image)
    image = _choroid(a, image, px, py, ventricle)
    falx = cover(0.55 - jnp.abs(fissure + 0.33 * a["gap"]), pitch) * 0.6
    image = image + falx * cover(-fissure, pitch) * (g["dura"] - image)
    return _shell(a, hold(image), x, y, inside)


def _nuclei(a: Params, image: Map, x: Array, y: Array, ventricle: Map) -> Map:
    """Caudate, lentiform nucleus and thalamus; all fade out towards the bodies."""
    g, u = a["grey"], a["level"]
    ax = jnp.abs(x)
    low = 14.0 * jnp.maximum(u - 0.28, 0.0)
    caudate = ellipse(ax, y, 11.5 + 3.0 * u, -19.0 + 6 * u, 4.8, 8.5, 0.35) - 4.0 * jnp.maximum(
        u - 0.6, 0
    )
    caudate = jnp.minimum(caudate, -ventricle - 0.3)
    putamen = ellipse(ax, y, 26.0, -6.0, 4.6, 15.0, -0.22) - low
    pallidum = ellipse(ax, y, 20.0, -3.0, 3.8, 8.0, -0.40) - low
    thalamus = ellipse(ax, y, 10.5, 10.5, 7.0, 12.0, -0.45) - low
    thalamus = jnp.minimum(thalamus, -ventricle - 0.2)
    for shape, name in (
        (pallidum, "pallidum"),
        (putamen, "deep"),
        (caudate, "deep"),
        (thalamus, "thalamus"),
    ):
        m = cover(shape + 0.5 * a["mid"], 2.2) * (0.8 if name == "thalamus" else 0.95)
        image = image + m * (g[name] - image)
    return image


def _vessels(a: Params, image: Map, x: Array, y: Array, cortex: Map, inside: Map) -> Map:
    """Sinus behind, cortical veins and branches of the middle cerebral arteries in the fluid."""
    g = a["grey"]
    fluid = cover(-cortex + 0.5, 1.2)
    dots = cover(a["dots"] - 1.45, 0.5) * fluid
    image = image + 0.85 * dots * (g["vessel"] - image)
    rear, front = a["half_length"] - 4.5, 4.0 - a["half_length"]
    ax = jnp.abs(x - a["bow"] * 0.2)
    sinus = jnp.minimum(4.6 - ax - 0.55 * (rear + 3.0 - y), inside + 0.8)
    sinus = jnp.maximum(sinus, jnp.minimum(2.6 - ax - 0.5 * (y - front + 2.0), inside + 0.6))
    return image + cover(sinus, 1.2) * (g["vessel"] - image)


def _choroid(a: Params, image: Map, x: Array, y: Array, ventricle: Map) -> Map:
    """The plexus in the atria or along the bodies."""
    ax = jnp.abs(x)
    u = a["level"]
    plexus = ellipse(ax, y, 22.0 - 8.0 * u, 36.0 - 22.0 * u, 2.0, 5.5, -0.3)
    plexus = jnp.minimum(plexus + 0.8 * a["fine"], ventricle - 0.6)
    return image + 0.85 * cover(plexus, 1.2) * (a["grey"]["choroid"] - image)


def _shell(a: Params, image: Map, x: Array, y: Array, inside: Map) -> Map:
    """Skull with marrow between its tables, muscle over the temples, scalp of fat and skin."""
    g, pitch = a["grey"], a["pitch"]
    mid, fine = a["mid"], a["fine"]
    thick = a["bone"] * (1.0 + 0.18 * mid)
    out = -inside
    inner = 1.5 + 0.25 * mid
    marrow = cover(jnp.minimum(out - inner, thick - 1.7 - out), 1.3) * (0.85 + 0.15 * fine)
    skull_level = g["bone"] + marrow * (g["marrow"] - g["bone"])
    phi = jnp.arctan2(jnp.abs(x), -y)  # from the forehead
    temple = jnp.exp(-(((phi - 1.15) / 0.42) ** 2)) * (1.0 - 0.75 * a["level"])
    muscle = 6.5 * temple * a["muscle"]
    scalp = a["scalp"] * (
        1.0 + 0.16 * jnp.cos(phi + 0.5) + 0.12 * jnp.cos(2 * phi + a["scalp_phase"])
    )
    scalp = scalp * (1.0 - 0.35 * temple)
    end = thick + muscle + scalp
    layer = g["fat"] * (0.90 + 0.07 * fine)
    galea = jnp.exp(-(((out - thick - muscle - 0.45 * scalp) / 0.7) ** 2))
    layer = layer * (1.0 - 0.5 * galea)
    layer = layer + cover(out - (end - 1.9), 1.0) * (g["skin"] - layer)
    flesh = g["muscle"] * (1.0 + 0.12 * fine)
    layer = layer + cover(thick + muscle - out, pitch) * (flesh - layer)
    layer = layer + cover(thick - out, pitch) * (skull_level - layer)
    layer = layer * cover(end - out, pitch)
    dura = cover(0.8 - jnp.abs(inside - 0.2), pitch)
    image = image + cover(out, pitch) * (layer - image)
    return image + 0.8 * dura * (g["dura"] - image)
