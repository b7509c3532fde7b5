"""Contrastive losses on a matrix of scores: pairs that are no product of two vectors, and soft
targets.

The matrices are ``[images, texts]``. On a mesh their rows lie with the images (:func:`pinned`), and
what runs down a column is summed over the devices by the compiler.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from medvlp_jax.core.sharding import constrain
from medvlp_jax.losses.pairs import PairKeys, Records, keys_of, masked_lse, masks, softmax_side

Metrics = dict[str, jax.Array]


def pinned(matrix: Float[Array, "b n"]) -> Float[Array, "b n"]:
    """The matrix with its rows where the images are."""
    return constrain(matrix, "batch", None)


def contrast_scores(
    logits: Float[Array, "b b"],
    *,
    keys: PairKeys | None = None,
    valid: Bool[Array, " b"],
    image_weight: float = 0.5,
) -> tuple[Float[Array, ""], Metrics]:
    """InfoNCE of ``losses.py`` on given logits ``z_ij``, image ``i`` and text ``j``.

    Args:
      keys: which pairs are positive; None: the diagonal.
      valid: False marks padding, which is neither row nor candidate.
      image_weight: of the direction image -> text.

    Returns:
      The weighted mean of both directions over the valid records, and accuracies as there.
    """
    logits = pinned(logits)
    keys = keys_of(keys, len(valid))
    sides = (Records(logits, key, valid) for key in (keys.image, keys.text))
    positive, negative = masks(*sides)
    rows, columns = (softmax_side(logits, None, positive, negative, axis) for axis in (1, 0))
    loss = image_weight * rows.loss + (1.0 - image_weight) * columns.loss
    return _mean(loss, valid), {
        "image_to_text_accuracy": _mean(rows.correct, valid),
        "text_to_image_accuracy": _mean(columns.correct, valid),
    }


def match_scores(
    logits: Float[Array, "b b"],
    affinity: Float[Array, "b b"],
    valid: Bool[Array, " b"],
) -> tuple[Float[Array, ""], Metrics]:
    """Cross-entropy against soft targets, both directions, their mean (MedCLIP, Wang et al. 2022,
    arXiv:2210.10163, sec. 3.2).

    The targets of a row are the softmax of its affinities over the valid records; a row of equal
    affinities (no labels at all) has uniform ones.

    Args:
      logits: ``z_ij``, image ``i`` and text ``j``.
      affinity: how alike the contents of image ``i`` and of text ``j`` are; no gradient.
      valid: False marks padding, which is neither row nor candidate.

    Returns:
      The loss, and how often the own pair has the largest logit.
    """
    logits, affinity = pinned(logits), pinned(jax.lax.stop_gradient(affinity))
    candidate = valid[:, None] & valid[None, :]
    own = jnp.sum(jnp.where(jnp.eye(len(valid), dtype=bool), logits, 0.0), axis=1)
    losses, metrics = [], {}
    for axis, name in ((1, "image_to_text"), (0, "text_to_image")):
        kept = jnp.where(candidate, affinity, -jnp.inf)
        top = jnp.max(kept, axis=axis, keepdims=True, initial=-1e30)
        weights = jnp.where(candidate, jnp.exp(kept - top), 0.0)
        total = jnp.sum(weights, axis=axis, keepdims=True)
        targets = weights / jnp.where(total > 0, total, 1.0)
        lse, best = masked_lse(logits, candidate, axis)
        expected = jnp.sum(targets * jnp.where(candidate, logits, 0.0), axis=axis)
        losses.append(_mean(jnp.where(valid, lse, 0.0) - expected, valid))
        metrics[f"{name}_accuracy"] = _mean(own >= best, valid)
    return (losses[0] + losses[1]) / 2, metrics


def _mean(values: Array, valid: Bool[Array, " b"]) -> Float[Array, ""]:
    values = jnp.where(valid, values.astype(jnp.float32) if values.dtype == bool else values, 0.0)
    return jnp.sum(values) / jnp.maximum(jnp.sum(valid), 1)
