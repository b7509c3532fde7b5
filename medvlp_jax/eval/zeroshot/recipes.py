"""Zero-shot protocols by name: which prompts, how they are joined, and how a score comes of them.

What published evaluations do differently, as options with names; the words of the prompts are
data (``eval/prompts``), ours, in the structure of each protocol. A bank of your own goes with any
of them.
"""

import dataclasses
from typing import Any, Literal

from medvlp_jax.core.config import ConfigError, unknown_key

Rule = Literal["pos_vs_neg", "positive", "multiclass"]
Ensemble = Literal["embeddings", "unnormalised", "mean", "max"]
Score = Literal["cosine", "pairs"]
RULES: tuple[Rule, ...] = ("pos_vs_neg", "positive", "multiclass")
ENSEMBLES: tuple[Ensemble, ...] = ("embeddings", "unnormalised", "mean", "max")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How images are scored from prompts.

    Attributes:
      rule: ``pos_vs_neg``: softmax over the affirming and the denying side of a class, divided by
        ``temperature``. The score is its log-odds, (s+ - s-) / temperature, which unlike the
        probability never saturates into ties, so that AUC, and everything at a threshold chosen
        on validation data, do not depend on the temperature.
        ``positive``: the score of the affirming side.
        ``multiclass``: the log of a softmax over the affirming sides of all classes, divided by
        ``temperature``; also the accuracy of the largest, among records with exactly one of the
        classes.
      ensemble: how the prompts of a side become one: ``embeddings``: mean of the unit embeddings,
        scaled to one, then the cosine (Radford et al. 2021); ``unnormalised``: the same of the
        embeddings before they are normalised, so that longer vectors weigh more; ``mean`` and
        ``max``: of the scores of the single prompts.
      prompts: the bank; see ``eval.zeroshot.promptbank``.
      max_prompts, prompt_seed: draw so many prompts per class and side; 0 takes all.
      zscore: with ``multiclass``: instead of the softmax, subtract from the scores of a class
        their mean over the images of the set and divide by their deviation, so that a prompt that
        is near every image does not win everywhere. Scores then depend on the set.
      temperature: see ``rule``.
      name: of the protocol, for reports.
      score: ``cosine`` of the embeddings, or ``pairs``: the task's own score of an image and a
        text, where it has one (GLoRIA: half of the global cosine plus the largest of the words').
    """

    rule: Rule = "pos_vs_neg"
    ensemble: Ensemble = "embeddings"
    prompts: str = "reports"
    max_prompts: int = 0
    prompt_seed: int = 0
    zscore: bool = False
    temperature: float = 1.0
    score: Score = "cosine"
    name: str = ""

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"protocol {self.rule!r} must be one of {RULES}")
        if self.ensemble not in ENSEMBLES:
            raise ValueError(f"ensemble {self.ensemble!r} must be one of {ENSEMBLES}")
        if self.temperature <= 0:
            raise ValueError(f"temperature={self.temperature} must be positive")
        if self.max_prompts < 0:
            raise ValueError(f"max_prompts={self.max_prompts} must not be negative")
        if self.zscore and self.rule != "multiclass":
            raise ValueError("zscore=True weighs classes against each other: protocol 'multiclass'")
        if self.score == "pairs" and self.ensemble not in ("mean", "max"):
            raise ValueError(
                f"score='pairs' scores every prompt by itself: ensemble={self.ensemble!r} must be "
                "'mean' or 'max'"
            )


Protocol = Literal[
    "pos_vs_neg", "positive", "multiclass", "chexzero", "biovil", "maco", "gloria", "medclip",
    "gloria_pairs", "unimed",
]  # fmt: skip

#: A config's word -> the recipe. The first three are the plain rules.
RECIPES: dict[Protocol, Recipe] = {
    "pos_vs_neg": Recipe(),
    "positive": Recipe(rule="positive"),
    "multiclass": Recipe(rule="multiclass"),
    # The class name against its negation. No temperature: the two probabilities of a record are
    # nearly equal, and only the ranking means something. Theirs: zero_shot.py.
    "chexzero": Recipe(prompts="brief"),
    # A few sentences a side, averaged before normalisation (hi-ml, inference on RSNA).
    "biovil": Recipe(ensemble="unnormalised", prompts="statements"),
    # One affirming sentence against four that deny, one of which says that the lungs are clear.
    "maco": Recipe(ensemble="mean", prompts="one_against_four"),
    # 5x200: severity x pattern x site, five drawn, the best counts, z-scores, arg-max.
    "gloria": Recipe(
        "multiclass", "max", "descriptive", max_prompts=5, prompt_seed=6, zscore=True
    ),
    "gloria_pairs": Recipe(
        "multiclass", "max", "descriptive", max_prompts=5, prompt_seed=6, zscore=True, score="pairs"
    ),
    # The same bank, ten drawn, averaged.
    "medclip": Recipe("multiclass", "mean", "descriptive", max_prompts=10, prompt_seed=6),
    # The nearest class by the cosine with the mean of its prompts' unit vectors; the AUC of two
    # classes is that of the difference of their cosines. Its sets bring their own prompts.
    "unimed": Recipe("multiclass"),
}  # fmt: skip


def recipe(protocol: str, **changes: Any) -> Recipe:
    """The recipe of a protocol with some of its fields changed; ``None`` leaves a field alone.
    So does an empty ``prompts``.

    Raises:
      ConfigError: no such protocol, or settings that do not go together.
    """
    if protocol not in RECIPES:
        raise ConfigError(unknown_key("config.eval.protocol", protocol, RECIPES))
    try:
        base = RECIPES[protocol]
        wanted = {k: v for k, v in changes.items() if v is not None and (k, v) != ("prompts", "")}
        changed = any(getattr(base, k) != v for k, v in wanted.items())
        name = f"{protocol}, changed" if changed else protocol
        return dataclasses.replace(base, **wanted, name=name)
    except ValueError as e:
        raise ConfigError(f"config.eval (protocol {protocol!r}): {e}") from e
