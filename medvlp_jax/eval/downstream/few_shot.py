"""Few-shot and linear probe of one class of several: logistic regressions on k records a class."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from medvlp_jax.core.config import ConfigError
from medvlp_jax.eval.base import EvalError, EvalResult, Evaluator, PredictFn
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.downstream.config import FewShotConfig
from medvlp_jax.eval.downstream.probe import COLUMNS, feature_predictor, fit_logistic
from medvlp_jax.eval.downstream.sets import Sets
from medvlp_jax.eval.downstream.tower import Tower
from medvlp_jax.eval.embedded import Embedded, FromBatch, Predicted, Rows
from medvlp_jax.eval.metrics.bootstrap import Bootstrap, interval
from medvlp_jax.eval.suites.statistics import MEASURES, Statistics, drawn

#: The last level: all labelled training records, which is the linear probe.
ALL = "all"


class FewShot:
    """Accuracy and AUC at 1, 2, 4, ... labelled records a class, and at all of them.

    Features are scaled to one; for every class a logistic regression against the others is fitted
    (L-BFGS), the largest score decides, and validation chooses the strength of the regularisation
    by accuracy. Records with none or several of the classes are left out and counted. The subsets
    of one seed are nested.

    Args:
      test: the set; shared with the other evaluators where its features are the projected ones.
      classes: each record has one.
      tower: of a predict function.
    """

    reads: ClassVar[tuple[str, ...]] = ("image_embed",)
    trains: ClassVar = True
    headline: ClassVar = "accuracy_all"

    def __init__(
        self,
        sets: Sets,
        test: Embedded,
        classes: Sequence[str],
        *,
        tower: Callable[[PredictFn], Tower],
        config: FewShotConfig | None = None,
        bootstrap: Bootstrap | None = None,
    ):
        self.sets, self.tower, self.classes = sets, tower, tuple(classes)
        self.config = config or FewShotConfig()
        self.bootstrap = bootstrap or Bootstrap()
        self.name, self.split = test.name, test.split
        own = self.config.features == "tower"
        self._column = Predicted("features" if own else "image_embed")
        train = [dataclasses.replace(sets, test=source) for source in sets.data.sources]
        self._train = [s.embedded("test", COLUMNS, labels=self.classes) for s in train]
        self._validation = sets.embedded("validation", COLUMNS, labels=self.classes)
        self._test = sets.embedded("test", COLUMNS, labels=self.classes) if own else test
        for embedded in (*self._train, self._validation, self._test):
            embedded.want(self._column)

    @classmethod
    def build(cls, context: Context) -> dict[str, Evaluator]:
        c, sets = context.config.downstream, context.sets()
        classes = c.classes or context.chosen.labelled
        if len(classes) < 2:
            raise ConfigError(f"{context.where}: few_shot asks for one of two or more classes")
        try:
            sets.require("label", classes, classes)
        except EvalError as e:
            raise EvalError(
                f"{e}; or take few_shot out of config.eval.sets.{context.test.name}.evaluators"
            ) from e
        one = cls(
            sets,
            context.test,
            classes,
            tower=context.tower,
            config=c.few_shot,
            bootstrap=context.config.bootstrap,
        )
        return {"few_shot": one}

    def __call__(self, predict: PredictFn) -> EvalResult:
        bound = predict
        if self.config.features == "tower":
            bound = feature_predictor(self.tower(predict), self.sets)
        parts = [self._labelled(e, e.rows(bound)) for e in self._train]
        x, y = (np.concatenate(side) for side in zip(*parts, strict=True))
        held = self._labelled(self._validation, self._validation.rows(bound))
        rows = self._test.rows(bound)
        features, truth = self._of(self._test, rows)
        single = truth >= 0
        tested = _scaled(features[single])
        labels = _one_hot(truth[single], len(self.classes))
        clusters = self._test.clusters(rows)
        clusters = None if clusters is None else clusters[single]
        for side, values in (("training", y), ("validation", held[1]), ("test", truth[single])):
            if not len(values):
                raise EvalError(
                    f"set {self.name!r}: few_shot has no {side} record with one class of "
                    f"{', '.join(self.classes)}"
                )
        levels = []
        for shots in (*self.config.shots, ALL):
            subsets = self._subsets(y, shots)
            found = [self._fit(x[i], y[i], held, tested) for i in subsets]
            levels.append(self._level(shots, subsets, y, found, labels, clusters))
        details = self.sets.describe() | {
            "kind": "few_shot",
            "records": len(labels),
            "several_classes": int((~single).sum()),
            "features": self.config.features,
            "l2": list(self.config.l2),
            "class_names": list(self.classes),
            "chance": 1 / len(self.classes),
            "levels": levels,
            "bootstrap": dataclasses.asdict(self.bootstrap)
            | {"patients": None if clusters is None else len(np.unique(clusters))},
        }
        return EvalResult(_flat(levels), details)

    def _of(
        self, data: Embedded, rows: Rows
    ) -> tuple[Float[np.ndarray, "n d"], Int[np.ndarray, "n"]]:
        """Features, and the class of each record, -1 where it has none or several."""
        labels = rows[FromBatch("labels")][:, data.label_columns(self.classes)]
        single = (labels == 1).sum(1) == 1
        return rows[self._column], np.where(single, (labels == 1).argmax(1), -1)

    def _labelled(
        self, data: Embedded, rows: Rows
    ) -> tuple[Float[np.ndarray, "m d"], Int[np.ndarray, "m"]]:
        features, truth = self._of(data, rows)
        return _scaled(features[truth >= 0]), truth[truth >= 0]

    def _subsets(self, y: Int[np.ndarray, "n"], shots: int | str) -> list[np.ndarray]:
        """Rows of every seed; all records are one subset."""
        if shots == ALL:
            return [np.arange(len(y))]
        subsets = []
        for seed in range(self.config.seeds):
            rng = np.random.default_rng(seed)
            order = [rng.permutation(np.flatnonzero(y == k)) for k in range(len(self.classes))]
            subsets.append(np.concatenate([rows[: int(shots)] for rows in order]))
        return subsets

    def _fit(
        self,
        x: Float[np.ndarray, "m d"],
        y: Int[np.ndarray, "m"],
        held: tuple[np.ndarray, np.ndarray],
        tested: Float[np.ndarray, "n d"],
    ) -> tuple[np.ndarray, float]:
        """Scores of the test records, and the strength that validation chose."""
        k, strengths = len(self.classes), sorted(self.config.l2, reverse=True)
        models = fit_logistic(x, _one_hot(y, k), strengths)
        truth = _one_hot(held[1], k)
        merit = [Statistics(truth, model(held[0])).values[0] for model in models]
        best = int(np.argmax(merit))  # of equally good ones the stiffest
        return models[best](tested), strengths[best]

    def _level(
        self,
        shots: int | str,
        subsets: Sequence[np.ndarray],
        y: Int[np.ndarray, "n"],
        found: Sequence[tuple[np.ndarray, float]],
        labels: Int[np.ndarray, "n k"],
        clusters: Int[np.ndarray, "n"] | None,
    ) -> dict[str, Any]:
        """Means over the seeds; intervals resample the test records, all seeds alike."""
        several = [Statistics(labels, scores) for scores, _ in found]
        values = np.stack([one.values for one in several])
        draws = drawn(several, len(labels), self.bootstrap, clusters).mean(0)
        counts = np.bincount(y, minlength=len(self.classes))
        short = {
            name: int(n)
            for name, n in zip(self.classes, counts, strict=True)
            if shots != ALL and n < int(shots)
        }
        entry: dict[str, Any] = {
            "shots": shots,
            "seeds": len(subsets),
            "records": [len(s) for s in subsets],
            "fewer": short,
            "chosen_l2": [strength for _, strength in found],
        }
        for i, measure in enumerate(MEASURES):
            whole = interval(float(values[:, i].mean()), draws[i], self.bootstrap.level)
            spread = float(values[:, i].std(ddof=1)) if len(subsets) > 1 else None
            entry[measure] = whole.to_json() | {"sd": spread, "each": values[:, i].tolist()}
        return entry


def _flat(levels: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    metrics = {}
    for level in levels:
        for measure in MEASURES:
            part = level[measure]
            name = f"{measure}_{level['shots']}"
            metrics[name] = float("nan") if part["value"] is None else part["value"]
            if level["shots"] == ALL:
                metrics |= {f"{name}_{e}": part[e] for e in ("low", "high") if part[e] is not None}
    return metrics


def _scaled(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    x = np.asarray(x, np.float64)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _one_hot(y: Int[np.ndarray, "n"], classes: int) -> Int[np.ndarray, "n k"]:
    return (y[:, None] == np.arange(classes)).astype(np.int64)
