"""Renders studies: one compiled function per region and size, exact truth beside every picture."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8, UInt32

from data_gen.phantom.base import PhantomBox, Rendered
from data_gen.phantom.ct.findings import Study
from data_gen.phantom.ct.picture import scene
from data_gen.phantom.ct.picture.canvas import Canvas
from data_gen.phantom.ct.picture.draw_head import draw_head
from data_gen.phantom.ct.picture.draw_trunk import draw_abdomen, draw_chest
from data_gen.phantom.ct.picture.items import ORGANS, organ_bit
from data_gen.phantom.ct.picture.scanner import scan
from data_gen.phantom.ct.picture.shapes import smooth_map, step

Params = dict[str, Any]

CHUNK = 8
"""Studies per call of the compiled function: constant, so no picture depends on its batch."""

_DRAW = {"abdomen": draw_abdomen, "chest": draw_chest, "head": draw_head}
_MIDLINE_BIT = 31


def _render_one(
    s: Params, size: int, region: str
) -> tuple[UInt8[Array, "s s"], UInt32[Array, "s s"]]:
    """One study: (picture, truth bits)."""
    shift_x, shift_y, tilt, scale_x, scale_y = s["frame"]
    frac = (jnp.arange(size) + 0.5) / size - 0.5
    px = (frac[None, :] - shift_x) * s["fov"] + jnp.zeros((size, size))
    py = (frac[:, None] - shift_y) * s["fov"] + jnp.zeros((size, size))
    x = (px * jnp.cos(tilt) + py * jnp.sin(tilt)) / scale_x
    y = (py * jnp.cos(tilt) - px * jnp.sin(tilt)) / scale_y
    noise = {name: smooth_map(s[f"noise_{name}"], size) for name in scene.NOISE_GRIDS}
    noise, x, y = jax.lax.optimization_barrier((noise, x, y))
    canvas = Canvas(s, x, y, s["fov"] / size / scale_x, noise)
    skin = _DRAW[region](canvas)
    canvas.hold()
    image = scan(s, canvas.hu, step(skin - 45.0, 120.0))
    left = (x > 0).astype(jnp.uint32) << _MIDLINE_BIT
    return image, (canvas.truth & jnp.uint32(0x7FFFFFFF)) | left


@partial(jax.jit, static_argnames=("size", "region"))
def _render_chunk(scenes: Params, size: int, region: str) -> tuple[Array, Array]:
    # One after the other: what a study does not show is then not computed for it.
    return jax.lax.map(partial(_render_one, size=size, region=region), scenes)


def render_batch(studies: Sequence[Study], size: int, masks: bool = True) -> Rendered:
    """Renders studies with their truth.

    The same study gives the same picture in any batch; lengths are physical, so pictures of one
    study at several sizes show the same patient.

    Args:
      studies: one or more, of any regions.
      size: side of the square pictures in pixels, at least 32.
      masks: whether to unpack the masks; boxes are always returned.

    Returns:
      The organs are those of :data:`data_gen.phantom.ct.picture.items.ORGANS`, empty where the
      slice has none; a bilateral finding has a box per side.

    Raises:
      ValueError: no study, or a size below 32.
    """
    if not studies:
        raise ValueError("render_batch needs at least one study")
    if size < 32:
        raise ValueError(f"size must be at least 32 pixels, not {size}")
    image = np.zeros((len(studies), size, size), np.uint8)
    truth = np.zeros((len(studies), size, size), np.uint32)
    for region in sorted({s.region for s in studies}):
        at = [i for i, s in enumerate(studies) if s.region == region]
        for start in range(0, len(at), CHUNK):
            part = at[start : start + CHUNK]
            full = part + [part[-1]] * (CHUNK - len(part))
            batch = scene.pack([studies[i] for i in full])
            pictures, bits = _render_chunk(batch, size, region)
            image[part] = np.asarray(pictures)[: len(part)]
            truth[part] = np.asarray(bits)[: len(part)]
    boxes = [_boxes(truth[i], study) for i, study in enumerate(studies)]
    return Rendered(image, _unpack(truth, studies) if masks else {}, boxes)


def _unpack(truth: np.ndarray, studies: Sequence[Study]) -> dict[str, np.ndarray]:
    named = {name: organ_bit(name) for name in ORGANS}
    named |= {f"finding {i}": i for i in range(max(len(s.findings) for s in studies))}
    return {k: ((truth >> np.uint32(bit)) & 1).astype(np.uint8) for k, bit in named.items()}


def _boxes(truth: np.ndarray, study: Study) -> list[PhantomBox]:
    left = (truth >> np.uint32(_MIDLINE_BIT)) & 1
    boxes = []
    for i, finding in enumerate(study.findings):
        region = (truth >> np.uint32(i)) & 1
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
