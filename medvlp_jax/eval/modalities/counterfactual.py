"""Counterfactual ranking: of two pictures that differ by one finding, which one shows it."""

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from medvlp_jax.eval.base import EvalError, EvalResult, Evaluator, PredictFn, TokenizeFn
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.embedded import Embedded, FromBatch, Rows
from medvlp_jax.eval.metrics.bootstrap import Bootstrap, interval, weighted_mean
from medvlp_jax.eval.metrics.scores import mean_defined
from medvlp_jax.eval.modalities.parts import MODALITY, modalities_of, scorable
from medvlp_jax.eval.zeroshot.class_scores import ClassScores, WordIdsFn
from medvlp_jax.eval.zeroshot.promptbank import PromptBank
from medvlp_jax.eval.zeroshot.recipes import Recipe

#: What a record says of being another one with a finding switched, as JSON, or nothing.
_OF = FromBatch("counterfactual")


class _Pair(NamedTuple):
    shows: int  # row of the picture with the finding
    lacks: int
    label: str


class Counterfactual:
    """Share of pairs in which the picture with a finding scores higher for it than the other.

    The two show the same patient and film. The score is that of zero-shot classification, among
    the classes of the modality; equal scores count one half. Intervals draw patients, to which both
    pictures of a pair belong.

    Args:
      test: the set; its batches carry ``modality`` and ``counterfactual``.
      classes: names, labels of ``test``.
      bank, tokenize, recipe, word_ids: see ``eval.zeroshot.evaluator.ZeroShot``.
      bootstrap: of the intervals.

    Raises:
      EvalError: the set has no pair whose finding can be scored.
    """

    reads: ClassVar[tuple[str, ...]] = ("image_embed", "text_embed")
    trains: ClassVar = False
    headline: ClassVar = "ranked"

    def __init__(
        self,
        test: Embedded,
        classes: Sequence[str],
        bank: PromptBank,
        tokenize: TokenizeFn,
        *,
        recipe: Recipe,
        word_ids: WordIdsFn | None = None,
        bootstrap: Bootstrap | None = None,
    ):
        self.test, self.classes, self.bank, self.recipe = test, tuple(classes), bank, recipe
        self.bootstrap = bootstrap or Bootstrap()
        self._tokenize, self._word_ids = tokenize, word_ids
        test.label_columns(self.classes)
        test.want(MODALITY)
        test.want(_OF)

    @classmethod
    def build(cls, context: Context) -> dict[str, Evaluator]:
        tokenize = context.tokenize
        one = cls(
            context.test,
            context.set.classes or context.labels,
            context.prompts,
            tokenize,
            recipe=context.config.recipe(),
            word_ids=tokenize.word_ids,
            bootstrap=context.config.bootstrap,
        )
        return {"counterfactual": one}

    def __call__(self, predict: PredictFn) -> EvalResult:
        rows = self.test.rows(predict)
        pairs, alone = _pairs(rows)
        if not pairs:
            raise EvalError(
                f"set {self.test.name!r}, split {self.test.split!r}, has no counterfactual pair; "
                "generate it with config.counterfactual=True"
            )
        won: dict[_Pair, float] = {}
        modality_of: dict[_Pair, str] = {}
        left: Counter[str] = Counter()
        for modality, at in modalities_of(rows).items():
            mine = [p for p in pairs if p.shows in set(at.tolist())]
            if not mine:
                continue
            scores, classes, why = self._scores(rows, at, predict)
            place = {row: i for i, row in enumerate(at.tolist())}
            for pair in mine:
                if pair.label not in classes or pair.lacks not in place:
                    reason = why.get(pair.label, "no class of the run")
                    left[f"{modality}, {pair.label}: {reason}"] += 1
                    continue
                s = scores[:, classes.index(pair.label)]
                gain = s[place[pair.shows]] - s[place[pair.lacks]]
                won[pair] = 0.5 * (1 + float(np.sign(gain)))
                modality_of[pair] = modality
        if not won:
            raise EvalError(
                f"set {self.test.name!r}: no finding of its {len(pairs)} counterfactual pairs can "
                f"be scored ({', '.join(left)})"
            )
        return self._result(rows, won, modality_of, left, alone)

    def _scores(
        self, rows: Rows, at: Int[np.ndarray, "m"], predict: PredictFn
    ) -> tuple[Float[np.ndarray, "m k"], tuple[str, ...], dict[str, str]]:
        labels = rows[FromBatch("labels")][at][:, self.test.label_columns(self.classes)]
        chosen = scorable(self.classes, labels, self.bank, self.recipe)
        if not chosen.classes:
            return np.zeros((len(at), 0)), (), chosen.left
        class_scores = ClassScores(
            chosen.classes, self.bank, self.recipe, self._tokenize, self._word_ids
        )
        column = self.test.want(class_scores.column())
        values = self.test.rows(predict)[column][at]
        return class_scores(values, class_scores.text(predict)), chosen.classes, chosen.left

    def _result(
        self,
        rows: Rows,
        won: dict[_Pair, float],
        modality_of: dict[_Pair, str],
        left: Counter[str],
        alone: int,
    ) -> EvalResult:
        pairs, values = list(won), np.array(list(won.values()))
        every = self.test.clusters(rows)
        clusters = None if every is None else every[[p.shows for p in pairs]]
        modality = np.array([modality_of[p] for p in pairs])
        label = np.array([p.label for p in pairs])
        named = sorted({(m, name) for m, name in zip(modality, label, strict=True)})
        groups = [np.ones(len(pairs), bool)]
        groups += [modality == m for m in np.unique(modality)]
        groups += [(modality == m) & (label == name) for m, name in named]
        columns = np.where(np.stack(groups, 1), values[:, None], np.nan)
        drawn = [
            weighted_mean(columns, c) for c in self.bootstrap.counts(len(pairs), clusters=clusters)
        ]
        samples = np.concatenate(drawn, 1) if drawn else np.zeros((len(groups), 0))
        means, level = mean_defined(columns), self.bootstrap.level

        def entry(i: int) -> dict[str, Any]:
            found = interval(float(means[i]), samples[i], level).to_json()
            return {"pairs": int(groups[i].sum()), "ranked": found}

        modalities = [str(m) for m in np.unique(modality)]
        of = slice(1, 1 + len(modalities))
        mean = interval(float(means[of].mean()), mean_defined(samples[of]), level).to_json()
        parts = [
            {
                "name": m,
                **entry(1 + i),
                "classes": [
                    {"name": str(name), **entry(1 + len(modalities) + j)}
                    for j, (of_, name) in enumerate(named)
                    if of_ == m
                ],
            }
            for i, m in enumerate(modalities)
        ]
        whole = entry(0)["ranked"]
        metrics = {
            f"ranked{k}": whole[v] for k, v in (("", "value"), ("_low", "low"), ("_high", "high"))
        }
        metrics["ranked_modalities"] = mean["value"]
        for part in parts:
            metrics[f"ranked/{part['name']}"] = part["ranked"]["value"]
            for row in part["classes"]:
                metrics[f"ranked/{part['name']}/{row['name']}"] = row["ranked"]["value"]
        details = {
            "kind": "counterfactual",
            "set": self.test.name,
            "split": self.test.split,
            "records": 2 * len(pairs),
            "compared": len(pairs),
            "ranked": whole,
            "averages": {"modalities": mean},
            "parts": parts,
            "left_out": dict(left),
            "without_partner": alone,
            "chance": 0.5,
            "protocol": self.recipe.name or self.recipe.rule,
            "prompt_bank": self.bank.name,
            "ensemble": self.recipe.ensemble,
            "bootstrap": dataclasses.asdict(self.bootstrap)
            | {"patients": None if clusters is None else len(np.unique(clusters))},
        }
        none = float("nan")
        return EvalResult({k: none if v is None else v for k, v in metrics.items()}, details)


def _pairs(rows: Rows) -> tuple[list[_Pair], int]:
    """The pairs of a set, and how many records are counterfactuals of one that is not in it."""
    place = {str(name): i for i, name in enumerate(rows.ids)}
    pairs, alone = [], 0
    for i, said in enumerate(rows[_OF]):
        if not said:
            continue
        of = json.loads(str(said))
        other = place.get(of["of"])
        if other is None:
            alone += 1
        else:
            shows, lacks = (i, other) if of["present"] else (other, i)
            pairs.append(_Pair(shows, lacks, of["label"]))
    return pairs, alone
