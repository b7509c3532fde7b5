"""Full fine-tuning for classification at 1, 10 and 100 % of the labels."""

import dataclasses
from typing import Any, ClassVar

from medvlp_jax.core.config import to_plain
from medvlp_jax.core.predict import Predictor
from medvlp_jax.eval.base import EvalResult, Evaluator, PredictFn
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.downstream.efficiency import Collected, macro_auc
from medvlp_jax.eval.downstream.on_tower import OnTower
from medvlp_jax.eval.embedded import FromBatch, Predicted
from medvlp_jax.models.heads import ClassifierConfig

_LOGITS = Predicted("logits")
#: What a pass over a set reads.
COLUMNS = ("image", "labels")


class Finetune(OnTower):
    """Fine-tuning from the trained tower and from a random one; best validation AUC is tested.

    Its ``config`` is a ``FinetuneConfig``; the other arguments are those of :class:`OnTower`.
    """

    headline: ClassVar = "auc_macro"
    kind: ClassVar = "finetune"

    @classmethod
    def build(cls, context: Context) -> dict[str, Evaluator]:
        c, sets = context.config.downstream, context.sets()
        classes = c.classes or context.chosen.labelled
        sets.require("label", classes, classes)
        plan = context.shares("finetune", classes, c.fractions)
        return {"finetune": cls(sets, plan, **cls.common(context, c.finetune))}

    def __call__(self, predict: PredictFn) -> EvalResult:
        classes, c = self.plan.classes, self.config
        tower = self.tower(predict)
        data = dataclasses.replace(self.sets.data, labels=classes)
        validation = self.sets.embedded("validation", COLUMNS, labels=classes)
        test = self.sets.embedded("test", COLUMNS, labels=classes)
        for embedded in (validation, test):
            embedded.want(_LOGITS)

        def score(bound: Predictor) -> float:
            rows = validation.rows(bound)
            return macro_auc(rows[FromBatch("labels")], rows[_LOGITS])

        task: dict[str, Any] = {
            "name": "supervised",
            **to_plain(tower.pixels),
            "frozen": c.frozen,
            "uncertain": c.uncertain,
        }
        model = ClassifierConfig(tower.config, len(classes))
        results = Collected()
        for run in self.runs(tower, model, task, data, score):
            rows = test.rows(run.predict)
            results.test(test, rows)
            results.add(run.start, run.fraction, run.records, rows[_LOGITS], score(run.predict))
        protocol = {"kind": self.kind, **self.settings()}
        return results.result(classes, self.bootstrap, self.sets.describe() | protocol)
