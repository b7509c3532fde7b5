"""One picture of a knee with its truth, from the side: the front is at the picture's left.

Coordinates are millimetres of an average knee from the middle of the joint line; y grows downwards.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from data_gen.phantom.fields import (
    Map,
    bits,
    blob,
    cover,
    ellipse,
    enlarge,
    hold,
    tube,
    union,
)
from data_gen.phantom.mri.knee_site import ACL, EFFUSION, MENISCUS
from data_gen.phantom.mri.picture import scanner
from data_gen.phantom.mri.picture.knee_scene import NOISE
from data_gen.phantom.mri.picture.places import places

BITS = ("femur", "tibia", "patella", "menisci", MENISCUS, ACL, EFFUSION)
"""What the bits of the truth say, organs first."""
ORGANS = 4

Params = dict[str, Any]


def locate(a: Params) -> Params:
    """Noise maps, and where every pixel lies."""
    a = a | {name: enlarge(a[name], scanner.MATRIX) for name in NOISE}
    x, y = places(a)
    return a | {"x": x / a["scale"], "y": y / a["scale"]}


def dissect(a: Params) -> Params:
    """Distances to bones, and to the space between them."""
    x, y = a["x"] + 0.5 * a["mid"], a["y"] + 0.5 * a["mid_2"]
    notch, f, t = a["notch"], a["femur"], a["tibia"]
    # The thigh leans back or forth about the condyles.
    cos, sin = jnp.cos(a["flexion"]), jnp.sin(a["flexion"])
    u, v = x * cos - (y + 20.0) * sin, (y + 20.0) * cos + x * sin - 20.0
    condyle = ellipse(u, v, 5.0, -22.0, 27.5 * f, 22.5, 0.08)
    roof = ellipse(u, v, 1.0, -34.0, 22.0 * f, 14.5, -0.25)
    shaft = tube(u, v, [(0.0, -120.0), (-1.0, -66.0), (0.0, -36.0)], [13.0 * f, 14.5 * f, 20.0 * f])
    lower = condyle * (1.0 - notch) + roof * notch
    femur = union(shaft, lower, 7.0)
    top = 5.6 + a["slope"] * x + 0.0011 * x * x * (1.0 - notch)
    spine = 4.5 * notch * jnp.exp(-(((x + 1.0) / 6.5) ** 2))
    head = ellipse(x, y, 1.5, 22.0, 27.0 * t, 17.0)
    leg = tube(x, y, [(2.0, 22.0), (-2.0, 46.0), (-1.0, 120.0)], [20.0 * t, 15.0 * t, 12.0 * t])
    bump = tube(x, y, [(-14.0, 30.0), (-17.0, 38.0)], [5.0, 4.0])
    tibia = jnp.minimum(union(union(head, leg, 6.0), bump, 5.0), y - top + spine)
    kneecap = ellipse(x, y, -40.0, -33.0 + a["patella_y"], 8.2, 17.5, 0.10)
    return a | {"femur_d": femur, "tibia_d": tibia, "patella_d": kneecap}


def _over(image: Map, mask: Array, level: Any) -> Map:
    return image + mask * (level - image)


def _bone(a: Params, image: Map, distance: Map, shell: Any, scar: Map) -> Map:
    """Marrow in a dark shell, with trabeculae and the scar of the growth plate."""
    g = a["grey"]
    inside = g["marrow"] * 1.35 * (1.0 + 0.035 * a["fine"] + 0.06 * a["mid"])
    inside = _over(inside, a["scar"] * scar * cover(distance - 2.0, 1.5), 0.35 * g["marrow"])
    image = _over(image, cover(distance, 1.8 * a["pitch"]), g["bone"])
    return _over(image, cover(distance - shell, 1.5 * a["pitch"]), inside)


def soft(a: Params) -> Params:
    """Skin, fat, muscle, vessels, tendons: what bones are then laid over."""
    g, x, y, pitch = a["grey"], a["x"], a["y"], a["pitch"]
    edge = 1.3 * pitch
    fat = g["fat"] * (0.93 + 0.03 * a["fine"] + 0.05 * a["mid"])
    septa = jnp.exp(-((a["web"] / 0.16) ** 2)) * 0.15
    image = fat * (1.0 - septa)
    streak = 1.0 + 0.10 * a["streak"] + 0.05 * a["mid"]
    bundles = 0.8 * cover(a["streak"] - 1.5, 0.6)
    m = a["muscle"]
    back = a["back"]
    for points, radii in (
        (
            [(back - 27.0, -130.0), (back - 24.0, -60.0), (back - 14.0, -14.0)],
            [18 * m, 15 * m, 2.0],
        ),
        ([(back - 38.0, -18.0), (back - 24.0, 24.0), (back - 22.0, 120.0)], [2.5, 11 * m, 19 * m]),
        ([(24.0, 26.0), (22.0, 60.0), (21.0, 120.0)], [2.0, 7.0 * m, 9.0 * m]),
        ([(-23.0, -120.0), (-25.0, -66.0)], [10.0 * m, 2.0]),
    ):
        shape = tube(x, y, points, radii) + 1.6 * a["mid"] + 0.4 * a["fine"]
        image = _over(
            image,
            cover(shape, 2.0 * edge),
            g["muscle"] * streak * (1.0 - bundles) + bundles * 0.7 * g["fat"],
        )
    vessel = tube(
        x,
        y,
        [(52.0, -90.0), (41.0, -40.0), (37.0, -4.0), (35.0, 26.0), (41.0, 50.0)],
        [2.0, 2.6, 2.8, 2.3, 0.6],
    )
    vessel = vessel + 0.9 * a["mid"]
    image = _over(image, 0.85 * cover(vessel, 2.0 * edge), g["tendon"])
    image = _over(image, 0.7 * cover(vessel - 1.4, edge), 0.5 * g["muscle"])
    patella = a["patella_y"]
    quad = tube(x, y, [(-33.0, -120.0), (-36.0, -75.0), (-41.0, -50.0 + patella)], [2.6, 3.0, 3.4])
    ligament = tube(x, y, [(-43.5, -18.0 + patella), (-33.0, 14.0), (-21.0, 36.0)], [2.4, 2.5, 2.2])
    tendon = cover(jnp.maximum(quad, ligament) + 0.3 * a["mid"], edge)
    image = _over(image, tendon, g["tendon"] * (1.0 + 0.5 * jnp.abs(a["web"])))
    front = -54.0 - a["front"] + 0.0028 * (y + 30.0) ** 2 + jnp.maximum(y - 10.0, 0.0) * 0.12
    rear = back + 6.0 + 0.06 * jnp.abs(y) + 2.0 * a["mid"]
    limb = jnp.minimum(x - front, rear - x)
    image = _over(image, cover(1.7 - limb, 1.2), g["skin"])
    return a | {"image": image * cover(limb, edge), "limb": limb}


def joint(a: Params) -> Params:
    """Bones, cartilage, menisci and ligaments, with what is wrong with them."""
    g, x, y, pitch = a["grey"], a["x"], a["y"], a["pitch"]
    edge, notch = 1.2 * pitch, a["notch"]
    femur, tibia, patella = a["femur_d"], a["tibia_d"], a["patella_d"]
    image, soft_edge = a["image"], 2.6 * pitch

    between = jnp.minimum(-femur, -tibia)
    level = (y > -26.0) & (y < 12.0)
    space = jnp.minimum(8.5 - (-femur) * 0.6, jnp.minimum(9.0 + tibia, 29.0 - jnp.abs(x - 1.5)))
    space = jnp.where(level, jnp.minimum(space, between), -1e3)
    image = _over(
        image, 0.9 * cover(space, 2.0) * (1.0 - notch), 0.5 * g["muscle"] + 0.2 * g["fat"]
    )

    # Fluid of the pouch behind the quadriceps tendon, of the joint's recesses, thin in health.
    thick = 0.5 * a["fluid"] + a["effusion"]
    pouch = ellipse(
        x, y, -28.0 - 0.25 * thick, -56.0 - 0.4 * thick, 1.2 + thick, 14.0 + 1.6 * thick, 0.13
    )
    pouch = union(pouch, ellipse(x, y, -29.0, -27.0, 0.6 + 0.55 * thick, 12.0, 0.15), 3.0)
    recess = ellipse(x, y, 34.0, -9.0, 0.8 + 0.5 * thick, 5.0 + 1.1 * thick, -0.25)
    wet = jnp.maximum(pouch + 0.9 * a["mid"] + 0.3 * a["web"], recess + 0.5 * a["mid"])
    wet = jnp.minimum(wet, jnp.minimum(-femur - 2.0, -patella - 2.0))
    image = _over(
        image, cover(wet, soft_edge), g["fluid"] * (0.90 + 0.03 * a["fine"] + 0.04 * a["mid"])
    )

    depth = a["cartilage"]
    facing = cover(y + 24.0 - 6.0 * notch, 6.0) * cover(31.0 - jnp.abs(x - 4.0), 4.0)
    gristle = g["cartilage"] * (1.0 + 0.05 * a["fine"])
    image = _over(image, cover(femur + depth, edge) * facing, gristle)
    trochlea = cover(-x - 12.0, 5.0) * cover(y + 44.0, 5.0) * cover(-8.0 - y, 6.0)
    image = _over(image, cover(femur + depth, edge) * trochlea, gristle)
    plateau = cover(25.0 - jnp.abs(x - 1.5), 4.0) * cover(14.0 - y, 2.0)
    image = _over(image, cover(tibia + depth, edge) * plateau, gristle)
    image = _over(image, cover(patella + 2.6, edge) * cover(x + 38.0, 3.0), gristle)

    gap = jnp.minimum(-femur - depth, -tibia - depth) + 0.25
    horns = jnp.maximum(jnp.minimum(x - 11.0, 27.5 - x), jnp.minimum(-9.0 - x, x + 25.0))
    # A wedge: thin at its free edge, thick at the capsule.
    apex = jnp.maximum(x - 10.0, -8.0 - x)
    wedge = 0.9 + 0.24 * apex - 0.5 * jnp.abs(tibia - femur)
    horns = jnp.minimum(jnp.minimum(gap, horns), jnp.minimum(wedge, 9.0 + tibia))
    horns = jnp.where(notch > 0.5, -1e3, jnp.where(level, horns, -1e3))
    image = _over(image, cover(horns + 0.3, edge), g["meniscus"])
    image, torn = _tear(a, image, horns)

    image, ruptured = _cruciates(a, image)
    hoffa = jnp.exp(-((a["web"] / 0.14) ** 2))
    pad = cover(ellipse(x, y, -33.0, 2.0, 9.0, 15.0, 0.35), 4.0)
    image = image * (1.0 - 0.35 * hoffa * pad)
    scar = jnp.exp(-(((y + 42.0 + 0.02 * x * x + 1.2 * a["mid"]) / 0.8) ** 2))
    shell = 0.9 + 1.5 * cover(-y - 52.0, 24.0)
    image = _bone(a, image, femur, shell, scar)
    scar = jnp.exp(-(((y - 27.0 - 1.2 * a["mid"]) / 0.8) ** 2))
    image = _bone(a, image, tibia, 0.9 + 1.5 * cover(y - 42.0, 24.0), scar)
    image = _bone(a, image, patella, 1.0, jnp.zeros_like(x))
    flooded = (cover(wet, soft_edge) > 0.5) & (a["effusion"] > 0) & (femur < 0) & (tibia < 0)
    masks = (femur > 0, tibia > 0, patella > 0, horns > 0, torn, ruptured, flooded)
    inside = a["limb"] > 0
    return a | {"image": image * cover(a["limb"], edge), "truth": bits([m & inside for m in masks])}


def _tear(a: Params, image: Map, horns: Map) -> tuple[Map, Array]:
    """Bright lines through the horn that is torn."""
    x, rows = a["x"], a["tears"]
    # The lines follow the wedge: its middle height is where both surfaces are equally far.
    slant = 0.5 * (a["tibia_d"] - a["femur_d"])
    line = jnp.full_like(x, -1e3)
    for i in range(2):
        along = (x - rows[i, 0]) * jnp.sin(rows[i, 2]) + slant * jnp.cos(rows[i, 2])
        line = jnp.maximum(line, jnp.where(rows[i, 3] > 0, rows[i, 3] - jnp.abs(along), -1e3))
    line = jnp.where(x * a["tear_side"] > 0, line, -1e3)
    m = cover(line, 0.8) * cover(horns + 0.2, 0.6)
    return _over(image, m, a["grey"]["tear"]), m > 0.5


def _cruciates(a: Params, image: Map) -> tuple[Map, Array]:
    """Anterior and posterior cruciate ligaments; the first may be torn."""
    g, x, y = a["grey"], a["x"], a["y"]
    there = a["notch"]
    sag = 0.9 * a["mid"]
    fibres = g["tendon"] * (1.35 + 1.1 * jnp.abs(a["web"]))
    hind = tube(
        x, y, [(3.0, -14.0), (14.0, -11.0), (23.0, 0.0), (27.0, 13.0)], [3.2, 3.0, 2.7, 2.6]
    )
    image = _over(image, there * cover(hind + 0.2 * a["mid"], 1.3), g["tendon"])
    strand = tube(x + sag, y, [(16.0, -19.0), (-11.0, 8.0)], [3.1, 3.9])
    along = ((16.0 - x) * 27.0 + (y + 19.0) * 27.0) / (2 * 27.0**2)
    left = cover(jnp.abs(along - a["acl_at"]) - 0.5 * a["acl_gap"], 0.12)
    left = jnp.maximum(left, a["acl_whole"] * cover(1.0 - jnp.abs(strand - 2.0), 1.0))
    left = jnp.where(a["acl_gap"] > 0, left, 1.0)
    cloud = blob(x, y, a["acl_blob"]) + 1.8 * a["mid"] + 1.1 * a["web"]
    swollen = 0.6 * g["tear"] + 0.4 * g["bruise"] * (1.0 + 0.25 * a["web"] + 0.2 * a["fine"])
    image = _over(image, there * 0.85 * cover(cloud, 6.0), swollen)
    image = _over(image, there * cover(strand, 1.4) * left, fibres)
    torn = (a["acl_gap"] > 0) & (there > 0.5)
    body = (cover(cloud, 6.0) > 0.5) | ((strand > 0) & (left < 0.5))
    return image, torn & body & (a["femur_d"] < 0) & (a["tibia_d"] < 0)


def finish(a: Params) -> tuple[Map, Array]:
    """Picture 0 to 255, and truth bits."""
    return scanner.expose(a, scanner.acquire(a, hold(a["image"]))), a["truth"]


STAGES = (locate, dissect, soft, joint, finish)
