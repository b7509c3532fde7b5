"""Reduction of all image-text pairs of a batch to what a contrastive loss needs.

The formulas, and the notation ``z_ij``, are those of ``losses.py``. How the ``n x n`` pairs are
visited is not the loss's business: a *pairs* function reduces them to :class:`PairTerms`. Here all
pairs are visited in one dense block, the reference; ``gathered_pairs.py`` and ``ring_softmax.py``,
``ring_sigmoid.py`` visit them on a mesh.

Numerics. ``LSE - positive`` cancels near convergence, where both are about ``scale`` and their
difference about nothing. The row loss is therefore computed from the positives and negatives
apart, ``(LSE_pos - mean_pos) + softplus(LSE_neg - LSE_pos)``: the first term is exactly zero for a
single positive, and the second and its gradient keep their relative precision.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, UInt32

#: Stands for the log-sum-exp of an empty set. Finite, so that differences of two stay defined.
EMPTY = -1e30


class PairKeys(NamedTuple):
    """Bits that decide which pairs are positive: those whose text has no bit that the image lacks.

    One rule for every relation. "What the text states holds for the image" is a bit a finding;
    equality of two words ``k`` is the bits of ``k`` and of ``~k`` on both sides
    (:func:`equality`). Of several alternatives ``a``, one has to hold (:func:`either`).
    """

    image: UInt32[Array, "b w"] | UInt32[Array, "b a w"]
    text: UInt32[Array, "b w"] | UInt32[Array, "b a w"]


def equality(key: UInt32[Array, "b w"]) -> PairKeys:
    """Keys that make records with equal rows of ``key`` positives of each other."""
    both = jnp.concatenate([key, ~key], axis=1)
    return PairKeys(both, both)


def either(*keys: PairKeys) -> PairKeys:
    """Keys that make a pair positive where one of several ``[b, w]`` does."""
    width = max(one.image.shape[1] for one in keys)

    def together(sides: Sequence[jax.Array]) -> jax.Array:
        # No bit asks for nothing: the words that are added hold for every pair.
        padded = [jnp.pad(side, ((0, 0), (0, width - side.shape[1]))) for side in sides]
        return jnp.stack(padded, axis=1)

    return PairKeys(together([k.image for k in keys]), together([k.text for k in keys]))


class PairTerms(NamedTuple):
    """What a loss and its metrics need to know of all pairs.

    ``loss_sum`` is differentiable and summed over the valid records; the rest is for metrics, one
    entry a record, meaningless on padding.
    """

    loss_sum: Float[Array, ""]
    image_correct: Bool[Array, " b"]  # the best text of the image is a positive
    text_correct: Bool[Array, " b"]  # the best image of the text is a positive
    positive_sum: Float[Array, " b"]  # similarities of the image's positives
    positive_count: Float[Array, " b"]


class SoftmaxPairs(Protocol):
    def __call__(
        self,
        image: Float[Array, "b d"],
        text: Float[Array, "b d"],
        scale: Float[Array, ""],
        image_weight: float,
        keys: PairKeys | None,
        valid: Bool[Array, " b"],
        /,
    ) -> PairTerms: ...


class SigmoidPairs(Protocol):
    def __call__(
        self,
        image: Float[Array, "b d"],
        text: Float[Array, "b d"],
        scale: Float[Array, ""],
        bias: Float[Array, ""],
        keys: PairKeys | None,
        valid: Bool[Array, " b"],
        /,
    ) -> PairTerms: ...


class Records(NamedTuple):
    """One side of the records along one axis of a block of pairs."""

    embedding: Float[Array, "n d"]
    key: UInt32[Array, "n w"] | UInt32[Array, "n a w"]
    valid: Bool[Array, " n"]


def keys_of(keys: PairKeys | None, batch: int) -> PairKeys:
    """``keys``, or those that make each record its own only positive."""
    return equality(jnp.arange(batch, dtype=jnp.uint32)[:, None]) if keys is None else keys


def sides(
    image: Float[Array, "b d"],
    text: Float[Array, "b d"],
    keys: PairKeys | None,
    valid: Bool[Array, " b"],
) -> tuple[Records, Records]:
    """The records as images and as texts."""
    keys = keys_of(keys, image.shape[0])
    return Records(image, keys.image, valid), Records(text, keys.text, valid)


def masks(images: Records, texts: Records) -> tuple[Bool[Array, "n m"], Bool[Array, "n m"]]:
    """Where a pair is positive and where it is negative; a pair with padding is neither."""
    candidate = images.valid[:, None] & texts.valid[None, :]
    if images.key.ndim == 2:
        positive = _holds(candidate, images.key, texts.key)
    else:
        positive = jnp.zeros_like(candidate)
        for one in range(images.key.shape[1]):
            positive |= _holds(candidate, images.key[:, one], texts.key[:, one])
    return positive, candidate & ~positive


def _holds(
    candidate: Bool[Array, "n m"], image: UInt32[Array, "n w"], text: UInt32[Array, "m w"]
) -> Bool[Array, "n m"]:
    for word in range(image.shape[1]):  # word by word: nothing of size n m w exists
        lacking = text[None, :, word] & ~image[:, word, None]
        candidate = candidate & (lacking == 0)
    return candidate


def matmul(left: Float[Array, "n k"], right: Float[Array, "k m"]) -> Float[Array, "n m"]:
    """A product in true fp32: the default of a TPU would round both factors to bf16."""
    return jnp.matmul(left, right, precision=lax.Precision.HIGHEST)


def largest(values: Float[Array, "n m"], mask: Bool[Array, "n m"], axis: int) -> Float[Array, " r"]:
    """Largest masked entry along ``axis``, ``-inf`` if there is none."""
    return jnp.max(jnp.where(mask, values, -jnp.inf), axis=axis, initial=-jnp.inf)


def masked_lse(
    logits: Float[Array, "n m"], mask: Bool[Array, "n m"], axis: int
) -> tuple[Float[Array, " r"], Float[Array, " r"]]:
    """``(log-sum-exp, max)`` along ``axis`` over the masked entries.

    Without any entry they are :data:`EMPTY` and ``-inf``, and the gradient is zero. The maximum has
    no gradient. The derivative is written out, as JAX would keep the exponentials beside the
    logits.
    """
    return _masked_lse(logits, mask, axis)


def _masked_lse_value(logits: jax.Array, mask: jax.Array, axis: int) -> tuple[Any, Any]:
    top = largest(logits, mask, axis)
    shift = jnp.where(jnp.isfinite(top), top, 0.0)
    kept = jnp.where(mask, logits, -jnp.inf)
    total = jnp.sum(jnp.exp(kept - jnp.expand_dims(shift, axis)), axis=axis)
    some = total > 0
    return jnp.where(some, shift + jnp.log(jnp.where(some, total, 1.0)), EMPTY), top


def _masked_lse_forward(logits: jax.Array, mask: jax.Array, axis: int) -> tuple[Any, Any]:
    lse, top = _masked_lse_value(logits, mask, axis)
    return (lse, top), (logits, mask, lse)


def _masked_lse_backward(axis: int, saved: Any, cotangents: Any) -> tuple[jax.Array, None]:
    logits, mask, lse = saved
    return lse_slope(logits, mask, lse, cotangents[0], axis), None


_masked_lse = jax.custom_vjp(_masked_lse_value, nondiff_argnums=(2,))
_masked_lse.defvjp(_masked_lse_forward, _masked_lse_backward)


def lse_slope(
    logits: Float[Array, "n m"],
    mask: Bool[Array, "n m"],
    lse: Float[Array, " r"],
    cotangent: Float[Array, " r"],
    axis: int,
) -> Float[Array, "n m"]:
    """Gradient of ``sum(cotangent * lse)`` by the logits."""
    kept = jnp.where(mask, logits, -jnp.inf)
    weights = jnp.exp(kept - jnp.expand_dims(lse, axis))
    return jnp.expand_dims(cotangent, axis) * weights


def contrast(
    lse_neg: Float[Array, " b"],
    lse_pos: Float[Array, " b"],
    mean_pos: Float[Array, " b"],
    count: Float[Array, " b"],
) -> Float[Array, " b"]:
    """Cross-entropy of a row against uniform targets on its ``count`` positives."""
    # The `where` keeps the two uses of a single positive from adding 1 - 1 to its gradient.
    spread = jnp.where(count > 1, lse_pos - mean_pos, 0.0)
    return spread + jax.nn.softplus(lse_neg - lse_pos)


class Side(NamedTuple):
    """The pairs of the softmax loss reduced along one axis; one entry a record."""

    loss: Float[Array, " b"]
    correct: Bool[Array, " b"]
    positive_sum: Float[Array, " b"]  # of logits
    positive_count: Float[Array, " b"]


def softmax_side(
    logits: Float[Array, "n m"],
    own: Float[Array, " r"] | None,
    positive: Bool[Array, "n m"],
    negative: Bool[Array, "n m"],
    axis: int,
) -> Side:
    """Reduces a block that holds all candidates of its records.

    Args:
      logits: ``z``.
      own: ``z_ii`` where these are the only positives, which spares a pass; else None.
      positive: as :func:`masks`.
      negative: as :func:`masks`.
      axis: the axis of the candidates.
    """
    lse_neg, max_neg = masked_lse(logits, negative, axis)
    if own is not None:
        one = jnp.ones_like(own)
        return Side(contrast(lse_neg, own, own, one), own > max_neg, own, one)
    lse_pos, max_pos = masked_lse(logits, positive, axis)
    total = jnp.sum(jnp.where(positive, logits, 0.0), axis=axis)
    count = jnp.sum(positive, axis=axis).astype(logits.dtype)
    loss = contrast(lse_neg, lse_pos, total / jnp.maximum(count, 1.0), count)
    return Side(loss, max_pos > max_neg, total, count)


def join(
    rows: Side, columns: Side, scale: jax.Array, image_weight: float, valid: jax.Array
) -> PairTerms:
    """The weighted sum of both directions."""
    loss = image_weight * rows.loss + (1.0 - image_weight) * columns.loss
    return PairTerms(
        jnp.sum(jnp.where(valid, loss, 0.0)),
        rows.correct,
        columns.correct,
        rows.positive_sum / scale,
        rows.positive_count,
    )


def dense_softmax_pairs(
    image: Float[Array, "b d"],
    text: Float[Array, "b d"],
    scale: Float[Array, ""],
    image_weight: float,
    keys: PairKeys | None,
    valid: Bool[Array, " b"],
) -> PairTerms:
    """All pairs at once, on whatever device holds the embeddings: the reference."""
    positive, negative = masks(*sides(image, text, keys, valid))
    logits = matmul(scale * image, text.T)
    own = scale * jnp.sum(image * text, axis=-1) if keys is None else None
    rows, columns = (softmax_side(logits, own, positive, negative, axis) for axis in (1, 0))
    return join(rows, columns, scale, image_weight, valid)


@jax.custom_vjp
def sigmoid_loss(
    logits: Float[Array, "n m"], positive: Bool[Array, "n m"], negative: Bool[Array, "n m"]
) -> Float[Array, " n"]:
    """``sum_j softplus(-(2 P_ij - 1) z_ij)`` of every row, over pairs without padding."""
    margin = jnp.where(positive, -logits, logits)
    losses = jnp.maximum(margin, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(margin)))
    return jnp.sum(jnp.where(positive | negative, losses, 0.0), axis=1)


def sigmoid_slope(
    logits: Float[Array, "n m"], positive: Bool[Array, "n m"], negative: Bool[Array, "n m"]
) -> Float[Array, "n m"]:
    """Derivative of :func:`sigmoid_loss` by the logits."""
    slope = jax.nn.sigmoid(jnp.where(positive, -logits, logits))
    return jnp.where(positive, -slope, jnp.where(negative, slope, 0.0))


def _sigmoid_loss_backward(saved: Any, cotangent: jax.Array) -> tuple[jax.Array, None, None]:
    return cotangent[:, None] * sigmoid_slope(*saved), None, None


sigmoid_loss.defvjp(lambda *args: (sigmoid_loss(*args), args), _sigmoid_loss_backward)


def dense_sigmoid_pairs(
    image: Float[Array, "b d"],
    text: Float[Array, "b d"],
    scale: Float[Array, ""],
    bias: Float[Array, ""],
    keys: PairKeys | None,
    valid: Bool[Array, " b"],
) -> PairTerms:
    """All pairs at once, on whatever device holds the embeddings: the reference."""
    positive, negative = masks(*sides(image, text, keys, valid))
    logits = matmul(scale * image, text.T) + bias
    seen = lax.stop_gradient(logits)
    count = jnp.sum(positive, axis=1).astype(logits.dtype)
    positives = jnp.sum(jnp.where(positive, seen, 0.0), axis=1)
    return PairTerms(
        jnp.sum(sigmoid_loss(logits, positive, negative)),
        largest(seen, positive, 1) > largest(seen, negative, 1),
        largest(seen, positive, 0) > largest(seen, negative, 0),
        (positives - bias * count) / scale,
        count,
    )
