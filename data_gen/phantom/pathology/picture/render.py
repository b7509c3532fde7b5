"""Renders studies: one compiled function per image size and stain, exact truth beside each."""

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
from data_gen.phantom.pathology.findings import FINDING_NAMES, TUMOURS, Study
from data_gen.phantom.pathology.picture import scanner, scene, slide, smear

CHUNK = 8
"""Studies per call of a compiled function: constant, so no picture depends on its batch."""

ORGANS = {"nuclei": 0, "glands": 1, "red cells": 2, "white cells": 3, "platelets": 4}
_BITS = {name: 5 + i for i, name in enumerate(FINDING_NAMES)}


def _render_one(
    a: dict[str, Any], size: int, blood: bool
) -> tuple[UInt8[Array, "s s 3"], UInt32[Array, "s s"]]:
    """One study: (picture, truth bits)."""
    noise = {name: noise_map(a[f"noise_{name}"], size) for name in scene.NOISE_GRIDS}
    if blood:
        density, where = smear.paint(a, size, noise)
        light = jnp.exp(-density)
    else:
        blue, eosin, where = slide.paint(a, size, noise)
        light = scanner.stained(a, blue, eosin, noise)
        where |= dict.fromkeys(TUMOURS.values(), where["tumor"])
    image = scanner.scan(a, light)
    truth = jnp.zeros((size, size), jnp.uint32)
    for name, number in {**ORGANS, **_BITS}.items():
        if name in where:
            truth = truth | bit(where[name], number)
    return jnp.round(255.0 * image).astype(jnp.uint8), truth


@partial(jax.jit, static_argnames=("size", "blood"))
def _render_chunk(scenes: dict[str, Any], size: int, blood: bool) -> tuple[Array, Array]:
    return jax.vmap(partial(_render_one, size=size, blood=blood))(scenes)


def render_batch(studies: Sequence[Study], size: int, masks: bool = True) -> Rendered:
    """Renders studies with their truth.

    The same study gives the same picture in any batch; lengths are physical, so pictures of one
    study at several sizes show the same field of the same slide.

    Args:
      studies: one or more, of tissue and of blood in any order.
      size: side of the square pictures in pixels, at least 32.
      masks: whether to unpack the masks; boxes are always returned.

    Returns:
      RGB pictures; the organs are :data:`ORGANS`, empty where the specimen has none of them.

    Raises:
      ValueError: no study, or a size below 32.
    """
    if not studies:
        raise ValueError("render_batch needs at least one study")
    if size < 32:
        raise ValueError(f"size must be at least 32 pixels, not {size}")
    image = np.zeros((len(studies), size, size, 3), np.uint8)
    truth = np.zeros((len(studies), size, size), np.uint32)
    for blood in (False, True):
        chosen = [i for i, s in enumerate(studies) if (s.specimen == "blood") == blood]
        for start in range(0, len(chosen), CHUNK):
            part = chosen[start : start + CHUNK]
            full = [studies[i] for i in part] + [studies[part[-1]]] * (CHUNK - len(part))
            picture, bits = _render_chunk(scene.pack(full), size, blood)
            image[part] = np.asarray(picture)[: len(part)]
            truth[part] = np.asarray(bits)[: len(part)]
    found = [boxes(truth[i], study, _BITS) for i, study in enumerate(studies)]
    return Rendered(image, unpack(truth, studies, ORGANS, _BITS) if masks else {}, found)
