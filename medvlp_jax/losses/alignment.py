"""Token-wise alignment of one image with its own text (MGCA, Wang et al. 2022, arXiv:2210.06044,
sec. 3.2; as ``mgca/models/mgca/mgca_module.py`` of HKU-MedAI/MGCA computes it).

Queries ``q_t`` (words) attend to keys ``k_r`` (patches) of the same record::

    o_t = normalise(sum_r softmax_r(<q_t, k_r> / tau) k_r)
    z_ts = <q_t, o_s> / tau
    L = sum_t w_t (CE of row t + CE of column t) / 2,   targets on the diagonal

so every query has to find, among the outputs of its own text, the one that it made. The weights
``w`` sum to 1.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from medvlp_jax.core.vectors import l2_normalize
from medvlp_jax.losses.words import NEVER


def alignment_loss(
    queries: Float[Array, "b t d"],
    keys: Float[Array, "b r d"],
    weights: Float[Array, "b t"],
    *,
    temperature: float = 0.1,
    queries_present: Bool[Array, "b t"] | None = None,
    keys_present: Bool[Array, "b r"] | None = None,
) -> Float[Array, " b"]:
    """``L`` of every record.

    Args:
      queries, keys: unit vectors.
      weights: of the queries; 0 for those that are absent.
      temperature: ``tau``.
      queries_present, keys_present: False marks padding, which is neither asked nor attended to,
        nor a candidate; None: there is none.
    """
    scores = _product("btd,brd->btr", queries, keys) / temperature
    if keys_present is not None:
        scores = jnp.where(keys_present[:, None], scores, NEVER)
    outputs = l2_normalize(_product("btr,brd->btd", jax.nn.softmax(scores, axis=2), keys))
    logits = _product("btd,bsd->bts", queries, outputs) / temperature
    own = jnp.sum(queries * outputs, axis=2) / temperature
    if queries_present is not None:
        both = queries_present[:, :, None] & queries_present[:, None, :]
        logits = jnp.where(both, logits, NEVER)
    losses = (jax.nn.logsumexp(logits, 2) + jax.nn.logsumexp(logits, 1)) / 2 - own
    return jnp.sum(jnp.where(weights > 0, weights * losses, 0.0), axis=1)


def _product(spec: str, left: Array, right: Array) -> Array:
    return jnp.einsum(spec, left, right, precision=lax.Precision.HIGHEST)
