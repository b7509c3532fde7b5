"""Scores of a class against scikit-learn and short loops; undefined and broken input."""

import numpy as np
import pytest
from sklearn import metrics as sk

from medvlp_jax.eval.metrics import scores
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.metrics.classify import ROC_GRID, score_classes

OFF = Bootstrap(resamples=0)


def _case(seed: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 80))
    y = rng.integers(0, 2, n)
    y[:2] = 0, 1
    s = rng.normal(size=n) + y
    return y, np.round(s * 2) / 2 if ties else s


CASES = [(seed, ties) for seed in range(8) for ties in (False, True)]


@pytest.mark.parametrize(("seed", "ties"), CASES)
def test_equal_scikit_learn(seed, ties):
    y, s = _case(seed, ties)
    assert scores.roc_auc(y, s) == pytest.approx(sk.roc_auc_score(y, s), abs=1e-12)
    assert scores.average_precision(y, s) == pytest.approx(
        sk.average_precision_score(y, s), abs=1e-12
    )
    for t in (s.min(), np.median(s), s.max(), s.max() + 1):
        got = scores.at_threshold(y, s, t)
        called = s >= t
        assert got["f1"] == pytest.approx(sk.f1_score(y, called, zero_division=0))
        assert got["accuracy"] == pytest.approx(sk.accuracy_score(y, called))
        assert got["sensitivity"] == pytest.approx(sk.recall_score(y, called))
        assert got["specificity"] == pytest.approx(sk.recall_score(1 - y, ~called))
        assert got["precision"] == pytest.approx(sk.precision_score(y, called, zero_division=0))
        assert got["mcc"] == pytest.approx(sk.matthews_corrcoef(y, called), abs=1e-12)
        assert got["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(y, called))


@pytest.mark.parametrize(("seed", "ties"), CASES)
def test_thresholds_are_the_best_of_all(seed, ties):
    y, s = _case(seed, ties)
    candidates = [scores.at_threshold(y, s, t) for t in np.unique(s)]
    youden = scores.at_threshold(y, s, scores.choose_threshold(y, s, "youden"))
    assert youden["sensitivity"] + youden["specificity"] == pytest.approx(
        max(c["sensitivity"] + c["specificity"] for c in candidates)
    )
    best, threshold = scores.f1_oracle(y, s)
    precision, recall, _ = sk.precision_recall_curve(y, s)
    with np.errstate(invalid="ignore"):
        assert best == pytest.approx(np.nanmax(2 * precision * recall / (precision + recall)))
    assert best == scores.at_threshold(y, s, threshold)["f1"]
    oracles = scores.oracles(y, s)
    assert oracles["accuracy_oracle"] == pytest.approx(sk.accuracy_score(y, s >= threshold))
    matthews = [sk.matthews_corrcoef(y, s >= t) for t in np.unique(s)]
    assert oracles["mcc_oracle"] == pytest.approx(max(matthews), abs=1e-12)
    chosen = scores.choose_threshold(y, s, "max_mcc")
    assert sk.matthews_corrcoef(y, s >= chosen) == pytest.approx(max(matthews), abs=1e-12)


def test_of_equally_good_thresholds_the_highest():
    y, s = np.array([0, 1, 0, 1]), np.array([1.0, 2.0, 3.0, 4.0])
    assert scores.choose_threshold(y, s, "youden") == 4.0


def test_constant_scores_are_chance():
    y = np.array([0, 1, 1, 0, 0])
    s = np.zeros(5)
    assert scores.roc_auc(y, s) == 0.5
    assert scores.average_precision(y, s) == pytest.approx(0.4)


@pytest.mark.parametrize("y", [np.zeros(4, int), np.ones(4, int), np.full(4, -2), np.zeros(0, int)])
def test_one_class_is_undefined(y):
    s = np.arange(len(y), dtype=float)
    assert np.isnan(scores.roc_auc(y, s))
    assert np.isnan(scores.average_precision(y, s))
    assert np.isnan(scores.choose_threshold(y, s, "youden"))
    assert all(np.isnan(v) for v in scores.at_threshold(y, s, 0.0).values())
    assert all(np.isnan(v) for v in scores.oracles(y, s).values())


def test_uncertain_and_absent_labels_leave_their_class_only():
    rng = np.random.default_rng(0)
    labels = rng.choice([1, 0, -1, -2], (60, 3))
    s = rng.normal(size=(60, 3))
    table = score_classes("abc", labels, s, ids=[str(i) for i in range(60)], bootstrap=OFF)
    for k, row in enumerate(table.details["classes"]):
        keep = labels[:, k] >= 0
        expected = sk.roc_auc_score(labels[keep, k], s[keep, k])
        assert row["auc"]["value"] == pytest.approx(expected, abs=1e-12)
        counts = [row[w] for w in ("positives", "negatives", "uncertain", "absent")]
        assert counts == [int((labels[:, k] == v).sum()) for v in (1, 0, -1, -2)]


def test_scores_that_are_not_finite_never_rank():
    # The table refuses them by name; the bare functions are for finite scores and say so here.
    y = np.array([[0], [1], [1]])
    with pytest.raises(ValueError, match="1 scores of 3 are not finite"):
        score_classes(["a"], y, np.array([[0.0], [np.nan], [1.0]]), ids="xyz", bootstrap=OFF)
    with pytest.raises(ValueError, match="not finite"):
        score_classes(["a"], y, y * 1.0, ids="xyz", bootstrap=OFF, validation=(y, y * np.nan))


def test_undefined_classes_are_named_and_not_in_the_macro():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, (40, 4))
    labels[:, 1] = 0  # no positive
    labels[:, 3] = -2  # never labelled
    s = rng.normal(size=(40, 4))
    table = score_classes(
        "abcd", labels, s, ids=["x"] * 40, bootstrap=Bootstrap(200), validation=(labels, s)
    )
    macro = table.details["macro"]
    assert macro["undefined"] == ["b", "d"]
    assert macro["classes"] == ["a", "c"]
    both = [sk.roc_auc_score(labels[:, k], s[:, k]) for k in (0, 2)]
    assert macro["auc"]["value"] == pytest.approx(np.mean(both))
    assert macro["auc"]["low"] <= macro["auc"]["value"] <= macro["auc"]["high"]
    assert table.details["classes"][1]["auc"] == {"value": None, "low": None, "high": None}
    assert np.isnan(table.metrics["auc/b"])
    assert table.metrics["classes_defined"] == 2


