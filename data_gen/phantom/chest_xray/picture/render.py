"""Renders studies: one compiled function per image size, exact truth beside every picture."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8, UInt32

from data_gen.phantom.base import PhantomBox, Rendered
from data_gen.phantom.chest_xray.findings import SUPPORT_DEVICES, Study
from data_gen.phantom.chest_xray.picture import (
    anatomy,
    chains,
    devices,
    film,
    frame,
    lesions,
    scene,
    skeleton,
)

Params = dict[str, Any]

CHUNK = 8
"""Studies per call of the compiled function: constant, so no picture depends on its batch."""


def _derive(a: Params) -> Params:
    """Numbers that findings change: heart width, domes, flow."""
    emphysema = a["emphysema_on"][0] * a["emphysema_amount"][0]
    edema = a["edema_on"][0] * a["edema_amount"][0]
    return {
        **a,
        "heart_ctr": a["heart_ctr"] * (1.0 - 0.17 * emphysema),
        "flat_drop": 20.0 * emphysema,
        "dome_flatness": 1.0 - 0.6 * emphysema,
        "spine_bend": 13.0 * a["spine_curve"],
        "cephalisation_inverse": jnp.clip(0.6 + 0.4 * a["erect"] - 1.2 * edema, 0.0, 1.0),
    }


def _render_one(
    scene_: Params, used: Params, size: int
) -> tuple[UInt8[Array, "s s"], UInt32[Array, "s s"]]:
    """One study: (picture, truth bits)."""
    a = _derive(scene_)
    frac = (jnp.arange(size) + 0.5) / size
    linear = a["to_image"][:, :2]
    back = jnp.linalg.inv(linear)
    fx = frac[None, :] - a["to_image"][0, 2]
    fy = frac[:, None] - a["to_image"][1, 2]
    x = back[0, 0] * fx + back[0, 1] * fy
    y = back[1, 0] * fx + back[1, 1] * fy
    pitch = a["frame"][1] / size

    noise = {name: film.noise_map(a[f"noise_{name}"], size) for name in scene.NOISE_GRIDS}

    noise, x, y = _hold((noise, x, y))
    cavity = _hold(anatomy.cavity(a, x, y, pitch))
    change = _hold(lesions.apply(a, used, cavity, x, y, noise))
    right, left = anatomy.hila(a)
    edema = a["edema_on"][0] * a["edema_amount"][0]
    vessels = jnp.zeros_like(x)
    # Each lung's vessels are summed over its own part of the picture, a little past the middle.
    for row, (side, hilum, first, last) in enumerate(
        ((-1.0, right, 0, 5 * size // 8), (1.0, left, 3 * size // 8, size))
    ):
        vx, vy, sigma, mass = chains.vessel_tree(a, a["noise_tree"][row], side, hilum)
        sigma = sigma * (1.0 + 0.7 * edema)
        part = _splat(a, vx, vy, sigma, mass, frac[first:last], frac)
        vessels = vessels + jnp.pad(part, ((0, 0), (first, size - last)))
    wire = a["wire"]
    half = wire[:, 2]
    wires = _splat(a, wire[:, 0], wire[:, 1], 0.7 * half, wire[:, 3] * half * 1.75, frac, frac)

    air = cavity["air"] * change.kept * change.veil
    aerated = air / (cavity["air"] + 12.0)
    blood = a["vessels"] * 1.6 * vessels * change.vessels * aerated
    blood = blood - 0.9 * a["vessels"] * vessels * change.bronchi * (1.0 - change.kept)
    # Ridges of smooth noise are a net of fine lines, as septa and small vessels make one.
    net = 1.0 - 1.25 * jnp.abs(noise["fine"])
    texture = 0.30 * noise["fine"] + 0.55 * net + 0.30 * noise["patch"]
    texture = a["interstitium"] * change.interstitium * texture
    density = a["lung_density"] * change.density * (1.0 + 0.10 * noise["broad"])
    gas = anatomy.gas(a, x, y, noise["broad_2"]) * anatomy.step(-cavity["above"] - 3.0, 6.0)
    # Air of the trachea lies in front of nothing but soft tissue.
    trachea = anatomy.airways(a, x, y)
    hilar = _hilum_glow(a, x, y, right, left) * aerated
    soft = anatomy.body(a, x, y) - air * (1.0 - density) - 1.15 * trachea - 0.85 * gas
    soft = soft + blood + hilar + change.soft
    soft = soft + 3.4 * texture * aerated + 1.2 * noise["broad"] + 0.9 * noise["patch"]
    # A blanket, clothing or a fold of skin: a veil that means nothing.
    soft = soft + a["haze"] * jnp.maximum(1.0 + 0.35 * noise["broad"], 0.0)
    bone, broken = _hold(skeleton.ribs(a, x, y))
    bone = bone + skeleton.spine(a, x, y) + skeleton.girdle(a, x, y) + change.mineral
    mu_soft, mu_bone = film.coefficients(a)
    pads, pad_truth = _pads(a, x, y)
    attenuation = mu_soft * jnp.maximum(soft, 0.0) + mu_bone * bone + wires + pads

    truth = change.truth | pad_truth
    for slot in range(a["fracture_on"].shape[0]):
        truth = truth | lesions.owner_bit(a["fracture_owner"][slot], broken == slot + 1.0)
    lung, is_left = cavity["field"] > 0.5, cavity["left"]
    bits = (
        (lesions.LEFT_LUNG_BIT, lung & is_left),
        (lesions.RIGHT_LUNG_BIT, lung & ~is_left),
        (lesions.HEART_BIT, cavity["heart_field"] > 0.5),
        (lesions.LEFT_HALF_BIT, is_left),
    )
    for bit, where in bits:
        truth = truth | (where.astype(jnp.uint32) << bit)
    heart_owner = a["heart_owner"][0]
    truth = truth | lesions.owner_bit(heart_owner, cavity["heart_field"] > 0.5)
    image = film.develop(a, _hold(attenuation))
    return jnp.clip(jnp.round(image), 0, 255).astype(jnp.uint8), truth


def _hold(tree: Any) -> Any:
    """Keeps the compiler from computing these maps again inside every one of their users."""
    return jax.lax.optimization_barrier(tree)


def _splat(
    a: Params, x: Array, y: Array, sigma: Array, mass: Array, columns: Array, rows: Array
) -> Array:
    """Gaussians given in patient mm, drawn on the picture's own axes."""
    m = a["to_image"]
    width, height = a["frame"][0], a["frame"][1]
    px = (m[0, 0] * x + m[0, 1] * y + m[0, 2]) * width
    py = (m[1, 0] * x + m[1, 1] * y + m[1, 2]) * height
    return chains.splat(px, py, sigma, mass, columns * width, rows * height, height / rows.shape[0])


