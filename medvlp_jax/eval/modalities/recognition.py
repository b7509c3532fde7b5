"""Zero-shot recognition of the modality: which of several kinds of image is it."""

import dataclasses
from collections import Counter
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from medvlp_jax.eval.base import EvalError, EvalResult, Evaluator, PredictFn, TokenizeFn
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.embedded import Embedded
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.modalities.parts import MODALITY
from medvlp_jax.eval.zeroshot.class_scores import ClassScores
from medvlp_jax.eval.zeroshot.multiway import multiway
from medvlp_jax.eval.zeroshot.promptbank import PromptBank, load_bank
from medvlp_jax.eval.zeroshot.recipes import Recipe

#: How an image is scored: a softmax over the mean embeddings of each modality's prompts.
RECIPE = Recipe("multiclass")
#: Failing images that are shown of one modality.
_SHOWN = 6


class Recognition:
    """Accuracy of the most likely modality among all of a prompt bank.

    The truth is the modality of the record's image. Records whose modality the bank does not have
    are left out and counted.

    Args:
      test: the set; its batches carry ``modality``.
      bank: prompts whose classes are modalities, as records name them.
      tokenize: of the text tower.
      bootstrap: of the intervals.

    Raises:
      EvalError: no record has a modality of the bank.
    """

    reads: ClassVar[tuple[str, ...]] = ("image_embed", "text_embed")
    trains: ClassVar = False
    headline: ClassVar = "accuracy"

    def __init__(
        self,
        test: Embedded,
        bank: PromptBank,
        tokenize: TokenizeFn,
        bootstrap: Bootstrap | None = None,
    ):
        self.test, self.bootstrap = test, bootstrap or Bootstrap()
        self.class_scores = ClassScores(tuple(bank.classes), bank, RECIPE, tokenize)
        self._column = test.want(self.class_scores.column())
        test.want(MODALITY)

    @classmethod
    def build(cls, context: Context) -> dict[str, Evaluator]:
        bank = load_bank(context.config.modality_prompts)
        return {"modality": cls(context.test, bank, context.tokenize, context.config.bootstrap)}

    def __call__(self, predict: PredictFn) -> EvalResult:
        names = self.class_scores.classes
        every = self.test.rows(predict)
        said = np.asarray(every[MODALITY], str)
        known = np.flatnonzero(np.isin(said, names))
        left = Counter(map(str, said[~np.isin(said, names)]))
        if not len(known):
            raise EvalError(
                f"set {self.test.name!r}, split {self.test.split!r}, has no record of a modality "
                f"that prompt bank {self.class_scores.bank.name!r} knows ({', '.join(names)}); it "
                f"has {', '.join(repr(m) for m in left)}"
            )
        rows = every.take(known)
        scores = self.class_scores(rows[self._column], self.class_scores.text(predict))
        labels = (said[known][:, None] == np.array(names)).astype(int)
        clusters = self.test.clusters(rows)
        found = multiway(names, labels, scores, self.bootstrap, clusters)
        metrics = {}
        for key in ("accuracy", "balanced_accuracy"):
            for end, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
                metrics[f"{key}{suffix}"] = _number(found[key][end])
        metrics |= {f"recall/{m}": _number(found["recall"][m]["value"]) for m in names}
        details = {
            "kind": "modality",
            "set": self.test.name,
            "split": self.test.split,
            "records": len(rows),
            "left_out": {name or "(none named)": n for name, n in sorted(left.items())},
            "top1": found,
            **self.class_scores.describe(),
            "bootstrap": dataclasses.asdict(self.bootstrap)
            | {"patients": None if clusters is None else len(np.unique(clusters))},
        }
        arrays = {"ids": rows.ids.astype(str), "labels": labels, "scores": scores}
        return EvalResult(metrics, details, arrays | _mistakes(labels, scores, known))


def _mistakes(
    labels: Int[np.ndarray, "n k"], scores: Float[np.ndarray, "n k"], at: Int[np.ndarray, "n"]
) -> dict[str, Any]:
    """Of each modality the images that are most surely taken for another one.

    ``mistaken``: rows; ``mistaken_at``: their positions in the set; ``mistaken_as``: the class.
    """
    truth, called = labels.argmax(1), scores.argmax(1)
    gap = scores.max(1) - scores[np.arange(len(scores)), truth]
    chosen = [
        i
        for k in range(labels.shape[1])
        for i in sorted(np.flatnonzero((truth == k) & (gap > 0)), key=lambda i: -gap[i])[:_SHOWN]
    ]
    rows = np.array(chosen, int)
    return {"mistaken": rows, "mistaken_at": at[rows], "mistaken_as": called[rows]}


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
