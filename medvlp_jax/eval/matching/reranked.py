"""Two-stage retrieval: the nearest by cosine, then put in order by the match of each pair.

As BLIP measures it (``train_retrieval.py`` of salesforce/BLIP): of every query the ``top`` nearest
by the vectors of whole images and texts get the match logit plus the cosine; what is further away
stays behind them.
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import gammaln

from medvlp_jax.data.texts.choice import text_key
from medvlp_jax.eval.base import Batch, EvalError, EvalResult, Evaluator, PredictFn, TokenizeFn
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.embedded import Embedded, FromBatch, GatherFn, Predicted, apply
from medvlp_jax.eval.metrics.bootstrap import Bootstrap, interval, weighted_mean
from medvlp_jax.eval.vectors import cosine, embed_texts

#: Pairs that go through the cross-attention at a time.
PAIRS = 64
#: What is not among the nearest lies so far below the match logits.
BEHIND = -100.0
DIRECTIONS = ("image_to_text", "text_to_image")


class Gallery(NamedTuple):
    """The texts of a set, each once, and which belong to which image.

    Attributes:
      texts: in the order of the records.
      right: whether a text is one of an image, or says the same as one of them.
    """

    texts: list[str]
    right: Bool[np.ndarray, "images texts"]


def gallery_of(of_records: Sequence[Sequence[str]]) -> Gallery:
    """Equal texts (but for case and spacing) are one text that belongs to several images."""
    place: dict[int, int] = {}
    texts: list[str] = []
    for of_record in of_records:
        for text in of_record:
            if place.setdefault(text_key(text), len(texts)) == len(texts):
                texts.append(text)
    right = np.zeros((len(of_records), len(texts)), bool)
    for row, of_record in zip(right, of_records, strict=True):
        row[[place[text_key(t)] for t in of_record]] = True
    return Gallery(texts, right)


def ranks(scores: Float[np.ndarray, "q g"], right: Bool[np.ndarray, "q g"]) -> Int[np.ndarray, "q"]:
    """Rank (from 1) of the best right answer; a wrong one with the same score is before it."""
    best = np.where(right, scores, -np.inf).max(1, keepdims=True)
    return 1 + (~right & (scores >= best)).sum(1)


def chance(right: Bool[np.ndarray, "q g"], k: int) -> float:
    """Mean probability that k answers drawn without replacement hold a right one."""
    n, wrong = right.shape[1], (~right).sum(1)
    if k >= n:
        return 1.0
    w = wrong[wrong >= k]
    miss = np.exp(gammaln(w + 1) - gammaln(w - k + 1) - gammaln(n + 1) + gammaln(n - k + 1))
    return float(1 - miss.sum() / len(right))


@dataclasses.dataclass(frozen=True)
class AllTexts:
    """The texts of every record, as a list in an object array."""

    def start(self, predict: PredictFn, gather: GatherFn) -> Callable[[Batch], np.ndarray]:
        read = FromBatch("texts").start(predict, gather)

        def lists(batch: Batch) -> np.ndarray:
            found = read(batch)
            out = np.empty(len(found), dtype=object)
            out[:] = [json.loads(text or "[]") for text in found]
            return out

        return lists


class Reranked:
    """Recall at k in both directions, by the vectors alone and after the second stage.

    Metrics: ``image_to_text/r@1`` and its like are those of the second stage, ``.../first_r@1``
    those of the vectors, ``.../gain_r@1`` the paired difference; ``mean_recall`` is the mean of the
    six of the second stage. Intervals resample queries (patients where the set names them).

    Args:
      test: the set; its batches carry ``image``, ``text`` and ``texts``.
      tokenize: from texts to tokens.
      texts: ``first``: one text per image, that of the batches; ``all`` that the record has.
      top: nearest ones that the second stage looks at.
      at: the values of k.
      bootstrap: of the intervals.
    """

    reads: ClassVar[tuple[str, ...]] = ("image_embed", "image_tokens", "text_embed", "match_logit")
    trains: ClassVar = False
    headline: ClassVar = "image_to_text/r@1"

    def __init__(
        self,
        test: Embedded,
        tokenize: TokenizeFn,
        *,
        texts: str = "first",
        top: int = 256,
        at: Sequence[int] = (1, 5, 10),
        bootstrap: Bootstrap | None = None,
    ):
        self.test, self.tokenize, self.texts, self.top = test, tokenize, texts, top
        self.at, self.bootstrap = tuple(at), bootstrap or Bootstrap()
        self._image = test.want(Predicted("image_embed"))
        self._tokens = test.want(Predicted("image_tokens"))
        self._all = test.want(AllTexts())

    @classmethod
    def build(cls, context: Context) -> dict[str, Evaluator]:
        c = context.config
        one = cls(
            context.test,
            context.tokenize,
            texts=c.rerank.texts,
            top=c.rerank.top,
            bootstrap=c.bootstrap,
        )
        return {"reranked": one}

    def __call__(self, predict: PredictFn) -> EvalResult:
        every = self.test.rows(predict)
        rows = every.take(np.flatnonzero([bool(t) for t in every[self._all]]))
        found = rows[self._all] if len(rows) else []
        chosen = [t[:1] if self.texts == "first" else t for t in found]
        gallery = gallery_of(chosen)
        if len(gallery.texts) < 2:
            raise EvalError(
                f"set {self.test.name!r}, split {self.test.split!r}, has nothing to retrieve: "
                f"{len(rows)} of {len(every)} records have a text, and no two differ"
            )
        vectors = embed_texts(predict, self.tokenize, gallery.texts)
        near = cosine(rows[self._image], vectors)
        if not np.isfinite(near).all():
            raise EvalError(f"set {self.test.name!r}: a vector is not finite")
        logits = self._second(predict, rows[self._tokens], gallery.texts, near)
        clusters = self.test.clusters(rows)
        metrics: dict[str, float] = {}
        details: dict[str, Any] = {
            "kind": "reranked",
            "set": self.test.name,
            "split": self.test.split,
            "records": len(rows),
            "without_text": len(every) - len(rows),
            "texts": self.texts,
            "distinct_texts": len(gallery.texts),
            "texts_per_image": float(gallery.right.sum(1).mean()),
            "top": min(self.top, len(gallery.texts)),
            "bootstrap": dataclasses.asdict(self.bootstrap),
        }
        arrays: dict[str, np.ndarray] = {"ids": rows.ids.astype(str)}
        for direction in DIRECTIONS:
            turned = direction == "text_to_image"
            first, right = (near.T, gallery.right.T) if turned else (near, gallery.right)
            second = _in_order(first, logits.T if turned else logits, self.top)
            before, after = ranks(first, right), ranks(second, right)
            arrays |= {f"rank_{direction}": after, f"first_rank_{direction}": before}
            groups = clusters
            if turned and clusters is not None:  # a text goes with its first image
                groups = clusters[gallery.right.argmax(0)]
            table = self._summary(after, before, groups)
            details[direction] = table | {"chance": {f"r@{k}": chance(right, k) for k in self.at}}
            for k in self.at:
                for name in (f"r@{k}", f"first_r@{k}", f"gain_r@{k}"):
                    part = table[name]
                    metrics[f"{direction}/{name}"] = part["value"]
                    if self.bootstrap.resamples:
                        metrics[f"{direction}/{name}_low"] = part["low"]
                        metrics[f"{direction}/{name}_high"] = part["high"]
                metrics[f"{direction}/chance_r@{k}"] = chance(right, k)
        shown = [metrics[f"{d}/r@{k}"] for d in DIRECTIONS for k in self.at]
        metrics["mean_recall"] = float(np.mean(shown))
        return EvalResult(metrics, details, arrays)

    def _second(
        self,
        predict: PredictFn,
        tokens: Float[np.ndarray, "i n d"],
        texts: Sequence[str],
        near: Float[np.ndarray, "i t"],
    ) -> Float[np.ndarray, "i t"]:
        """Match logits of all pairs that one of the directions needs; NaN for the others."""
        needed = _nearest(near, self.top) | _nearest(near.T, self.top).T
        images, others = np.nonzero(needed)
        ids, mask = self.tokenize(list(texts))
        out = np.full(near.shape, np.nan)
        for start in range(0, len(images), PAIRS):
            take = np.minimum(np.arange(start, start + PAIRS), len(images) - 1)
            i, t = images[take], others[take]
            batch = {"image_tokens": tokens[i], "text": ids[t], "text_mask": mask[t]}
            # Every process passes all pairs, so that the first rows are theirs.
            out[i, t] = apply(predict, "match_logit", batch)[:PAIRS]
        return out

    def _summary(
        self,
        after: Int[np.ndarray, "q"],
        before: Int[np.ndarray, "q"],
        clusters: Int[np.ndarray, "q"] | None,
    ) -> dict[str, Any]:
        names, columns = [], []
        for k in self.at:
            second, first = (after <= k).astype(np.float64), (before <= k).astype(np.float64)
            names += [f"r@{k}", f"first_r@{k}", f"gain_r@{k}"]
            columns += [second, first, second - first]
        values = np.stack(columns, 1)
        drawn = [
            weighted_mean(values, counts)
            for counts in self.bootstrap.counts(len(values), clusters=clusters)
        ]
        samples = np.concatenate(drawn, 1) if drawn else np.zeros((len(names), 0))
        level = self.bootstrap.level
        return {
            name: interval(float(values[:, i].mean()), samples[i], level).to_json()
            for i, name in enumerate(names)
        }


def _nearest(near: Float[np.ndarray, "q g"], top: int) -> Bool[np.ndarray, "q g"]:
    """The ``top`` nearest of every row; of equal ones the first."""
    out = np.zeros(near.shape, bool)
    order = np.argsort(-near, axis=1, kind="stable")[:, :top]
    np.put_along_axis(out, order, True, axis=1)
    return out


def _in_order(
    near: Float[np.ndarray, "q g"], logits: Float[np.ndarray, "q g"], top: int
) -> Float[np.ndarray, "q g"]:
    """Scores of the second stage: logit plus cosine for the nearest, the others by cosine alone,
    behind all of them."""
    chosen = _nearest(near, top)
    second = np.where(chosen, logits, 0.0) + near
    lowest = float(second[chosen].min()) if chosen.any() else 0.0
    return np.where(chosen, second, near + min(BEHIND, lowest - 3.0))
