"""Scores of a classifier at several shares of the labelled data, from two starting points."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from medvlp_jax.eval.base import EvalError, EvalResult
from medvlp_jax.eval.downstream.config import STARTS, Start
from medvlp_jax.eval.embedded import Embedded, FromBatch, Rows
from medvlp_jax.eval.metrics.bootstrap import AucCounts, Bootstrap, interval
from medvlp_jax.eval.metrics.scores import mean_defined, require_finite, roc_auc


@dataclasses.dataclass(frozen=True)
class Shares:
    """Which subsets of the labels are trained on.

    Attributes:
      classes: the labels.
      fractions: of the training patients.
      seeds: subsets of each fraction below 1 (and runs of those that draw more than a subset).
      starts: towers to measure.
      repeat_whole: whether the whole set is trained on ``seeds`` times as well.
    """

    classes: tuple[str, ...]
    fractions: tuple[float, ...] = (0.01, 0.1, 1.0)
    seeds: int = 1
    starts: tuple[Start, ...] = STARTS
    repeat_whole: bool = False

    def __post_init__(self) -> None:
        if not self.fractions or not all(0 < f <= 1 for f in self.fractions):
            raise ValueError(f"fractions={self.fractions} must lie above 0 and at most at 1")
        if self.seeds < 1 or not self.starts or not self.classes:
            raise ValueError("seeds, starts and classes must not be empty")

    def subsets(self) -> Iterator[tuple[float, int]]:
        """(fraction, seed) of each."""
        for fraction in self.fractions:
            whole = fraction == 1 and not self.repeat_whole
            for seed in range(1 if whole else self.seeds):
                yield fraction, seed


@dataclasses.dataclass
class Level:
    """One share of the training data.

    Attributes:
      records: training records of each subset.
      scores: of the test records, per start, one array for each subset.
      chosen: what validation chose for each subset, shown as it is.
    """

    records: list[int] = dataclasses.field(default_factory=list)
    scores: dict[Start, list[np.ndarray]] = dataclasses.field(default_factory=dict)
    chosen: dict[Start, list[Any]] = dataclasses.field(default_factory=dict)


class Collected:
    """Scores as they come in, and the records they belong to."""

    def __init__(self) -> None:
        self.levels: dict[float, Level] = {}
        self._labels = self._ids = np.zeros(0)
        self._clusters: np.ndarray | None = None

    def test(self, embedded: Embedded, rows: Rows) -> None:
        """The records that all scores are of."""
        self._labels, self._ids = rows[FromBatch("labels")], rows.ids
        self._clusters = embedded.clusters(rows)

    def add(
        self, start: Start, fraction: float, records: int, scores: np.ndarray, chosen: Any
    ) -> None:
        """One subset's scores [n, k]; subsets come in the same order for every start."""
        level = self.levels.setdefault(fraction, Level())
        scored = level.scores.setdefault(start, [])
        scored.append(np.asarray(scores, np.float64))
        level.chosen.setdefault(start, []).append(chosen)
        if len(scored) > len(level.records):
            level.records.append(records)

    def result(
        self, classes: Sequence[str], bootstrap: Bootstrap, protocol: Mapping[str, Any]
    ) -> EvalResult:
        """See :func:`efficiency_result`."""
        return efficiency_result(
            self.levels, classes=classes, labels=self._labels, ids=self._ids,
            clusters=self._clusters, bootstrap=bootstrap, protocol=protocol,
        )  # fmt: skip


def macro_auc(labels: Int[np.ndarray, "n k"], scores: Float[np.ndarray, "n k"]) -> float:
    """Mean over the classes that have a positive and a negative; NaN without one."""
    return float(
        mean_defined(np.array([roc_auc(*p) for p in zip(labels.T, scores.T, strict=True)]))
    )


