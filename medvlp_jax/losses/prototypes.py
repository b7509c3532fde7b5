"""Cluster assignments by optimal transport, and the swapped prediction of SwAV and MGCA.

Caron et al. 2020, arXiv:2006.09882; across two modalities: Wang et al. 2022, arXiv:2210.06044,
sec. 3.3.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from medvlp_jax.losses.pairs import matmul


def sinkhorn(
    scores: Float[Array, "n k"],
    valid: Bool[Array, " n"],
    *,
    epsilon: float = 0.05,
    iterations: int = 3,
) -> Float[Array, "n k"]:
    """Soft assignments of records to prototypes under which all prototypes are used alike.

    Alternately scales ``exp(scores / epsilon)`` so that every prototype has mass ``1 / k`` and
    every record ``1 / n``, in logarithms, which do not overflow. On a mesh the records of all
    devices take part: the sums over records are sums over the global batch.

    With fewer records than prototypes the equal use of all of them forces every record onto
    several, whatever the scores say.

    Args:
      scores: similarities of records and prototypes.
      valid: False marks padding, which takes no part.
      epsilon: softness; smaller is harder.
      iterations: rounds of both scalings.

    Returns:
      Rows that sum to 1, 0 on padding; no gradient.
    """
    logs = lax.stop_gradient(scores).astype(jnp.float32) / epsilon
    logs = jnp.where(valid[:, None], logs, -jnp.inf)

    def scale(_: int, logs: Array) -> Array:
        by_prototype = jax.nn.logsumexp(logs, axis=0, keepdims=True)
        logs = logs - jnp.where(jnp.isfinite(by_prototype), by_prototype, 0.0)
        by_record = jax.nn.logsumexp(logs, axis=1, keepdims=True)
        return logs - jnp.where(valid[:, None], by_record, 0.0)

    return jnp.exp(lax.fori_loop(0, iterations, scale, logs))


def swapped_prediction(
    image: Float[Array, "n d"],
    text: Float[Array, "n d"],
    prototypes: Float[Array, "k d"],
    valid: Bool[Array, " n"],
    *,
    epsilon: float = 0.05,
    iterations: int = 3,
    temperature: float = 0.2,
) -> tuple[Float[Array, ""], dict[str, jax.Array]]:
    """Each side's assignment predicted from the other side:
    ``1/2 [-sum q_image log p_text - sum q_text log p_image]``, mean over the valid records.

    Args:
      image, text: unit vectors; row ``i`` of both belongs together.
      prototypes: unit vectors.
      epsilon, iterations: see :func:`sinkhorn`.
      temperature: of ``p``, the softmax of the similarities.

    Returns:
      The loss, and the number of prototypes in use (the exponential of the entropy of their mean
      assignment; less than ``k`` where some are idle).
    """
    sides = []
    for x in (image, text):
        scores = matmul(x.astype(jnp.float32), prototypes.T)
        codes = sinkhorn(scores, valid, epsilon=epsilon, iterations=iterations)
        sides.append((codes, jax.nn.log_softmax(scores / temperature, axis=1)))
    (image_code, image_log), (text_code, text_log) = sides
    number = jnp.maximum(jnp.sum(valid), 1)
    loss = -0.5 * jnp.sum(image_code * text_log + text_code * image_log) / number
    chosen = jnp.where(valid[:, None], jnp.exp(image_log), 0.0)
    share = jnp.sum(chosen, axis=0) / number
    entropy = -jnp.sum(share * jnp.log(jnp.where(share > 0, share, 1.0)))
    return loss, {"prototypes_used": lax.stop_gradient(jnp.exp(entropy))}