def test_threshold_comes_from_validation_and_the_oracle_stands_beside_it():
    rng = np.random.default_rng(2)
    y, validation_y = rng.integers(0, 2, (2, 200, 1))
    s, validation_s = y + rng.normal(size=(200, 1)), validation_y + rng.normal(size=(200, 1)) + 1
    table = score_classes(
        ["a"], y, s, ids=["x"] * 200, bootstrap=OFF, validation=(validation_y, validation_s),
        threshold_rule="max_f1",
    )  # fmt: skip
    row = table.details["classes"][0]
    t = scores.choose_threshold(validation_y[:, 0], validation_s[:, 0], "max_f1")
    assert row["threshold"] == t
    assert row["f1"]["value"] == pytest.approx(sk.f1_score(y, s >= t))
    assert row["f1_oracle"]["value"] > row["f1"]["value"]


def test_without_validation_only_the_oracle_is_defined():
    y, s = np.array([[0], [1], [1]]), np.array([[0.0], [1.0], [2.0]])
    row = score_classes(["a"], y, s, ids="xyz", bootstrap=OFF).details["classes"][0]
    assert row["f1"]["value"] is None
    assert row["threshold"] is None
    assert row["f1_oracle"]["value"] == 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_broken_score_names_its_record(bad):
    s = np.zeros((3, 2))
    s[1, 1] = bad
    with pytest.raises(ValueError, match=r"'edema' for record 'study-7'"):
        score_classes(
            ["mass", "edema"], np.zeros((3, 2), int), s,
            ids=["study-6", "study-7", "study-8"], bootstrap=OFF,
        )  # fmt: skip


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="2 classes"):
        score_classes("ab", np.zeros((3, 2), int), np.zeros((3, 1)), ids="xyz", bootstrap=OFF)


def test_unknown_threshold_rule():
    with pytest.raises(ValueError, match="max_f1"):
        scores.choose_threshold(np.array([0, 1]), np.array([0.0, 1.0]), "best")  # type: ignore


def test_roc_curve_and_band():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 120)
    s = np.round(y + rng.normal(size=120), 1)
    table = score_classes(["a"], y[:, None], s[:, None], ids=["x"] * 120, bootstrap=Bootstrap(300))
    fpr, tpr, _ = sk.roc_curve(y, s, drop_intermediate=False)
    np.testing.assert_allclose(table.roc["value"][0], np.interp(ROC_GRID, fpr, tpr), atol=1e-12)
    assert (table.roc["low"] <= table.roc["high"]).all()
    inside = (table.roc["low"] <= table.roc["value"]) & (table.roc["value"] <= table.roc["high"])
    assert inside.mean() > 0.95
