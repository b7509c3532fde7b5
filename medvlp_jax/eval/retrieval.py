"""Image-text retrieval: is the report of an image among the k nearest, and the other way round."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaln

from medvlp_jax.eval.base import EvalError, EvalResult, Evaluator, PredictFn
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.embedded import Embedded, FromBatch, Predicted
from medvlp_jax.eval.metrics.bootstrap import Bootstrap, interval, weighted_mean, weighted_median
from medvlp_jax.eval.vectors import cosine

_QUERY_BLOCK = 512
#: Images that the report shows with their nearest texts, and texts of each.
_SHOWN, _ANSWERS = 6, 5


def ranks(
    queries: Float[np.ndarray, "n e"],
    gallery: Float[np.ndarray, "n e"],
    keys: Int[np.ndarray, "n"],
) -> Int[np.ndarray, "n"]:
    """Rank (from 1) of the best correct item for every query.

    An item is correct when it carries the key of the query, so that equal reports of different
    records count for each other. A wrong item with exactly the score of the best correct one
    ranks before it: embeddings that do not tell items apart earn nothing.
    """
    out = np.empty(len(queries), np.int64)
    for start in range(0, len(queries), _QUERY_BLOCK):
        block = slice(start, start + _QUERY_BLOCK)
        similarity = cosine(queries[block], gallery)
        correct = keys[block, None] == keys[None, :]
        best = np.where(correct, similarity, -np.inf).max(1, keepdims=True)
        out[block] = 1 + (~correct & (similarity >= best)).sum(1)
    return out


def chance_recall(keys: Int[np.ndarray, "n"], k: int) -> float:
    """Mean probability that k items drawn without replacement hold a correct one."""
    n = len(keys)
    _, inverse, count = np.unique(keys, return_inverse=True, return_counts=True)
    wrong = n - count[inverse]
    if k >= n:
        return 1.0
    possible = wrong >= k
    w = wrong[possible]
    miss = np.zeros(n)
    # C(wrong, k) / C(n, k) by logarithms: the binomials themselves overflow.
    miss[possible] = np.exp(
        gammaln(w + 1) - gammaln(w - k + 1) - gammaln(n + 1) + gammaln(n - k + 1)
    )
    return float(1 - miss.mean())


class Retrieval:
    """Recall at k and median rank, from images to texts and from texts to images.

    Every record is one query in each direction against all records of the set; its text is the
    one that the batches carry. Records without a text are left out and counted. Intervals resample
    the queries, the gallery stays as it is.

    Args:
      test: the set; its batches carry ``text``, ``text_mask`` and ``text_key``.
      at: the values of k.
      bootstrap: of the intervals.

    Raises:
      EvalError: no two records have different texts; an embedding is not finite.
    """

    reads: ClassVar[tuple[str, ...]] = ("image_embed", "text_embed")
    trains: ClassVar = False
    headline: ClassVar = "image_to_text/r@1"

    def __init__(
        self,
        test: Embedded,
        *,
        at: Sequence[int] = (1, 5, 10),
        bootstrap: Bootstrap | None = None,
    ):
        self.test, self.at = test, tuple(at)
        self.bootstrap = bootstrap or Bootstrap()
        self._image = test.want(Predicted("image_embed"))
        self._text = test.want(Predicted("text_embed"))
        self._key = test.want(FromBatch("text_key"))
        self._mask = test.want(FromBatch("text_mask"))

    @classmethod
    def build(cls, context: Context) -> dict[str, Evaluator]:
        return {"retrieval": cls(context.test, bootstrap=context.config.bootstrap)}

    def __call__(self, predict: PredictFn) -> EvalResult:
        every = self.test.rows(predict)
        rows = every.take(np.flatnonzero(every[self._key] != 0))  # 0: a record without text
        if len(np.unique(rows[self._key])) < 2:
            raise EvalError(
                f"set {self.test.name!r}, split {self.test.split!r}, has nothing to retrieve: "
                f"{len(rows)} of {len(every)} records have a text, and no two differ"
            )
        image, text = rows[self._image], rows[self._text]
        for what, x in (("image", image), ("text", text)):
            bad = np.flatnonzero(~np.isfinite(x).all(1))
            if len(bad):
                raise EvalError(
                    f"the {what} embedding of record {str(rows.ids[bad[0]])!r} is not finite "
                    f"({len(bad)} of {len(x)} records)"
                )
        keys = np.unique(rows[self._key], return_inverse=True)[1]
        clusters = self.test.clusters(rows)
        metrics: dict[str, float] = {}
        directions = {}
        found = {
            "image_to_text": ranks(image, text, keys),
            "text_to_image": ranks(text, image, keys),
        }
        for direction, rank in found.items():
            directions[direction] = self._summary(rank, clusters)
            for k in self.at:
                part = directions[direction][f"r@{k}"]
                metrics[f"{direction}/r@{k}"] = part["value"]
                if self.bootstrap.resamples:
                    metrics[f"{direction}/r@{k}_low"] = part["low"]
                    metrics[f"{direction}/r@{k}_high"] = part["high"]
            metrics[f"{direction}/median_rank"] = float(np.median(rank))
        details = {
            "kind": "retrieval",
            "set": self.test.name,
            "split": self.test.split,
            "records": len(rows),
            "without_text": len(every) - len(rows),
            "texts_full": int(rows[self._mask].all(1).sum()),
            "text_length": rows[self._mask].shape[1],
            "distinct_texts": int(keys.max()) + 1,
            **directions,
            "chance": {f"r@{k}": chance_recall(keys, k) for k in self.at},
            "bootstrap": dataclasses.asdict(self.bootstrap),
        }
        arrays = {f"rank_{d}": r for d, r in found.items()}
        arrays |= {"ids": rows.ids.astype(str), **_examples(image, text, keys)}
        return EvalResult(metrics, details, arrays)

    def _summary(
        self, rank: Int[np.ndarray, "n"], clusters: Int[np.ndarray, "n"] | None
    ) -> dict[str, Any]:
        hits = np.stack([rank <= k for k in self.at], 1).astype(np.float64)
        recalls, medians = [], []
        for counts in self.bootstrap.counts(len(rank), clusters=clusters):
            recalls.append(weighted_mean(hits, counts))
            medians.append(weighted_median(rank.astype(np.float64), counts))
        drawn = np.concatenate(recalls, 1) if recalls else np.zeros((len(self.at), 0))
        median = np.concatenate(medians) if medians else np.zeros(0)
        level = self.bootstrap.level
        out: dict[str, Any] = {
            f"r@{k}": interval(float(hits[:, i].mean()), drawn[i], level).to_json()
            for i, k in enumerate(self.at)
        }
        out["median_rank"] = interval(float(np.median(rank)), median, level).to_json()
        return out


def _examples(
    image: Float[np.ndarray, "n e"], text: Float[np.ndarray, "n e"], keys: Int[np.ndarray, "n"]
) -> dict[str, np.ndarray]:
    """For images evenly spaced over the set the nearest distinct texts, as positions in the set."""
    chosen = np.unique(np.linspace(0, len(image) - 1, min(_SHOWN, len(image))).astype(int))
    first = np.unique(keys, return_index=True)[1]  # a text that several records share counts once
    similarity = cosine(image[chosen], text[first])
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :_ANSWERS]
    return {
        "shown_query": chosen,
        "shown_answer": first[order],
        "shown_similarity": np.take_along_axis(similarity, order, 1),
        "shown_right": keys[first[order]] == keys[chosen, None],
    }
