"""What is wrong with a brain: signal and exact extent of every finding."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from data_gen.phantom.fields import Map, Params, blob, cover, hold, turns
from data_gen.phantom.mri.picture.brain import Head

PLAQUES = 16
"""Most lesions of the white matter in one study."""


class Lesions(NamedTuple):
    """The picture with its findings, and where each kind is (boolean)."""

    image: Map
    tumor: Array
    infarct: Array
    plaques: Array
    edema: Array
    hemorrhage: Array


def displaced(a: Params, x: Array, y: Array, inside: Map) -> tuple[Array, Array]:
    """Where the brain at (x, y) lay before masses grew: they push, and the skull holds."""
    free = jnp.clip(inside / 22.0, 0.0, 1.0)
    for name in ("tumor", "blood"):
        row, push = a[f"{name}_blob"], a[f"{name}_push"]
        dx, dy = x - row[0], y - row[1]
        reach = 1.7 * jnp.maximum(row[2], 1.0)
        pull = push * jnp.exp(-0.5 * (dx * dx + dy * dy) / reach**2) * free
        x, y = x - pull * dx, y - pull * dy
    return x, y


def apply(a: Params, image: Map, head: Head, x: Array, y: Array) -> Lesions:
    """Adds every finding to the healthy picture."""
    g = a["grey"]
    fine, mid = a["fine"], a["mid"]
    brain = cover(head.cortex, 1.2) * cover(-head.ventricle, 1.2)

    plaques = jnp.full_like(x, -1e4)
    for i in range(PLAQUES):
        cx, cy, wide, cos, sin = a["plaques"][i]
        u, v = (x - cx) * cos + (y - cy) * sin, (y - cy) * cos - (x - cx) * sin
        near = 1.0 - (u * u + 2.2 * v * v) / (wide * wide)
        plaques = jnp.maximum(plaques, 0.5 * wide * near)
    plaques = hold(plaques) + 0.4 * mid
    m = (
        cover(plaques + 0.5 * fine, 2.0)
        * cover(head.cortex - 0.6, 1.2)
        * cover(-head.ventricle, 1.0)
    )
    image = image + 0.9 * m * (g["plaque"] - image)
    plaque_mask = m > 0.5

    # Swelling spreads along white matter and stops below the cortex.
    fingers = 4.5 * mid + 2.0 * fine
    below = cover(head.cortex - a["ribbon"] - 0.3, 1.8) * cover(-head.ventricle, 1.5)
    halo, around, alone, tumor, clot, lacune = hold(
        [blob(x, y, a[name]) for name in ("tumor_edema", "blood_edema", "edema_blob")]
        + [blob(x, y, a[name]) for name in ("tumor_blob", "blood_blob", "lacune")]
    )
    halo, around, alone = halo + fingers, around + 0.6 * fingers, alone + 1.4 * fingers
    swollen = cover(jnp.maximum(halo, jnp.maximum(around, alone)), 5.0) * below
    image = image + 0.88 * swollen * (g["edema"] * (1 + 0.04 * fine) - image)
    image = hold(image)
    halo_mask = (cover(halo, 5.0) * below > 0.5) & (halo > 0)
    edema_mask = (cover(alone, 5.0) * below > 0.5) | halo_mask

    image, dead = hold(_infarct(a, image, head, x, y, lacune))

    tumor = tumor + 0.9 * mid + 0.4 * fine
    ring = a["tumor_ring"] * (1.0 + 0.30 * mid)
    inner = g["tumor rim"] * (1.0 + 0.08 * fine)
    core = g["necrosis"] * (1.0 + 0.10 * mid)
    centre = core + cover(ring - tumor, 1.6) * (inner - core)
    solid = g["tumor"] * (1.0 + 0.10 * mid + 0.06 * fine)
    body = a["tumor_hollow"] * centre + (1.0 - a["tumor_hollow"]) * solid
    # A mass that grows from the cortex reaches the skull and no further.
    within = cover(head.inside - 1.2, 1.2)
    m = cover(tumor, 1.5) * within
    image = image + m * (body - image)
    tumor_mask = m > 0.5
    image = hold(image)

    clot = clot + 0.8 * mid + 0.4 * fine
    rim = cover(a["blood_rim"] - clot, 1.2)
    stuff = a["blood_core"] * (1.0 + 0.08 * mid) + cover(clot - 0.55 * a["blood_blob"][2], 5.0) * (
        a["blood_centre"] - a["blood_core"]
    )
    stuff = stuff + rim * (a["blood_edge"] - stuff)
    m = cover(clot, 1.4) * within
    image = image + m * (stuff - image)
    return Lesions(
        image, tumor_mask, dead, plaque_mask, edema_mask & ~tumor_mask & (brain > 0.5), m > 0.5
    )


def _infarct(
    a: Params, image: Map, head: Head, x: Array, y: Array, lacune: Map
) -> tuple[Map, Array]:
    """A wedge of a territory up to the surface, or a lacune."""
    g, fine, mid = a["grey"], a["fine"], a["mid"]
    turned = turns(x, -y) - a["infarct_angle"] * (0.5 / np.pi)
    turned = 2 * np.pi * (turned - jnp.round(turned))
    rho = jnp.sqrt(x * x + y * y)
    across = (a["infarct_half"] - jnp.abs(turned)) * jnp.maximum(rho, 12.0)
    deep = a["infarct_depth"] - head.inside
    wedge = jnp.minimum(across, 1.2 * deep) + 2.6 * mid + 1.0 * fine
    wedge = jnp.minimum(wedge, jnp.abs(x) - 5.0)
    wedge = jnp.where(a["infarct_half"] > 0, wedge, -1e4)
    extent = hold(jnp.maximum(wedge, lacune + 0.5 * fine))
    tissue = cover(head.cortex - 0.1, 1.0) * cover(-head.ventricle, 1.0)
    m = cover(extent, 3.0) * tissue
    level = g["infarct"] * (1.0 + 0.05 * mid + 0.03 * fine)
    # Cytotoxic swelling: the cortex is hit hardest, and sulci close.
    m = m * (0.82 + 0.18 * cover(a["ribbon"] + 1.0 - head.cortex, 2.0))
    closed = cover(extent - 1.0, 3.0) * cover(head.cortex + 2.6, 1.2) * (1.0 - tissue) * 0.7
    closed = closed * cover(head.inside - 3.0, 1.5)
    image = image + jnp.maximum(m, closed) * (level - image)
    return image, (cover(extent, 3.0) > 0.5) & ((tissue > 0.3) | (closed > 0.3))
