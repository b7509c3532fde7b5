"""The means of a suite: over its sets, and over its modalities; what is absent is named."""

import dataclasses
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from medvlp_jax.eval.base import EvalResult, Evaluator, PredictFn
from medvlp_jax.eval.metrics.bootstrap import Bootstrap, interval
from medvlp_jax.eval.metrics.scores import mean_defined
from medvlp_jax.eval.suites.config import SuiteConfig
from medvlp_jax.eval.suites.statistics import MEASURES, Statistics, drawn, of_set


class Kept:
    """An evaluator whose last result is kept, so that a mean over sets evaluates none again."""

    def __init__(self, evaluator: Evaluator):
        self._evaluator = evaluator
        self._seen: weakref.ref[PredictFn] | None = None
        self._result: EvalResult | None = None

    def __call__(self, predict: PredictFn) -> EvalResult:
        if self._result is None or self._seen is None or self._seen() is not predict:
            self._result = self._evaluator(predict)
            self._seen = weakref.ref(predict)
        return self._result


class SuiteMean:
    """The means of the zero-shot results of a suite's sets; it measures nothing itself.

    Args:
      name: of the suite.
      suite: its sets.
      members: set -> its zero-shot evaluator, of those that are measured here.
      few_shot: set -> its few-shot evaluator, of those that have one.
      there: sets that are in the config, measured here or not.
      bootstrap: of the intervals; every set is resampled apart.
    """

    def __init__(
        self,
        name: str,
        suite: SuiteConfig,
        members: Mapping[str, Evaluator],
        few_shot: Mapping[str, Evaluator],
        there: Mapping[str, Any],
        bootstrap: Bootstrap,
    ):
        self.name, self.suite, self.bootstrap = name, suite, bootstrap
        self.members, self.few_shot = dict(members), dict(few_shot)
        self.absent = [one for one in suite.sets if one not in there]
        self.not_measured = [one for one in suite.sets if one in there and one not in members]

    def __call__(self, predict: PredictFn) -> EvalResult:
        rows: list[dict[str, Any]] = []
        values: list[np.ndarray] = []
        draws: list[np.ndarray] = []
        for name, modality in zip(self.suite.sets, self.suite.modalities, strict=True):
            if name not in self.members:
                continue
            result = self.members[name](predict)
            exclusive = name not in self.suite.multilabel and "top1" in result.details
            of = Statistics(result.arrays["labels"], result.arrays["scores"], exclusive)
            resampled = drawn(
                [of],
                len(result.arrays["ids"]),
                of_set(self.bootstrap, name),
                result.arrays.get("clusters"),
            )[0]
            rows.append(_row(name, modality, result, exclusive))
            values.append(of.values)
            draws.append(resampled)
        found, sampled = np.stack(values), np.stack(draws)
        means, modalities = _means(rows, found, sampled, self.bootstrap.level)
        details = {
            "kind": "suite",
            "set": self.name,
            "split": "",
            "records": sum(row["records"] for row in rows),
            "sets": rows,
            "means": means,
            "modalities": modalities,
            "measured": len(rows),
            "of": len(self.suite.sets),
            "absent": self.absent,
            "left_out": self.not_measured,
            "few_shot": self._few_shot(predict),
            "without_few_shot": [n for n in self.members if n not in self.few_shot],
            "bootstrap": dataclasses.asdict(self.bootstrap) | {"patients": None},
        }
        return EvalResult(_flat(means, modalities, len(rows)), details)

    def _few_shot(self, predict: PredictFn) -> list[dict[str, Any]]:
        """Mean over the sets of each number of shots, over those that have it."""
        levels: dict[str, list[dict[str, Any]]] = {}
        for evaluator in self.few_shot.values():
            for level in evaluator(predict).details["levels"]:
                levels.setdefault(str(level["shots"]), []).append(level)
        return [
            {"shots": shots, "sets": len(found)}
            | {
                measure: float(mean_defined(np.array([_value(e[measure]) for e in found])))
                for measure in MEASURES
            }
            for shots, found in levels.items()
        ]


def _value(part: Mapping[str, Any]) -> float:
    return float("nan") if part["value"] is None else part["value"]


def _row(name: str, modality: str, result: EvalResult, exclusive: bool) -> dict[str, Any]:
    """One set, with the numbers of its own entry."""
    details = result.details
    top1 = details.get("top1", {}) if exclusive else {}
    row = {
        "name": name,
        "modality": modality,
        "records": details["records"],
        "classes": len(details["classes"]),
        "chance": 1 / len(details["classes"]) if exclusive else None,
        "protocol": details["protocol"],
        "prompt_bank": details["prompt_bank"],
        "without_record": [r["name"] for r in details["classes"] if not r["positives"]],
        "auc": details["macro"]["auc"],
    }
    for measure in ("accuracy", "balanced_accuracy"):
        row[measure] = top1.get(measure, {"value": None, "low": None, "high": None})
    return row


def _means(
    rows: list[dict[str, Any]],
    values: Float[np.ndarray, "s 3"],
    draws: Float[np.ndarray, "s 3 r"],
    level: float,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Over the sets and over the modalities; and every modality."""
    # A measure that a set does not have must not enter by a lucky resample.
    draws = np.where(np.isfinite(values)[:, :, None], draws, np.nan)
    order = list(dict.fromkeys(row["modality"] for row in rows))
    members = [[i for i, row in enumerate(rows) if row["modality"] == m] for m in order]
    by_values = np.stack([mean_defined(values[i]) for i in members])
    by_draws = np.stack([mean_defined(draws[i]) for i in members])
    means: dict[str, Any] = {
        "over_sets": _measures(mean_defined(values), mean_defined(draws), level)
        | {"sets": {m: int(n) for m, n in zip(MEASURES, np.isfinite(values).sum(0), strict=True)}},
        "over_modalities": _measures(mean_defined(by_values), mean_defined(by_draws), level)
        | {"modalities": len(order)},
    }
    modalities = [
        {"name": name, "sets": len(members[i])} | _measures(by_values[i], by_draws[i], level)
        for i, name in enumerate(order)
    ]
    return means, modalities


def _measures(values: np.ndarray, draws: np.ndarray, level: float) -> dict[str, Any]:
    return {
        measure: interval(float(values[i]), draws[i], level).to_json()
        for i, measure in enumerate(MEASURES)
    }


def _flat(
    means: Mapping[str, Any], modalities: list[dict[str, Any]], measured: int
) -> dict[str, float]:
    metrics = {"sets_measured": float(measured)}
    for measure in MEASURES:
        for where, suffix in (("over_sets", "mean"), ("over_modalities", "mean_of_modalities")):
            part = means[where][measure]
            metrics[f"{measure}_{suffix}"] = _value(part)
            for end in ("low", "high"):
                if part[end] is not None:
                    metrics[f"{measure}_{suffix}_{end}"] = part[end]
        for one in modalities:
            metrics[f"{measure}/{one['name']}"] = _value(one[measure])
    return metrics
