"""Scores of one binary class. Ties are exact, and what is undefined is NaN, never an exception.

Labels are 1 (positive) and 0 (negative); every other value (-1 uncertain, -2 absent) leaves the
record out. A record is called positive where its score is >= the threshold.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from medvlp_jax.eval.base import EvalError
from medvlp_jax.eval.metrics.bootstrap import ApCounts, AucCounts

ThresholdRule = Literal["youden", "max_f1", "max_mcc"]
#: What :func:`at_threshold` gives.
THRESHOLDED = (
    "f1",
    "accuracy",
    "balanced_accuracy",
    "mcc",
    "sensitivity",
    "specificity",
    "precision",
)


def require_finite(
    scores: Float[np.ndarray, "n k"], ids: Sequence[str] | np.ndarray, names: Sequence[str]
):
    """Raises ``EvalError`` that names the first record and class whose score is not finite."""
    bad = np.argwhere(~np.isfinite(scores))
    if len(bad):
        row, column = bad[0]
        raise EvalError(
            f"the score of {names[column]!r} for record {str(ids[row])!r} is "
            f"{scores[row, column]} ({len(bad)} scores of {scores.size} are not finite): the "
            "embeddings of that record or the parameters are broken"
        )


def is_defined(y: Int[np.ndarray, "n"]) -> bool:
    """Whether the class has at least one positive and one negative."""
    return bool((y == 1).any() and (y == 0).any())


def roc_auc(y: Int[np.ndarray, "n"], scores: Float[np.ndarray, "n"]) -> float:
    """Area under the ROC curve (Mann-Whitney; a tied pair counts one half); NaN for one class."""
    return float(AucCounts(y, scores)(np.ones((len(y), 1), np.int32))[0])


def average_precision(y: Int[np.ndarray, "n"], scores: Float[np.ndarray, "n"]) -> float:
    """Sum over distinct thresholds of (recall gained) x precision; NaN for one class."""
    if not is_defined(y):
        return float("nan")
    return float(ApCounts(y, scores)(np.ones((len(y), 1), np.int32))[0])


class Curve(NamedTuple):
    """True and false positives when everything at or above a threshold is called positive."""

    threshold: Float[np.ndarray, "t"]  # distinct scores, falling
    true: Int[np.ndarray, "t"]
    false: Int[np.ndarray, "t"]


def curve(y: Int[np.ndarray, "n"], scores: Float[np.ndarray, "n"]) -> Curve:
    """One point per distinct score."""
    keep = (y == 0) | (y == 1)
    y, scores = y[keep], scores[keep]
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    if not len(ranked):
        return Curve(ranked, np.zeros(0, np.int64), np.zeros(0, np.int64))
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    true = np.cumsum(y[order] == 1)[ends]
    return Curve(ranked[ends], true, ends + 1 - true)


def choose_threshold(
    y: Int[np.ndarray, "n"], scores: Float[np.ndarray, "n"], rule: ThresholdRule
) -> float:
    """The score that maximises the rule, to be used on OTHER records; NaN for one class.

    ``youden`` is sensitivity + specificity - 1; ``max_mcc`` maximises the Matthews correlation
    (KAD's rule, there on the test set). Of equally good thresholds the highest is taken.
    """
    if rule not in ("youden", "max_f1", "max_mcc"):
        raise ValueError(f"threshold rule {rule!r} must be 'youden', 'max_f1' or 'max_mcc'")
    if not is_defined(y):
        return float("nan")
    c = curve(y, scores)
    positives, negatives = c.true[-1], c.false[-1]
    if rule == "youden":
        # Integers compare exactly where rates would differ in the last bit.
        merit = c.true * negatives - c.false * positives
    elif rule == "max_f1":
        merit = 2 * c.true / (c.true + c.false + positives)
    else:
        merit = matthews(c.true, c.false, positives - c.true, negatives - c.false)
    return float(c.threshold[int(np.argmax(merit))])


def matthews(tp: Any, fp: Any, fn: Any, tn: Any) -> Any:
    """Matthews correlation of counts, element by element; 0 where a row or column is empty."""
    tp, fp, fn, tn = (np.asarray(x, np.float64) for x in (tp, fp, fn, tn))
    size = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return np.divide(tp * tn - fp * fn, size, out=np.zeros(size.shape), where=size > 0)


def f1_oracle(y: Int[np.ndarray, "n"], scores: Float[np.ndarray, "n"]) -> tuple[float, float]:
    """(best F1 over all thresholds, that threshold) on the very records it is reported for.

    Optimistic by construction; always shown beside the F1 at a threshold from validation.
    """
    threshold = choose_threshold(y, scores, "max_f1")
    return at_threshold(y, scores, threshold)["f1"], threshold


def oracles(y: Int[np.ndarray, "n"], scores: Float[np.ndarray, "n"]) -> dict[str, float]:
    """The best that a threshold chosen on these very records reaches, as many papers report it.

    ``f1_oracle`` and ``accuracy_oracle`` are taken at the threshold of the largest F1
    (``threshold_oracle``), as the code of MedKLIP and MAVL does, which calls a record at the
    threshold itself negative in the accuracy, here it is positive in both; ``mcc_oracle`` is the
    largest Matthews correlation (KAD). All NaN for one class.
    """
    f1, threshold = f1_oracle(y, scores)
    best = choose_threshold(y, scores, "max_mcc")
    return {
        "f1_oracle": f1,
        "accuracy_oracle": at_threshold(y, scores, threshold)["accuracy"],
        "mcc_oracle": at_threshold(y, scores, best)["mcc"],
        "threshold_oracle": threshold,
    }


def at_threshold(
    y: Int[np.ndarray, "n"], scores: Float[np.ndarray, "n"], threshold: float
) -> dict[str, float]:
    """:data:`THRESHOLDED` of ``scores >= threshold``.

    All are NaN for one class or a NaN threshold; F1, precision and the Matthews correlation
    (``mcc``) are 0 where nothing is called.
    """
    if not is_defined(y) or np.isnan(threshold):
        return dict.fromkeys(THRESHOLDED, float("nan"))
    called, truth = scores >= threshold, y == 1
    cells = (called & truth, called & (y == 0), ~called & truth, ~called & (y == 0))
    values = of_counts(*(np.array(float(c.sum())) for c in cells))
    return {name: float(v) for name, v in values.items()}


def of_counts(
    tp: Float[np.ndarray, "*s"],
    fp: Float[np.ndarray, "*s"],
    fn: Float[np.ndarray, "*s"],
    tn: Float[np.ndarray, "*s"],
) -> dict[str, Float[np.ndarray, "*s"]]:
    """:data:`THRESHOLDED` from counts, element by element; NaN where one class is missing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity, specificity = tp / (tp + fn), tn / (tn + fp)
        values = {
            "f1": 2 * tp / (2 * tp + fp + fn),
            "accuracy": (tp + tn) / (tp + tn + fp + fn),
            "balanced_accuracy": (sensitivity + specificity) / 2,
            "mcc": matthews(tp, fp, fn, tn),
            "sensitivity": sensitivity,
            "specificity": specificity,
            "precision": np.where(tp + fp > 0, tp / (tp + fp), 0.0),
        }
    one_class = (tp + fn == 0) | (tn + fp == 0)
    return {name: np.where(one_class, np.nan, values[name]) for name in THRESHOLDED}


def mean_defined(values: Float[np.ndarray, "k *r"]) -> Float[np.ndarray, "*r"]:
    """Mean over the first axis of what is not NaN; NaN where all of it is."""
    known = np.isfinite(values)
    count = known.sum(0)
    total = np.where(known, values, 0.0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
