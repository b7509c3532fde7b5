"""The overlap of a segmentation model's own masks with the truth."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from medvlp_jax.core.config import ConfigError
from medvlp_jax.eval.base import EvalError, EvalResult, Evaluator, PredictFn
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.embedded import Embedded
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.metrics.overlap import MEASURES, Counts, overlap, overlap_table


class Dice:
    """Dice over all records and over positives, and IoU, at a threshold of one half.

    Args:
      test: the set; its batches carry ``masks``.
      masks: names of the regions, in the order of the model's masks.
      label_of_mask: see ``tasks.segmentation.SegmentationConfig``.
      bootstrap: of the intervals.
    """

    reads: ClassVar[tuple[str, ...]] = ("mask",)
    trains: ClassVar = False
    headline: ClassVar = "dice_positive"

    def __init__(
        self,
        test: Embedded,
        masks: Sequence[str],
        label_of_mask: Sequence[int],
        bootstrap: Bootstrap,
    ):
        self.test, self.masks, self.bootstrap = test, tuple(masks), bootstrap
        self._counts = Counts(tuple(label_of_mask))
        test.want(self._counts)

    @classmethod
    def build(cls, context: Context) -> dict[str, Evaluator]:
        names, labels = context.masks, context.labels
        if not names:
            raise ConfigError(f"{context.where}: dice needs config.data.masks, the regions' names")
        which = [labels.index(name) if name in labels else -1 for name in names]
        return {"dice": cls(context.test, names, which, context.config.bootstrap)}

    def __call__(self, predict: PredictFn) -> EvalResult:
        rows = self.test.rows(predict)
        counts = rows[self._counts]
        if not (counts[:, :, 2] > 0).any():
            raise EvalError(
                f"set {self.test.name!r} has none of the masks {', '.join(self.masks)}; name "
                "others in config.data.masks"
            )
        clusters = self.test.clusters(rows)
        table = overlap_table(self.masks, {"model": [overlap(counts)]}, self.bootstrap, clusters)
        details = {
            "kind": "dice",
            "set": self.test.name,
            "split": self.test.split,
            "records": len(rows),
            "threshold": 0.5,
            "masks": [
                {
                    "name": name,
                    "positives": int(((counts[:, i, 2] > 0) & (counts[:, i, 3] == 1)).sum()),
                    "known": int(counts[:, i, 3].sum()),
                }
                for i, name in enumerate(self.masks)
            ],
            "measures": table["model"],
            "bootstrap": dataclasses.asdict(self.bootstrap)
            | {"patients": None if clusters is None else len(np.unique(clusters))},
        }
        metrics: dict[str, float] = {}
        for measure in MEASURES:
            for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
                value = table["model"][measure]["macro"][key]
                metrics[f"{measure}{end}"] = float("nan") if value is None else value
        return EvalResult(metrics, details)