def _hilum_glow(a: Params, x: Array, y: Array, right: Any, left: Any) -> Float[Array, "h w"]:
    """The pulmonary arteries' common shadow at each hilum, mm of soft tissue."""
    glow = 0.0
    for (hx, hy), sign in ((right, -1.0), (left, 1.0)):
        dx, dy = (x - hx - sign * 5.0) / 13.0, (y - hy - 6.0) / 22.0
        tilt = dx - sign * 0.35 * dy
        glow = glow + jnp.exp(-(tilt**2) - dy**2)
    return 14.0 * a["hila"] * jnp.asarray(glow)


def _pads(a: Params, x: Array, y: Array) -> tuple[Array, Array]:
    """Pacemaker cans and electrode pads: (log attenuation, truth)."""
    total, truth = jnp.zeros_like(x), jnp.zeros(x.shape, jnp.uint32)
    for i in range(a["pad"].shape[0]):
        px, py, half_x, half_y, angle, peak, owner = a["pad"][i]
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        u = ((x - px) * cos + (y - py) * sin) / half_x
        v = ((y - py) * cos - (x - px) * sin) / half_y
        q = 1.0 - (u * u) ** 2 - (v * v) ** 2
        total = total + peak * anatomy.step(q, 0.25) * (0.8 + 0.4 * anatomy.step(q - 0.6, 0.3))
        truth = truth | lesions.owner_bit(owner, q > 0)
    return total, truth


