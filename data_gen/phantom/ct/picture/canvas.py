"""Paints structures into a map of Hounsfield units, with the truth beside it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, UInt32

from data_gen.phantom.ct.picture.items import FAECES, GAS_LEVEL, VECTOR, organ_bit
from data_gen.phantom.ct.picture.shapes import Map, capsule, outline, step

Params = dict[str, Any]
Truth = UInt32[Array, "h w"]

_FAT, _GAS = -100.0, -960.0

#: Sides of the windows that items are painted in, as parts of the picture; what reaches further
#: than 1 lies nowhere and is skipped.
_WINDOWS = (0.12, 0.3, 1.0)


class Canvas:
    """One slice in the making; used while JAX traces, so it may change its own fields.

    Attributes:
      s: the scene.
      x, y: mm in the region's own frame, with the patient's irregularities.
      plain_x, plain_y: the same without them.
      pitch: mm of a pixel in that frame.
      hu, truth: the map, and bits of findings (below 8) and organs.
      noise: smooth maps of unit variance by name.
      cavity: distance to the inner wall of the trunk.
    """

    def __init__(self, s: Params, x: Map, y: Map, pitch: Array, noise: dict[str, Map]) -> None:
        self.s, self.plain_x, self.plain_y, self.pitch, self.noise = s, x, y, pitch, noise
        wobble = s["wobble"]
        self.x = x + wobble * (noise["bend_x"] + 0.45 * noise["ripple_x"])
        self.y = y + wobble * (noise["bend_y"] + 0.45 * noise["ripple_y"])
        self.hu = jnp.full_like(x, -1000.0)
        self.truth = jnp.zeros(x.shape, jnp.uint32)
        self.cavity = jnp.full_like(x, 1000.0)

    def hold(self) -> None:
        """Keeps the compiler from computing the maps again inside every one of their users."""
        self.hu, self.truth = jax.lax.optimization_barrier((self.hu, self.truth))

    def paint(self, d: Map, hu: Map | Array | float, soft: float = 1.0, amount: Any = 1.0) -> Map:
        """Fills what is inside ``d``; returns how much of each pixel was."""
        alpha = step(d, jnp.maximum(self.pitch, soft)) * amount
        self.hu = self.hu + alpha * (hu - self.hu)
        return alpha

    def mark(self, owner: Array, where: Bool[Array, "h w"]) -> None:
        """Sets the bit of a finding; an owner of -1 is nobody."""
        bit = jnp.where(owner >= 0, jnp.uint32(1) << jnp.maximum(owner, 0).astype(jnp.uint32), 0)
        self.truth = self.truth | (where.astype(jnp.uint32) * bit.astype(jnp.uint32))

    def mark_small(self, site: Array, d: Map) -> None:
        """As :meth:`mark`, with a pixel at least of what is smaller than one."""
        least = jnp.minimum(site[2], site[3]) - 0.72 * self.pitch
        self.mark(site[6], d > jnp.minimum(least, 0.0))

    def shows(self, organ: str) -> Bool[Array, "h w"]:
        """Where an organ is seen."""
        return ((self.truth >> organ_bit(organ)) & 1) > 0

    def when(self, there: Array, paint: Callable[[], None]) -> None:
        """Runs ``paint`` on the canvas only if ``there``; the rest of the studies pay nothing."""

        def yes(state: tuple[Map, Truth]) -> tuple[Map, Truth]:
            before = self.hu, self.truth
            self.hu, self.truth = state
            paint()
            after, (self.hu, self.truth) = (self.hu, self.truth), before
            return after

        state = (self.hu, self.truth)
        self.hu, self.truth = jax.lax.cond(there, yes, lambda kept: kept, state)

    def sites(self, kind: str, paint: Callable[[Array], None]) -> None:
        """Runs ``paint`` for each site of a kind that the study has."""

        def one(state: tuple[Map, Truth], site: Array) -> tuple[tuple[Map, Truth], None]:
            before = self.hu, self.truth
            self.hu, self.truth = state
            self.when(site[6] >= 0, lambda: paint(site))
            after, (self.hu, self.truth) = (self.hu, self.truth), before
            return after, None

        state = (self.hu, self.truth)
        (self.hu, self.truth), _ = jax.lax.scan(one, state, self.s[kind])

    def layers(self, stage: str) -> None:
        """Paints the outlines and then the strokes of a stage, each over what was there.

        An item is painted into the smallest of three windows that holds it.
        """
        lumps = self.noise["lump"] + 0.35 * self.noise["fine"]
        faeces = jnp.where(
            lumps > 0.75, jnp.where(lumps > 1.15, -750.0, -300.0), 28.0 + 55.0 * self.noise["fine"]
        )
        mottle = 0.7 * self.noise["fine"] + 0.6 * self.noise["lump"]
        maps = (self.x, self.y, self.cavity, mottle, faeces)
        for kind, paint in (("blobs", self._blob), ("strokes", self._stroke)):
            items, windows = self.s[f"{stage}_{kind}"], self.s[f"{stage}_{kind}_at"]
            if items.shape[0]:
                state = (self.hu, self.truth)
                (self.hu, self.truth), _ = jax.lax.scan(
                    partial(_one_item, maps, paint), state, (items, windows)
                )
        self.hold()

    def _blob(self, maps: tuple[Map, ...], hu: Map, truth: Truth, item: Array) -> tuple[Map, Truth]:
        x, y, cavity, mottle, faeces = maps
        core, wall, wall_mm, clip, fill, level, texture, bit, halo, soft = item[VECTOR:]
        d = outline(item[:VECTOR], x, y)
        d = jnp.where(clip > -90.0, jnp.minimum(d, cavity - clip), d)
        width = jnp.maximum(self.pitch, soft)
        around = step(d + halo, width) * (halo > 0) * 0.85
        hu = hu + around * (jnp.minimum(hu, _FAT) - hu)
        value = core + texture * mottle
        value = jnp.where(fill == GAS_LEVEL, jnp.where(y < level, _GAS, value), value)
        value = jnp.where(fill == FAECES, faeces + core, value)
        value = wall + (value - wall) * step(d - wall_mm, width)
        hu = hu + step(d, width) * (value - hu)
        own = jnp.where(bit >= 0, jnp.uint32(1) << jnp.maximum(bit, 0).astype(jnp.uint32), 0)
        return hu, jnp.where(d > 0, own.astype(jnp.uint32), truth)

    def _stroke(
        self, maps: tuple[Map, ...], hu: Map, truth: Truth, item: Array
    ) -> tuple[Map, Truth]:
        x, y, cavity = maps[:3]
        x0, y0, x1, y1, r0, r1, core, wall, wall_mm, clip, soft = item
        d = capsule(x, y, x0, y0, x1, y1, r0, r1)
        d = jnp.where(clip > -90.0, jnp.minimum(d, cavity - clip), d)
        width = jnp.maximum(self.pitch, soft)
        value = wall + (core - wall) * step(d - wall_mm, width)
        # What is thinner than a pixel fills a part of it only.
        part = jnp.minimum(1.0, 3.0 * jnp.maximum(r0, r1) / width)
        return hu + step(d, width) * part * (value - hu), truth


def _one_item(
    maps: tuple[Map, ...],
    paint: Callable[..., tuple[Map, Truth]],
    state: tuple[Map, Truth],
    item_window: tuple[Array, Array],
) -> tuple[tuple[Map, Truth], None]:
    item, (column, row, reach) = item_window
    size = state[0].shape[0]

    def within(part: float, state: tuple[Map, Truth]) -> tuple[Map, Truth]:
        side = min(size, int(part * size) + 5)
        start = [
            jnp.clip(jnp.round(at * size - side / 2).astype(jnp.int32), 0, size - side)
            for at in (row, column)
        ]
        cut = [jax.lax.dynamic_slice(m, start, (side, side)) for m in (*maps, *state)]
        new = paint(tuple(cut[: len(maps)]), *cut[len(maps) :], item)
        return tuple(
            jax.lax.dynamic_update_slice(old, part, start)
            for old, part in zip(state, new, strict=True)
        )  # type: ignore[return-value]

    which = jnp.searchsorted(jnp.asarray(_WINDOWS), reach)
    choices = [partial(within, part) for part in _WINDOWS]
    return jax.lax.switch(which, [*choices, lambda kept: kept], state), None
