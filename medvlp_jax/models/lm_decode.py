"""Cached decoding: the two forward passes of a language model that generates.

Both have static shapes. The cache has a fixed number of rows and of places; each row counts its own
places, so that texts of any length share it, and one that is finished can be replaced by another.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from medvlp_jax.core.sharding import constrain
from medvlp_jax.models.attention import MASKED
from medvlp_jax.models.lm import DecoderBlock, KeyValues, LanguageModel, LMConfig
from medvlp_jax.models.lm_rope import angles, frequencies

#: Logical axes of the two arrays of a cache.
CACHE_AXES = (None, "batch", "heads", None, None)


class Cache(NamedTuple):
    """Rotated keys, and values, of all layers; place ``s`` holds the token at position ``s``."""

    k: Float[Array, "layers b kv s d"]
    v: Float[Array, "layers b kv s d"]

    @property
    def places(self) -> int:
        return self.k.shape[3]


def abstract_cache(config: LMConfig, rows: int, places: int) -> Cache:
    """Shapes of a cache in the compute dtype."""
    shape = (config.depth, rows, config.kv_heads, places, config.head_dim)
    leaf = jax.ShapeDtypeStruct(shape, jnp.dtype(config.dtype))
    return Cache(leaf, leaf)


def prefill(
    model: LanguageModel,
    ids: Int[Array, "p t"],
    lengths: Int[Array, " p"],
    places: int,
) -> tuple[Float[Array, "p vocab"], KeyValues]:
    """Reads prompts that are padded on the right.

    Args:
      ids: prompts; what stands behind their end is ignored.
      lengths: of the prompts, at least 1.
      places: capacity of the cache that the result will go into; it decides the frequencies of
        dynamically scaled rotations.

    Returns:
      Logits after the last token of each prompt, and keys and values for :func:`insert`.
    """
    mask = jnp.arange(ids.shape[1]) < lengths[:, None]
    x, kv = model.hidden(model.embed(ids), mask=mask, collect=True, rope_length=places)
    assert kv is not None
    last = jnp.take_along_axis(x, (lengths - 1)[:, None, None], axis=1)[:, 0]
    return model.logits(last), kv


def insert(cache: Cache, kv: KeyValues, rows: Int[Array, " p"]) -> Cache:
    """Writes prefilled prompts into rows of the cache; a row beyond its end is dropped.

    What a former text left behind the prompt stays; no query reaches it before it is overwritten.
    """

    def write(old: Array, new: Array) -> Array:
        new = new.transpose(0, 1, 3, 2, 4).astype(old.dtype)  # [layers, p, kv, t, d]
        new = old.at[:, rows, :, : new.shape[3]].set(new, mode="drop")
        return constrain(new, *CACHE_AXES)

    return Cache(write(cache.k, kv.k), write(cache.v, kv.v))


def decode_step(
    model: LanguageModel,
    tokens: Int[Array, " b"],
    positions: Int[Array, " b"],
    cache: Cache,
) -> tuple[Float[Array, "b vocab"], Cache]:
    """One token further in every row.

    Args:
      tokens: the last token of each row, which is not in the cache yet.
      positions: its position in the text, in [0, places).
      cache: donated by the caller where it can be; it is updated in place.

    Returns:
      Logits of the next tokens and the cache with ``tokens`` in it.
    """
    c = model.config
    cos, sin = angles(frequencies(c.rope, c.head_dim, cache.places), positions[:, None])
    seen = jnp.arange(cache.places) <= positions[:, None]

    # The cache is carried, not scanned over: a carry is updated in place, where the outputs of a
    # scan are a second cache.
    def body(
        carry: tuple[Array, Cache], layer: tuple[DecoderBlock, Array]
    ) -> tuple[tuple[Array, Cache], None]:
        x, cache = carry
        block, index = layer
        q, k, v = block.attn.qkv(block.norm1(x), cos, sin)
        cache = Cache(_append(cache.k, k, index, positions), _append(cache.v, v, index, positions))
        mixed = _attend(q[:, 0], cache.k[index], cache.v[index], seen)
        x = x + block.attn.finish(mixed[:, None])
        x = x + block.mlp(block.norm2(x))
        return (constrain(x, "batch", None, None), cache), None

    x = constrain(model.embed(tokens)[:, None].astype(c.dtype), "batch", None, None)
    layers = (model.blocks, jnp.arange(c.depth))
    (x, cache), _ = jax.lax.scan(body, (x, cache), layers, unroll=min(c.unroll, c.depth))
    return model.logits(model.norm_final(x[:, 0])), cache


def _append(
    cache: Float[Array, "layers b kv s d"],
    new: Float[Array, "b 1 kv d"],
    layer: Int[Array, ""],
    positions: Int[Array, " b"],
) -> Array:
    rows = jnp.arange(positions.shape[0])
    return cache.at[layer, rows, :, positions].set(new[:, 0].astype(cache.dtype))


def _attend(
    q: Float[Array, "b h d"],
    k: Float[Array, "b kv s d"],
    v: Float[Array, "b kv s d"],
    seen: Bool[Array, "b s"],
) -> Float[Array, "b h d"]:
    """Attention of one query per row on its cache; query heads that share keys form groups."""
    b, h, d = q.shape
    grouped = (q * d**-0.5).reshape(b, k.shape[1], -1, d)
    scores = jnp.einsum("bkgd,bksd->bkgs", grouped, k, preferred_element_type=jnp.float32)
    weights = jax.nn.softmax(jnp.where(seen[:, None, None], scores, MASKED), axis=-1)
    return jnp.einsum("bkgs,bksd->bkgd", weights.astype(v.dtype), v).reshape(b, h, d)
