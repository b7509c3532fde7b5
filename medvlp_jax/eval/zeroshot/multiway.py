"""One of several classes: the arg-max of the scores, and balanced subsets to measure it on."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from medvlp_jax.eval.base import EvalError
from medvlp_jax.eval.metrics.bootstrap import Bootstrap, interval, mean_interval, weighted_mean
from medvlp_jax.eval.metrics.scores import mean_defined
from medvlp_jax.eval.zeroshot.promptbank import NO_FINDING


def multiway(
    classes: Sequence[str],
    labels: Int[np.ndarray, "n k"],
    scores: Float[np.ndarray, "n k"],
    bootstrap: Bootstrap,
    clusters: Int[np.ndarray, "n"] | None,
) -> dict[str, Any]:
    """Accuracy of the arg-max among records with exactly one positive class, and the confusion.

    ``accuracy`` counts records, ``balanced_accuracy`` is the mean over the classes that occur of
    the accuracy among their records; on a balanced set they are equal. Equal largest scores share
    the hit, so that a constant score gives 1 / classes. NaN where no record has one class.
    """
    single, truth, best, hit = arg_max_hits(labels, scores)
    confusion = np.zeros((len(classes), len(classes)))
    np.add.at(confusion, truth[single], (best / best.sum(1, keepdims=True))[single])
    accuracy = mean_interval(hit, bootstrap, clusters)

    of_class = np.where(truth[:, None] == np.arange(len(classes)), hit[:, None], np.nan)
    recalls = mean_defined(of_class)
    drawn = [weighted_mean(of_class, c) for c in bootstrap.counts(len(hit), clusters=clusters)]
    samples = np.concatenate(drawn, 1) if drawn else np.zeros((len(classes), 0))
    occurs = np.isfinite(recalls)
    balanced = mean_defined(samples[occurs]) if samples.size and occurs.any() else np.zeros(0)
    return {
        "records": int(single.sum()),
        "depends_on_classes": f"One of the {len(classes)} classes named; of other classes, another "
        "accuracy.",
        "accuracy": accuracy.to_json(),
        "balanced_accuracy": interval(
            float(mean_defined(recalls)), balanced, bootstrap.level
        ).to_json(),
        "recall": {
            name: interval(float(recalls[k]), samples[k], bootstrap.level).to_json()
            for k, name in enumerate(classes)
        },
        "chance": 1 / len(classes),
        "confusion": {"rows": "truth", "classes": list(classes), "counts": confusion.tolist()},
    }


class Hits(NamedTuple):
    """The arg-max beside the truth.

    Attributes:
      single: whether a record has exactly one positive class.
      truth: that class; of other records the first that is positive, or 0.
      best: whether a class has the largest score of a record.
      hit: 1 where the truth is the one largest, a share where several are; NaN of other records.
    """

    single: Bool[np.ndarray, "n"]
    truth: Int[np.ndarray, "n"]
    best: Bool[np.ndarray, "n k"]
    hit: Float[np.ndarray, "n"]


def arg_max_hits(labels: Int[np.ndarray, "n k"], scores: Float[np.ndarray, "n k"]) -> Hits:
    """Whether the largest score of every record is that of its only class."""
    single = (labels == 1).sum(1) == 1
    truth = (labels == 1).argmax(1)
    best = scores == scores.max(1, keepdims=True)
    hit = np.where(single, best[np.arange(len(truth)), truth] / best.sum(1), np.nan)
    return Hits(single, truth, best, hit)


def exclusive_subset(
    names: Sequence[str],
    labels: Int[np.ndarray, "n l"],
    classes: Sequence[str],
    per_class: int,
    seed: int,
    set_name: str,
) -> Int[np.ndarray, "m"]:
    """``per_class`` records of each class that are positive for it and for nothing else.

    A record qualifies when one of ``classes`` is positive and every other label is negative or was
    never judged; an uncertain one disqualifies it (the recipe of CheXpert5x200: after filling the
    gaps with 0, all other labels are 0). ``no finding`` is a class like the others where it is one
    of ``classes``, and is not looked at where it is not.

    Returns:
      Row numbers in the order of the set.

    Raises:
      EvalError: a class has too few such records; all counts are given.
    """
    looked = [i for i, name in enumerate(names) if name in classes or name != NO_FINDING]
    values = np.asarray(labels)[:, looked]
    alone = ((values == 1).sum(1) == 1) & ~(values == -1).any(1)
    rng = np.random.default_rng(seed)
    members = {c: np.flatnonzero(alone & (labels[:, names.index(c)] == 1)) for c in classes}
    short = {c: len(m) for c, m in members.items() if len(m) < per_class}
    if short:
        have = ", ".join(f"{c} {n}" for c, n in short.items())
        raise EvalError(
            f"set {set_name!r} has too few records of one class alone for per_class={per_class}: "
            f"{have}; lower it, or leave these classes out"
        )
    drawn = [rng.choice(m, per_class, replace=False) for m in members.values()]
    return np.sort(np.concatenate(drawn))
