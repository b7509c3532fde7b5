"""From a scored set to a result: subgroups, and two scorings of the same records in pairs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from medvlp_jax.eval.base import EvalError, EvalResult
from medvlp_jax.eval.embedded import Embedded, FromBatch, Rows
from medvlp_jax.eval.metrics.bootstrap import AucCounts, Bootstrap, interval
from medvlp_jax.eval.metrics.classify import score_classes
from medvlp_jax.eval.metrics.scores import ThresholdRule, mean_defined


def classification_result(
    data: Embedded,
    rows: Rows,
    classes: Sequence[str],
    labels: Int[np.ndarray, "n k"],
    scores: Float[np.ndarray, "n k"],
    *,
    bootstrap: Bootstrap,
    subgroups: Sequence[str],
    threshold_rule: ThresholdRule,
    validation: Embedded | None,
    validation_scores: tuple[Int[np.ndarray, "m k"], Float[np.ndarray, "m k"]] | None,
    protocol: dict[str, Any],
) -> EvalResult:
    """The result of an evaluator that scores classes: table, subgroups, arrays.

    ``protocol`` says how the scores were made and joins the details; the other arguments are
    those of :func:`~medvlp_jax.eval.metrics.classify.score_classes`. The arrays hold ``ids``,
    ``labels``, ``scores``, ROC curves with bands, and ``clusters`` where patients are known.

    Raises:
      EvalError: no class has both a positive and a negative.
    """
    clusters = data.clusters(rows)
    table = score_classes(
        classes,
        labels,
        scores,
        ids=rows.ids,
        bootstrap=bootstrap,
        validation=validation_scores,
        threshold_rule=threshold_rule,
        clusters=clusters,
    )
    if not table.details["macro"]["classes"]:
        raise EvalError(
            f"set {data.name!r}, split {data.split!r}, has nothing to score: no class of "
            f"{', '.join(classes) or 'none'} has a positive and a negative record"
        )
    groups = {}
    for column in subgroups:
        if FromBatch(column) in rows and len(set(rows[FromBatch(column)])) > 1:
            groups[column] = score_groups(
                classes, labels, scores, rows[FromBatch(column)], rows.ids, bootstrap, clusters
            )
    named = None if validation is None else f"{validation.name}, split {validation.split}"
    origin = {"set": data.name, "split": data.split, "validation": named}
    arrays = {
        "ids": rows.ids.astype(str),
        "labels": labels,
        "scores": scores,
        **{f"roc_{k}": v for k, v in table.roc.items()},
    }
    if clusters is not None:
        arrays["clusters"] = clusters
    details = origin | protocol | table.details | {"subgroups": groups}
    return EvalResult(table.metrics, details, arrays)


def score_groups(
    classes: Sequence[str],
    labels: Int[np.ndarray, "n k"],
    scores: Float[np.ndarray, "n k"],
    group: Sequence[str] | np.ndarray,
    ids: Sequence[str] | np.ndarray,
    bootstrap: Bootstrap,
    clusters: Int[np.ndarray, "n"] | None,
) -> dict[str, Any]:
    """AUC and AP of each subgroup: ``{value: {"records", "macro", "classes"}}``."""
    out = {}
    for value in sorted(set(group)):
        member = np.array([g == value for g in group])
        part = score_classes(
            classes,
            labels[member],
            scores[member],
            ids=np.asarray(ids, object)[member],
            bootstrap=bootstrap,
            clusters=None if clusters is None else clusters[member],
            bands=False,
        ).details
        out[value or "(unknown)"] = {
            "records": int(member.sum()),
            "macro": {k: part["macro"][k] for k in ("auc", "ap", "classes", "undefined")},
            "classes": {
                row["name"]: {k: row[k] for k in ("positives", "negatives", "auc", "ap")}
                for row in part["classes"]
            },
        }
    return out


def paired_auc(
    classes: Sequence[str],
    labels: Int[np.ndarray, "n k"],
    scores: Float[np.ndarray, "n k"],
    other: Float[np.ndarray, "n k"],
    *,
    bootstrap: Bootstrap,
    clusters: Int[np.ndarray, "n"] | None = None,
) -> dict[str, Any]:
    """AUC of ``scores`` minus AUC of ``other``, with the interval of the difference.

    Both are evaluated on the same resamples, per class and for the macro mean. Returns
    ``{"macro": {value, low, high}, "classes": {name: {value, low, high}}}``.
    """
    if not labels.shape == scores.shape == other.shape:
        raise ValueError(
            f"labels {labels.shape}, scores {scores.shape} and {other.shape} differ in shape"
        )
    pairs = [
        (AucCounts(y, a), AucCounts(y, b))
        for y, a, b in zip(labels.T, scores.T, other.T, strict=True)
    ]

    def difference(counts: np.ndarray) -> np.ndarray:
        return np.stack([a(counts) - b(counts) for a, b in pairs])

    values = difference(np.ones((len(labels), 1), np.int32))[:, 0]
    chunks = [difference(c) for c in bootstrap.counts(len(labels), clusters=clusters)]
    drawn = np.concatenate(chunks, 1) if chunks else np.full((len(values), 0), np.nan)
    macro_drawn = mean_defined(drawn[np.isfinite(values)])
    return {
        "macro": interval(float(mean_defined(values)), macro_drawn, bootstrap.level).to_json(),
        "classes": {
            name: interval(values[c], drawn[c], bootstrap.level).to_json()
            for c, name in enumerate(classes)
        },
    }


def comparable(model: EvalResult, other: EvalResult) -> bool:
    """Whether two results score the same classes on the same records.

    They need not, on the same set: one of them may have looked at a balanced subset of it.
    """
    names = [[row["name"] for row in r.details["classes"]] for r in (model, other)]
    return names[0] == names[1] and np.array_equal(model.arrays["ids"], other.arrays["ids"])


def compare(model: EvalResult, other: EvalResult, bootstrap: Bootstrap) -> dict[str, Any]:
    """:func:`paired_auc` of two results on the same set, for instance a model and a rule.

    Raises:
      ValueError: the results are of different records, labels or classes.
    """
    classes = [row["name"] for row in model.details["classes"]]
    if classes != [row["name"] for row in other.details["classes"]]:
        raise ValueError("the two results score different classes")
    for key in ("ids", "labels"):
        if not np.array_equal(model.arrays[key], other.arrays[key]):
            raise ValueError(f"the two results were not scored on the same records: {key} differ")
    return paired_auc(
        classes,
        model.arrays["labels"],
        model.arrays["scores"],
        other.arrays["scores"],
        bootstrap=bootstrap,
        clusters=model.arrays.get("clusters"),
    )
