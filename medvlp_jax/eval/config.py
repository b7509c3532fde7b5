"""``config.eval``: labelled sets, and what is measured on them and how."""

import dataclasses
import os
from typing import Literal

from medvlp_jax.core.fields import Count, Folder, Positive, Seed, Size
from medvlp_jax.eval.downstream.config import DownstreamConfig
from medvlp_jax.eval.embedded import GROUPS
from medvlp_jax.eval.grounding.heatmap import MapProtocol
from medvlp_jax.eval.matching.config import RerankConfig
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.metrics.scores import ThresholdRule
from medvlp_jax.eval.suites.config import SuiteConfig
from medvlp_jax.eval.zeroshot.promptbank import PromptBank, load_bank
from medvlp_jax.eval.zeroshot.recipes import Ensemble, Protocol, Recipe, Score, recipe


@dataclasses.dataclass(frozen=True)
class EvalSetConfig:
    """One labelled set and what is measured on it.

    Attributes:
      path, split: a data folder and one of its splits.
      validation: name of another set, from which thresholds are taken; empty = none.
      evaluators: words of ``eval.registry.EVALUATORS``. ``baseline`` scores every no-training rule;
        ``pictures`` draws heat-maps on sets without boxes, to look at; ``probe``, ``few_shot``,
        ``finetune``, ``segmentation`` and ``detection`` train on the tower first
        (``eval.downstream``) and need ``validation``.
      classes: labels of the set that are scored, also such as the run never heard of; empty = all
        of ``data.labels`` that occur in the set with both a positive and a negative and, for
        zero-shot, that the prompt bank of a protocol knows.
      truth: what heat-maps are held against: ``boxes`` or ``masks``.
      per_class: zero-shot on a balanced subset, so many records of each class that have no other
        label (200 of five classes: 5x200); 0 = all records.
      during_training: evaluated every ``loop.eval_every`` steps, not only at the end.
      protocol: of zero-shot on this set, instead of ``eval.protocol`` and its changes; None: these.
      prompts: bank of this set (``suites/PCAM``, or a path); empty: that of the protocol.
      first_prompts: zero-shot with the first so many prompts of each class, as UniMed-CLIP scores
        RSNA with one; 0 = all.
      train_split: split of ``path`` that evaluators which train learn from, instead of
        ``eval.downstream.train`` or the run's own data; empty: these.
    """

    path: Folder
    split: str = "test"
    validation: str = ""
    evaluators: tuple[str, ...] = ("zeroshot",)
    classes: tuple[str, ...] = ()
    truth: Literal["boxes", "masks"] = "boxes"
    per_class: Count = 0
    during_training: bool = False
    protocol: Protocol | None = None
    prompts: str = ""
    first_prompts: Count = 0
    train_split: str = ""


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """``config.eval``.

    Attributes:
      batch_size: rows of a global evaluation batch.
      protocol: how zero-shot scores come about: a word of ``eval.zeroshot.recipes.RECIPES``.
      prompts: name of a prompt bank in ``eval/prompts`` or path of one; empty: that of the
        protocol. Heat-maps use it too, or else ``reports``.
      ensemble, score, max_prompts, prompt_seed, temperature: changes to the protocol; None: none.
      modality_prompts: the same, of the recognition of modalities.
      threshold_rule: which threshold is taken from validation sets.
      maps: how heat-maps come from patches: a word of ``eval.grounding.heatmap.MAPS``.
      heatmap: what is asked of an image: the record's own ``phrases`` of its boxes, the
        ``positive`` prompts of a class, their ``difference`` to the denials, or their ``contrast``
        to the other classes.
      untrained: whether the final grounding is measured on the same network from random
        initialisation too.
      subgroups: columns of ``eval.embedded.GROUPS`` whose values are scored apart.
      rerank: what two-stage retrieval looks at.
      downstream: what the evaluators that train do, see ``eval.downstream.config``.
      sets: name -> set.
      suites: name -> sets whose zero-shot scores are averaged.
      bootstrap: how intervals are drawn.
    """

    sets: dict[str, EvalSetConfig] = dataclasses.field(default_factory=dict)
    suites: dict[str, SuiteConfig] = dataclasses.field(default_factory=dict)
    batch_size: Size = 64
    protocol: Protocol = "pos_vs_neg"
    prompts: str = ""
    ensemble: Ensemble | None = None
    score: Score | None = None
    max_prompts: Count | None = None
    prompt_seed: Seed | None = None
    temperature: Positive | None = None
    modality_prompts: str = "modalities"
    threshold_rule: ThresholdRule = "youden"
    maps: MapProtocol = "default"
    heatmap: Literal["positive", "difference", "contrast", "phrases"] = "phrases"
    untrained: bool = True
    subgroups: tuple[str, ...] = ("view",)
    bootstrap: Bootstrap = dataclasses.field(default_factory=Bootstrap)
    rerank: RerankConfig = dataclasses.field(default_factory=RerankConfig)
    downstream: DownstreamConfig = dataclasses.field(default_factory=DownstreamConfig)

    def __post_init__(self) -> None:
        for given in (None, *self.sets.values()):
            self.recipe(given)
        if strange := [name for name in self.subgroups if name not in GROUPS]:
            raise ValueError(f"subgroups={strange[0]!r} is not one of {', '.join(GROUPS)}")
        for name, one in self.sets.items():
            if one.validation and one.validation not in self.sets:
                raise ValueError(
                    f"sets.{name}.validation={one.validation!r} is not one of {sorted(self.sets)}"
                )
            other = self.sets[one.validation] if one.validation else None
            # Its own thresholds are oracle thresholds, which stand beside these and are named so.
            if other and _place(other) == _place(one):
                raise ValueError(
                    f"sets.{name}.validation is the set itself ({one.path}, split {one.split}): "
                    "thresholds would be fitted to what they are scored on; give another split"
                )

    def map_bank(self) -> PromptBank:
        """The prompts that heat-maps ask for."""
        return load_bank(self.prompts or "reports")

    def recipe(self, one: EvalSetConfig | None = None) -> Recipe:
        """The zero-shot protocol with its changes; of a set, its own where it has one.

        Raises:
          ConfigError: settings that do not go together.
        """
        if one is not None and (one.protocol is not None or one.prompts):
            # Prompts are of the set and no change of the protocol, whose name stays.
            base = self.recipe() if one.protocol is None else recipe(one.protocol)
            return dataclasses.replace(base, prompts=one.prompts or base.prompts)
        changes = ("prompts", "ensemble", "score", "max_prompts", "prompt_seed", "temperature")
        return recipe(self.protocol, **{name: getattr(self, name) for name in changes})


def _place(one: EvalSetConfig) -> tuple[str, str]:
    return os.path.realpath(one.path), one.split
