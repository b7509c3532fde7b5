"""Scores of separation and of labels, against numbers counted by hand."""

import numpy as np
import pytest

from data_gen.pipelines.pubmed.base import ReadLabel, Region, Separated
from data_gen.pipelines.pubmed.scores.figures import (
    DrawnFigure,
    average_precision,
    clef_accuracy,
    label_counts,
    ratio,
    score_figures,
)
from medvlp_jax.eval.metrics.bootstrap import Bootstrap

HALVES = np.array([[0, 0, 0.5, 1], [0.5, 0, 1, 1]])
INK = np.array([[0.01, 0.01, 0.04, 0.05], [0.51, 0.01, 0.54, 0.05]])
NONE = np.zeros((0, 4))


def drawn(decoys=NONE):
    return DrawnFigure(HALVES, ("A", "B"), INK, ("A", "B"), decoys)


def regions(boxes, scores=None):
    scores = [1.0] * len(boxes) if scores is None else scores
    return tuple(Region(*map(float, b), s) for b, s in zip(boxes, scores, strict=True))


def separated(texts, decoy=None, score=0.9):
    labels = [
        (i, ReadLabel(t, Region(*map(float, INK[i])), score)) for i, t in enumerate(texts) if t
    ]
    if decoy is not None:
        labels.append((0, ReadLabel("R", Region(*map(float, decoy)), score)))
    return Separated(100, 100, regions(HALVES), tuple(labels))


def test_imageclef_accuracy_counts_matches_over_the_larger_number():
    assert clef_accuracy(HALVES, HALVES) == 1
    assert clef_accuracy(HALVES, HALVES[:1]) == 0.5
    whole = np.array([[0, 0, 1, 1.0]])
    assert clef_accuracy(HALVES, whole) == 0  # half of it lies in each
    thirds = np.array([[0, 0, 0.5, 0.5], [0, 0.5, 0.5, 1], [0.5, 0, 1, 1.0]])
    assert clef_accuracy(HALVES, thirds) == pytest.approx(2 / 3)
    assert clef_accuracy(HALVES, np.array([[0.1, 0, 0.4, 1], [0.3, 0, 0.9, 1.0]])) == 1.0
    assert clef_accuracy(HALVES, NONE) == 0


def test_average_precision_over_figures():
    truth = [drawn(), drawn()]
    all_found = average_precision(truth, [regions(HALVES)] * 2, Bootstrap(resamples=50))
    assert all_found.value == 1
    # Best first: a hit, a miss, a hit; the fourth box is never found.
    first = regions([HALVES[0], [0, 0, 0.1, 0.1]], [0.9, 0.8])
    second = regions([HALVES[1]], [0.7])
    found = average_precision(truth, [first, second], Bootstrap(resamples=50))
    assert found.value == pytest.approx((1 + 2 / 3) / 4)
    assert found.low <= found.value <= found.high


def test_label_counts():
    decoy = np.array([[0.2, 0.2, 0.25, 0.25]])
    right = label_counts(drawn(decoy), separated(["A", "B"]))
    assert (right.read, right.placed, right.taken, right.wrong) == (2, 2, 0, 0)
    wrong = label_counts(drawn(decoy), separated(["A", "8"], decoy[0]))
    assert (wrong.drawn, wrong.read, wrong.decoys, wrong.taken) == (2, 1, 1, 1)
    assert (wrong.accepted, wrong.wrong) == (3, 2)
    unsure = label_counts(drawn(decoy), separated(["A", "B"], decoy[0], score=0.29))
    assert (unsure.read, unsure.taken, unsure.accepted) == (0, 0, 0)
    other_case = label_counts(drawn(), separated(["a", "B"]))
    assert other_case.read == 1


def test_ratios_and_the_whole_table():
    found = ratio(np.array([1, 3]), np.array([2, 4]), Bootstrap(resamples=200))
    assert found.value == pytest.approx(4 / 6)
    assert 0.5 <= found.low <= found.high <= 0.75
    table = score_figures(
        [drawn()] * 3, [separated(["A", "B"])] * 3, [regions([[0, 0, 1, 1]])] * 3,
        Bootstrap(resamples=20),
    )  # fmt: skip
    assert table["counts"] == {"figures": 3, "panels": 6, "labels": 6, "decoys": 0}
    assert table["scores"]["panels mAP@0.5"]["value"] == 1
    assert table["scores"]["panels mAP@0.5, XY-cut"]["value"] == 0.5
    assert table["scores"]["decoys taken for labels"]["value"] is None
