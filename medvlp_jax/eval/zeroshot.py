"""Zero-shot classification from prompts, with thresholds from validation data and intervals."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from medvlp_jax.eval.bootstrap import Bootstrap, mean_interval
from medvlp_jax.eval.compare import classification_result
from medvlp_jax.eval.embedded import Embedded, FromBatch, Predicted, Rows, cosine, ensemble
from medvlp_jax.eval.promptbank import ClassPrompts, PromptBank
from medvlp_jax.eval.protocol import EvalError, EvalResult, PredictFn, TokenizeFn
from medvlp_jax.eval.scores import ThresholdRule

Protocol = Literal["pos_vs_neg", "positive", "multiclass"]
NO_FINDING = "no finding"


class ZeroShot:
    """Scores every class of every image from text prompts.

    ``pos_vs_neg`` (CheXzero): softmax over the cosines to the affirming and the denying ensemble,
    divided by ``temperature``. The score is its log-odds, (cos+ - cos-) / temperature, which unlike
    the probability never saturates into ties; so AUC, and everything at a threshold chosen on
    validation data, do not depend on the temperature. (CheXzero has none, that is 1.)
    ``positive``: the score is the cosine to the affirming ensemble.
    ``multiclass``: the score is the log of a softmax over the affirming cosines of all classes,
    divided by ``temperature``; also the accuracy of the largest, among records with exactly one
    of the classes.

    ``no finding`` never passes through a denial of a denial: it has its own pair of prompts in
    the bank, or else it is one minus the largest probability of the other classes, in log-odds
    minus the largest score.

    Args:
      test: the set that is reported.
      classes: names, all of them labels of ``test`` and entries of ``bank``.
      bank: the prompts.
      tokenize: of the text tower.
      validation: another set, from which the threshold of every class is taken.
      protocol, temperature: see above.
      threshold_rule: ``youden`` or ``max_f1``.
      bootstrap: of the intervals.
      subgroups: host string columns (``view``) whose values are scored on their own as well.

    Raises:
      EvalError: a class is unknown to the set or the bank, or lacks denying prompts.
      ValueError: unknown settings.
    """

    def __init__(
        self,
        test: Embedded,
        classes: Sequence[str],
        bank: PromptBank,
        tokenize: TokenizeFn,
        *,
        validation: Embedded | None = None,
        protocol: Protocol = "pos_vs_neg",
        temperature: float = 1.0,
        threshold_rule: ThresholdRule = "youden",
        bootstrap: Bootstrap | None = None,
        subgroups: Sequence[str] = ("view",),
    ):
        if protocol not in ("pos_vs_neg", "positive", "multiclass"):
            raise ValueError(
                f"protocol {protocol!r} must be 'pos_vs_neg', 'positive' or 'multiclass'"
            )
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} must be positive")
        self.test, self.validation = test, validation
        self.classes = tuple(classes)
        self.protocol, self.temperature = protocol, temperature
        self.threshold_rule: ThresholdRule = threshold_rule
        self.bootstrap = bootstrap or Bootstrap()
        self.subgroups = tuple(subgroups)
        self._bank, self._tokenize = bank, tokenize
        # Without a pair of its own, "no finding" follows from the others.
        self._derived = NO_FINDING if self._without_pair(NO_FINDING) else ""
        self._prompts = bank.select([c for c in self.classes if c != self._derived])
        if not self._prompts:
            raise EvalError(f"the prompt bank {bank.name!r} covers none of {self.classes}")
        if protocol == "multiclass" and len(self._prompts) < 2:
            raise EvalError(
                "protocol='multiclass' weighs classes against each other and needs two or more, "
                f"not only {self.classes}; add 'no finding', or use protocol='positive'"
            )
        if protocol == "multiclass" and self._derived:
            raise EvalError(
                f"prompt bank {bank.name!r} has no prompts for {NO_FINDING!r}, which "
                "protocol='multiclass' cannot derive from the other classes"
            )
        if protocol == "pos_vs_neg":
            for name, p in zip(self._scored(), self._prompts, strict=True):
                if not p.negative:
                    raise EvalError(
                        f"prompt bank {bank.name!r}: class {name!r} has no denying prompts; "
                        "use protocol='positive' or 'multiclass', or add some"
                    )
        self._image = Predicted("image_embed")
        for data in filter(None, (test, validation)):
            data.label_columns(self.classes)
            data.want(self._image)

    def _without_pair(self, name: str) -> bool:
        prompts: ClassPrompts | None = self._bank.classes.get(name)
        return name in self.classes and (
            prompts is None or (self.protocol == "pos_vs_neg" and not prompts.negative)
        )

    def _scored(self) -> list[str]:
        return [c for c in self.classes if c != self._derived]

    def __call__(self, predict: PredictFn) -> EvalResult:
        text = self._text(predict)
        labels, scores, rows = self._score(self.test, predict, text)
        validation = None
        if self.validation is not None:
            validation = self._score(self.validation, predict, text)[:2]
        protocol: dict[str, Any] = {
            "kind": "zeroshot",
            "protocol": self.protocol,
            "temperature": self.temperature,
            "prompt_bank": self._bank.name,
            "prompts": {
                c: dataclasses.asdict(p) for c, p in zip(self._scored(), self._prompts, strict=True)
            },
        }
        if self._derived:
            protocol["derived"] = f"{NO_FINDING} = 1 - max of the other classes"
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
            protocol=protocol,
        )
        if self.protocol == "multiclass":
            clusters = self.test.clusters(rows)
            top1 = top1_accuracy(self.classes, labels, scores, self.bootstrap, clusters)
            result.details["top1"] = top1
            value = top1["accuracy"]["value"]
            result.metrics["top1_accuracy"] = float("nan") if value is None else value
        return result

    def _text(self, predict: PredictFn) -> Float[np.ndarray, "s e"]:
        sides = [p.positive for p in self._prompts]
        if self.protocol == "pos_vs_neg":
            sides += [p.negative for p in self._prompts]
        return ensemble(predict, self._tokenize, sides)

    def _score(
        self, data: Embedded, predict: PredictFn, text: Float[np.ndarray, "s e"]
    ) -> tuple[Int[np.ndarray, "n k"], Float[np.ndarray, "n k"], Rows]:
        rows = data.rows(predict)
        similarity = cosine(rows[self._image], text)
        k = len(self._prompts)
        if self.protocol == "pos_vs_neg":
            scored = (similarity[:, :k] - similarity[:, k:]) / self.temperature
        elif self.protocol == "positive":
            scored = similarity
        else:
            logits = (similarity - similarity.max(1, keepdims=True)) / self.temperature
            scored = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        scores = np.empty((len(scored), len(self.classes)))
        for column, name in enumerate(self._scored()):
            scores[:, self.classes.index(name)] = scored[:, column]
        if self._derived:
            scores[:, self.classes.index(self._derived)] = -scored.max(1)
        labels = rows[FromBatch("labels")][:, data.label_columns(self.classes)]
        return labels, scores, rows


def top1_accuracy(
    classes: Sequence[str],
    labels: Int[np.ndarray, "n k"],
    scores: Float[np.ndarray, "n k"],
    bootstrap: Bootstrap,
    clusters: Int[np.ndarray, "n"] | None,
) -> dict[str, Any]:
    """Accuracy of the arg-max among records with exactly one positive class, and the confusion.

    Equal largest scores share the hit, so that a constant score gives 1 / classes.
    """
    single = (labels == 1).sum(1) == 1
    truth = labels.argmax(1)
    best = scores == scores.max(1, keepdims=True)
    hit = np.where(single, best[np.arange(len(truth)), truth] / best.sum(1), np.nan)
    confusion = np.zeros((len(classes), len(classes)))
    np.add.at(confusion, truth[single], (best / best.sum(1, keepdims=True))[single])
    accuracy = mean_interval(hit, bootstrap, clusters)
    return {
        "records": int(single.sum()),
        "accuracy": accuracy.to_json(),
        "chance": 1 / len(classes),
        "confusion": {"rows": "truth", "classes": list(classes), "counts": confusion.tolist()},
    }
