"""Detection by an anchor-free head on the tower, from the trained and a random start."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from medvlp_jax.core.config import to_plain
from medvlp_jax.core.predict import Predictor
from medvlp_jax.eval.base import EvalError, EvalResult, Evaluator, PredictFn
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.downstream.efficiency import Shares
from medvlp_jax.eval.downstream.on_tower import OnTower
from medvlp_jax.eval.downstream.sets import Sets
from medvlp_jax.eval.embedded import FromBatch, Predicted, Rows
from medvlp_jax.eval.metrics.bootstrap import Interval, interval
from medvlp_jax.eval.metrics.boxes import (
    THRESHOLDS,
    ClassDetections,
    detections_of,
    mean_precision,
    optimistic,
    suppress,
)
from medvlp_jax.eval.metrics.scores import mean_defined
from medvlp_jax.models.detector import DetectorConfig
from medvlp_jax.tasks.detection import known_classes

_BOXES = Predicted("boxes")
#: What a pass over a set reads.
COLUMNS = ("image", "labels", "boxes")
#: Resamples of an interval of mAP; each sorts nothing anew, but walks every detection.
_RESAMPLES = 500
#: Films that the report shows with true and predicted boxes.
_SHOWN = 6


class Detection(OnTower):
    """mAP over IoU 0.4 to 0.75 that counts every image, with or without a box or a detection.

    Its ``config`` is a ``DetectConfig``, the classes of its ``plan`` are those of the boxes; the
    other arguments are those of :class:`OnTower`.
    """

    headline: ClassVar = "map"
    kind: ClassVar = "detection"

    def __init__(self, sets: Sets, plan: Shares, **common: Any):
        super().__init__(sets, plan, **common)
        few = min(self.bootstrap.resamples, _RESAMPLES)
        self.bootstrap = dataclasses.replace(self.bootstrap, resamples=few)

    @classmethod
    def build(cls, context: Context) -> dict[str, Evaluator]:
        c, sets = context.config.downstream, context.sets()
        classes = c.classes or context.chosen.labelled
        boxes = c.boxes or tuple(name for name in classes if name != "no finding")
        sets.require("box", boxes, boxes)
        plan = context.shares("detection", boxes, c.dense_fractions)
        return {"detection": cls(sets, plan, **cls.common(context, c.detection))}

    def __call__(self, predict: PredictFn) -> EvalResult:
        classes, c = self.plan.classes, self.config
        tower = self.tower(predict)
        validation = self.sets.embedded("validation", COLUMNS, labels=classes)
        test = self.sets.embedded("test", COLUMNS, labels=classes)
        for embedded in (validation, test):
            for column in (_BOXES, FromBatch("boxes"), FromBatch("box_label")):
                embedded.want(column)

        def score(bound: Predictor) -> float:
            found = self._detections(validation.rows(bound))
            return float(mean_defined(mean_precision(found)))

        task: dict[str, Any] = {
            "name": "detection", **to_plain(tower.pixels),
            "candidates": c.candidates, "frozen": c.frozen,
        }  # fmt: skip
        model = DetectorConfig(tower.config, len(classes), c.width)
        data = dataclasses.replace(self.sets.data, labels=classes)
        found: dict[float, dict[str, list[list[ClassDetections]]]] = {}
        sizes: dict[float, list[int]] = {}
        rows: Any = None
        pictures: dict[str, np.ndarray] = {}
        for run in self.runs(tower, model, task, data, score):
            rows = test.rows(run.predict)
            of = found.setdefault(run.fraction, {}).setdefault(run.start, [])
            of.append(self._detections(rows))
            if run.start == self.plan.starts[0]:
                sizes.setdefault(run.fraction, []).append(run.records)
                if run.seed == 0 and run.fraction == max(self.plan.fractions):
                    pictures = self._pictures(rows)
        if not (rows[FromBatch("box_label")] >= 0).any():
            raise EvalError(f"set {self.sets.name!r} has no box of {', '.join(classes)}")
        clusters = test.clusters(rows)
        levels = [
            {"fraction": f, "records": sizes[f]} | self._level(classes, of, clusters)
            for f, of in found.items()
        ]
        of_class = next(iter(found[self.plan.fractions[0]].values()))[0]
        details = self.sets.describe() | {
            "kind": "detection",
            "records": len(rows),
            "classes": [
                {"name": n, "boxes": int(d.boxes.sum()), "known": int(d.known.sum())}
                for n, d in zip(classes, of_class, strict=True)
            ],
            "levels": levels,
            "thresholds": list(THRESHOLDS),
            **self.settings(), "confidence": c.confidence, "nms": c.nms,
            "bootstrap": dataclasses.asdict(self.bootstrap)
            | {"patients": None if clusters is None else len(np.unique(clusters))},
        }  # fmt: skip
        last = max(levels, key=lambda e: e["fraction"])
        metrics = {}
        for start in self.plan.starts:
            name = "map" if start == self.plan.starts[0] else f"map_{start}"
            for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
                value = last[start]["macro"][key]
                metrics[f"{name}{end}"] = float("nan") if value is None else value
        return EvalResult(metrics, details, pictures)

    def _pictures(self, rows: Rows) -> dict[str, np.ndarray]:
        """The first records with a box of each class: their boxes, and the strongest detections.

        As many detections are kept as a record has boxes, after suppression; NaN fills up.
        """
        boxes, labels = rows[FromBatch("boxes")], rows[FromBatch("box_label")]
        first = {int(k): i for i in reversed(range(len(labels))) for k in labels[i] if k >= 0}
        chosen = sorted(set(first.values()))[:_SHOWN]
        most = boxes.shape[1]
        found = np.full((len(chosen), most, 6), np.nan)
        for n, i in enumerate(chosen):
            kept = []
            for k in range(len(self.plan.classes)):
                mine = rows[_BOXES][i][rows[_BOXES][i][:, 5] == k]
                if len(mine):
                    kept.append(mine[suppress(mine[:, :4], mine[:, 4], self.config.nms)])
            every = np.concatenate(kept) if kept else np.zeros((0, 6))
            strongest = np.argsort(-every[:, 4], kind="stable")[: int((labels[i] >= 0).sum())]
            found[n, : len(strongest)] = every[strongest]
        return {
            "ids": rows.ids.astype(str),
            "detected_at": np.array(chosen, np.int64),
            "detected_truth": boxes[chosen],
            "detected_label": labels[chosen],
            "detected_boxes": found,
        }

    def _detections(self, rows: Rows) -> list[ClassDetections]:
        labels, box_label = rows[FromBatch("labels")], rows[FromBatch("box_label")]
        return detections_of(
            rows[_BOXES], rows[FromBatch("boxes")], box_label,
            np.asarray(known_classes(labels, box_label, len(self.plan.classes))),
            confidence=self.config.confidence, nms=self.config.nms,
        )  # fmt: skip

    def _level(
        self,
        classes: Sequence[str],
        of: dict[str, list[list[ClassDetections]]],
        clusters: np.ndarray | None,
    ) -> dict[str, Any]:
        """Means over seeds with intervals, the optimistic value, and the paired difference."""
        out: dict[str, Any] = {}
        points: dict[str, np.ndarray] = {}
        drawn: dict[str, np.ndarray] = {}
        n = len(next(iter(of.values()))[0][0].boxes)
        for start, runs in of.items():
            per_seed = np.array([mean_precision(run) for run in runs])
            points[start] = per_seed.mean(0)
            samples = [
                np.mean([mean_precision(run, counts) for run in runs], axis=0)
                for counts in self.bootstrap.counts(n, clusters=clusters)
            ]
            k = len(classes)
            drawn[start] = np.concatenate(samples, 1) if samples else np.full((k, 0), np.nan)
            easy = np.mean([mean_precision([optimistic(d) for d in run]) for run in runs], axis=0)
            out[start] = self._cells(classes, points[start], drawn[start]) | {
                "seeds": [float(mean_defined(s)) for s in per_seed],
                "optimistic": Interval(float(mean_defined(easy))).to_json()["value"],
            }
        if {"pretrained", "random"} <= set(of):
            out["difference"] = self._cells(
                classes,
                points["pretrained"] - points["random"],
                drawn["pretrained"] - drawn["random"],
            )
        return out

    def _cells(
        self, classes: Sequence[str], point: np.ndarray, drawn: np.ndarray
    ) -> dict[str, Any]:
        level, known = self.bootstrap.level, np.isfinite(point)
        return {
            "macro": interval(
                float(mean_defined(point)), mean_defined(drawn[known]), level
            ).to_json(),
            "classes": {
                name: interval(point[i], drawn[i], level).to_json()
                for i, name in enumerate(classes)
            },
        }  # fmt: skip
