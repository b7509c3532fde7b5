"""Renders studies of several regions: scenes in, pictures and truth of one size out."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from data_gen.phantom.base import PhantomBox, Rendered
from data_gen.phantom.fields import resized, resized_mask
from data_gen.phantom.regional import Study

CHUNK = 4
"""Studies per call of a compiled function: constant, so no picture depends on its batch."""


@dataclasses.dataclass(frozen=True)
class Region:
    """How studies of one site are drawn.

    Attributes:
      scene: study -> a tree of numbers and arrays, of one structure for the site.
      stages: pure functions of JAX arrays, compiled each for itself; a scene goes through all of
        them, and the last gives (picture 0 to 255, truth bits) on the machine's own grid. Cut where
        a map is used many times, so that it is computed once.
      bits: what each bit of the truth is: organs, then findings by their names.
      organs: how many of them are organs.
      print: writes on the finished picture what the machine writes, if it does: (picture, study).
    """

    scene: Callable[[Study], dict[str, Any]]
    stages: tuple[Callable[[dict[str, Any]], Any], ...]
    bits: tuple[str, ...]
    organs: int
    print: Callable[[np.ndarray, Study], np.ndarray] | None = None


@functools.cache
def _compiled(stage: Callable[..., Any]) -> Callable[..., Any]:
    return jax.jit(jax.vmap(stage))


def render_regions(
    regions: Mapping[str, Region], studies: Sequence[Study], size: int, masks: bool = True
) -> Rendered:
    """Renders studies with their truth.

    The machine's grid is the same at every size: pictures of one study at several sizes show one
    acquisition.

    Args:
      regions: by the name of the site.
      studies: one or more.
      size: side of the square pictures in pixels, at least 32.
      masks: whether to return masks; boxes are always returned.

    Raises:
      ValueError: no study, or a size below 32.
    """
    if not studies:
        raise ValueError("render_regions needs at least one study")
    if size < 32:
        raise ValueError(f"size must be at least 32 pixels, not {size}")
    images = np.zeros((len(studies), size, size), np.uint8)
    named: dict[str, np.ndarray] = {}
    boxes: list[list[PhantomBox]] = [[] for _ in studies]
    for site in dict.fromkeys(s.site for s in studies):
        region = regions[site]
        rows = [i for i, s in enumerate(studies) if s.site == site]
        pictures, truths = _draw(region, [studies[i] for i in rows])
        for row, picture, truth in zip(rows, pictures, truths, strict=True):
            study = studies[row]
            grey = np.clip(np.round(picture), 0, 255).astype(np.uint8)
            printed = region.print(grey, study) if region.print else grey
            images[row] = resized(printed, size)
            wanted = {name: bit for bit, name in enumerate(region.bits[: region.organs])}
            if not masks:
                wanted = {}
            for i, found in enumerate(study.findings):
                wanted[f"finding {i}"] = region.bits.index(found.name, region.organs)
            for name, bit in wanted.items():
                mask = resized_mask(((truth >> bit) & 1).astype(np.uint8), size)
                if masks:
                    empty = np.zeros_like(images)
                    named.setdefault(name, empty)[row] = mask
                if name.startswith("finding "):
                    i = int(name.removeprefix("finding "))
                    boxes[row] += _box(mask, study.findings[i].name, i)
    return Rendered(images, named, boxes)


def _draw(region: Region, studies: list[Study]) -> tuple[np.ndarray, np.ndarray]:
    pictures, truths = [], []
    for start in range(0, len(studies), CHUNK):
        part = studies[start : start + CHUNK]
        scenes = [region.scene(s) for s in part]
        scenes += [scenes[-1]] * (CHUNK - len(part))
        batch = jax.tree.map(lambda *v: np.stack([np.asarray(x, np.float32) for x in v]), *scenes,
                             is_leaf=lambda v: isinstance(v, list))  # fmt: skip
        state = jax.tree.map(jnp.asarray, batch)
        for stage in region.stages:
            state = _compiled(stage)(state)
        picture, truth = state
        pictures.append(np.asarray(picture)[: len(part)])
        truths.append(np.asarray(truth)[: len(part)])
    return np.concatenate(pictures), np.concatenate(truths)


def _box(mask: np.ndarray, label: str, finding: int) -> list[PhantomBox]:
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(columns):
        return []
    h, w = mask.shape
    x0, x1 = float(columns[0] / w), float((columns[-1] + 1) / w)
    y0, y1 = float(rows[0] / h), float((rows[-1] + 1) / h)
    return [PhantomBox(x0, y0, x1, y1, label, finding)]
