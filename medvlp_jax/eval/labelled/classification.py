"""A classifier's own answers, in the table of zero-shot classification."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from medvlp_jax.eval.base import EvalResult, Evaluator, PredictFn
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.embedded import Embedded, FromBatch, Predicted
from medvlp_jax.eval.zeroshot.compare import classification_result

_LOGITS = Predicted("logits")


class Classification:
    """AUC and its like of the logits of a supervised task, with intervals.

    Args:
      test: the set.
      classes: those that are scored.
      labels: what the columns of the logits are, in their order.
      scoring: ``validation``, ``bootstrap``, ``subgroups``, ``threshold_rule``, as for
        :class:`medvlp_jax.eval.zeroshot.evaluator.ZeroShot`.
    """

    reads: ClassVar[tuple[str, ...]] = ("logits",)
    trains: ClassVar = False
    headline: ClassVar = "auc_macro"

    def __init__(
        self, test: Embedded, classes: Sequence[str], labels: Sequence[str], **scoring: Any
    ):
        self.test, self.classes, self.scoring = test, tuple(classes), scoring
        self._columns = [tuple(labels).index(name) for name in classes]
        for data in filter(None, (test, scoring["validation"])):
            data.label_columns(self.classes)
            data.want(_LOGITS)

    @classmethod
    def build(cls, context: Context) -> dict[str, Evaluator]:
        learnt = [name for name in context.chosen.labelled if name in context.labels]
        one = cls(context.test, learnt, context.labels, **context.scoring)
        return {"classification": one}

    def __call__(self, predict: PredictFn) -> EvalResult:
        validation: Embedded | None = self.scoring["validation"]
        labels, scores = self._scored(self.test, predict)
        others = {k: v for k, v in self.scoring.items() if k != "validation"}
        return classification_result(
            self.test,
            self.test.rows(predict),
            self.classes,
            labels,
            scores,
            validation=validation,
            validation_scores=None if validation is None else self._scored(validation, predict),
            protocol={"kind": "classification"},
            **others,
        )

    def _scored(
        self, data: Embedded, predict: PredictFn
    ) -> tuple[Int[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
        rows = data.rows(predict)
        labels = rows[FromBatch("labels")][:, data.label_columns(self.classes)]
        return labels, np.asarray(rows[_LOGITS], np.float64)[:, self._columns]
