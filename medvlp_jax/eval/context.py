"""What an evaluator is built from: one set of a run, and the run around it."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from medvlp_jax.core.config import ConfigError
from medvlp_jax.eval.base import Evaluator, PredictFn
from medvlp_jax.eval.config import EvalConfig, EvalSetConfig
from medvlp_jax.eval.downstream.efficiency import Shares
from medvlp_jax.eval.downstream.sets import Sets
from medvlp_jax.eval.downstream.tower import Tower
from medvlp_jax.eval.downstream.tuning import MakeTuner
from medvlp_jax.eval.embedded import Embedded
from medvlp_jax.eval.grounding.heatmap import MAPS, MapConfig
from medvlp_jax.eval.zeroshot.chosen import Chosen, Counts, choose
from medvlp_jax.eval.zeroshot.prompt_tokens import PromptTokenizer
from medvlp_jax.eval.zeroshot.promptbank import (
    NO_FINDING,
    PromptBank,
    first_prompts,
    load_bank,
)
from medvlp_jax.eval.zeroshot.recipes import Recipe


@dataclasses.dataclass(frozen=True)
class Context:
    """One set of a run, as every evaluator of it sees it.

    Attributes:
      name: of the set.
      set: its config.
      config: ``config.eval`` of the run.
      labels: of the run.
      masks: regions whose masks the run knows by name.
      counts: of the labels of the set.
      test: the set.
      validation: where thresholds are from; None without one.
      prompt_tokens: from prompts to tokens, of a run with a text tower.
      sets: labelled splits, for evaluators that train.
      tower: of a predict function.
      tuner: trains from a tower.
      untrained: gives the predict function of the same network from random initialisation, for a
        set; None: the comparison is left out.
      ensemble: further models whose zero-shot scores join the average.
      folder: where evaluators that train keep their runs; None: nowhere.
    """

    name: str
    set: EvalSetConfig
    config: EvalConfig
    labels: tuple[str, ...]
    counts: Counts
    test: Embedded
    sets: Callable[[], Sets]
    tower: Callable[[PredictFn], Tower]
    tuner: MakeTuner
    masks: tuple[str, ...] = ()
    validation: Embedded | None = None
    prompt_tokens: PromptTokenizer | None = None
    untrained: Callable[[PredictFn, Embedded], PredictFn] | None = None
    ensemble: Sequence[PredictFn] = ()
    folder: pathlib.Path | None = None

    @property
    def where(self) -> str:
        """The set in the words of an error."""
        return f"set {self.name!r} ({self.set.path}, split {self.set.split})"

    @property
    def tokenize(self) -> PromptTokenizer:
        """From prompts to tokens.

        Raises:
          ConfigError: the run has no text tower.
        """
        if self.prompt_tokens is None:
            raise ConfigError(f"{self.where}: the model has no text tower to read prompts")
        return self.prompt_tokens

    @functools.cached_property
    def prompts(self) -> PromptBank:
        """Of zero-shot classification."""
        recipe, first = self.recipe, self.set.first_prompts
        bank = load_bank(recipe.prompts, max_prompts=recipe.max_prompts, seed=recipe.prompt_seed)
        return first_prompts(bank, first) if first else bank

    @property
    def recipe(self) -> Recipe:
        """How zero-shot scores of the set come about."""
        return self.config.recipe(self.set)

    @functools.cached_property
    def map_prompts(self) -> PromptBank:
        """Of heat-maps."""
        return self.config.map_bank()

    @functools.cached_property
    def chosen(self) -> Chosen:
        """The classes of the set; see :func:`medvlp_jax.eval.zeroshot.chosen.choose`."""
        return choose(
            self.where,
            self.set.classes,
            self.set.evaluators,
            self.counts,
            self.labels,
            bank=self.prompts,
            maps=self.map_prompts,
            how=self.recipe,
        )

    @property
    def known(self) -> list[str]:
        """A heat-map stands against all that was learnt, also where the set has a class or two."""
        return [c for c in self.labels if c in self.map_prompts.classes and c != NO_FINDING]

    @property
    def maps(self) -> MapConfig:
        """From patches to pixels."""
        return MAPS[self.config.maps]

    @property
    def scoring(self) -> dict[str, Any]:
        """What everything that ranks records shares, so that intervals are paired."""
        return {
            "validation": self.validation,
            "bootstrap": self.config.bootstrap,
            "subgroups": self.config.subgroups,
            "threshold_rule": self.config.threshold_rule,
        }

    def shares(self, word: str, labels: Sequence[str], fractions: Sequence[float]) -> Shares:
        """The subsets that an evaluator trains on.

        Raises:
          ConfigError: there is no class to learn.
        """
        c = self.config.downstream
        if not labels:
            raise ConfigError(
                f"set {self.name!r}: {word} has no class: no label of the run has a positive and "
                "a negative record there; name some in config.eval.downstream"
            )
        return Shares(tuple(labels), tuple(fractions), c.seeds, c.starts)


class EvaluatorType(Protocol):
    """The class of an evaluator: an entry of ``eval.registry.EVALUATORS``.

    Attributes:
      reads: the predict functions that it asks for; a task without them cannot be measured so.
      trains: whether it trains on the tower first, and so needs a validation set.
      headline: the key of ``EvalResult.metrics`` that stands for the rest; empty for none.
    """

    reads: ClassVar[tuple[str, ...]]
    trains: ClassVar[bool]
    headline: ClassVar[str]

    @classmethod
    def build(cls, context: Context) -> Mapping[str, Evaluator]:
        """What is to be measured on a set, by name; most have one entry, their own word.

        Raises:
          ConfigError, EvalError: the set, the run or the config lacks something that is needed.
        """
        ...
