"""Bootstrap intervals from multiplicities: thousands of resamples in a few array operations.

A resample of n records is described by how often each record was drawn, a column of an integer
matrix [n, r]. Every statistic here is a function of such counts, so that one sort of the scores
serves all resamples, and two systems scored with the same counts are compared in pairs.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from medvlp_jax.core.fields import Count, Inside, Seed

#: Entries of one chunk of counts; keeps the working set inside the last-level cache.
_CHUNK_ENTRIES = 1 << 19


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """How to resample. The same ``seed`` and records give the same resamples for every system.

    Attributes:
      resamples: number of resamples; 0 switches intervals off.
      level: two-sided coverage of the percentile interval, in (0, 1).
      scheme: ``plain`` draws records; ``stratified`` draws positives and negatives of a class
        separately, for the interval of that class (a macro mean is always plain: its classes have
        to be resampled together).
      by_patient: draw whole patients where a set names them, because the images of one patient
        are not independent.
      seed: of ``numpy.random.default_rng``.
    """

    resamples: Count = 2000
    level: Inside = 0.95
    scheme: Literal["plain", "stratified"] = "plain"
    by_patient: bool = True
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.resamples < 0:
            raise ValueError(f"bootstrap.resamples={self.resamples} must not be negative")
        if not 0 < self.level < 1:
            raise ValueError(f"bootstrap.level={self.level} must lie between 0 and 1")

    def counts(
        self,
        n: int,
        *,
        clusters: Int[np.ndarray, "n"] | None = None,
        strata: Int[np.ndarray, "n"] | None = None,
    ) -> Iterator[Int[np.ndarray, "n r"]]:
        """Yields int32 multiplicities, ``self.resamples`` columns in all.

        Args:
          n: number of records.
          clusters: patient of each record; whole patients are drawn where ``by_patient`` is set.
          strata: drawn separately, so that every resample keeps the size of each stratum (in
            clusters). A cluster belongs to the largest stratum among its records.
        """
        rng = np.random.default_rng(self.seed)
        clusters = clusters if self.by_patient else None
        unit = np.arange(n) if clusters is None else np.unique(clusters, return_inverse=True)[1]
        units = int(unit.max()) + 1 if n else 0
        of_unit = np.zeros(units, np.int64)
        if strata is not None:
            np.maximum.at(of_unit, unit, np.asarray(strata) - np.min(strata))
        members = [np.flatnonzero(of_unit == s) for s in np.unique(of_unit)]
        step = max(1, min(self.resamples, _CHUNK_ENTRIES // max(n, 1)))
        for start in range(0, self.resamples, step):
            r = min(step, self.resamples - start)
            drawn = np.zeros((units, r), np.int32)
            for stratum in members:
                drawn[stratum] = _multiplicities(rng, len(stratum), r)
            yield drawn if clusters is None else drawn[unit]


def _multiplicities(rng: np.random.Generator, n: int, r: int) -> Int[np.ndarray, "n r"]:
    """Each column counts n draws with replacement out of n."""
    out = np.empty((r, n), np.int32)
    # One histogram at a time stays in the first-level cache; one over all resamples does not.
    for row, drawn in zip(out, rng.integers(0, n, (r, n), dtype=np.int32), strict=True):
        row[:] = np.bincount(drawn, minlength=n)
    return np.ascontiguousarray(out.T)


@dataclasses.dataclass(frozen=True)
class Interval:
    """A value with its percentile interval; all three are NaN where the value is undefined."""

    value: float
    low: float = float("nan")
    high: float = float("nan")

    def to_json(self) -> dict[str, float | None]:
        return {k: finite(v) for k, v in dataclasses.asdict(self).items()}


def finite(x: Any) -> float | None:
    """``None`` for NaN and infinities, which JSON cannot hold."""
    return float(x) if np.isfinite(x) else None


def interval(value: float, samples: Float[np.ndarray, "r"], level: float) -> Interval:
    """Percentile interval of ``samples``; resamples in which the statistic is undefined (NaN,
    for instance no positive was drawn) are left out."""
    samples = samples[np.isfinite(samples)]
    if not np.isfinite(value) or not len(samples):
        return Interval(float(value))
    tail = (1 - level) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return Interval(float(value), float(low), float(high))


class AucCounts:
    """ROC AUC of one class under multiplicities: sort once, then two gathers and one cumulative
    sum per chunk. Equal scores of a positive and a negative count one half, exactly."""

    def __init__(self, y: Int[np.ndarray, "n"], scores: Float[np.ndarray, "n"]):
        """``y`` is 1, 0, or anything else for records that this class leaves out."""
        positive, negative = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
        self.positive = positive
        self.negative = negative[np.argsort(scores[negative], kind="stable")]
        ranked = scores[self.negative]
        self.below = np.searchsorted(ranked, scores[positive], side="left")
        self.up_to = np.searchsorted(ranked, scores[positive], side="right")
        self.tied = bool((self.below != self.up_to).any())

    def __call__(self, counts: Int[np.ndarray, "n r"]) -> Float[np.ndarray, "r"]:
        heap = np.zeros((len(self.negative) + 1, counts.shape[1]), np.int32)
        np.cumsum(counts[self.negative], axis=0, out=heap[1:])
        lost = heap[self.below]
        won_twice = lost + (heap[self.up_to] if self.tied else lost)
        drawn = counts[self.positive]
        pairs = drawn.sum(0, dtype=np.int64) * heap[-1]
        # Integers up to here: no rounding before the one division.
        return _divide(np.einsum("pr,pr->r", drawn, won_twice, dtype=np.int64), 2 * pairs)


class ApCounts:
    """Average precision (step-wise, no interpolation) of one class under multiplicities."""

    def __init__(self, y: Int[np.ndarray, "n"], scores: Float[np.ndarray, "n"]):
        rows = np.flatnonzero((y == 0) | (y == 1))
        self.order = rows[np.argsort(-scores[rows], kind="stable")]
        self.y = (y[self.order] == 1)[:, None]
        ranked = scores[self.order]
        # A threshold can only fall between two different scores.
        self.ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)

    def __call__(self, counts: Int[np.ndarray, "n r"]) -> Float[np.ndarray, "r"]:
        if not len(self.order):
            return np.full(counts.shape[1], np.nan)
        drawn = counts[self.order]
        true = np.cumsum(drawn * self.y, axis=0, dtype=np.int64)[self.ends]
        called = np.cumsum(drawn, axis=0, dtype=np.int64)[self.ends]
        gained = np.diff(true, axis=0, prepend=0)
        precision = true / np.maximum(called, 1)
        return _divide(np.einsum("gr,gr->r", gained, precision), true[-1])


class RocCounts:
    """Sensitivity at given false-positive rates (vertical averaging) under multiplicities."""

    def __init__(
        self, y: Int[np.ndarray, "n"], scores: Float[np.ndarray, "n"], grid: Float[np.ndarray, "g"]
    ):
        self.ap = ApCounts(y, scores)
        self.grid = grid

    def __call__(self, counts: Int[np.ndarray, "n r"]) -> Float[np.ndarray, "g r"]:
        drawn = counts[self.ap.order]
        true = np.cumsum(drawn * self.ap.y, axis=0, dtype=np.int64)[self.ap.ends]
        false = np.cumsum(drawn * ~self.ap.y, axis=0, dtype=np.int64)[self.ap.ends]
        out = np.full((len(self.grid), counts.shape[1]), np.nan)
        for j in range(counts.shape[1]):
            p, n = true[-1, j], false[-1, j]
            if p and n:
                # At a vertical step ``np.interp`` takes the last, that is the upper, end.
                x = np.concatenate([[0.0], false[:, j] / n])
                out[:, j] = np.interp(self.grid, x, np.concatenate([[0.0], true[:, j] / p]))
        return out


def weighted_mean(
    values: Float[np.ndarray, "n *k"], counts: Int[np.ndarray, "n r"]
) -> Float[np.ndarray, "*k r"]:
    """Mean of per-record values in every resample; NaN where nothing was drawn.

    A NaN value leaves its record out of that column.
    """
    # Not -1, which has no meaning where a class has no record at all.
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    known = np.isfinite(flat)
    total = np.where(known, flat, 0.0).T @ counts
    return _divide(total, known.T.astype(np.float64) @ counts).reshape(
        *values.shape[1:], counts.shape[1]
    )


def weighted_median(
    values: Float[np.ndarray, "n"], counts: Int[np.ndarray, "n r"]
) -> Float[np.ndarray, "r"]:
    """Median of every resample, the mean of the two middle draws where their number is even."""
    order = np.argsort(values, kind="stable")
    heap = np.cumsum(counts[order], axis=0)
    total = heap[-1]
    lower = (heap <= (total - 1) // 2).sum(0)
    upper = (heap <= total // 2).sum(0)
    ranked = np.append(values[order], np.nan)
    return (ranked[lower] + ranked[upper]) / 2


def mean_interval(
    values: Float[np.ndarray, "n"],
    bootstrap: Bootstrap,
    clusters: Int[np.ndarray, "n"] | None = None,
) -> Interval:
    """Mean of per-record values (NaN: not counted) with its interval."""
    known = np.isfinite(values)
    mean = float(values[known].mean()) if known.any() else float("nan")
    drawn = [weighted_mean(values, c) for c in bootstrap.counts(len(values), clusters=clusters)]
    return interval(mean, np.concatenate(drawn) if drawn else np.zeros(0), bootstrap.level)


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    out = np.full(np.broadcast_shapes(a.shape, b.shape), np.nan)
    return np.divide(a, b, out=out, where=b > 0)
