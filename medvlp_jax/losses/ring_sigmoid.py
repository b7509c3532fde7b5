"""The sigmoid loss over the pairs of a batch, in memory that does not grow with the global batch.

The images are the rows and the texts the columns of ``ring.py``. The derivative of the loss by a
logit is known as soon as the logit is, ``g_ij = (2 P_ij - 1) (sigma(...) - 1)``, so one trip yields
the value and, if somebody differentiates, the gradients too: ``dx_i = scale sum_j g_ij y_j``,
``dy_j = scale sum_i g_ij x_i``, ``dscale = sum_ij g_ij x_i . y_j``, ``dbias = sum_ij g_ij``.

Communication a device: ``n d`` floats, ``2 n d`` with gradients.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from medvlp_jax.losses.pairs import (
    PairKeys,
    PairTerms,
    Records,
    SigmoidPairs,
    keys_of,
    largest,
    masks,
    matmul,
    sides,
    sigmoid_loss,
    sigmoid_slope,
)
from medvlp_jax.losses.ring import Ring
from medvlp_jax.losses.shards import ROWS, TERMS, WHOLE


class _Best(NamedTuple):
    """Largest similarity of a record to a positive and to a negative."""

    positive: jax.Array
    negative: jax.Array


class _Sums(NamedTuple):
    """Sums over the pairs of an image."""

    loss: jax.Array
    positive: jax.Array  # similarities
    count: jax.Array  # of positives


def ring_sigmoid_pairs(ring: Ring) -> SigmoidPairs:
    """The dense reduction's equal in tiles, around ``ring`` if it has several devices."""

    def pairs(
        image: Float[Array, "b d"],
        text: Float[Array, "b d"],
        scale: Float[Array, ""],
        bias: Float[Array, ""],
        keys: PairKeys | None,
        valid: Bool[Array, " b"],
    ) -> PairTerms:
        keys = keys_of(keys, image.shape[0])
        return _sigmoid(ring, image, text, scale, bias, keys, valid)

    return pairs


def _value(
    ring: Ring,
    image: jax.Array,
    text: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    keys: PairKeys,
    valid: jax.Array,
) -> PairTerms:
    """The terms; their ``loss_sum`` is differentiable in image, text, scale and bias."""
    images, texts = sides(image, text, keys, valid)
    terms, _ = _trip(ring, images, texts, scale, bias, with_gradients=False)
    return terms


def _forward(
    ring: Ring,
    image: jax.Array,
    text: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    keys: PairKeys,
    valid: jax.Array,
) -> tuple[PairTerms, Any]:
    images, texts = sides(image, text, keys, valid)
    return _trip(ring, images, texts, scale, bias, with_gradients=True)


def _backward(ring: Ring, gradients: Any, cotangents: PairTerms) -> Any:
    del ring  # the trip is over
    return *(cotangents.loss_sum * d for d in gradients), None, None


_sigmoid = jax.custom_vjp(_value, nondiff_argnums=(0,))
_sigmoid.defvjp(_forward, _backward)


def _trip(
    ring: Ring,
    images: Records,
    texts: Records,
    scale: jax.Array,
    bias: jax.Array,
    *,
    with_gradients: bool,
) -> tuple[PairTerms, Any]:
    """``(terms, derivatives of loss_sum by image, text, scale and bias)``, or ``(terms, ())``."""
    block = ring.tile(images.embedding.shape[0])

    def shard(rows: Records, columns: Records, scale: jax.Array, bias: jax.Array) -> Any:
        def tile(row: Records, column: Records, of_row: Any, of_column: Any) -> tuple[Any, Any]:
            (sums, row_best, *row_slopes), (column_best, *column_slopes) = of_row, of_column
            similarity = matmul(row.embedding, column.embedding.T)
            positive, negative = masks(row, column)
            logits = scale * similarity + bias
            sums = _Sums(
                sums.loss + sigmoid_loss(logits, positive, negative),
                sums.positive + jnp.sum(jnp.where(positive, similarity, 0.0), axis=1),
                sums.count + jnp.sum(positive, axis=1),
            )
            row_best, column_best = (
                jax.tree.map(
                    lambda so_far, mask, axis=axis: jnp.maximum(
                        so_far, largest(similarity, mask, axis)
                    ),
                    so_far,
                    _Best(positive, negative),
                )
                for so_far, axis in ((row_best, 1), (column_best, 0))
            )
            if with_gradients:
                g = sigmoid_slope(logits, positive, negative)
                (d_image, d_bias), (d_text,) = row_slopes, column_slopes
                row_slopes = d_image + matmul(g, column.embedding), d_bias + jnp.sum(g, axis=1)
                column_slopes = (d_text + matmul(g.T, row.embedding),)
            return (sums, row_best, *row_slopes), (column_best, *column_slopes)

        none = jnp.zeros_like(rows.embedding[:, 0])
        best = _Best(*[jnp.full_like(none, -jnp.inf)] * 2)
        flat = jnp.zeros_like(rows.embedding)
        slopes = ((flat, none), (flat,)) if with_gradients else ((), ())
        (sums, row_best, *row_slopes), (column_best, *column_slopes) = ring.visit(
            block,
            tile,
            rows,
            columns,
            (_Sums(none, none, none), best, *slopes[0]),
            (best, *slopes[1]),
        )
        terms = PairTerms(
            ring.sum(jnp.sum(sums.loss)),
            row_best.positive > row_best.negative,
            column_best.positive > column_best.negative,
            sums.positive,
            sums.count,
        )
        if not with_gradients:
            return terms, ()
        (d_image, d_bias), (d_text,) = row_slopes, column_slopes
        d_scale = jnp.sum(d_image * rows.embedding)
        d_scale, d_bias = ring.sum((d_scale, jnp.sum(d_bias)))
        return terms, (scale * d_image, scale * d_text, d_scale, d_bias)

    gradients_spec = (ROWS, ROWS, WHOLE, WHOLE) if with_gradients else ()
    run = ring.run(shard, (ROWS, ROWS, WHOLE, WHOLE), (TERMS, gradients_spec))
    return run(images, texts, scale, bias)
