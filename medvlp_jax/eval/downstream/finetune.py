"""Full fine-tuning for classification at 1, 10 and 100 % of the labels."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, ClassVar

from medvlp_jax.core.config import to_plain
from medvlp_jax.core.predict import Predictor
from medvlp_jax.eval.base import EvalResult, Evaluator, PredictFn
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.downstream.config import FinetuneConfig
from medvlp_jax.eval.downstream.efficiency import Collected, Shares, macro_auc
from medvlp_jax.eval.downstream.sets import Sets
from medvlp_jax.eval.downstream.tower import Tower, Towers
from medvlp_jax.eval.downstream.tuning import MakeTuner
from medvlp_jax.eval.embedded import FromBatch, Predicted
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.models.heads import ClassifierConfig

_LOGITS = Predicted("logits")
#: What a pass over a set reads.
COLUMNS = ("image", "labels")


class Finetune:
    """Fine-tuning from the trained tower and from a random one; best validation AUC is tested.

    Args:
      tower: of a predict function.
      tuner: trains from a tower.
      plan: which shares of which classes' labels.
      folder: keeps checkpoints, from which an interrupted evaluation goes on; None: keeps none.
    """

    reads: ClassVar[tuple[str, ...]] = ()
    trains: ClassVar = True
    headline: ClassVar = "auc_macro"

    def __init__(
        self,
        sets: Sets,
        plan: Shares,
        *,
        tower: Callable[[PredictFn], Tower],
        tuner: MakeTuner,
        config: FinetuneConfig | None = None,
        bootstrap: Bootstrap | None = None,
        folder: pathlib.Path | None = None,
    ):
        self.sets, self.tower, self.tuner, self.folder = sets, tower, tuner, folder
        self.plan = dataclasses.replace(plan, repeat_whole=True)
        self.config = config or FinetuneConfig()
        self.bootstrap = bootstrap or Bootstrap()

    @classmethod
    def build(cls, context: Context) -> dict[str, Evaluator]:
        c, sets = context.config.downstream, context.sets()
        classes = c.classes or context.chosen.labelled
        sets.require("label", classes, classes)
        one = cls(
            sets,
            context.shares("finetune", classes, c.fractions),
            tower=context.tower,
            tuner=context.tuner,
            config=c.finetune,
            bootstrap=context.config.bootstrap,
            folder=context.folder,
        )
        return {"finetune": one}

    def __call__(self, predict: PredictFn) -> EvalResult:
        classes, c = self.plan.classes, self.config
        tower = self.tower(predict)
        towers = Towers(tower, self.sets, classes)
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
        tuner = self.tuner(
            ClassifierConfig(tower.config, len(classes)),
            task, c, self.sets, data, score,
        )  # fmt: skip
        results = Collected()
        for start in self.plan.starts:
            for fraction, seed in self.plan.subsets():
                rows = towers.rows(fraction, seed)
                bound = tuner.run(
                    towers.start(start, seed), towers.indices, rows, seed=seed,
                    folder=run_folder(self.folder, "finetune", tower, start, fraction, seed),
                    about={"fraction": fraction, "start": start},
                )  # fmt: skip
                tested = test.rows(bound)
                results.test(test, tested)
                count = sum(map(len, rows))
                results.add(start, fraction, count, tested[_LOGITS], score(bound))
        protocol = {
            "kind": "finetune", "frozen": c.frozen, "steps": c.steps,
            "batch_size": c.batch_size, "lr": c.optim.lr, "patience": c.patience,
        }  # fmt: skip
        return results.result(classes, self.bootstrap, self.sets.describe() | protocol)


def run_folder(
    folder: pathlib.Path | None, kind: str, tower: Tower, start: str, fraction: float, seed: int
) -> pathlib.Path | None:
    """Where one run keeps its checkpoints; another tower has another folder."""
    if folder is None:
        return None
    return folder / f"{kind}-{tower.digest()[:8]}" / f"{start}-{100 * fraction:g}pct-seed{seed}"
