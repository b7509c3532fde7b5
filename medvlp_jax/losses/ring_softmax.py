"""The softmax loss over the pairs of a batch, in memory that does not grow with the global batch.

The images are the rows and the texts the columns of ``ring.py``. A first trip yields the
log-sum-exps of every image over the texts and of every text over the images. The gradient is
written out: with ``g_ij`` the derivative of the loss by the logit,
``dx_i = scale sum_j g_ij y_j``, ``dy_j = scale sum_i g_ij x_i`` and
``dscale = sum_ij g_ij x_i . y_j``. It takes a second trip, which computes the logits of each tile
anew.

Communication a device: ``n d`` floats in the first trip, ``2 n d`` in the second.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from medvlp_jax.losses.pairs import (
    EMPTY,
    PairKeys,
    PairTerms,
    Records,
    Side,
    SoftmaxPairs,
    contrast,
    join,
    keys_of,
    lse_slope,
    masks,
    matmul,
    sides,
)
from medvlp_jax.losses.ring import Ring
from medvlp_jax.losses.shards import ROWS, WHOLE


class _LogSumExp(NamedTuple):
    """Running max, and sum of exponentials relative to it."""

    top: jax.Array
    total: jax.Array

    @classmethod
    def start(cls, like: jax.Array) -> "_LogSumExp":
        return cls(jnp.full_like(like, -jnp.inf), jnp.zeros_like(like))

    def add(self, logits: jax.Array, mask: jax.Array, axis: int) -> "_LogSumExp":
        kept = jnp.where(mask, logits, -jnp.inf)
        top = jnp.maximum(self.top, jnp.max(kept, axis=axis))
        shift = jnp.where(jnp.isfinite(top), top, 0.0)
        fresh = jnp.sum(jnp.exp(kept - jnp.expand_dims(shift, axis)), axis=axis)
        return _LogSumExp(top, self.total * jnp.exp(self.top - shift) + fresh)

    def value(self) -> jax.Array:
        some = self.total > 0
        return jnp.where(some, self.top + jnp.log(jnp.where(some, self.total, 1.0)), EMPTY)


class _Positives(NamedTuple):
    """Sum of a record's positive logits (or similarities), and their number."""

    total: jax.Array
    count: jax.Array

    @classmethod
    def start(cls, like: jax.Array) -> "_Positives":
        return cls(jnp.zeros_like(like), jnp.zeros_like(like))

    def add(self, values: jax.Array, mask: jax.Array, axis: int) -> "_Positives":
        total = self.total + jnp.sum(jnp.where(mask, values, 0.0), axis=axis)
        return _Positives(total, self.count + jnp.sum(mask, axis=axis))


class _Sets(NamedTuple):
    """Log-sum-exps of one side: of the negatives, and of the positives unless they are known.

    ``positives`` is None if the only positive is the record's own pair, which needs no trip.
    """

    lse: tuple[Any, ...]
    positives: _Positives | None


def ring_softmax_pairs(ring: Ring) -> SoftmaxPairs:
    """The dense reduction's equal in tiles, around ``ring`` if it has several devices."""

    def pairs(
        image: Float[Array, "b d"],
        text: Float[Array, "b d"],
        scale: Float[Array, ""],
        image_weight: float,
        keys: PairKeys | None,
        valid: Bool[Array, " b"],
    ) -> PairTerms:
        unique = keys is None
        keys = keys_of(keys, image.shape[0])
        reduced = _softmax(ring, unique, image, text, scale, keys, valid)
        own = scale * jnp.sum(image * text, axis=-1)
        rows, columns = (_side(own, *side) for side in reduced)
        return join(rows, columns, scale, image_weight, valid)

    return pairs


def _side(own: jax.Array, sets: _Sets, top: tuple[jax.Array, ...]) -> Side:
    if sets.positives is None:
        one = jnp.ones_like(own)
        return Side(contrast(sets.lse[0], own, own, one), own > top[0], own, one)
    (lse_neg, lse_pos), (total, count) = sets.lse, sets.positives
    loss = contrast(lse_neg, lse_pos, total / jnp.maximum(count, 1.0), count)
    return Side(loss, top[1] > top[0], total, count)


