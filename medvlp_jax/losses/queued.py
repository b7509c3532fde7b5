"""Contrast against a queue with soft targets, hard negatives, matches and words: BLIP's losses.

Li et al. 2021, arXiv:2107.07651 (ALBEF), eq. 6; Li et al. 2022, arXiv:2201.12086, sec. 3.2. What is
ours: records of one text, and a record that was seen before, are positives of each other; those of
one group (panels of a figure) are no negatives; padding takes no part.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, UInt32

from medvlp_jax.losses.pairs import EMPTY, matmul


class Keys(NamedTuple):
    """By what records are known to belong together; 0 is equal to nothing.

    Attributes:
      record, text: equal for positives of each other.
      group: records of one group that are no positives are no negatives either.
    """

    record: UInt32[Array, " n"]
    text: UInt32[Array, " n"]
    group: UInt32[Array, " n"]


class Relation(NamedTuple):
    """Of every row to every column: a positive, or neither positive nor negative."""

    positive: Bool[Array, "b c"]
    left_out: Bool[Array, "b c"]


def relate(rows: Keys, columns: Keys, valid: Bool[Array, " c"]) -> Relation:
    """What the keys of rows and columns say; columns that are not ``valid`` are left out."""

    def same(a: Array, b: Array) -> Array:
        return (a[:, None] == b[None, :]) & (a != 0)[:, None]

    positive = same(rows.record, columns.record) | same(rows.text, columns.text)
    positive = positive & valid
    return Relation(positive, ~positive & (same(rows.group, columns.group) | ~valid))


def joined(first: Keys, second: Keys) -> Keys:
    """The keys of both, one behind the other."""
    return Keys(*(jnp.concatenate(pair) for pair in zip(first, second, strict=True)))


def soft_contrast(
    rows: Float[Array, "b e"],
    rows_m: Float[Array, "b e"],
    columns_m: Float[Array, "c e"],
    relation: Relation,
    valid: Bool[Array, " b"],
    temperature: Float[Array, ""],
    alpha: Float[Array, ""],
) -> tuple[Float[Array, ""], Float[Array, "b c"]]:
    """Cross-entropy of rows against columns, whose targets are partly those of the momentum model.

    The targets are ``alpha * softmax(rows_m . columns_m / temperature)`` plus ``1 - alpha`` times
    the positives, all alike.

    Args:
      rows: unit vectors that learn.
      rows_m: the same records' vectors by the momentum encoder.
      columns_m: of the other side by the momentum encoder: the batch, then the queue.
      relation: of rows to columns; a valid row has a positive.
      valid: rows that count.

    Returns:
      The mean over the valid rows, and the logits.
    """

    def logits_of(x: Array) -> Array:
        return matmul(x, columns_m.T) / temperature

    columns_m = lax.stop_gradient(columns_m)
    logits = logits_of(rows)
    out = relation.left_out
    own = lax.stop_gradient(jnp.where(out, EMPTY, logits_of(rows_m)))
    hard = relation.positive.astype(jnp.float32)
    hard = hard / jnp.maximum(jnp.sum(hard, axis=1, keepdims=True), 1.0)
    targets = alpha * jax.nn.softmax(own, axis=1) + (1 - alpha) * hard
    log_p = jax.nn.log_softmax(jnp.where(out, EMPTY, logits), axis=1)
    per_row = -jnp.sum(jnp.where(out, 0.0, targets * log_p), axis=1)
    return mean_of(per_row, valid), logits


def hard_negatives(
    logits: Float[Array, "b b"], allowed: Bool[Array, "b b"], rng: jax.Array | None
) -> tuple[Int[Array, " b"], Bool[Array, " b"]]:
    """For every row a column, drawn by ``softmax(logits) + 1e-4`` among those that are allowed.

    Args:
      rng: decides about the draw; None: the most likely column.

    Returns:
      The columns, and whether the row has any.
    """
    weights = jax.nn.softmax(lax.stop_gradient(logits), axis=1) + 1e-4
    scores = jnp.where(allowed, jnp.log(weights), EMPTY)
    drawn = jnp.argmax(scores, 1) if rng is None else jax.random.categorical(rng, scores, axis=1)
    return drawn, jnp.any(allowed, axis=1)


def match_loss(
    logits: Float[Array, "n 2"], match: Bool[Array, " n"], counts: Bool[Array, " n"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean cross-entropy of pairs that match or do not, and the share that is told right."""
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    per_pair = -jnp.where(match, log_p[:, 1], log_p[:, 0])
    right = (logits[:, 1] > logits[:, 0]) == match
    return mean_of(per_pair, counts), mean_of(right.astype(jnp.float32), counts)


def word_loss(
    logits: Float[Array, "b t v"],
    ids: Int[Array, "b t"],
    real: Bool[Array, "b t"],
    smoothing: float,
) -> Float[Array, ""]:
    """Cross-entropy of each word by those before it, with ``smoothing`` of the target spread evenly
    over the vocabulary; the mean over all real words but the first of each text."""
    logits, targets, counts = logits[:, :-1], ids[:, 1:], real[:, 1:]
    total = jax.nn.logsumexp(logits, axis=-1)
    own = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    per_word = total - (1 - smoothing) * own - smoothing * jnp.mean(logits, axis=-1)
    return mean_of(per_word, counts)


def mean_of(values: Float[Array, "*n"], counts: Bool[Array, "*n"]) -> Float[Array, ""]:
    """The mean where ``counts`` holds; 0 where it never does."""
    total = jnp.sum(jnp.where(counts, values, 0.0))
    return total / jnp.maximum(jnp.sum(counts), 1)
