"""Captions of images by a decoder with cross-attention: the likeliest word, or beams.

Beams follow transformers' rules: twice as many continuations as beams are looked at; a text that
ends counts by its log-probability over its length to the power of a penalty; it is over when the
beams that go on, at their length, are worse than the worst of as many finished texts.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from medvlp_jax.models.blip.blip import Blip
from medvlp_jax.models.blip.text import Cache, empty_cache, write_step

_NONE = -1e30


class Beams(NamedTuple):
    """All texts on their way, and the best that have ended.

    Attributes:
      step: words written so far.
      tokens, scores: of the beams that go on; scores are sums of log-probabilities.
      ended, ended_scores: finished texts and their scores by length.
      done: images whose texts can get no better.
    """

    step: Int[Array, ""]
    tokens: Int[Array, "b k t"]
    scores: Float[Array, "b k"]
    ended: Int[Array, "b k t"]
    ended_scores: Float[Array, "b k"]
    done: Bool[Array, " b"]
    cache: Cache


def captions(
    model: Blip,
    image: Float[Array, "b n e"],
    end: Int[Array, " b"],
    length: int,
    beams: int = 3,
    penalty: float = 1.0,
) -> Int[Array, "b length"]:
    """The best caption of each image; the end token fills up what is behind its words.

    Args:
      image: tokens of the images (``Blip.image_tokens``).
      end: the token that ends a text, the same in every row.
      length: most words, the end included.
      beams: 1 is greedy.
      penalty: exponent of the length that log-probabilities are divided by.

    Raises:
      ValueError: ``length`` is more than the text side has positions for.
    """
    b, k, start = image.shape[0], beams, model.config.dec_id
    if length > model.config.text.max_length:
        raise ValueError(
            f"captions of {length} words; the text side has {model.config.text.max_length} places"
        )
    stop = jnp.broadcast_to(end[:, None, None], (b, k, length)).astype(jnp.int32)
    cache = empty_cache(model.text, jnp.repeat(image, k, axis=0), length)
    state = Beams(
        jnp.zeros((), jnp.int32),
        stop,
        jnp.where(jnp.arange(k) == 0, 0.0, _NONE)[None].repeat(b, 0),
        stop,
        jnp.full((b, k), _NONE),
        jnp.zeros((b,), bool),
        cache,
    )

    def goes_on(s: Beams) -> Array:
        return (s.step < length) & ~jnp.all(s.done)

    def one(s: Beams) -> Beams:
        last = jax.lax.dynamic_index_in_dim(s.tokens, jnp.maximum(s.step - 1, 0), 2, False)
        last = jnp.where(s.step == 0, start, last).reshape(-1)
        hidden, cache = write_step(model.text, last, s.step, s.cache)
        log_p = jax.nn.log_softmax(model.words(hidden), axis=-1).reshape(b, k, -1)
        return _extend(s._replace(cache=cache), log_p, end, penalty)

    state = jax.lax.while_loop(goes_on, one, state)
    # What never ended counts by its whole length, unless its image was done before.
    reach = state.scores / jnp.maximum(state.step, 1).astype(jnp.float32) ** penalty
    reach = jnp.where(state.done[:, None], _NONE, reach)
    texts = jnp.concatenate([state.ended, state.tokens], axis=1)
    best = jnp.argmax(jnp.concatenate([state.ended_scores, reach], axis=1), axis=1)
    return jnp.take_along_axis(texts, best[:, None, None], axis=1)[:, 0]


def _extend(s: Beams, log_p: Float[Array, "b k v"], end: Array, penalty: float) -> Beams:
    """One word more in every beam."""
    b, k, v = log_p.shape
    count = (s.step + 1).astype(jnp.float32)
    many = min(2 * k, k * v)
    found, at = jax.lax.top_k((s.scores[..., None] + log_p).reshape(b, k * v), many)
    beam, token = at // v, (at % v).astype(jnp.int32)
    ends = token == end[:, None]
    written = jnp.take_along_axis(s.tokens, beam[..., None], axis=1)
    here = jnp.arange(written.shape[-1]) == s.step
    written = jnp.where(here & ~ends[..., None], token[..., None], written)
    # A text that ends counts only where it is among the k best continuations.
    over = ends & (jnp.arange(many) < k)
    values = jnp.where(over, found / count**penalty, _NONE)
    values = jnp.concatenate([s.ended_scores, values], axis=1)
    ended_scores, kept = jax.lax.top_k(values, k)
    texts = jnp.concatenate([s.ended, written], axis=1)
    ended = jnp.take_along_axis(texts, kept[..., None], axis=1)
    scores, kept = jax.lax.top_k(jnp.where(ends, _NONE, found), k)
    tokens = jnp.take_along_axis(written, kept[..., None], axis=1)
    source = jnp.take_along_axis(beam, kept, axis=1)
    flat = (jnp.arange(b)[:, None] * k + source).reshape(-1)
    cache = s.cache._replace(k=s.cache.k[:, flat], v=s.cache.v[:, flat])
    full = ended_scores[:, -1] > _NONE / 2
    done = s.done | (full & (ended_scores[:, -1] >= scores[:, 0] / count**penalty))

    def unless_done(old: Array, new: Any) -> Array:
        return jnp.where(s.done.reshape(-1, *(1,) * (new.ndim - 1)), old, new)

    return Beams(
        s.step + 1,
        unless_done(s.tokens, tokens),
        unless_done(s.scores, scores),
        unless_done(s.ended, ended),
        unless_done(s.ended_scores, ended_scores),
        done,
        cache,
    )