def _value(
    ring: Ring,
    unique: bool,
    image: jax.Array,
    text: jax.Array,
    scale: jax.Array,
    keys: PairKeys,
    valid: jax.Array,
) -> tuple[Any, Any]:
    """``(_Sets, maxima)`` by image and by text; the maxima have no gradient."""
    block = ring.tile(image.shape[0])

    def shard(rows: Records, columns: Records, scale: jax.Array) -> Any:
        def tile(row: Records, column: Records, *states: Any) -> tuple[Any, Any]:
            logits = scale * matmul(row.embedding, column.embedding.T)
            found = masks(row, column)
            return _add(states[0], logits, *found, axis=1), _add(states[1], logits, *found, axis=0)

        like = jnp.zeros_like(rows.embedding[:, 0])
        lse = _LogSumExp.start(like)
        empty = _Sets((lse,), None) if unique else _Sets((lse, lse), _Positives.start(like))
        sides = ring.visit(block, tile, rows, columns, empty, empty)
        return tuple(
            (side._replace(lse=tuple(s.value() for s in side.lse)), tuple(s.top for s in side.lse))
            for side in sides
        )

    return ring.run(shard, (ROWS, ROWS, WHOLE), ROWS)(*sides(image, text, keys, valid), scale)


def _add(
    sets: _Sets, logits: jax.Array, positive: jax.Array, negative: jax.Array, axis: int
) -> _Sets:
    found = (negative,) if sets.positives is None else (negative, positive)
    lse = tuple(s.add(logits, mask, axis) for s, mask in zip(sets.lse, found, strict=True))
    return _Sets(lse, sets.positives and sets.positives.add(logits, positive, axis))


def _forward(ring: Ring, unique: bool, *args: Any) -> tuple[Any, Any]:
    reduced = _value(ring, unique, *args)
    return reduced, (args, [sets.lse for sets, _ in reduced])


def _backward(ring: Ring, unique: bool, saved: Any, cotangents: Any) -> Any:
    (image, text, scale, keys, valid), lses = saved
    images, texts = sides(image, text, keys, valid)
    block = ring.tile(image.shape[0])
    # Of each side: the log-sum-exps, and the cotangents of them and of the positives' sum.
    slopes = [(lse, sets) for lse, (sets, _) in zip(lses, cotangents, strict=True)]

    def shard(rows: Any, columns: Any, scale: jax.Array) -> tuple[jax.Array, ...]:
        def tile(row: Any, column: Any, d_image: Any, d_text: Any) -> tuple[jax.Array, jax.Array]:
            (row, row_slope), (column, column_slope) = row, column
            logits = scale * matmul(row.embedding, column.embedding.T)
            positive, negative = masks(row, column)
            g = _by_logit(logits, positive, negative, row_slope, axis=1)
            g += _by_logit(logits, positive, negative, column_slope, axis=0)
            return d_image + matmul(g, column.embedding), d_text + matmul(g.T, row.embedding)

        zeros = jnp.zeros_like(rows[0].embedding)
        d_image, d_text = ring.visit(block, tile, rows, columns, zeros, zeros)
        d_scale = ring.sum(jnp.sum(d_image * rows[0].embedding))
        return scale * d_image, scale * d_text, d_scale

    gradients = ring.run(shard, (ROWS, ROWS, WHOLE), (ROWS, ROWS, WHOLE))(
        (images, slopes[0]), (texts, slopes[1]), scale
    )
    return *gradients, None, None


_softmax = jax.custom_vjp(_value, nondiff_argnums=(0, 1))
_softmax.defvjp(_forward, _backward)


def _by_logit(
    logits: jax.Array,
    positive: jax.Array,
    negative: jax.Array,
    slope: tuple[tuple[jax.Array, ...], _Sets],
    axis: int,
) -> jax.Array:
    """Derivative of the reductions along ``axis`` by the logits, weighted with their cotangents."""
    lses, cotangents = slope
    total = jnp.zeros_like(logits)
    for lse, d, mask in zip(lses, cotangents.lse, (negative, positive), strict=False):
        total += lse_slope(logits, mask, lse, d, axis)
    if cotangents.positives is None:
        return total
    of_sum = jnp.expand_dims(cotangents.positives.total, axis)
    return total + jnp.where(positive, of_sum, 0.0)
