"""Captions that a model writes, against the texts of the records."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from medvlp_jax.core.config import ConfigError
from medvlp_jax.data.texts.tokenizer import Tokenizer
from medvlp_jax.eval.base import Batch, EvalError, EvalResult, Evaluator, PredictFn
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.embedded import Embedded, GatherFn, apply
from medvlp_jax.eval.matching.reranked import AllTexts
from medvlp_jax.eval.metrics.bootstrap import Bootstrap, interval, weighted_mean
from medvlp_jax.eval.metrics.captions import bleu, bleu_counts, rouge_l

#: Captions that results.json quotes, evenly spaced over the set.
_SHOWN = 12


@dataclasses.dataclass(frozen=True)
class Written:
    """Token ids of the caption of every record; ``end`` is the token that ends a text."""

    end: int

    def start(self, predict: PredictFn, gather: GatherFn) -> Callable[[Batch], np.ndarray]:
        def read(batch: Batch) -> np.ndarray:
            rows = len(batch["valid"])
            return apply(predict, "caption", {**batch, "end": np.full(rows, self.end, np.int32)})

        return read


class Captioning:
    """ROUGE-L and BLEU-4 of the captions, with what needs no image beside them.

    ``*_commonest`` says the commonest first text of the set of every image, ``*_other`` the text of
    the record that follows: what the words of the set alone are worth. With several texts of a
    record the best counts.

    Args:
      test: the set; its batches carry ``image`` and ``texts``.
      tokenizer: of the model.
      bootstrap: of the intervals.

    Raises:
      ConfigError: the tokenizer has no token that ends a text.
    """

    reads: ClassVar[tuple[str, ...]] = ("caption",)
    trains: ClassVar = False
    headline: ClassVar = "rouge_l"

    def __init__(self, test: Embedded, tokenizer: Tokenizer, bootstrap: Bootstrap | None = None):
        if tokenizer.end_id is None:
            raise ConfigError(
                f"captions need a token that ends a text, and the tokenizer {tokenizer.name!r} has "
                "none; give one with [SEP] in config.data.text.tokenizer"
            )
        self.test, self.tokenizer = test, tokenizer
        self.bootstrap = bootstrap or Bootstrap()
        self._all = test.want(AllTexts())
        self._written = test.want(Written(tokenizer.end_id))

    @classmethod
    def build(cls, context: Context) -> dict[str, Evaluator]:
        return {
            "captioning": cls(context.test, context.tokenize.tokenizer, context.config.bootstrap)
        }

    def __call__(self, predict: PredictFn) -> EvalResult:
        every = self.test.rows(predict)
        rows = every.take(np.flatnonzero([bool(t) for t in every[self._all]]))
        if len(rows) < 2:
            raise EvalError(
                f"set {self.test.name!r}, split {self.test.split!r}: {len(rows)} of {len(every)} "
                "records have a text; captions need two"
            )
        texts = list(rows[self._all])
        said = [self._text(ids) for ids in rows[self._written]]
        commonest = Counter(t[0] for t in texts).most_common(1)[0][0]
        systems = {
            "": said,
            "_commonest": [commonest] * len(texts),
            "_other": [t[0] for t in (*texts[1:], texts[0])],
        }
        clusters = self.test.clusters(rows)
        metrics: dict[str, float] = {}
        table: dict[str, Any] = {}
        for name, captions in systems.items():
            for key, part in self._scores(captions, texts, clusters).items():
                table[f"{key}{name}"] = part
                metrics[f"{key}{name}"] = part["value"]
                if not name and self.bootstrap.resamples:
                    metrics[f"{key}_low"], metrics[f"{key}_high"] = part["low"], part["high"]
        metrics["distinct"] = len(set(said)) / len(said)
        shown = np.unique(np.linspace(0, len(rows) - 1, min(_SHOWN, len(rows))).astype(int))
        details = {
            "kind": "captioning",
            "set": self.test.name,
            "split": self.test.split,
            "records": len(rows),
            "without_text": len(every) - len(rows),
            "scores": table,
            "distinct": metrics["distinct"],
            "shown": [
                {"id": str(rows.ids[i]), "said": said[i], "text": texts[i][0]} for i in shown
            ],
            "bootstrap": dataclasses.asdict(self.bootstrap),
        }
        return EvalResult(metrics, details, {"ids": rows.ids.astype(str), "said": np.array(said)})

    def _text(self, ids: np.ndarray) -> str:
        ends = np.flatnonzero(ids == self.tokenizer.end_id)
        return self.tokenizer.decode(ids[: ends[0]] if len(ends) else ids)

    def _scores(
        self, said: Sequence[str], texts: Sequence[Sequence[str]], clusters: Any
    ) -> dict[str, Any]:
        rouge = np.array([rouge_l(a, b) for a, b in zip(said, texts, strict=True)])
        counts = np.stack([bleu_counts(a, b) for a, b in zip(said, texts, strict=True)])
        drawn: list[list[np.ndarray]] = [[], []]
        for weights in self.bootstrap.counts(len(rouge), clusters=clusters):
            drawn[0].append(weighted_mean(rouge, weights))
            drawn[1].append(bleu(weights.T @ counts))
        level = self.bootstrap.level
        return {
            name: interval(
                value, np.concatenate(samples) if samples else np.zeros(0), level
            ).to_json()
            for name, value, samples in (
                ("rouge_l", float(rouge.mean()), drawn[0]),
                ("bleu_4", float(bleu(counts.sum(0))), drawn[1]),
            )
        }
