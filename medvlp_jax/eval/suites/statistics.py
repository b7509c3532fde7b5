"""Accuracy, balanced accuracy and macro AUC of a set as functions of how often records are drawn.

Two models are compared on the same multiplicities, and the sets of a suite are resampled apart.
"""

import dataclasses
import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from medvlp_jax.eval.metrics.bootstrap import AucCounts, Bootstrap, weighted_mean
from medvlp_jax.eval.metrics.scores import mean_defined
from medvlp_jax.eval.zeroshot.multiway import arg_max_hits

#: What :class:`Statistics` gives, in this order.
MEASURES = ("accuracy", "balanced_accuracy", "auc")


class Statistics:
    """:data:`MEASURES` of one set's scores under multiplicities.

    Accuracy is that of the largest score among records with exactly one class; balanced accuracy
    its mean over the classes that occur; the AUC is the mean over the classes that have a record
    and a counter-record. Undefined measures are NaN.

    Args:
      labels: 1, 0; other values leave a record out of a class.
      scores: of every record and class; larger means more likely.
      exclusive: whether records have one class; else there is no accuracy.
    """

    def __init__(
        self,
        labels: Int[np.ndarray, "n k"],
        scores: Float[np.ndarray, "n k"],
        exclusive: bool = True,
    ):
        found = arg_max_hits(labels, scores)
        hit = found.hit if exclusive else np.full(len(labels), np.nan)
        classes = np.arange(scores.shape[1])
        self._hit = hit
        self._of_class = np.where(found.truth[:, None] == classes, hit[:, None], np.nan)
        self._auc = [AucCounts(labels[:, k], scores[:, k]) for k in classes]
        ones = np.ones((len(labels), 1), np.int32)
        # A class undefined on the whole set must not enter the mean of a lucky resample.
        self._recalled = np.isfinite(weighted_mean(self._of_class, ones)[:, 0])
        self._ranked = np.isfinite(np.array([f(ones)[0] for f in self._auc]))
        #: Of the records as they are, [3].
        self.values = self(ones)[:, 0]

    def __call__(self, counts: Int[np.ndarray, "n r"]) -> Float[np.ndarray, "3 r"]:
        nothing = np.full(counts.shape[1], np.nan)
        accuracy = weighted_mean(self._hit, counts)
        recalls = weighted_mean(self._of_class, counts)[self._recalled]
        aucs = [f(counts) for f, ranked in zip(self._auc, self._ranked, strict=True) if ranked]
        return np.stack(
            [
                accuracy,
                mean_defined(recalls) if len(recalls) else nothing,
                mean_defined(np.stack(aucs)) if aucs else nothing,
            ]
        )


def drawn(
    statistics: Sequence[Statistics],
    records: int,
    bootstrap: Bootstrap,
    clusters: Int[np.ndarray, "n"] | None = None,
) -> Float[np.ndarray, "s 3 r"]:
    """Several scorings of the same records on the same resamples; no column without resamples."""
    chunks = [
        np.stack([one(counts) for one in statistics])
        for counts in bootstrap.counts(records, clusters=clusters)
    ]
    empty = np.zeros((len(statistics), len(MEASURES), 0))
    return np.concatenate(chunks, axis=2) if chunks else empty


def of_set(bootstrap: Bootstrap, name: str) -> Bootstrap:
    """The resampling of one set of several: with a seed of its own, so that two sets of one size
    are not drawn alike."""
    return dataclasses.replace(bootstrap, seed=bootstrap.seed + zlib.crc32(name.encode()))
