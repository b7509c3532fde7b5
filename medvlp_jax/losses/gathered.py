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
from jaxtyping import Array, Bool, Float

from medvlp_jax.core.sharding import BATCH_AXES, batch_shards
from medvlp_jax.losses.pairs import (
    PairKeys,
    PairTerms,
    Records,
    Side,
    SigmoidPairs,
    SoftmaxPairs,
    dense_sigmoid_pairs,
    dense_softmax_pairs,
    join,
    largest,
    masks,
    matmul,
    sides,
    sigmoid_loss,
    softmax_side,
)
from medvlp_jax.losses.shards import ROWS, TERMS, WHOLE, check_divisible


def gathered_softmax_pairs(mesh: Mesh | None) -> SoftmaxPairs:
    """The dense reduction's equal on ``mesh``; on one shard it is the dense one itself."""
    if mesh is None or batch_shards(mesh) == 1:
        return dense_softmax_pairs

    def pairs(
        image: Float[Array, "b d"],
        text: Float[Array, "b d"],
        scale: Float[Array, ""],
        image_weight: float,
        keys: PairKeys | None,
        valid: Bool[Array, " b"],
    ) -> PairTerms:
        shard = functools.partial(_softmax_shard, image_weight, keys is None)
        return _on(mesh, shard, image, text, keys, valid, scale)

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
        keys: PairKeys | None,
        valid: Bool[Array, " b"],
    ) -> PairTerms:
        return _on(mesh, _sigmoid_shard, image, text, keys, valid, scale, bias)

    return pairs


def _on(
    mesh: Mesh,
    shard: Callable[..., PairTerms],
    image: jax.Array,
    text: jax.Array,
    keys: PairKeys | None,
    valid: jax.Array,
    *scalars: jax.Array,
) -> PairTerms:
    check_divisible(image.shape[0], mesh)
    specs = (ROWS, ROWS) + (WHOLE,) * len(scalars)
    return jax.shard_map(shard, mesh=mesh, in_specs=specs, out_specs=TERMS)(
        *sides(image, text, keys, valid), *scalars
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

    def direction(images: Records, texts: Records, axis: int) -> Side:
        logits = matmul(scale * images.embedding, texts.embedding.T)
        return softmax_side(logits, own, *masks(images, texts), axis)

    rows = direction(images, _gather(texts), axis=1)
    columns = direction(_gather(images), texts, axis=0)
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
