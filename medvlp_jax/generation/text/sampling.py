"""From logits to the next token of every row, each row with a random stream of its own."""

import dataclasses
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from medvlp_jax.core.fields import Count, NonNegative, Positive, Seed, Share


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How a token is drawn. The steps apply in the order of the attributes.

    Attributes:
      repetition_penalty: logits of tokens that occur in the prompt or the text so far are divided
        by it where positive and multiplied where negative (Keskar et al. 2019); 1 is off.
      temperature: logits are divided by it; 0 takes the most likely token (greedy), and what
        follows is not used.
      top_k: only the so many most likely tokens; 0 is off.
      top_p: only the most likely tokens that together have this probability (Holtzman et al.
        2020), counted after ``top_k``; 1 is off.
      seed: another seed gives other texts.
    """

    repetition_penalty: Positive = 1.0
    temperature: NonNegative = 0.0
    top_k: Count = 0
    top_p: Share = 1.0
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.repetition_penalty <= 0:
            raise ValueError(f"repetition_penalty={self.repetition_penalty} must be positive")
        if self.temperature < 0 or self.top_k < 0:
            raise ValueError("temperature and top_k must not be negative")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p={self.top_p} must be above 0 and at most 1")

    @property
    def greedy(self) -> bool:
        return self.temperature == 0


def row_key(seed: int, record_id: str) -> UInt32[np.ndarray, " 2"]:
    """The random stream of a record: equal for equal ``(seed, record_id)`` on any machine."""
    digest = hashlib.sha256(f"{seed} {record_id}".encode()).digest()
    return np.frombuffer(digest[:8], "<u4").copy()


def next_tokens(
    logits: Float[Array, "b vocab"],
    keys: UInt32[Array, "b 2"],
    counts: Int[Array, " b"],
    seen: Bool[Array, "b vocab"] | None,
    sampling: Sampling,
) -> Int[Array, " b"]:
    """Draws one token per row.

    Args:
      logits: float32.
      keys: of :func:`row_key`.
      counts: number of the token in its text; with the key it decides about the draw, so that
        neither the other rows nor the time of day do.
      seen: tokens that occur in prompt and text; needed for a repetition penalty alone.
      sampling: how; static.
    """
    s = sampling
    if s.repetition_penalty != 1:
        assert seen is not None
        p = s.repetition_penalty
        logits = jnp.where(seen, jnp.where(logits > 0, logits / p, logits * p), logits)
    if s.greedy:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    logits = logits / s.temperature
    if s.top_k == 0 and s.top_p == 1:
        return _draw(logits, keys, counts)
    vocab = logits.shape[-1]
    logits, ids = jax.lax.top_k(logits, min(s.top_k or vocab, vocab))
    if s.top_p < 1:
        probs = jax.nn.softmax(logits, axis=-1)
        before = jnp.cumsum(probs, axis=-1) - probs
        logits = jnp.where(before < s.top_p, logits, -jnp.inf)  # the first one always stays
    rank = _draw(logits, keys, counts)
    return jnp.take_along_axis(ids, rank[:, None], axis=1)[:, 0].astype(jnp.int32)


def _draw(logits: Array, keys: Array, counts: Array) -> Array:
    def one(logits: Array, key: Array, count: Array) -> Array:
        # The implementation is named, for a default may be changed by a flag of JAX.
        stream = jax.random.fold_in(jax.random.wrap_key_data(key, impl="threefry2x32"), count)
        return jnp.argmax(logits + jax.random.gumbel(stream, logits.shape, jnp.float32))

    return jax.vmap(one)(logits, keys, counts).astype(jnp.int32)
