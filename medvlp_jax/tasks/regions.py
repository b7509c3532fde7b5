"""The part of an image that its text is about."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8


def stated_region(
    boxes: Float[Array, "b m 4"],
    box_label: Int[Array, "b m"],
    stated: UInt8[Array, "b k"],
    height: int,
    width: int,
) -> Float[Array, "b h w"]:
    """Weights of the positions of a feature map that sum to 1 for each image.

    A position weighs as much as the boxes of stated findings cover of it. Where no box belongs to
    the text (a normal image, a finding without box) the whole image is the region.

    Args:
      boxes: x0, y0, x1, y1 in fractions of the image.
      box_label: index of the label; -1 is padding.
      stated: 1 for labels that the text affirms.
      height, width: of the feature map.
    """
    labels = jnp.maximum(box_label, 0)
    meant = jnp.take_along_axis(stated.astype(bool), labels, axis=1) & (box_label >= 0)
    across = _share(boxes[..., 0], boxes[..., 2], width)
    down = _share(boxes[..., 1], boxes[..., 3], height)
    cover = down[..., :, None] * across[..., None, :] * meant[..., None, None]
    cover = jnp.max(cover, axis=1)  # boxes may overlap
    total = jnp.sum(cover, axis=(1, 2), keepdims=True)
    return jnp.where(total > 0, cover / jnp.where(total > 0, total, 1), 1 / (height * width))


def pool(patches: Float[Array, "b h w d"], weights: Float[Array, "b h w"]) -> Float[Array, "b d"]:
    """Weighted mean of patch vectors, as a unit vector."""
    mean = jnp.einsum("bhwd,bhw->bd", patches, weights.astype(patches.dtype))
    square = jnp.sum(mean * mean, axis=-1, keepdims=True)
    return mean * jax.lax.rsqrt(jnp.maximum(square, 1e-12))


def _share(low: Float[Array, "b m"], high: Float[Array, "b m"], size: int) -> jax.Array:
    """Which fraction of each of ``size`` intervals of [0, 1] lies between ``low`` and ``high``."""
    edges = jnp.arange(size + 1) / size
    inside = jnp.minimum(high[..., None], edges[1:]) - jnp.maximum(low[..., None], edges[:-1])
    return jnp.clip(inside * size, 0.0, 1.0)
