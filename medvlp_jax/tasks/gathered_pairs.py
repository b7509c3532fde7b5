"""The pairs of a batch on a mesh, with the other side gathered on every device.

A device holds ``b`` of the ``n`` records. It gathers the texts for its rows and the images for its
columns (``2 n d`` floats) and keeps ``b x n`` logits for the backward pass, which JAX derives: the
transpose of the all-gather returns each record's gradient to its home. Simple and fast while
``b x n`` is small; the ring (``ring.py``) is the one whose memory does not grow with ``n``.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, UInt32

from medvlp_jax.core.sharding import BATCH_AXES, batch_shards
from medvlp_jax.tasks.pairs import (
    PairTerms,
    Records,
    Side,
    SigmoidPairs,
    SoftmaxPairs,
    dense_sigmoid_pairs,
    dense_softmax_pairs,
    join,
    keys_of,
    largest,
    masks,
    matmul,
    sigmoid_loss,
    softmax_side,
)
from medvlp_jax.tasks.shards import ROWS, TERMS, WHOLE, check_divisible


def gathered_softmax_pairs(mesh: Mesh | None) -> SoftmaxPairs:
    """The dense reduction's equal on ``mesh``; on one shard it is the dense one itself."""
    if mesh is None or batch_shards(mesh) == 1:
        return dense_softmax_pairs

    def pairs(
        image: Float[Array, "b d"],
        text: Float[Array, "b d"],
        scale: Float[Array, ""],
        image_weight: float,
        key: UInt32[Array, "b w"] | None,
        valid: Bool[Array, " b"],
    ) -> PairTerms:
        shard = functools.partial(_softmax_shard, image_weight, key is None)
        return _on(mesh, shard, image, text, key, valid, scale)

    return pairs


def gathered_sigmoid_pairs(mesh: Mesh | None) -> SigmoidPairs:
    """The dense reduction's equal on ``mesh``; on one shard it is the dense one itself."""
    if mesh is None or batch_shards(mesh) == 1:
        return dense_sigmoid_pairs

    def pairs(
        image: Float[Array, "b d"],
        text: Float[Array, "b d"],
        scale: Float[Array, ""],
        bias: Float[Array, ""],
        key: UInt32[Array, "b w"] | None,
        valid: Bool[Array, " b"],
    ) -> PairTerms:
        return _on(mesh, _sigmoid_shard, image, text, key, valid, scale, bias)

    return pairs


def _on(
    mesh: Mesh,
    shard: Callable[..., PairTerms],
    image: jax.Array,
    text: jax.Array,
    key: jax.Array | None,
    valid: jax.Array,
    *scalars: jax.Array,
) -> PairTerms:
    batch = image.shape[0]
    check_divisible(batch, mesh)
    specs = (ROWS, ROWS) + (WHOLE,) * len(scalars)
    keys = keys_of(key, batch)
    return jax.shard_map(shard, mesh=mesh, in_specs=specs, out_specs=TERMS)(
        Records(image, keys, valid), Records(text, keys, valid), *scalars
    )


def _gather(records: Records) -> Records:
    return lax.all_gather(records, BATCH_AXES, axis=0, tiled=True)


def _softmax_shard(
    image_weight: float,
    unique: bool,
    images: Records,
    texts: Records,
    scale: Float[Array, ""],
) -> PairTerms:
    own = scale * jnp.sum(images.embedding * texts.embedding, axis=-1) if unique else None

    def direction(mine: Records, other: Records) -> Side:
        logits = matmul(scale * mine.embedding, other.embedding.T)
        return softmax_side(logits, own, *masks(mine, other), axis=1)

    rows, columns = direction(images, _gather(texts)), direction(texts, _gather(images))
    terms = join(rows, columns, scale, image_weight, images.valid)
    return terms._replace(loss_sum=lax.psum(terms.loss_sum, BATCH_AXES))


def _sigmoid_shard(
    images: Records, texts: Records, scale: Float[Array, ""], bias: Float[Array, ""]
) -> PairTerms:
    every = _gather(texts)
    positive, negative = masks(images, every)
    logits = matmul(scale * images.embedding, every.embedding.T) + bias
    seen = lax.stop_gradient(logits)
    count = jnp.sum(positive, axis=1).astype(logits.dtype)
    positives = jnp.sum(jnp.where(positive, seen, 0.0), axis=1)
    # A text's best image lies on some device; its score travels, the images need not.
    of_text = [lax.pmax(largest(seen, mask, 0), BATCH_AXES) for mask in (positive, negative)]
    start = lax.axis_index(BATCH_AXES) * count.shape[0]
    return PairTerms(
        lax.psum(jnp.sum(sigmoid_loss(logits, positive, negative)), BATCH_AXES),
        largest(seen, positive, 1) > largest(seen, negative, 1),
        lax.dynamic_slice_in_dim(of_text[0] > of_text[1], start, count.shape[0]),
        (positives - bias * count) / scale,
        count,
    )
