"""Zero-shot classification within each modality of a set, and the averages over modalities."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from medvlp_jax.eval.base import EvalError, EvalResult, Evaluator, PredictFn, TokenizeFn
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.embedded import Embedded, FromBatch, Rows
from medvlp_jax.eval.metrics.bootstrap import AucCounts, Bootstrap, interval
from medvlp_jax.eval.metrics.scores import mean_defined
from medvlp_jax.eval.modalities.parts import MODALITY, Part, modalities_of, scorable
from medvlp_jax.eval.zeroshot.class_scores import WordIdsFn
from medvlp_jax.eval.zeroshot.evaluator import ZeroShot
from medvlp_jax.eval.zeroshot.promptbank import PromptBank
from medvlp_jax.eval.zeroshot.recipes import Recipe


class ByModality:
    """Scores the classes of every modality among its own records (``ZeroShot``), and averages.

    A class is scored in a modality where some of its records have it and others have not. Two
    averages of the AUC: over the modalities (of their macro means), and over all their classes.
    Classes weigh against each other (``rule="multiclass"``) within a modality alone.

    Args:
      test: the set; its batches carry ``modality``.
      classes: names, labels of ``test``.
      bank, tokenize, word_ids, recipe: see ``ZeroShot``.
      validation: another set, from which thresholds are taken, modality by modality.
      ensemble, scoring: further arguments of ``ZeroShot``.

    Raises:
      EvalError: no modality of the set has a class to score.
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
        recipe: Recipe,
        word_ids: WordIdsFn | None = None,
        validation: Embedded | None = None,
        bootstrap: Bootstrap | None = None,
        ensemble: Sequence[PredictFn] = (),
        **scoring: Any,
    ):
        self.test, self.classes, self.bank = test, tuple(classes), bank
        self.recipe, self.validation = recipe, validation
        self.bootstrap = bootstrap or Bootstrap()
        self._more = {"tokenize": tokenize, "word_ids": word_ids, "ensemble": ensemble, **scoring}
        for data in (test, validation):
            if data is not None:
                data.want(MODALITY)
                data.label_columns(self.classes)

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
            ensemble=context.ensemble,
            **context.scoring,
        )
        return {"by_modality": one}

    def _nothing(self, rows: Rows) -> str:
        """Why no class was so much as looked at."""
        if not modalities_of(rows):
            return "its records name no modality"
        return (
            "none of its labels is a class of the run; name some with --classes, and a bank with "
            "prompts for them with --prompts"
        )

    def __call__(self, predict: PredictFn) -> EvalResult:
        rows = self.test.rows(predict)
        found: dict[str, EvalResult] = {}
        places: dict[str, np.ndarray] = {}
        not_scored: dict[str, str] = {}
        for modality, at in modalities_of(rows).items():
            chosen = scorable(self.classes, self._labels(self.test, rows.take(at)), self.bank,
                              self.recipe)  # fmt: skip
            not_scored |= {f"{label} in {modality}": why for label, why in chosen.left.items()}
            if not chosen.classes:
                continue
            places[modality] = at
            found[modality] = self._of(modality, chosen.classes, chosen.left, predict)
        if not found:
            raise EvalError(
                f"set {self.test.name!r}, split {self.test.split!r}, has no modality with a class "
                f"to score: {not_scored or self._nothing(rows)}"
            )
        averages = self._averages(rows, found, places)
        metrics = {"auc_macro": averages["modalities"]["value"]}
        metrics |= {"auc_macro_low": averages["modalities"]["low"]}
        metrics |= {"auc_macro_high": averages["modalities"]["high"]}
        metrics |= {"auc_classes": averages["classes"]["value"]}
        for modality, result in found.items():
            metrics[f"auc_macro/{modality}"] = result.metrics["auc_macro"]
            for row in result.details["classes"]:
                metrics[f"auc/{modality}/{row['name']}"] = row["auc"]["value"]
        validation = self.validation
        first = next(iter(found.values())).details
        how = ("protocol", "rule", "ensemble", "prompt_bank")
        if self.recipe.rule == "multiclass":
            weighed = "In each modality every score is weighed against the classes scored there; "
            protocol = {"depends_on_classes": f"{weighed}other classes, other scores."}
        else:
            protocol = {}
        details = {
            "kind": "by_modality",
            "set": self.test.name,
            "split": self.test.split,
            "validation": validation and f"{validation.name}, split {validation.split}",
            **{key: first[key] for key in how},
            **protocol,
            "records": int(sum(map(len, places.values()))),
            "without_modality": int((np.asarray(rows[MODALITY], str) == "").sum()),
            "averages": averages,
            "parts": [{"name": m, **result.details} for m, result in found.items()],
            "not_scored": not_scored,
            "bootstrap": first["bootstrap"] | {"patients": self._patients(rows)},
        }
        none = float("nan")
        return EvalResult({k: none if v is None else v for k, v in metrics.items()}, details)

    def _of(
        self, modality: str, classes: Sequence[str], left: Mapping[str, str], predict: PredictFn
    ) -> EvalResult:
        validation = self.validation
        if validation is not None:
            validation = Part(validation, modality)
            if not len(validation.rows(predict)):
                validation = None
        zeroshot = ZeroShot(
            Part(self.test, modality),
            classes,
            self.bank,
            recipe=self.recipe,
            validation=validation,
            bootstrap=self.bootstrap,
            not_scored=left,
            **self._more,
        )
        return zeroshot(predict)

    def _averages(
        self, rows: Rows, found: Mapping[str, EvalResult], places: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Both means of the AUC with intervals: patients of all modalities are drawn together."""
        statistics: list[AucCounts] = []
        owner: list[int] = []
        for number, (modality, result) in enumerate(found.items()):
            for y, s in zip(result.arrays["labels"].T, result.arrays["scores"].T, strict=True):
                labels, scores = np.full(len(rows), -2), np.zeros(len(rows))
                labels[places[modality]], scores[places[modality]] = y, s
                statistics.append(AucCounts(labels, scores))
                owner.append(number)

        def means(counts: np.ndarray) -> Float[np.ndarray, "2 r"]:
            drawn = np.stack([f(counts) for f in statistics])
            of = np.array(owner)
            each = np.stack([mean_defined(drawn[of == m]) for m in range(len(found))])
            return np.stack([mean_defined(each), mean_defined(drawn)])

        values = means(np.ones((len(rows), 1), np.int32))[:, 0]
        clusters = self.test.clusters(rows)
        chunks = [means(c) for c in self.bootstrap.counts(len(rows), clusters=clusters)]
        samples = np.concatenate(chunks, 1) if chunks else np.zeros((2, 0))
        level = self.bootstrap.level
        return {
            name: interval(float(values[i]), samples[i], level).to_json()
            for i, name in enumerate(("modalities", "classes"))
        }

    def _patients(self, rows: Rows) -> int | None:
        clusters = self.test.clusters(rows)
        return None if clusters is None else len(np.unique(clusters))

    def _labels(self, data: Embedded, rows: Rows) -> Int[np.ndarray, "n k"]:
        return rows[FromBatch("labels")][:, data.label_columns(self.classes)]
