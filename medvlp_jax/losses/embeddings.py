"""Contrastive losses on embeddings: InfoNCE, ConVIRT and the sigmoid loss of SigLIP.

Records ``i`` of a global batch have an L2-normalised image embedding ``x_i`` and text embedding
``y_i``; ``s_ij = x_i . y_j`` is the similarity and ``z_ij = scale * s_ij (+ bias)`` the logit.

A pair is *positive*, ``P_ij = 1``, if the keys say so (:class:`medvlp_jax.losses.pairs.PairKeys`);
without keys only ``i = j`` is. The targets are uniform over the positives,
``Q_ij = P_ij / sum_k P_ik`` and ``R_ij = P_ij / sum_k P_kj``. Where records are positive by equal
labels, ``P`` is symmetric and this is UniCL (Yang et al. 2022, arXiv:2204.03610; the same sum as
SupCon's L_out, Khosla et al. 2020, arXiv:2004.11362, eq. 2)::

    InfoNCE  L = 1/n sum_i [ w (LSE_j z_ij - sum_j Q_ij z_ij)
                           + (1 - w) (LSE_j z_ji - sum_j R_ji z_ji) ]
    sigmoid  L = 1/n sum_ij log(1 + exp(-(2 P_ij - 1) z_ij))

``n`` counts the valid records; padding takes part neither as a row nor as a candidate. With
``w = 1/2`` the first line is CLIP (Radford et al. 2021, arXiv:2103.00020), with ``w = 0.75`` and
``scale = 1/0.1`` it is ConVIRT (Zhang et al. 2020, arXiv:2010.00747, eqs. 2 to 4); the second is
SigLIP (Zhai et al. 2023, arXiv:2303.15343, algorithm 1).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from medvlp_jax.losses.pairs import (
    PairKeys,
    PairTerms,
    SigmoidPairs,
    SoftmaxPairs,
    dense_sigmoid_pairs,
    dense_softmax_pairs,
)

Metrics = dict[str, jax.Array]


def infonce(
    image: Float[Array, "b d"],
    text: Float[Array, "b d"],
    scale: Float[Array, ""] | float,
    *,
    image_weight: float = 0.5,
    keys: PairKeys | None = None,
    valid: Bool[Array, " b"] | None = None,
    pairs: SoftmaxPairs = dense_softmax_pairs,
) -> tuple[Float[Array, ""], Metrics]:
    """Softmax contrastive loss with all other records of the global batch as negatives.

    Args:
      image: L2-normalised embeddings, any float dtype; computed on in at least fp32.
      text: the same for the texts; row ``i`` belongs to ``image[i]``.
      scale: inverse temperature, > 0.
      image_weight: ``w`` of the module's formula, the weight of image -> text, in [0, 1].
      keys: which pairs are positive; every record's own pair has to be. None: only that is.
      valid: False marks padding; None: all are valid.
      pairs: how the pairs are visited.

    Returns:
      The loss (a scalar of at least fp32, zero if nothing is valid) and scalar metrics:
      accuracy in both directions (a tie of a positive and a negative counts as wrong) and mean
      similarity of positive and of negative pairs.
    """
    image, text, scale, valid = _prepare(image, text, scale, keys, valid)
    if not 0.0 <= image_weight <= 1.0:
        raise ValueError(f"image_weight={image_weight} must be in [0, 1]")
    return _mean(pairs(image, text, scale, image_weight, keys, valid), image, text, valid)


def convirt(
    image: Float[Array, "b d"],
    text: Float[Array, "b d"],
    *,
    temperature: float = 0.1,
    image_weight: float = 0.75,
    keys: PairKeys | None = None,
    valid: Bool[Array, " b"] | None = None,
    pairs: SoftmaxPairs = dense_softmax_pairs,
) -> tuple[Float[Array, ""], Metrics]:
    """InfoNCE with ConVIRT's fixed temperature and weight of the image -> text direction."""
    if temperature <= 0.0:
        raise ValueError(f"temperature={temperature} must be positive")
    return infonce(
        image,
        text,
        1.0 / temperature,
        image_weight=image_weight,
        keys=keys,
        valid=valid,
        pairs=pairs,
    )


def sigmoid(
    image: Float[Array, "b d"],
    text: Float[Array, "b d"],
    scale: Float[Array, ""] | float,
    bias: Float[Array, ""] | float,
    *,
    keys: PairKeys | None = None,
    valid: Bool[Array, " b"] | None = None,
    pairs: SigmoidPairs = dense_sigmoid_pairs,
) -> tuple[Float[Array, ""], Metrics]:
    """Binary classification of all pairs; arguments and results as :func:`infonce`."""
    image, text, scale, valid = _prepare(image, text, scale, keys, valid)
    bias = jnp.asarray(bias, image.dtype)
    return _mean(pairs(image, text, scale, bias, keys, valid), image, text, valid)


def clamp_inward(low: float, high: float) -> Callable[[jax.Array], jax.Array]:
    """``clip(x, low, high)`` whose gradient is blocked only where it would lead further out.

    A plain clip has no gradient outside the range, so a parameter that momentum carried over the
    edge never comes back; clipping the parameter after each update would be the other way, and
    would need a hook in the step and in every optimizer state.
    """

    @jax.custom_vjp
    def clamp(x: jax.Array) -> jax.Array:
        return jnp.clip(x, low, high)

    def backward(x: jax.Array, cotangent: jax.Array) -> tuple[jax.Array]:
        # Descent moves x against the cotangent.
        outward = ((x >= high) & (cotangent < 0)) | ((x <= low) & (cotangent > 0))
        return (jnp.where(outward, 0.0, cotangent),)

    clamp.defvjp(lambda x: (clamp(x), x), backward)
    return clamp


def _prepare(
    image: jax.Array,
    text: jax.Array,
    scale: jax.Array | float,
    keys: PairKeys | None,
    valid: jax.Array | None,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    if image.ndim != 2 or image.shape != text.shape:
        raise ValueError(f"embeddings must be [b, d] alike, not {image.shape} and {text.shape}")
    batch = image.shape[0]
    for key in keys or ():
        if key.ndim not in (2, 3) or key.shape[0] != batch:
            raise ValueError(f"keys must be [{batch}, words], not {key.shape}")
    if valid is None:
        valid = jnp.ones(batch, bool)
    elif valid.shape != (batch,):
        raise ValueError(f"valid must be [{batch}], not {valid.shape}")
    dtype = jnp.promote_types(jnp.result_type(image, text), jnp.float32)
    return image.astype(dtype), text.astype(dtype), jnp.asarray(scale, dtype), valid


def _mean(
    terms: PairTerms, image: jax.Array, text: jax.Array, valid: jax.Array
) -> tuple[jax.Array, Metrics]:
    loss_sum, *rest = terms
    image, text, (image_ok, text_ok, positive, count) = lax.stop_gradient((image, text, rest))
    keep = valid.astype(image.dtype)
    number = jnp.sum(keep)
    records = jnp.maximum(number, 1.0)
    # The sum over all pairs needs no pairs: it is the product of the sums.
    everything = jnp.sum((keep @ image) * (keep @ text))
    positive_sum, positives = jnp.sum(positive * keep), jnp.sum(count * keep)
    negatives = number * number - positives
    metrics = {
        "image_to_text_accuracy": jnp.sum(image_ok * keep) / records,
        "text_to_image_accuracy": jnp.sum(text_ok * keep) / records,
        "positive_similarity": positive_sum / jnp.maximum(positives, 1.0),
        "negative_similarity": (everything - positive_sum) / jnp.maximum(negatives, 1.0),
    }
    return loss_sum / records, metrics
