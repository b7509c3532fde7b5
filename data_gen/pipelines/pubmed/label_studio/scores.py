"""What was found, measured against what a person corrected."""

from typing import Any

import numpy as np

from data_gen.pipelines.pubmed.label_studio.files import Corrections
from data_gen.pipelines.pubmed.match.matched import MatchedFigure
from data_gen.pipelines.pubmed.match.slots import normal
from data_gen.pipelines.pubmed.scores.pairs import count_pairs, score_pairs
from data_gen.pipelines.pubmed.scores.ratios import clusters_of, ratio_intervals
from data_gen.pipelines.pubmed.scores.truth import found_panels, true_figure
from medvlp_jax.eval.metrics.bootstrap import Bootstrap


def score_corrections(
    corrections: Corrections, bootstrap: Bootstrap | None = None
) -> dict[str, Any]:
    """Panels (IoU 0.5), labels and pairs of before, the corrected ones taken as true.

    Returns:
      ``panels`` (precision, recall), ``labels`` (share of true ones read in the right panel),
      ``pairs`` (see :func:`data_gen.pipelines.pubmed.scores.pairs.score_pairs`), intervals over
      articles as JSON; ``tasks``, what became of each. Scores are absent without an annotation.
    """
    bootstrap = bootstrap or Bootstrap()
    out: dict[str, Any] = {"tasks": dict(corrections.counts)}
    if not corrections.after:
        return out
    articles = [one.article.pmcid for one in corrections.after]
    pairs, rows = [], []
    for before, after in zip(corrections.before, corrections.after, strict=True):
        truth = true_figure(after.separated.panels, after.split, after.pairs, after.article.pmcid)
        pairs.append(count_pairs(truth, before.separated, before.split, before.pairs))
        rows.append(_counts(before, after))
    table = np.array(rows, np.float64)
    below = {"precision": table[:, 1], "recall": table[:, 2], "labels": table[:, 4]}
    above = {"precision": table[:, 0], "recall": table[:, 0], "labels": table[:, 3]}
    found = ratio_intervals(above, below, bootstrap, clusters_of(articles))
    told = {name: part.to_json() for name, part in found.items()}
    out["panels"] = {name: told[name] for name in ("precision", "recall")}
    out["labels"] = told["labels"]
    out["pairs"] = score_pairs(pairs, bootstrap, articles)
    return out


def _counts(before: MatchedFigure, after: MatchedFigure) -> tuple[int, int, int, int, int]:
    """Panels right, found, true; labels right, true."""
    truth = true_figure(after.separated.panels, after.split, after.pairs)
    is_true = found_panels(before.separated.panels, truth.panels)
    read = {
        (is_true.get(panel, -1), normal(label.text)) for panel, label in before.separated.labels
    }
    true = {(panel, normal(label.text)) for panel, label in after.separated.labels}
    return (
        len(is_true),
        len(before.separated.panels),
        len(after.separated.panels),
        len(true & read),
        len(true),
    )


def as_lines(scores: dict[str, Any]) -> str:
    """The scores for the terminal."""
    lines = ["tasks: " + ", ".join(f"{n} {word}" for word, n in scores["tasks"].items())]
    if "pairs" not in scores:
        return lines[0]
    shown = {
        "panels, precision": scores["panels"]["precision"],
        "panels, recall": scores["panels"]["recall"],
        "labels read": scores["labels"],
        "pairs, precision": scores["pairs"]["precision"],
        "pairs, recall": scores["pairs"]["recall"],
        "pairs, F1": scores["pairs"]["f1"],
    }
    return "\n".join([*lines, *(f"{name}: {_told(part)}" for name, part in shown.items())])


def _told(part: dict[str, float | None]) -> str:
    if part["value"] is None:
        return "none to measure"
    if part["low"] is None:
        return f"{part['value']:.3f}"
    return f"{part['value']:.3f} ({part['low']:.3f} to {part['high']:.3f})"
