"""Renders studies: one compiled function per image size, exact truth beside every picture."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8, UInt32

from data_gen.phantom.base import Rendered
from data_gen.phantom.colour.maps import noise_map
from data_gen.phantom.colour.truth import bit, boxes, unpack
from data_gen.phantom.fundus.findings import FINDING_NAMES, Study
from data_gen.phantom.fundus.picture import camera, retina, scene

CHUNK = 8
"""Studies per call of the compiled function: constant, so no picture depends on its batch."""

ORGANS = {"optic disc": 0, "optic cup": 1, "vessels": 2}
_BITS = {name: 3 + i for i, name in enumerate(FINDING_NAMES)}


def _render_one(a: dict[str, Any], size: int) -> tuple[UInt8[Array, "s s 3"], UInt32[Array, "s s"]]:
    """One study: (picture, truth bits)."""
    noise = {name: noise_map(a[f"noise_{name}"], size) for name in scene.NOISE_GRIDS}
    painted, where = retina.paint(a, size, noise)
    image = camera.expose(a, painted)
    inside, _, _ = camera.field(a, size)
    where["cataract"] = jnp.broadcast_to(a["cataract amount"] > 0, inside.shape)
    truth = jnp.zeros((size, size), jnp.uint32)
    for name, number in {**ORGANS, **_BITS}.items():
        truth = truth | bit(where[name] & (inside > 0.5), number)
    return jnp.round(255.0 * image).astype(jnp.uint8), truth


@partial(jax.jit, static_argnames="size")
def _render_chunk(scenes: dict[str, Any], size: int) -> tuple[Array, Array]:
    return jax.vmap(partial(_render_one, size=size))(scenes)


def render_batch(studies: Sequence[Study], size: int, masks: bool = True) -> Rendered:
    """Renders studies with their truth.

    The same study gives the same picture in any batch; lengths are physical, so pictures of one
    study at several sizes show the same eye.

    Args:
      studies: one or more.
      size: side of the square pictures in pixels, at least 32.
      masks: whether to unpack the masks; boxes are always returned.

    Returns:
      RGB pictures; the organs are :data:`ORGANS`. A cataract covers the whole field.

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
        picture, truth = _render_chunk(scene.pack(part + [part[-1]] * (CHUNK - len(part))), size)
        images.append(np.asarray(picture)[: len(part)])
        bits.append(np.asarray(truth)[: len(part)])
    image, truth = np.concatenate(images), np.concatenate(bits)
    found = [boxes(truth[i], study, _BITS) for i, study in enumerate(studies)]
    return Rendered(image, unpack(truth, studies, ORGANS, _BITS) if masks else {}, found)
