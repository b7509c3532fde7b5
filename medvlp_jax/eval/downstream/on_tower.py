"""What the evaluators that train a network on a tower have in common: their runs."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

from medvlp_jax.core.predict import Predictor
from medvlp_jax.data.config import DataConfig
from medvlp_jax.eval.base import PredictFn
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.downstream.config import Start, TuneConfig
from medvlp_jax.eval.downstream.efficiency import Shares
from medvlp_jax.eval.downstream.sets import Sets
from medvlp_jax.eval.downstream.tower import Tower, Towers
from medvlp_jax.eval.downstream.tuning import MakeTuner
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.models.base import ModelConfig


class Tuned(NamedTuple):
    """One finished run.

    Attributes:
      records: that it was trained on.
      predict: its best state by validation.
    """

    start: Start
    fraction: float
    seed: int
    records: int
    predict: Predictor


class OnTower:
    """Trains from the trained tower and from a random one, at every share of the labels.

    Args:
      plan: which shares of which labels.
      tower: of a predict function.
      tuner: trains from a tower.
      config: of one run; the subclass says which.
      folder: keeps checkpoints, from which an interrupted evaluation goes on; None: keeps none.
    """

    reads: ClassVar[tuple[str, ...]] = ()
    trains: ClassVar = True
    #: The word of the evaluator.
    kind: ClassVar[str]

    def __init__(
        self,
        sets: Sets,
        plan: Shares,
        *,
        tower: Callable[[PredictFn], Tower],
        tuner: MakeTuner,
        config: Any,
        bootstrap: Bootstrap,
        folder: pathlib.Path | None,
    ):
        self.sets, self.tower, self.tuner, self.folder = sets, tower, tuner, folder
        self.plan = dataclasses.replace(plan, repeat_whole=True)
        self.config, self.bootstrap = config, bootstrap

    @staticmethod
    def common(context: Context, config: TuneConfig) -> dict[str, Any]:
        """The arguments that are the same for all of them."""
        return {
            "tower": context.tower,
            "tuner": context.tuner,
            "config": config,
            "bootstrap": context.config.bootstrap,
            "folder": context.folder,
        }

    def runs(
        self,
        tower: Tower,
        model: ModelConfig,
        task: Mapping[str, Any],
        data: DataConfig,
        score: Callable[[Predictor], float],
    ) -> Iterator[Tuned]:
        """Trains every start at every subset; the arguments are those of ``MakeTuner``."""
        tuner = self.tuner(model, task, self.config, self.sets, data, score)
        towers = Towers(tower, self.sets, self.plan.classes)
        for start in self.plan.starts:
            for fraction, seed in self.plan.subsets():
                rows = towers.rows(fraction, seed)
                predict = tuner.run(
                    towers.start(start, seed),
                    towers.indices,
                    rows,
                    seed=seed,
                    folder=self._folder(tower, start, fraction, seed),
                    about={"fraction": fraction, "start": start},
                )
                yield Tuned(start, fraction, seed, sum(map(len, rows)), predict)

    def settings(self) -> dict[str, Any]:
        """How a run was made, for a result."""
        c = self.config
        return {
            "frozen": c.frozen,
            "steps": c.steps,
            "batch_size": c.batch_size,
            "lr": c.optim.lr,
            "patience": c.patience,
        }

    def _folder(
        self, tower: Tower, start: Start, fraction: float, seed: int
    ) -> pathlib.Path | None:
        """Where one run keeps its checkpoints; another tower has another folder."""
        if self.folder is None:
            return None
        name = f"{start}-{100 * fraction:g}pct-seed{seed}"
        return self.folder / f"{self.kind}-{tower.digest()[:8]}" / name