def efficiency_result(
    levels: Mapping[float, Level],
    *,
    classes: Sequence[str],
    labels: Int[np.ndarray, "n k"],
    ids: np.ndarray,
    clusters: Int[np.ndarray, "n"] | None,
    bootstrap: Bootstrap,
    protocol: Mapping[str, Any],
) -> EvalResult:
    """AUC a class and their mean at every level, with intervals and paired differences.

    The AUC of a level is the mean over its subsets. An interval resamples the test records, all
    subsets and both starts with the same counts; what the subsets differ by is told as ``seeds``.

    Args:
      labels: of the test records: 1, 0; others are left out of their class.
      protocol: joins the details; its ``kind`` names the evaluator.

    Raises:
      EvalError: no class has both a positive and a negative test record.
    """
    positive, negative = (labels == 1).any(0), (labels == 0).any(0)
    if not (positive & negative).any():
        raise EvalError(
            f"{protocol.get('kind')}: no class of {', '.join(classes)} has a positive and a "
            "negative record in the test set"
        )
    told, metrics = [], {}
    for fraction, level in levels.items():
        entry: dict[str, Any] = {"fraction": fraction, "records": list(level.records)}
        drawn: dict[str, np.ndarray] = {}
        values: dict[str, np.ndarray] = {}
        for start, scores in level.scores.items():
            for one in scores:
                require_finite(one, ids, classes)
            per_seed, drawn[start] = _aucs(labels, scores, bootstrap, clusters)
            values[start] = per_seed.mean(0)
            entry[start] = _part(classes, values[start], drawn[start], bootstrap.level) | {
                "seeds": [float(mean_defined(v)) for v in per_seed],
                "chosen": list(level.chosen.get(start, ())),
            }
        if all(start in values for start in STARTS):
            gain = {s: values[s] for s in STARTS}, {s: drawn[s] for s in STARTS}
            entry["difference"] = _part(
                classes,
                gain[0]["pretrained"] - gain[0]["random"],
                gain[1]["pretrained"] - gain[1]["random"],
                bootstrap.level,
            )
        told.append(entry)
        for start in level.scores:
            name = "auc_macro" + ("" if start == "pretrained" else f"_{start}")
            metrics[f"{name}_at_{fraction:g}"] = _number(entry[start]["auc"]["value"])
    # The headline is the largest share.
    last = max(told, key=lambda e: e["fraction"])
    start = "pretrained" if "pretrained" in last else "random"
    for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
        metrics[f"auc_macro{end}"] = _number(last[start]["auc"][key])
    for name, part in last[start]["classes"].items():
        metrics[f"auc/{name}"] = _number(part["value"])
    details = {
        **protocol,
        "records": len(labels),
        "classes": [
            {"name": c, "positives": int((labels[:, k] == 1).sum()),
             "negatives": int((labels[:, k] == 0).sum())}
            for k, c in enumerate(classes)
        ],
        "levels": told,
        "bootstrap": dataclasses.asdict(bootstrap)
        | {"patients": None if clusters is None else len(np.unique(clusters))},
    }  # fmt: skip
    arrays = {"ids": ids.astype(str), "labels": labels} | {
        f"scores_{start}_at_{fraction:g}": np.stack(scores)
        for fraction, level in levels.items()
        for start, scores in level.scores.items()
    }
    return EvalResult(metrics, details, arrays)


def _aucs(
    labels: np.ndarray,
    scores: Sequence[np.ndarray],
    bootstrap: Bootstrap,
    clusters: np.ndarray | None,
) -> tuple[Float[np.ndarray, "s k"], Float[np.ndarray, "k r"]]:
    """AUC of every subset and class, and the means over subsets in every resample."""
    of = [[AucCounts(labels[:, k], s[:, k]) for k in range(labels.shape[1])] for s in scores]
    one = np.ones((len(labels), 1), np.int32)
    values = np.array([[f(one)[0] for f in row] for row in of])
    drawn = [
        np.mean([[f(counts) for f in row] for row in of], axis=0)
        for counts in bootstrap.counts(len(labels), clusters=clusters)
    ]
    k = labels.shape[1]
    return values, np.concatenate(drawn, 1) if drawn else np.full((k, 0), np.nan)


def _part(
    classes: Sequence[str], values: np.ndarray, drawn: np.ndarray, level: float
) -> dict[str, Any]:
    known = np.isfinite(values)
    return {
        "auc": interval(
            float(mean_defined(values)), mean_defined(drawn[known]), level
        ).to_json(),
        "classes": {
            c: interval(values[k], drawn[k], level).to_json() for k, c in enumerate(classes)
        },
    }  # fmt: skip


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
