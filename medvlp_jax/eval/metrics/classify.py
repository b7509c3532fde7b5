"""The table of a multi-label classifier: every class with intervals, and their macro means.

Zero-shot models and no-training rules are scored by this one function, so that they can be
compared record by record.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from medvlp_jax.eval.metrics.bootstrap import (
    ApCounts,
    AucCounts,
    Bootstrap,
    RocCounts,
    finite,
    interval,
    weighted_mean,
)
from medvlp_jax.eval.metrics.calibration import (
    expected_calibration_error,
    fit_calibration,
    prior_brier,
    reliability,
    squared_errors,
)
from medvlp_jax.eval.metrics.scores import (
    THRESHOLDED,
    ThresholdRule,
    at_threshold,
    average_precision,
    choose_threshold,
    is_defined,
    mean_defined,
    of_counts,
    oracles,
    require_finite,
    roc_auc,
)

#: Without a threshold, or with one that was chosen on the reported records themselves.
_ORACLES = ("f1_oracle", "accuracy_oracle", "mcc_oracle")
#: Of the probabilities that validation data turn the scores into; see ``eval.metrics.calibration``.
CALIBRATED = ("brier", "brier_prior", "ece")
#: False-positive rates at which ROC bands are given.
ROC_GRID = np.linspace(0.0, 1.0, 101)
#: A band needs fewer resamples than the ends of an interval do.
_BAND_RESAMPLES = 400


class Table(NamedTuple):
    """The outcome of :func:`score_classes`.

    Attributes:
      metrics: flat numbers (``auc_macro``, ``auc/edema``, ...), NaN where undefined.
      details: {"classes": [...], "macro": {...}, ...}, JSON-able.
      roc: {"grid" [g], "value" [k, g], "low", "high"}: sensitivity at each false-positive rate.
    """

    metrics: dict[str, float]
    details: dict[str, Any]
    roc: dict[str, np.ndarray]


def score_classes(
    classes: Sequence[str],
    labels: Int[np.ndarray, "n k"],
    scores: Float[np.ndarray, "n k"],
    *,
    ids: Sequence[str] | np.ndarray,
    bootstrap: Bootstrap,
    validation: tuple[Int[np.ndarray, "m k"], Float[np.ndarray, "m k"]] | None = None,
    threshold_rule: ThresholdRule = "youden",
    clusters: Int[np.ndarray, "n"] | None = None,
    bands: bool = True,
) -> Table:
    """Scores every class and the macro means.

    ``brier`` and ``ece`` judge the probabilities that a Platt calibration on the validation
    records makes of the scores, beside ``brier_prior``: always saying how frequent the class is
    there. The fit is in ``details["calibration"]``.

    A class without a positive or without a negative is undefined: its values are NaN, it is left
    out of the macro means, and it is named in ``details["macro"]["undefined"]``. Uncertain and
    absent labels are left out of their class only.

    Args:
      classes: names of the columns.
      labels, scores: of the set that is reported.
      ids: names of the records, for errors.
      bootstrap: of the intervals.
      validation: (labels, scores) of other records, from which the threshold of every class is
        taken; without it, all that needs a threshold or a probability is undefined, apart from
        the oracles.
      threshold_rule: ``youden``, ``max_f1`` or ``max_mcc``.
      clusters: patient of each record, drawn together by the bootstrap.
      bands: whether to compute ROC bands.

    Raises:
      EvalError: a score is not finite; the record and the class are named.
      ValueError: shapes disagree.
    """
    classes = tuple(classes)
    if labels.shape != scores.shape or labels.shape[1:] != (len(classes),):
        raise ValueError(
            f"labels {labels.shape} and scores {scores.shape} must both be "
            f"[records, {len(classes)} classes]"
        )
    scores = np.asarray(scores, np.float64)
    require_finite(scores, ids, classes)
    thresholds = np.full(len(classes), np.nan)
    probabilities = np.full(scores.shape, np.nan)
    prior = thresholds
    calibration = None
    if validation is not None:
        require_finite(validation[1], ["(validation)"] * len(validation[1]), classes)
        thresholds = np.array(
            [
                choose_threshold(
                    validation[0][:, k], np.asarray(validation[1][:, k]), threshold_rule
                )
                for k in range(len(classes))
            ]
        )
        calibration = fit_calibration(classes, *validation)
        probabilities = calibration.probabilities(scores)
        prior = np.array(calibration.prior)
    errors = np.stack(
        [squared_errors(labels[:, k], probabilities[:, k]) for k in range(len(classes))], 1
    )
    rows = [
        _point(name, labels[:, k], scores[:, k], thresholds[k])
        | _calibrated(labels[:, k], probabilities[:, k], errors[:, k], prior[k])
        for k, name in enumerate(classes)
    ]
    samples = _resample(labels, scores, thresholds, errors, bootstrap, clusters)
    macro: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    for metric in ("auc", "ap", *THRESHOLDED, *_ORACLES, *CALIBRATED):
        values = np.array([row[metric] for row in rows])
        drawn = samples.get(metric, np.full((len(classes), 0), np.nan))
        # A class undefined on the whole set must not enter the mean of a lucky resample.
        macro_drawn = mean_defined(drawn[np.isfinite(values)]) if drawn.size else np.zeros(0)
        whole = interval(float(mean_defined(values)), macro_drawn, bootstrap.level)
        macro[metric] = whole.to_json()
        metrics[f"{metric}_macro"] = whole.value
        if metric in ("auc", "ap", "f1"):
            metrics[f"{metric}_macro_low"], metrics[f"{metric}_macro_high"] = whole.low, whole.high
        per_class = samples.get(f"{metric}_stratified", drawn)
        for k, row in enumerate(rows):
            metrics[f"{metric}/{classes[k]}"] = values[k]
            one = per_class[k] if per_class.size else np.zeros(0)
            row[metric] = interval(values[k], one, bootstrap.level).to_json()
    macro["classes"] = [c for k, c in enumerate(classes) if is_defined(labels[:, k])]
    macro["undefined"] = [c for c in classes if c not in macro["classes"]]
    macro["no_threshold"] = [
        c for k, c in enumerate(classes) if c in macro["classes"] and np.isnan(thresholds[k])
    ]
    metrics["classes_defined"] = float(len(macro["classes"]))
    details = {
        "records": len(labels),
        "classes": rows,
        "macro": macro,
        "threshold_rule": threshold_rule if validation is not None else None,
        "calibration": None if calibration is None else calibration.to_json(),
        "bootstrap": dataclasses.asdict(bootstrap)
        | {"patients": None if clusters is None else len(np.unique(clusters))},
    }
    roc = _roc(labels, scores, bootstrap, clusters) if bands else {}
    return Table(metrics, details, roc)


def _point(name: str, y: np.ndarray, s: np.ndarray, threshold: float) -> dict[str, Any]:
    oracle = oracles(y, s)
    return {
        "name": name,
        "positives": int((y == 1).sum()),
        "negatives": int((y == 0).sum()),
        "uncertain": int((y == -1).sum()),
        "absent": int((y == -2).sum()),
        "auc": roc_auc(y, s),
        "ap": average_precision(y, s),
        **at_threshold(y, s, threshold),
        "threshold": finite(threshold),
        **oracle,
        "threshold_oracle": finite(oracle["threshold_oracle"]),
    }


def _calibrated(y: np.ndarray, p: np.ndarray, errors: np.ndarray, prior: float) -> dict[str, Any]:
    """Quality of probabilities; undefined, as everything is, without both classes."""
    if not is_defined(y) or np.isnan(p).any():
        return dict.fromkeys(CALIBRATED, float("nan")) | {"reliability": None}
    return {
        "brier": float(np.nanmean(errors)),
        "brier_prior": prior_brier(y, prior),
        "ece": expected_calibration_error(y, p),
        "reliability": {k: v.tolist() for k, v in reliability(y, p)._asdict().items()},
    }


def _resample(
    labels: np.ndarray,
    scores: np.ndarray,
    thresholds: np.ndarray,
    errors: np.ndarray,
    bootstrap: Bootstrap,
    clusters: np.ndarray | None,
) -> dict[str, np.ndarray]:
    """``{metric: [k, resamples]}``; with stratification also ``{metric_stratified: ...}``."""
    if not bootstrap.resamples:
        return {}
    k = labels.shape[1]
    statistics = {
        "auc": [AucCounts(labels[:, c], scores[:, c]) for c in range(k)],
        "ap": [ApCounts(labels[:, c], scores[:, c]) for c in range(k)],
    }
    plain: dict[str, list[np.ndarray]] = {m: [] for m in (*statistics, *THRESHOLDED, "brier")}
    for counts in bootstrap.counts(len(labels), clusters=clusters):
        for metric, of_class in statistics.items():
            plain[metric].append(np.stack([f(counts) for f in of_class]))
        for metric, values in _thresholded(labels, scores, thresholds, counts).items():
            plain[metric].append(values)
        plain["brier"].append(weighted_mean(errors, counts))
    out = {m: np.concatenate(v, axis=1) for m, v in plain.items()}
    if bootstrap.scheme == "stratified":
        for metric, of_class in statistics.items():
            out[f"{metric}_stratified"] = np.stack(
                [
                    np.concatenate(
                        [
                            f(counts)
                            for counts in bootstrap.counts(
                                len(labels), clusters=clusters, strata=labels[:, c]
                            )
                        ]
                    )
                    for c, f in enumerate(of_class)
                ]
            )
    return out


def _thresholded(
    labels: np.ndarray, scores: np.ndarray, thresholds: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    called = scores >= thresholds
    drawn = counts.astype(np.float64)

    def total(cell: np.ndarray) -> np.ndarray:
        return cell.T.astype(np.float64) @ drawn

    tp, fp = total(called & (labels == 1)), total(called & (labels == 0))
    fn, tn = total(~called & (labels == 1)), total(~called & (labels == 0))
    values = of_counts(tp, fp, fn, tn)
    return {name: np.where(np.isnan(thresholds)[:, None], np.nan, v) for name, v in values.items()}


def _roc(
    labels: np.ndarray, scores: np.ndarray, bootstrap: Bootstrap, clusters: np.ndarray | None
) -> dict[str, np.ndarray]:
    k = labels.shape[1]
    value, low, high = (np.full((k, len(ROC_GRID)), np.nan) for _ in range(3))
    few = dataclasses.replace(bootstrap, resamples=min(bootstrap.resamples, _BAND_RESAMPLES))
    tail = (1 - bootstrap.level) / 2
    defined = [c for c in range(k) if is_defined(labels[:, c])]
    statistics = {c: RocCounts(labels[:, c], scores[:, c], ROC_GRID) for c in defined}
    one = np.ones((len(labels), 1), np.int32)
    for c in defined:
        value[c] = statistics[c](one)[:, 0]
    drawn: dict[int, list[np.ndarray]] = {c: [] for c in defined}
    for counts in few.counts(len(labels), clusters=clusters):
        for c in defined:
            drawn[c].append(statistics[c](counts))
    for c in defined:
        if drawn[c]:
            low[c], high[c] = np.nanquantile(np.concatenate(drawn[c], 1), [tail, 1 - tail], axis=1)
    return {"grid": ROC_GRID, "value": value, "low": low, "high": high}
