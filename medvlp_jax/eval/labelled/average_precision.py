"""The average precision of a detector's own boxes."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from medvlp_jax.eval.base import EvalError, EvalResult, Evaluator, PredictFn
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.downstream.config import DetectConfig
from medvlp_jax.eval.embedded import Embedded, FromBatch, Predicted
from medvlp_jax.eval.metrics.bootstrap import Bootstrap, interval
from medvlp_jax.eval.metrics.boxes import THRESHOLDS, detections_of, mean_precision
from medvlp_jax.eval.metrics.scores import mean_defined
from medvlp_jax.tasks.detection import known_classes

_BOXES, _TRUTH, _LABEL = Predicted("boxes"), FromBatch("boxes"), FromBatch("box_label")
#: Resamples of an interval of mAP; each sorts nothing anew, but walks every detection.
_RESAMPLES = 500


class AveragePrecision:
    """mAP over IoU 0.4 to 0.75 that counts every image, with or without a box or a detection.

    Args:
      test: the set; its batches carry ``boxes`` and ``box_label``.
      classes: of the boxes, in the order of the model's.
      config: which predictions count.
      bootstrap: of the intervals.
    """

    reads: ClassVar[tuple[str, ...]] = ("boxes",)
    trains: ClassVar = False
    headline: ClassVar = "map"

    def __init__(
        self, test: Embedded, classes: Sequence[str], config: DetectConfig, bootstrap: Bootstrap
    ):
        self.test, self.classes, self.config = test, tuple(classes), config
        few = min(bootstrap.resamples, _RESAMPLES)
        self.bootstrap = dataclasses.replace(bootstrap, resamples=few)
        for column in (_BOXES, _TRUTH, _LABEL):
            test.want(column)

    @classmethod
    def build(cls, context: Context) -> dict[str, Evaluator]:
        c = context.config
        one = cls(context.test, context.labels, c.downstream.detection, c.bootstrap)
        return {"average_precision": one}

    def __call__(self, predict: PredictFn) -> EvalResult:
        rows = self.test.rows(predict)
        labels, box_label = rows[FromBatch("labels")], rows[_LABEL]
        if not (box_label >= 0).any():
            raise EvalError(f"set {self.test.name!r} has no box of {', '.join(self.classes)}")
        columns = self.test.label_columns(self.classes)
        known = known_classes(labels[:, columns], box_label, len(self.classes))
        found = detections_of(
            rows[_BOXES],
            rows[_TRUTH],
            box_label,
            np.asarray(known),
            confidence=self.config.confidence,
            nms=self.config.nms,
        )
        clusters, level = self.test.clusters(rows), self.bootstrap.level
        point = mean_precision(found)
        chunks = self.bootstrap.counts(len(rows), clusters=clusters)
        samples = [mean_precision(found, counts) for counts in chunks]
        drawn = np.concatenate(samples, 1) if samples else np.full((len(point), 0), np.nan)
        defined = np.isfinite(point)
        macro = interval(float(mean_defined(point)), mean_defined(drawn[defined]), level).to_json()
        details = {
            "kind": "average_precision",
            "set": self.test.name,
            "split": self.test.split,
            "records": len(rows),
            "thresholds": list(THRESHOLDS),
            "confidence": self.config.confidence,
            "nms": self.config.nms,
            "macro": macro,
            "classes": [
                {
                    "name": name,
                    "boxes": int(one.boxes.sum()),
                    "known": int(one.known.sum()),
                    "precision": interval(point[i], drawn[i], level).to_json(),
                }
                for i, (name, one) in enumerate(zip(self.classes, found, strict=True))
            ],
            "bootstrap": dataclasses.asdict(self.bootstrap)
            | {"patients": None if clusters is None else len(np.unique(clusters))},
        }
        ends = {"map": "value", "map_low": "low", "map_high": "high"}
        metrics: dict[str, float] = {}
        for key, end in ends.items():
            value = macro[end]
            metrics[key] = float("nan") if value is None else value
        return EvalResult(metrics, details)
