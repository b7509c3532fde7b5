"""Scores to probabilities, fitted on validation data, and how far a probability can be believed.

Contrastive scores are rankings: a cosine of 0.3 says nothing about how likely a finding is. A
logistic curve with two parameters a class, fitted on other records, makes them probabilities
without changing the ranking (Platt 1999; the fit with smoothed targets of Lin, Lin and Weng 2007).
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit

from medvlp_jax.core.errors import UserError
from medvlp_jax.core.files.writing import write
from medvlp_jax.eval.metrics.bootstrap import finite

Method = Literal["platt", "temperature"]
#: Bins of equal width of reliability curves and of the calibration error.
BINS = 10
_STEPS = 100


class CalibrationError(UserError, ValueError):
    """A stored calibration cannot be read or does not fit the scores."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """``probability = 1 / (1 + exp(-(slope * score + offset)))``, one curve a class.

    A negative slope is kept as it was found: on the validation records the score spoke against
    the class.

    Attributes:
      classes: in the order of the columns of scores.
      slope, offset: of each class; NaN where the validation records had one class only.
      prior: share of positives among the judged validation records; NaN without any.
      method: ``platt``; ``temperature``: no offset and no negative slope, for scores that are
        log-odds already.
    """

    classes: tuple[str, ...]
    slope: tuple[float, ...]
    offset: tuple[float, ...]
    prior: tuple[float, ...]
    method: Method = "platt"

    def probabilities(self, scores: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
        """Probabilities of all classes; NaN in the columns of classes without a curve.

        Raises:
          CalibrationError: another number of columns.
        """
        scores = np.asarray(scores, np.float64)
        if scores.shape[-1] != len(self.classes):
            raise CalibrationError(
                f"{scores.shape[-1]} scores a record for a calibration of {len(self.classes)} "
                f"classes: {', '.join(self.classes)}"
            )
        return expit(scores * np.array(self.slope) + np.array(self.offset))

    def to_json(self) -> dict[str, Any]:
        """Plain values; NaN becomes ``None``."""
        numbers = {k: [finite(v) for v in getattr(self, k)] for k in ("slope", "offset", "prior")}
        return {"method": self.method, "classes": list(self.classes), **numbers}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Calibration":
        """The inverse of :meth:`to_json`.

        Raises:
          CalibrationError: a key is missing, or the lists differ in length.
        """
        try:
            classes = tuple(map(str, value["classes"]))
            numbers = {
                k: tuple(np.nan if v is None else float(v) for v in value[k])
                for k in ("slope", "offset", "prior")
            }
            method = value["method"]
        except (KeyError, TypeError, ValueError) as e:
            raise CalibrationError(f"no calibration: {type(e).__name__} {e}") from e
        if any(len(v) != len(classes) for v in numbers.values()):
            raise CalibrationError(
                f"a calibration of {len(classes)} classes has lists of other lengths"
            )
        return cls(classes, **numbers, method=method)

    def save(
        self, path: str | os.PathLike[str], about: Mapping[str, Any] | None = None
    ) -> pathlib.Path:
        """Writes JSON, atomically; ``about`` says under ``scores`` how the scores were made."""
        value = self.to_json() | ({"scores": dict(about)} if about else {})
        return write(path, json.dumps(value, indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Calibration":
        """Reads what :meth:`save` wrote.

        Raises:
          CalibrationError: no such file, or not a calibration; the file is named.
        """
        try:
            value = json.loads(pathlib.Path(path).read_text())
            return cls.from_json(value)
        except (OSError, json.JSONDecodeError, CalibrationError) as e:
            raise CalibrationError(f"{path}: {e}") from e


def fit_calibration(
    classes: Sequence[str],
    labels: Int[np.ndarray, "n k"],
    scores: Float[np.ndarray, "n k"],
    method: Method = "platt",
) -> Calibration:
    """Fits the curve of every class on validation records; labels other than 0 and 1 are left out.

    Raises:
      ValueError: shapes disagree, or a score of a judged record is not finite.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, np.float64)
    if labels.shape != scores.shape or labels.shape[1:] != (len(classes),):
        wanted = f"[records, {len(classes)} classes]"
        raise ValueError(f"labels {labels.shape} and scores {scores.shape} must both be {wanted}")
    fits = [fit_logistic(y, s, method) for y, s in zip(labels.T, scores.T, strict=True)]
    judged = (labels == 0) | (labels == 1)
    positive, total = (labels == 1).sum(0), judged.sum(0)
    prior = np.divide(positive, total, out=np.full(len(total), np.nan), where=total > 0)
    return Calibration(
        tuple(classes),
        tuple(slope for slope, _ in fits),
        tuple(offset for _, offset in fits),
        tuple(prior.tolist()),
        method,
    )