@partial(jax.jit, static_argnames="size")
def _render_chunk(scenes: Params, used: Params, size: int) -> tuple[Array, Array]:
    return jax.vmap(partial(_render_one, size=size), in_axes=(0, None))(scenes, used)


def render_batch(studies: Sequence[Study], size: int, masks: bool = True) -> Rendered:
    """Renders studies with their truth.

    The same study gives the same picture in any batch; lengths are physical, so pictures of one
    study at several sizes show the same patient.

    Args:
      studies: one or more.
      size: side of the square pictures in pixels, at least 32.
      masks: whether to unpack the masks; boxes are always returned.

    Returns:
      Bones are white, except in the rare inverted film. The organs are ``"left lung"``,
      ``"right lung"`` and ``"heart"``; a bilateral finding has a box per side.

    Raises:
      ValueError: no study, or a size below 32.
    """
    if not studies:
        raise ValueError("render_batch needs at least one study")
    if size < 32:
        raise ValueError(f"size must be at least 32 pixels, not {size}")
    images, bits = [], []
    for start in range(0, len(studies), CHUNK):
        part = list(studies[start : start + CHUNK])
        full = part + [part[-1]] * (CHUNK - len(part))
        batch = scene.pack(full)
        picture, truth = _render_chunk(batch, scene.used_slots(batch), size)
        images.append(np.asarray(picture)[: len(part)])
        bits.append(np.asarray(truth)[: len(part)])
    image, truth = np.concatenate(images), np.concatenate(bits)
    for i, study in enumerate(studies):
        _stamp_wires(truth[i], study)
    boxes = [_boxes(truth[i], study) for i, study in enumerate(studies)]
    return Rendered(image, _unpack(truth, studies) if masks else {}, boxes)


def _stamp_wires(truth: np.ndarray, study: Study) -> None:
    """Marks tubes and wires in the truth bits, in place, about three millimetres wide."""
    if all(f.name != SUPPORT_DEVICES for f in study.findings):
        return
    size = truth.shape[0]
    wire = devices.device_arrays(study)["wire"]
    wire = wire[wire[:, 4] >= 0]
    at = frame.image_map(study) @ np.concatenate([wire[:, :2], np.ones((len(wire), 1))], 1).T
    column, row = np.floor(at * size).astype(int)
    reach = max(1, round(1.5 * size / frame.field_of_view(study)[1]))
    bit = np.uint32(1) << (wire[:, 4].astype(np.uint32) + np.uint32(lesions.FINDING_BIT))
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            r, c = row + dy, column + dx
            ok = (r >= 0) & (r < size) & (c >= 0) & (c < size)
            np.bitwise_or.at(truth, (r[ok], c[ok]), bit[ok])


def _unpack(truth: np.ndarray, studies: Sequence[Study]) -> dict[str, np.ndarray]:
    named = {
        "left lung": lesions.LEFT_LUNG_BIT,
        "right lung": lesions.RIGHT_LUNG_BIT,
        "heart": lesions.HEART_BIT,
    }
    for i in range(max(len(s.findings) for s in studies)):
        named[f"finding {i}"] = lesions.FINDING_BIT + i
    return {k: ((truth >> np.uint32(bit)) & 1).astype(np.uint8) for k, bit in named.items()}


def _boxes(truth: np.ndarray, study: Study) -> list[PhantomBox]:
    left = (truth >> np.uint32(lesions.LEFT_HALF_BIT)) & 1
    boxes = []
    for i, finding in enumerate(study.findings):
        region = (truth >> np.uint32(lesions.FINDING_BIT + i)) & 1
        halves = (region * (1 - left), region * left) if finding.side == "bilateral" else (region,)
        for half in halves:
            box = enclosing_box(half)
            if box is not None:
                boxes.append(PhantomBox(*box, finding.name, i))
    return boxes


def enclosing_box(mask: np.ndarray) -> tuple[float, float, float, float] | None:
    """(x0, y0, x1, y1) in fractions around the true pixels of a mask; None for an empty one."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(columns):
        return None
    h, w = mask.shape
    x0, x1 = columns[0] / w, (columns[-1] + 1) / w
    return float(x0), float(rows[0] / h), float(x1), float((rows[-1] + 1) / h)
