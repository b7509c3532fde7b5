"""Words from their pieces, and the weights of words."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

#: A score that leaves a word out of a softmax; finite, so that an empty row has no NaN.
NEVER = -1e30


def merge_pieces(
    pieces: Float[Array, "b t d"], word_ids: Int[Array, "b t"]
) -> Float[Array, "b t d"]:
    """The sum of the pieces of every word (GLoRIA and MGCA sum; a mean would shorten long words).

    Args:
      pieces: one vector a token.
      word_ids: see ``Tokenizer.word_ids``.

    Returns:
      Word ``w`` at position ``w``; position 0 is the token in front ([CLS]). Zero where there is no
      word.
    """
    return jnp.einsum("btw,btd->bwd", _one_hot(word_ids, pieces.dtype), pieces)


def merge_weights(weights: Float[Array, "b t"], word_ids: Int[Array, "b t"]) -> Array:
    """The sum of the weights of the pieces of every word; as :func:`merge_pieces`."""
    return jnp.einsum("btw,bt->bw", _one_hot(word_ids, weights.dtype), weights)


def present(word_ids: Int[Array, "b t"]) -> Bool[Array, "b t"]:
    """Which positions of :func:`merge_pieces` hold a word; position 0 always does."""
    count = word_ids.shape[1]
    some = jnp.any(word_ids[:, :, None] == jnp.arange(count), axis=1)
    return some | (jnp.arange(count) == 0)


def _one_hot(word_ids: Int[Array, "b t"], dtype: jnp.dtype) -> Array:
    return (word_ids[:, :, None] == jnp.arange(word_ids.shape[1])).astype(dtype)


def clipped_weights(
    attention: Float[Array, "b t"], low: float = 0.1, high: float = 0.9
) -> Float[Array, "b t"]:
    """Attention as weights: clipped to two of its quantiles, then divided by its sum.

    MGCA's (Wang et al. 2022, arXiv:2210.06044) guard against one token that draws everything. The
    quantiles are those of the entries of a row that are not zero, linearly interpolated; zeros stay
    zero. A row of zeros stays zero.
    """
    some = attention > 0
    found = jnp.where(some, attention, jnp.nan)
    bounds = jnp.nanquantile(found, jnp.asarray([low, high]), axis=1, keepdims=True)
    clipped = jnp.where(some, jnp.clip(attention, bounds[0], bounds[1]), 0.0)
    total = jnp.sum(clipped, axis=1, keepdims=True)
    return clipped / jnp.where(total > 0, total, 1.0)
