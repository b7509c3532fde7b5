"""Ratios of sums over figures, with intervals: figures are drawn again, or whole articles."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from medvlp_jax.eval.metrics.bootstrap import Bootstrap, Interval, interval


def ratio_intervals(
    above: Mapping[str, Float[np.ndarray, "n"]],
    below: Mapping[str, Float[np.ndarray, "n"]],
    bootstrap: Bootstrap,
    clusters: Int[np.ndarray, "n"] | None = None,
) -> dict[str, Interval]:
    """``sum(above[k]) / sum(below[k])`` with the interval of every name.

    Args:
      above, below: per figure, by the same names.
      clusters: article of each figure, where whole articles are to be drawn.

    Returns:
      name -> interval; NaN where nothing stands below.
    """
    names = list(above)
    n = len(next(iter(above.values()), ()))
    samples: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for counts in bootstrap.counts(n, clusters=clusters):
        for name in names:
            samples[name].append(_ratio(above[name] @ counts, below[name] @ counts))
    out = {}
    for name in names:
        value = _ratio(np.asarray(above[name].sum()), np.asarray(below[name].sum()))
        drawn = np.concatenate(samples[name]) if samples[name] else np.zeros(0)
        out[name] = interval(float(value), drawn, bootstrap.level)
    return out


def f1_interval(
    precision: tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]],
    recall: tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]],
    bootstrap: Bootstrap,
    clusters: Int[np.ndarray, "n"] | None = None,
) -> Interval:
    """Harmonic mean of two ratios of sums, each given as (above, below) per figure."""
    value = _harmonic(*(np.asarray(_ratio(a.sum(), b.sum())) for a, b in (precision, recall)))
    drawn = [
        _harmonic(*(_ratio(a @ counts, b @ counts) for a, b in (precision, recall)))
        for counts in bootstrap.counts(len(precision[0]), clusters=clusters)
    ]
    samples = np.concatenate(drawn) if drawn else np.zeros(0)
    return interval(float(value), samples, bootstrap.level)


def clusters_of(names: Sequence[str]) -> Int[np.ndarray, "n"]:
    """A number for each name, equal for equal names."""
    return np.unique(np.asarray(names, dtype=str), return_inverse=True)[1]


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    out = np.full(np.shape(below), np.nan)
    return np.divide(above, below, out=out, where=np.asarray(below) > 0)


def _harmonic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    total = a + b
    out = np.where(total == 0, 0.0, np.nan)  # NaN stays where a side is not known
    return np.divide(2 * a * b, total, out=out, where=total > 0)
