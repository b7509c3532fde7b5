"""Segmentation by a U-Net on the tower, frozen or not, from the trained and a random start."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from medvlp_jax.core.config import ConfigError, to_plain
from medvlp_jax.core.predict import Predictor
from medvlp_jax.eval.base import EvalError, EvalResult, Evaluator, PredictFn
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.downstream.efficiency import Shares
from medvlp_jax.eval.downstream.on_tower import OnTower
from medvlp_jax.eval.downstream.sets import Sets
from medvlp_jax.eval.metrics.overlap import MEASURES, Counts, Shown, overlap, overlap_table
from medvlp_jax.eval.metrics.scores import mean_defined
from medvlp_jax.models.segmenter import SegmenterConfig

#: What a pass over a set reads.
COLUMNS = ("image", "labels", "masks")


class Segmentation(OnTower):
    """Dice over all records and over positives, and IoU, at a threshold of one half.

    Its ``config`` is a ``SegmentConfig``; the other arguments are those of :class:`OnTower`.

    Args:
      masks: names of the regions.
      plan: which shares of the training data; its classes are the labels that say of which masks
        a record without one has none.
    """

    headline: ClassVar = "dice_positive"
    kind: ClassVar = "segmentation"

    def __init__(self, sets: Sets, masks: tuple[str, ...], plan: Shares, **common: Any):
        super().__init__(sets, plan, **common)
        self.masks = masks

    @classmethod
    def build(cls, context: Context) -> dict[str, Evaluator]:
        c, sets = context.config.downstream, context.sets()
        if not c.masks:
            raise ConfigError(
                "segmentation needs config.eval.downstream.masks, the names of the regions"
            )
        sets.require("mask", c.masks, context.labels)
        plan = context.shares("segmentation", context.labels, c.dense_fractions)
        one = cls(sets, c.masks, plan, **cls.common(context, c.segmentation))
        return {"segmentation": one}

    def __call__(self, predict: PredictFn) -> EvalResult:
        labels, c = self.plan.classes, self.config
        tower = self.tower(predict)
        which = tuple(labels.index(m) if m in labels else -1 for m in self.masks)
        batches: dict[str, Any] = {"labels": labels, "masks": self.masks}
        counts, shown = Counts(which), Shown(c.pictures)
        validation = self.sets.embedded("validation", COLUMNS, **batches)
        test = self.sets.embedded("test", COLUMNS, **batches)
        validation.want(counts)
        test.want(counts)
        test.want(shown)

        def score(bound: Predictor) -> float:
            measured = overlap(validation.rows(bound)[counts])
            return float(mean_defined(mean_defined(measured["dice_positive"])))

        task: dict[str, Any] = {
            "name": "segmentation", **to_plain(tower.pixels), "loss": c.loss, "frozen": c.frozen,
            "label_of_mask": list(which),
        }  # fmt: skip
        model = SegmenterConfig(tower.config, len(self.masks), c.widths, c.stride)
        data = dataclasses.replace(self.sets.data, **batches)
        found: dict[float, dict[str, list[np.ndarray]]] = {}
        sizes: dict[float, list[int]] = {}
        pictures: dict[str, list[Any]] = {}
        tested: Any = None
        for run in self.runs(tower, model, task, data, score):
            tested = test.rows(run.predict)
            found.setdefault(run.fraction, {}).setdefault(run.start, []).append(tested[counts])
            if run.start == self.plan.starts[0]:
                sizes.setdefault(run.fraction, []).append(run.records)
            if run.seed == 0 and run.fraction == max(self.plan.fractions):
                pictures[run.start] = list(tested[shown])
        self._require_masks(tested[counts])
        clusters = test.clusters(tested)
        levels = [
            {"fraction": f, "records": sizes[f]}
            | overlap_table(
                self.masks,
                {s: [overlap(x) for x in runs] for s, runs in of.items()},
                self.bootstrap,
                clusters,
            )
            for f, of in found.items()
        ]
        truth = tested[counts]
        details = self.sets.describe() | {
            "kind": "segmentation",
            "records": len(tested),
            "masks": [
                {"name": m, "positives": int(((truth[:, i, 2] > 0) & (truth[:, i, 3] == 1)).sum()),
                 "known": int(truth[:, i, 3].sum())}
                for i, m in enumerate(self.masks)
            ],
            "levels": levels,
            "loss": c.loss, **self.settings(), "threshold": 0.5,
            "size": self.sets.data.image.size,
            "bootstrap": dataclasses.asdict(self.bootstrap)
            | {"patients": None if clusters is None else len(np.unique(clusters))},
        }  # fmt: skip
        ids = tested.ids
        return EvalResult(_metrics(levels), details, _picture_arrays(pictures, ids, self.masks))

    def _require_masks(self, truth: np.ndarray) -> None:
        empty = [m for i, m in enumerate(self.masks) if not (truth[:, i, 2] > 0).any()]
        if len(empty) == len(self.masks):
            raise EvalError(
                f"set {self.sets.name!r} has none of the masks {', '.join(empty)}; make it with "
                "masks, or name others in eval.downstream.masks"
            )


def _metrics(levels: list[dict[str, Any]]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    last = max(levels, key=lambda e: e["fraction"])
    start = "pretrained" if "pretrained" in last else "random"
    for measure in MEASURES:
        for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
            value = last[start][measure]["macro"][key]
            metrics[f"{measure}{end}"] = float("nan") if value is None else value
        if start == "pretrained" and "random" in last:
            value = last["random"][measure]["macro"]["value"]
            metrics[f"{measure}_random"] = float("nan") if value is None else value
    return metrics


def _picture_arrays(
    pictures: dict[str, list[Any]], ids: np.ndarray, masks: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """For each start and each mask the first record that has it."""
    first = next(iter(pictures.values()), [])
    at = [i for i, one in enumerate(first) if one is not None]
    if not at:
        return {}
    return {
        "segmented_image": np.stack([first[i][0] for i in at]),
        "segmented_truth": np.stack([first[i][1] for i in at]),
        "segmented_id": np.array([str(ids[i]) for i in at]),
        "segmented_names": np.array(masks),
        **{f"segmented_{s}": np.stack([p[i][2] for i in at]) for s, p in pictures.items()},
    }
