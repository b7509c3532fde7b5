"""GLoRIA's score of an image and a text from their regions and words.

Image ``j`` has regions ``v_r``, text ``i`` words ``w_t`` (Huang et al. 2021; as
``gloria/loss/gloria_loss.py`` of marshuang80/gloria computes it)::

    s_rt = <v_r, w_t>                       not normalised
    p_rt = softmax over the words of s_rt
    a_tr = softmax over the regions of tau1 p_rt
    c_t  = sum_r a_tr v_r
    R_ji = log sum_t exp(tau2 cos(c_t, w_t))

The paper's formula has the second softmax only. In inference the score is ``tau2 max_t cos``.

Two products of the size of ``c`` are spared: ``<c_t, w_t> = sum_r a_tr s_rt``, and with fewer
regions than channels ``|c_t|^2 = a_t V V' a_t``.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float

from medvlp_jax.core.sharding import BATCH_AXES, batch_shards
from medvlp_jax.losses.shards import ROWS, check_divisible
from medvlp_jax.losses.words import NEVER

#: Of the product of two lengths, as ``torch.cosine_similarity`` has it.
_EPS = 1e-8
Reduce = Literal["sum", "mean", "max"]


def word_region_scores(
    patches: Float[Array, "b r d"],
    words: Float[Array, "n t d"],
    present: Bool[Array, "n t"],
    *,
    attention_scale: float = 4.0,
    word_scale: float = 5.0,
    reduce: Reduce = "sum",
    block: int = 16,
) -> Float[Array, "b n"]:
    """``R`` of every image with every text.

    Args:
      patches: vectors of regions, not normalised.
      words: vectors of words, not normalised, any padding.
      present: which words there are; at least one a text.
      attention_scale: ``tau1``.
      word_scale: ``tau2``.
      reduce: ``sum``: the log of the sum over words; ``mean``: of their mean; ``max``: inference.
      block: texts that are held against all images at once; a longer list goes block by block,
        and the backward pass computes each block anew, so that ``b * block * t * r`` scores are in
        memory and never ``b * n * t * r``.
    """
    patches, words = patches.astype(jnp.float32), words.astype(jnp.float32)
    _, r, d = patches.shape
    gram = _product("brd,bsd->brs", patches, patches) if r <= d else None

    def score(text: tuple[Float[Array, "t d"], Bool[Array, " t"]]) -> Float[Array, " b"]:
        word, real = text
        s = _product("brd,td->btr", patches, word)
        p = jax.nn.softmax(jnp.where(real[:, None], s, NEVER), axis=1)
        a = jax.nn.softmax(attention_scale * p, axis=2)
        inner = jnp.sum(a * s, axis=2)
        if gram is None:
            square = jnp.sum(jnp.square(_product("btr,brd->btd", a, patches)), axis=2)
        else:
            square = jnp.sum(_product("btr,brs->bts", a, gram) * a, axis=2)
        square = square * jnp.sum(word * word, axis=1)
        cosine = inner * lax.rsqrt(jnp.maximum(square, _EPS**2))
        return reduce_words(cosine, real, word_scale, reduce)

    if words.shape[0] <= block:
        scores = jax.vmap(score)((words, present))
    else:
        again = jax.checkpoint(score, prevent_cse=False)
        scores = lax.map(again, (words, present), batch_size=block)
    return scores.T


def reduce_words(
    cosine: Float[Array, "b t"], real: Bool[Array, " t"], scale: float, reduce: Reduce
) -> Float[Array, " b"]:
    """The cosines of a text's words as one score; see :func:`word_region_scores`."""
    logits = jnp.where(real, scale * cosine, NEVER)
    if reduce == "max":
        return jnp.max(logits, axis=1)
    total = jax.nn.logsumexp(logits, axis=1)
    return total - jnp.log(jnp.sum(real)) if reduce == "mean" else total


def gathered_word_region_scores(
    mesh: Mesh | None,
    patches: Float[Array, "b r d"],
    words: Float[Array, "b t d"],
    present: Bool[Array, "b t"],
    **options: Any,
) -> Float[Array, "b b"]:
    """:func:`word_region_scores` of a batch that lies on ``mesh``, its rows where the images are.

    Every device gathers the words of the whole batch and computes the rows of its images; the
    transpose of the all-gather returns the words' gradients to their homes.
    """
    if mesh is None or batch_shards(mesh) == 1:
        return word_region_scores(patches, words, present, **options)
    check_divisible(patches.shape[0], mesh)

    def shard(patches: Array, words: Array, present: Array) -> Array:
        words, present = lax.all_gather((words, present), BATCH_AXES, axis=0, tiled=True)
        return word_region_scores(patches, words, present, **options)

    return jax.shard_map(shard, mesh=mesh, in_specs=(ROWS, ROWS, ROWS), out_specs=ROWS)(
        patches, words, present
    )


def _product(spec: str, left: Array, right: Array) -> Array:
    """In true fp32: a softmax of raw scores does not forgive the bf16 of a TPU's default."""
    return jnp.einsum(spec, left, right, precision=lax.Precision.HIGHEST)
