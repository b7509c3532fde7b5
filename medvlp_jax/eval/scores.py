"""Scores of one binary class. Ties are exact, and what is undefined is NaN, never an exception.

Labels are 1 (positive) and 0 (negative); every other value (-1 uncertain, -2 absent) leaves the
record out. A record is called positive where its score is >= the threshold.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from medvlp_jax.eval.bootstrap import ApCounts, AucCounts
from medvlp_jax.eval.protocol import EvalError

ThresholdRule = Literal["youden", "max_f1"]


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

    ``youden`` is sensitivity + specificity - 1; of equally good thresholds the highest is taken.
    """
    if rule not in ("youden", "max_f1"):
        raise ValueError(f"threshold rule {rule!r} must be 'youden' or 'max_f1'")
    if not is_defined(y):
        return float("nan")
    c = curve(y, scores)
    positives, negatives = c.true[-1], c.false[-1]
    if rule == "youden":
        # Integers compare exactly where rates would differ in the last bit.
        merit = c.true * negatives - c.false * positives
    else:
        merit = 2 * c.true / (c.true + c.false + positives)
    return float(c.threshold[int(np.argmax(merit))])


def f1_oracle(y: Int[np.ndarray, "n"], scores: Float[np.ndarray, "n"]) -> tuple[float, float]:
    """(best F1 over all thresholds, that threshold) on the very records it is reported for.

    Optimistic by construction; always shown beside the F1 at a threshold from validation.
    """
    threshold = choose_threshold(y, scores, "max_f1")
    return at_threshold(y, scores, threshold)["f1"], threshold


def at_threshold(
    y: Int[np.ndarray, "n"], scores: Float[np.ndarray, "n"], threshold: float
) -> dict[str, float]:
    """F1, accuracy, sensitivity, specificity and precision of ``scores >= threshold``.

    All are NaN for one class or a NaN threshold; F1 and precision are 0 where nothing is called.
    """
    names = ("f1", "accuracy", "sensitivity", "specificity", "precision")
    if not is_defined(y) or np.isnan(threshold):
        return dict.fromkeys(names, float("nan"))
    called, truth = scores >= threshold, y == 1
    tp = int((called & truth).sum())
    fp = int((called & (y == 0)).sum())
    fn = int((~called & truth).sum())
    tn = int((~called & (y == 0)).sum())
    values = (
        2 * tp / (2 * tp + fp + fn),
        (tp + tn) / (tp + tn + fp + fn),
        tp / (tp + fn),
        tn / (tn + fp),
        tp / (tp + fp) if tp + fp else 0.0,
    )
    return dict(zip(names, values, strict=True))


def mean_defined(values: Float[np.ndarray, "k *r"]) -> Float[np.ndarray, "*r"]:
    """Mean over the first axis of what is not NaN; NaN where all of it is."""
    known = np.isfinite(values)
    count = known.sum(0)
    total = np.where(known, values, 0.0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
