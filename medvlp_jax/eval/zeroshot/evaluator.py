"""Zero-shot classification from prompts, with thresholds from validation data and intervals."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from medvlp_jax.eval.base import EvalError, EvalResult, Evaluator, PredictFn, TokenizeFn
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.embedded import Embedded, FromBatch, Rows
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.metrics.scores import ThresholdRule
from medvlp_jax.eval.zeroshot.class_scores import ClassScores, WordIdsFn
from medvlp_jax.eval.zeroshot.compare import classification_result
from medvlp_jax.eval.zeroshot.multiway import exclusive_subset, multiway
from medvlp_jax.eval.zeroshot.promptbank import PromptBank
from medvlp_jax.eval.zeroshot.recipes import Recipe


class ZeroShot:
    """Scores every class of every image from text prompts; see ``eval.zeroshot.recipes`` for how.

    With ``rule="multiclass"`` the result also has ``top1_accuracy`` and ``balanced_accuracy`` of
    the largest score among records with exactly one of the classes.

    Args:
      test: the set that is reported.
      classes: names, all of them labels of ``test`` and entries of ``bank``.
      bank: the prompts.
      tokenize, word_ids: of the tokenizer; the latter for ``score="pairs"`` alone.
      recipe: how to score.
      validation: another set, from which the threshold and the calibration of every class are
        taken.
      threshold_rule: ``youden``, ``max_f1`` or ``max_mcc``.
      per_class: 0: all records; else a balanced subset of the test set, so many records of each
        class that have no other label, drawn once with ``subset_seed`` (200 of 5 classes is the
        5x200 protocol).
      ensemble: further models whose scores are averaged with those of the one that is measured,
        as CheXzero does with checkpoints; ``ClassScores.average`` says how.
      bootstrap: of the intervals.
      subgroups: host string columns (``view``) whose values are scored on their own as well.
      not_scored: other labels of the set -> why they are not scored, for the result.

    Raises:
      EvalError: a class is unknown to the set or the bank, or lacks denying prompts.
    """

    reads: ClassVar[tuple[str, ...]] = ("image_embed", "text_embed")
    trains: ClassVar = False
    headline: ClassVar = "auc_macro"

    def __init__(
        self,
        test: Embedded,
        classes: Sequence[str],
        bank: PromptBank,
        tokenize: TokenizeFn,
        *,
        recipe: Recipe | None = None,
        word_ids: WordIdsFn | None = None,
        validation: Embedded | None = None,
        threshold_rule: ThresholdRule = "youden",
        per_class: int = 0,
        subset_seed: int = 0,
        ensemble: Sequence[PredictFn] = (),
        bootstrap: Bootstrap | None = None,
        subgroups: Sequence[str] = ("view",),
        not_scored: Mapping[str, str] | None = None,
    ):
        self.test, self.validation = test, validation
        self.classes = tuple(classes)
        self.recipe = recipe or Recipe()
        self.threshold_rule: ThresholdRule = threshold_rule
        self.per_class, self.subset_seed = per_class, subset_seed
        self.bootstrap = bootstrap or Bootstrap()
        self.subgroups = tuple(subgroups)
        self.not_scored = dict(not_scored or {})
        self.class_scores = ClassScores(self.classes, bank, self.recipe, tokenize, word_ids)
        self._column = self.class_scores.column()
        # Every model has a cache of its own, so that none drives out the columns of another.
        self._members = [
            (predict, test.alike(), validation and validation.alike()) for predict in ensemble
        ]
        for data in (test, validation, *(d for _, *pair in self._members for d in pair)):
            if data is not None:
                data.label_columns(self.classes)
                data.want(self._column)

    @classmethod
    def build(cls, context: Context) -> dict[str, Evaluator]:
        tokenize = context.tokenize
        one = cls(
            context.test,
            context.chosen.scored,
            context.prompts,
            tokenize,
            recipe=context.recipe,
            word_ids=tokenize.word_ids,
            per_class=context.set.per_class,
            ensemble=context.ensemble,
            not_scored=context.chosen.left,
            **context.scoring,
        )
        return {"zeroshot": one}

    def __call__(self, predict: PredictFn) -> EvalResult:
        models = [(predict, self.test, self.validation), *self._members]
        texts = [self.class_scores.text(p) for p, _, _ in models]
        chosen, subset = self._subset(self.test.rows(predict))
        seen = [test.rows(p).take(chosen) for p, test, _ in models]
        rows, labels = seen[0], self._labels(self.test, seen[0])
        scores = self._scores(seen, texts)
        known = [held.rows(p) for p, _, held in models if held is not None]
        validation = None
        if self.validation is not None:
            validation = self._labels(self.validation, known[0]), self._scores(known, texts)
        result = classification_result(
            self.test,
            rows,
            self.classes,
            labels,
            scores,
            bootstrap=self.bootstrap,
            subgroups=self.subgroups,
            threshold_rule=self.threshold_rule,
            validation=self.validation,
            validation_scores=validation,
            protocol={"kind": "zeroshot", "models": len(models)}
            | self.class_scores.describe()
            | {"not_scored": self.not_scored}
            | subset,
        )
        if len(models) == 1 and self.recipe.score == "cosine":
            # What other protocols can be made of; an ensemble has no such number.
            result.arrays["cosines"] = self.class_scores.affirmed(rows[self._column], texts[0])
        if self.recipe.rule == "multiclass":
            clusters = self.test.clusters(rows)
            top1 = multiway(self.classes, labels, scores, self.bootstrap, clusters)
            result.details["top1"] = top1
            for name in ("accuracy", "balanced_accuracy"):
                value = top1[name]["value"]
                key = "top1_accuracy" if name == "accuracy" else name
                result.metrics[key] = float("nan") if value is None else value
        return result

    def _subset(self, rows: Rows) -> tuple[Int[np.ndarray, "m"], dict[str, Any]]:
        """The records that are reported, and a word on how they were chosen."""
        if not self.per_class:
            return np.arange(len(rows)), {}
        found = exclusive_subset(
            self.test.label_names,
            rows[FromBatch("labels")],
            self.classes,
            self.per_class,
            self.subset_seed,
            self.test.name,
        )
        return found, {
            "subset": {"per_class": self.per_class, "seed": self.subset_seed, "of": len(rows)}
        }

    def _labels(self, data: Embedded, rows: Rows) -> Int[np.ndarray, "n k"]:
        return rows[FromBatch("labels")][:, data.label_columns(self.classes)]

    def _scores(
        self, rows: Sequence[Rows], texts: Sequence[Float[np.ndarray, "t e"] | None]
    ) -> Float[np.ndarray, "n k"]:
        """Of all models, whose rows hold the same records."""
        if any(list(r.ids) != list(rows[0].ids) for r in rows[1:]):
            raise EvalError(f"set {self.test.name!r} does not read the same records every time")
        each = [self.class_scores(r[self._column], t) for r, t in zip(rows, texts, strict=True)]
        return each[0] if len(each) == 1 else self.class_scores.average(each)
