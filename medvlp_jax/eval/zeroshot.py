"""Zero-shot classification from prompts, with thresholds from validation data and intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from medvlp_jax.eval.bootstrap import Bootstrap
from medvlp_jax.eval.class_scores import ClassScores, WordIdsFn
from medvlp_jax.eval.compare import classification_result
from medvlp_jax.eval.embedded import Embedded, FromBatch, Rows
from medvlp_jax.eval.multiway import exclusive_subset, multiway
from medvlp_jax.eval.promptbank import PromptBank
from medvlp_jax.eval.protocol import EvalResult, PredictFn, TokenizeFn
from medvlp_jax.eval.recipes import Recipe
from medvlp_jax.eval.scores import ThresholdRule


class ZeroShot:
    """Scores every class of every image from text prompts; see ``eval.recipes`` for how.

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
      bootstrap: of the intervals.
      subgroups: host string columns (``view``) whose values are scored on their own as well.

    Raises:
      EvalError: a class is unknown to the set or the bank, or lacks denying prompts.
    """

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
        bootstrap: Bootstrap | None = None,
        subgroups: Sequence[str] = ("view",),
    ):
        self.test, self.validation = test, validation
        self.classes = tuple(classes)
        self.recipe = recipe or Recipe()
        self.threshold_rule: ThresholdRule = threshold_rule
        self.per_class, self.subset_seed = per_class, subset_seed
        self.bootstrap = bootstrap or Bootstrap()
        self.subgroups = tuple(subgroups)
        self.class_scores = ClassScores(self.classes, bank, self.recipe, tokenize, word_ids)
        self._column = self.class_scores.column()
        for data in filter(None, (test, validation)):
            data.label_columns(self.classes)
            data.want(self._column)

    def __call__(self, predict: PredictFn) -> EvalResult:
        text = self.class_scores.text(predict)
        rows, subset = self._rows(predict)
        labels, scores = self._score(self.test, rows, text)
        validation = None
        if self.validation is not None:
            validation = self._score(self.validation, self.validation.rows(predict), text)
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
            protocol={"kind": "zeroshot"} | self.class_scores.describe() | subset,
        )
        if self.recipe.rule == "multiclass":
            clusters = self.test.clusters(rows)
            top1 = multiway(self.classes, labels, scores, self.bootstrap, clusters)
            result.details["top1"] = top1
            for name in ("accuracy", "balanced_accuracy"):
                value = top1[name]["value"]
                key = "top1_accuracy" if name == "accuracy" else name
                result.metrics[key] = float("nan") if value is None else value
        return result

    def _rows(self, predict: PredictFn) -> tuple[Rows, dict[str, Any]]:
        """The records that are reported, and a word on how they were chosen."""
        rows = self.test.rows(predict)
        if not self.per_class:
            return rows, {}
        found = exclusive_subset(
            self.test.label_names,
            rows[FromBatch("labels")],
            self.classes,
            self.per_class,
            self.subset_seed,
            self.test.name,
        )
        return rows.take(found), {
            "subset": {"per_class": self.per_class, "seed": self.subset_seed, "of": len(rows)}
        }

    def _score(
        self, data: Embedded, rows: Rows, text: Float[np.ndarray, "t e"] | None
    ) -> tuple[Int[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
        labels = rows[FromBatch("labels")][:, data.label_columns(self.classes)]
        return labels, self.class_scores(rows[self._column], text)
