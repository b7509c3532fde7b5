"""Cached decoding: the two forward passes of a language model that generates.

Both have static shapes. The cache has a fixed number of rows and of places; each row counts its own
places, so that texts of any length share it, and one that is finished can be replaced by another.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from medvlp_jax.core.errors import UserError
from medvlp_jax.core.sharding import constrain
from medvlp_jax.models.attention import MASKED, cap_scores
from medvlp_jax.models.lm.blocks import DecoderBlock, Facts, layer_facts, turns
from medvlp_jax.models.lm.config import LMConfig
from medvlp_jax.models.lm.decoder import KeyValues, LanguageModel, Layers

#: Logical axes of the arrays of a cache; a leading layer axis has no name.
CACHE_AXES = ("batch", "heads", None, None)


class Cache(NamedTuple):
    """Rotated keys, and values, [b, kv, s, d] of every layer.

    Place ``s`` holds the token at position ``s``.
    """

    k: Layers
    v: Layers

    @property
    def places(self) -> int:
        return jax.tree.leaves(self.k)[0].shape[-2]


def abstract_cache(config: LMConfig, rows: int, places: int) -> Cache:
    """Shapes of a cache in the compute dtype.

    Raises:
      UserError: the model has no positions for so many places.
    """
    if config.positions == "learned" and places > config.max_length:
        raise UserError(
            f"{config.name} has {config.max_length} positions; capacity={places} is more"
        )
    one = (rows, config.kv_heads, places, config.head_dim)
    dtype = jnp.dtype(config.dtype)
    if config.stacked:
        leaf: Any = jax.ShapeDtypeStruct((config.depth, *one), dtype)
    else:
        leaf = (jax.ShapeDtypeStruct(one, dtype),) * config.depth
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
        new = new.swapaxes(-3, -2).astype(old.dtype)  # [..., p, kv, t, d]
        where = (rows, slice(None), slice(new.shape[-2]))
        if old.ndim == 5:
            return old.at[:, *where].set(new, mode="drop")
        return old.at[where].set(new, mode="drop")

    return jax.tree.map(write, cache, Cache(*kv))


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
    rotation = turns(c, positions[:, None], cache.places)
    facts = layer_facts(c, cache.places)
    place = jnp.arange(cache.places)
    past = place <= positions[:, None]

    def layer(
        x: Array, block: DecoderBlock, own: Facts, cache: Any, index: Array | None
    ) -> tuple[Array, Any]:
        q, *new = block.qkv(x, rotation, own)
        seen = past
        if own.window is not None:
            seen = past & ((positions[:, None] - place < own.window) | (own.window == 0))
        cache = Cache(
            *(_append(old, x, index, positions) for old, x in zip(cache, new, strict=True))
        )
        k, v = cache if index is None else (cache.k[index], cache.v[index])
        x = block.finish(x, _attend(q[:, 0], k, v, seen, c.score_cap)[:, None])
        return constrain(x, "batch", None, None), cache

    x = model.embed(tokens)[:, None].astype(c.dtype)
    x = constrain(model.with_positions(x, positions[:, None]), "batch", None, None)
    if c.stacked:
        # The cache is carried, not scanned over: a carry is updated in place, where the outputs
        # of a scan are a second cache.
        (x, cache), _ = jax.lax.scan(
            lambda carry, xs: (layer(carry[0], xs[0], xs[1], carry[1], xs[2]), None),
            (x, cache),
            (model.blocks, jax.tree.map(jnp.asarray, facts), jnp.arange(c.depth)),
            unroll=min(c.unroll, c.depth),
        )
    else:
        pieces = []
        blocks = zip(model.blocks, cache.k, cache.v, strict=True)
        for i, (block, k, v) in enumerate(blocks):
            x, piece = layer(x, block, facts.layer(i), Cache(k, v), None)
            pieces.append(piece)
        cache = Cache(*zip(*pieces, strict=True))
    return model.logits(model.norm_final(x[:, 0])), cache


def _append(
    cache: Float[Array, "*layers b kv s d"],
    new: Float[Array, "b 1 kv d"],
    layer: Int[Array, ""] | None,
    positions: Int[Array, " b"],
) -> Array:
    rows = jnp.arange(positions.shape[0])
    where = (rows, slice(None), positions)
    value = new[:, 0].astype(cache.dtype)
    return cache.at[where if layer is None else (layer, *where)].set(value)


def _attend(
    q: Float[Array, "b h d"],
    k: Float[Array, "b kv s d"],
    v: Float[Array, "b kv s d"],
    seen: Bool[Array, "b s"],
    cap: float,
) -> Float[Array, "b h d"]:
    """Attention of one query per row on its cache; query heads that share keys form groups."""
    b, h, d = q.shape
    grouped = (q * d**-0.5).reshape(b, k.shape[1], -1, d)
    scores = jnp.einsum("bkgd,bksd->bkgs", grouped, k, preferred_element_type=jnp.float32)
    scores = cap_scores(scores, cap)
    weights = jax.nn.softmax(jnp.where(seen[:, None, None], scores, MASKED), axis=-1)
    return jnp.einsum("bkgs,bksd->bkgd", weights.astype(v.dtype), v).reshape(b, h, d)
