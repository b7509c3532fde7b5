"""Screening against the truth: precision and recall by text, medical against not by picture."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from data_gen.pipelines.pubmed.scores.ratios import ratio_intervals
from data_gen.pipelines.pubmed.screen.classes import CLASSES, MEDICAL
from data_gen.pipelines.pubmed.screen.images import PictureVerdict
from medvlp_jax.eval.metrics.bootstrap import Bootstrap, Interval

DEFAULT = Bootstrap()


@dataclasses.dataclass(frozen=True)
class Kept:
    """How well what was kept agrees with what is wanted.

    Attributes:
      precision: wanted among what was kept.
      recall: kept among what is wanted.
      accuracy: right verdicts among all.
      count: things that were judged.
      missed, mistaken: places of wanted things that were dropped, and of others that were kept.
    """

    precision: Interval
    recall: Interval
    accuracy: Interval
    count: int
    missed: tuple[int, ...]
    mistaken: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        names = ("precision", "recall", "accuracy")
        return {name: getattr(self, name).to_json() for name in names} | {
            "count": self.count,
            "missed": len(self.missed),
            "mistaken": len(self.mistaken),
        }


def score_kept(
    kept: Sequence[bool],
    wanted: Sequence[bool],
    bootstrap: Bootstrap = DEFAULT,
    clusters: Int[np.ndarray, "n"] | None = None,
) -> Kept:
    """Compares verdicts with the truth.

    Args:
      kept, wanted: of articles, of figures or of pictures, in one order.
      bootstrap: how the intervals are drawn.
      clusters: of each; whole clusters (the figures of an article) are drawn.

    Raises:
      ValueError: the two are not equally many.
    """
    if len(kept) != len(wanted):
        raise ValueError(f"{len(kept)} verdicts on {len(wanted)} things")
    k, w = np.asarray(kept, bool), np.asarray(wanted, bool)
    both, right = (k & w).astype(float), (k == w).astype(float)
    above = {"precision": both, "recall": both, "accuracy": right}
    below = {"precision": k.astype(float), "recall": w.astype(float), "accuracy": np.ones(len(k))}
    found = ratio_intervals(above, below, bootstrap, clusters)
    missed, mistaken = np.flatnonzero(w & ~k), np.flatnonzero(k & ~w)
    return Kept(
        found["precision"],
        found["recall"],
        found["accuracy"],
        len(k),
        tuple(missed.tolist()),
        tuple(mistaken.tolist()),
    )


@dataclasses.dataclass(frozen=True)
class PictureScores:
    """How well pictures were told apart.

    Attributes:
      medical: medical against not.
      kinds: share of pictures whose very class was found; NaN for a back end without classes.
      confusion: (true class, class that was found) -> pictures.
    """

    medical: Kept
    kinds: Interval
    confusion: dict[tuple[str, str], int]

    def as_json(self) -> dict[str, Any]:
        table: dict[str, dict[str, int]] = {}
        for (true, found), count in sorted(self.confusion.items()):
            table.setdefault(true, {})[found] = count
        return {
            "medical": self.medical.as_json(),
            "kinds": self.kinds.to_json(),
            "confusion": table,
        }


def score_pictures(
    verdicts: Sequence[PictureVerdict],
    kinds: Sequence[str],
    bootstrap: Bootstrap = DEFAULT,
    clusters: Int[np.ndarray, "n"] | None = None,
) -> PictureScores:
    """Compares verdicts about pictures with their classes.

    Args:
      verdicts: of a screen that keeps the medical classes.
      kinds: the class of each picture.
      clusters: of each: pictures of one patient are not independent.
    """
    wanted = [kind in MEDICAL for kind in kinds]
    found = [max(v.scores, key=lambda k: v.scores[k]) if v.scores else v.kind for v in verdicts]
    same = np.array([a == b for a, b in zip(found, kinds, strict=True)], float)
    judged = np.array([name in CLASSES for name in found], float)
    right = ratio_intervals({"x": same}, {"x": judged}, bootstrap, clusters)["x"]
    confusion = Counter(zip(kinds, found, strict=True))
    medical = score_kept([v.keep for v in verdicts], wanted, bootstrap, clusters)
    return PictureScores(medical, right, dict(confusion))


def confusion_table(scores: PictureScores) -> str:
    """The confusion matrix as lines of text; rows are the true classes."""
    rows = sorted({true for true, _ in scores.confusion})
    columns = sorted({found for _, found in scores.confusion})
    width = max(map(len, rows)) + 1
    short = [name[:9] for name in columns]
    lines = [" " * width + " ".join(f"{name:>9}" for name in short)]
    for true in rows:
        counts = (scores.confusion.get((true, found), 0) for found in columns)
        lines.append(f"{true:<{width}}" + " ".join(f"{n or '.':>9}" for n in counts))
    return "\n".join(lines)
