"""Which other records of a batch are positives of a record."""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int8, UInt8, UInt32

from medvlp_jax.core.task import Batch
from medvlp_jax.losses.pairs import PairKeys, either, equality

Relation = Literal["none", "labels", "stated", "text", "text_or_labels"]


def pair_keys(relation: Relation, batch: Batch) -> PairKeys | None:
    """The keys of ``config.task.multi_positive``; None if only the own pair is positive."""
    if relation == "none":
        return None
    if relation == "text":
        return same_text_keys(batch)
    if relation == "labels":
        return equality(label_key(batch["labels"]))
    if relation == "text_or_labels":
        # Not closed under chains: two records that share nothing are no positives of each other,
        # whatever a third one shares with both.
        return either(same_text_keys(batch), equality(label_key(batch["labels"])))
    return stated_keys(batch["labels"] == 1, batch["text_labels"])


def same_text_keys(batch: Batch) -> PairKeys:
    """Records with the same text are positives of each other."""
    return equality(batch["text_key"].astype(jnp.uint32)[:, None])


def label_key(labels: Int8[Array, "b k"]) -> UInt32[Array, "b w"]:
    """Packs the values of a record's labels, 16 a word, exactly.

    Args:
      labels: 1 positive, 0 negative, -1 uncertain, -2 absent.

    Returns:
      Words that are equal for records with equal rows. A record without any 0 or 1 says nothing
      about its image and is equal to none but itself: its last word is its number.
    """
    batch, count = labels.shape
    codes = (labels.astype(jnp.int32) + 2).astype(jnp.uint32)
    codes = jnp.pad(codes, ((0, 0), (0, -count % 16))).reshape(batch, -1, 16)
    shifts = jnp.arange(16, dtype=jnp.uint32) * 2
    words = jnp.sum(codes << shifts, axis=-1, dtype=jnp.uint32)
    return jnp.concatenate([words, _number_unless(jnp.any(labels >= 0, axis=1))[:, None]], axis=1)


def stated_keys(present: Bool[Array, "b k"], stated: UInt8[Array, "b k"]) -> PairKeys:
    """A text is a positive of every image that shows all that the text states.

    "Left effusion" then is no negative of another image with an effusion, whatever else that
    image shows (the aim of the semantic matching of MedCLIP, Wang et al. 2022, arXiv:2210.10163,
    sec. 3.2, as a relation instead of a similarity).

    Args:
      present: labels that are positive for the image.
      stated: 1 for labels that the text affirms. A record's own pair is always positive. A text
        that states nothing is a positive of its own image alone.
    """
    stated = stated.astype(bool)
    says = jnp.any(stated, axis=1)[:, None]
    number = equality(_number_unless(jnp.zeros_like(says[:, 0]))[:, None]).image
    return PairKeys(
        jnp.concatenate([_bits(present | stated), number], axis=1),
        jnp.concatenate([_bits(stated), jnp.where(says, 0, number)], axis=1),
    )


def same_statement_keys(stated: UInt8[Array, "b k"]) -> PairKeys:
    """Records whose texts state the same, and state something, are positives of each other."""
    stated = stated.astype(bool)
    number = _number_unless(jnp.any(stated, axis=1))[:, None]
    return equality(jnp.concatenate([_bits(stated), number], axis=1))


def _bits(flags: Bool[Array, "b k"]) -> UInt32[Array, "b w"]:
    """32 flags a word."""
    batch, count = flags.shape
    padded = jnp.pad(flags, ((0, 0), (0, -count % 32))).reshape(batch, -1, 32)
    return jnp.sum(
        padded.astype(jnp.uint32) << jnp.arange(32, dtype=jnp.uint32), axis=-1, dtype=jnp.uint32
    )


def _number_unless(known: Bool[Array, " b"]) -> UInt32[Array, " b"]:
    """The record's number in the global batch, from 1; 0 where ``known``."""
    return jnp.where(known, 0, jnp.arange(1, known.shape[0] + 1, dtype=jnp.uint32))