def fit_logistic(
    y: Int[np.ndarray, "n"], scores: Float[np.ndarray, "n"], method: Method = "platt"
) -> tuple[float, float]:
    """(slope, offset) of one class by Newton's method; (NaN, NaN) for one class.

    Targets are (positives + 1) / (positives + 2) and 1 / (negatives + 2) instead of 1 and 0, so
    that scores which separate the classes get a finite slope.

    Raises:
      ValueError: a score is not finite, or an unknown method.
    """
    if method not in ("platt", "temperature"):
        raise ValueError(f"calibration method {method!r} must be 'platt' or 'temperature'")
    keep = (y == 0) | (y == 1)
    y, scores = y[keep] == 1, np.asarray(scores[keep], np.float64)
    if not np.isfinite(scores).all():
        raise ValueError(f"{(~np.isfinite(scores)).sum()} scores are not finite")
    if y.all() or not y.any():
        return float("nan"), float("nan")
    positives, negatives = y.sum(), (~y).sum()
    target = np.where(y, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    free = method == "platt"
    # In units of their spread, whatever the scale of the scores: Newton's steps are well sized.
    middle, spread = (scores.mean() if free else 0.0), scores.std() if free else abs(scores).max()
    spread = spread if spread > 1e-12 * max(abs(middle), 1e-300) else 0.0
    x = (scores - middle) / spread if spread else np.zeros(len(scores))
    columns = np.stack([x, np.ones(len(x))], 1) if free else x[:, None]
    slope, *rest = _newton(columns, target)
    if not free:
        return (max(slope, 0.0) / spread if spread else 0.0), 0.0
    slope = slope / spread if spread else 0.0
    return float(slope), float(rest[0] - slope * middle)


def _newton(x: Float[np.ndarray, "n d"], target: Float[np.ndarray, "n"]) -> list[float]:
    """Minimises the cross-entropy of ``sigmoid(x w)`` against ``target``, which is convex."""

    def loss(w: np.ndarray) -> float:
        z = x @ w
        return float((np.logaddexp(0, z) - target * z).sum())

    w = np.zeros(x.shape[1])
    now = loss(w)
    for _ in range(_STEPS):
        p = expit(x @ w)
        slope = x.T @ (p - target)
        # The ridge only keeps the matrix regular where all scores are equal.
        bend = (x * (p * (1 - p))[:, None]).T @ x + 1e-12 * np.eye(len(w))
        step = np.linalg.solve(bend, slope)
        size = 1.0
        while (then := loss(w - size * step)) > now and size > 1e-8:
            size /= 2
        if then > now:
            break
        w, done, now = w - size * step, now - then < 1e-13 * max(now, 1.0), then
        if done:
            break
    return w.tolist()


def squared_errors(y: Int[np.ndarray, "n"], p: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """(p - y)^2 of every judged record, NaN for the others; its mean is the Brier score."""
    return np.where((y == 0) | (y == 1), (p - y) ** 2, np.nan)


def brier(y: Int[np.ndarray, "n"], p: Float[np.ndarray, "n"]) -> float:
    """Mean squared error of probabilities; NaN without a judged record or with a NaN among them."""
    y, p = _judged(y, p)
    return float(((p - y) ** 2).mean()) if len(y) else float("nan")


def prior_brier(y: Int[np.ndarray, "n"], prior: float) -> float:
    """Brier score of saying ``prior`` of every record: what a probability has to beat."""
    return brier(y, np.full(len(y), prior))


def log_loss(y: Int[np.ndarray, "n"], p: Float[np.ndarray, "n"]) -> float:
    """Mean cross-entropy in nats, probabilities kept 1e-12 away from 0 and 1; NaN as ``brier``."""
    y, p = _judged(y, p)
    if not len(y):
        return float("nan")
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return float(-np.where(y == 1, np.log(p), np.log1p(-p)).mean())


class Reliability(NamedTuple):
    """What was said and what came true, per bin (lower, upper] of probability."""

    count: Int[np.ndarray, "b"]
    said: Float[np.ndarray, "b"]  # mean probability; 0 in an empty bin
    true: Float[np.ndarray, "b"]  # share of positives; 0 in an empty bin


def reliability(
    y: Int[np.ndarray, "n"], p: Float[np.ndarray, "n"], bins: int = BINS
) -> Reliability:
    """The reliability curve over bins of equal width; 0 belongs to the first one."""
    y, p = _judged(y, p)
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    at = np.searchsorted(edges, p)  # a probability on an edge belongs below it
    count = np.bincount(at, minlength=bins)
    per = np.maximum(count, 1)
    said, true = (np.bincount(at, w, minlength=bins) / per for w in (p, y.astype(np.float64)))
    return Reliability(count, said, true)


def expected_calibration_error(
    y: Int[np.ndarray, "n"], p: Float[np.ndarray, "n"], bins: int = BINS
) -> float:
    """Mean over records of |said - true| of their bin (Guo et al. 2017, arXiv:1706.04599).

    NaN without a judged record or with a NaN among the probabilities.
    """
    kept = _judged(y, p)[1]
    if not len(kept) or np.isnan(kept).any():
        return float("nan")
    r = reliability(y, p, bins)
    return float((r.count * np.abs(r.said - r.true)).sum() / r.count.sum())


def _judged(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    keep = (y == 0) | (y == 1)
    return np.asarray(y)[keep], np.asarray(p, np.float64)[keep]
