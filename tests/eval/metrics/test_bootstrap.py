"""The vectorised bootstrap against loops over the same resamples."""

import numpy as np
import pytest
from sklearn import metrics as sk

from medvlp_jax.eval.base import EvalResult
from medvlp_jax.eval.metrics import bootstrap as bs
from medvlp_jax.eval.metrics.classify import score_classes
from medvlp_jax.eval.zeroshot.compare import compare, paired_auc


def _all(b: bs.Bootstrap, n: int, **kw) -> np.ndarray:
    return np.concatenate(list(b.counts(n, **kw)), 1)


def _drawn(column: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(len(column)), column)


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 90)
    return y, np.round(y + rng.normal(size=90) * 1.5, 1)  # with ties


def test_auc_and_ap_equal_a_loop_over_the_same_resamples(case):
    y, s = case
    y = y.copy()
    y[::7] = -1  # left out, although drawn
    counts = _all(bs.Bootstrap(150), len(y))
    auc, ap = bs.AucCounts(y, s)(counts), bs.ApCounts(y, s)(counts)
    for j, column in enumerate(counts.T):
        rows = _drawn(column)
        rows = rows[y[rows] >= 0]
        assert auc[j] == pytest.approx(sk.roc_auc_score(y[rows], s[rows]), abs=1e-12)
        assert ap[j] == pytest.approx(sk.average_precision_score(y[rows], s[rows]), abs=1e-12)


def test_the_interval_equals_that_of_a_scikit_learn_loop(case):
    y, s = case
    b = bs.Bootstrap(300, level=0.9, seed=5)
    loop = [sk.roc_auc_score(y[r], s[r]) for r in map(_drawn, _all(b, len(y)).T)]
    got = score_classes(["a"], y[:, None], s[:, None], ids=["x"] * 90, bootstrap=b)
    row = got.details["classes"][0]["auc"]
    assert [row["low"], row["high"]] == pytest.approx(list(np.quantile(loop, [0.05, 0.95])))


def test_thresholded_scores_equal_a_loop(case):
    y, s = case
    b = bs.Bootstrap(200, seed=2)
    row = score_classes(
        ["a"], y[:, None], s[:, None], ids=["x"] * 90, bootstrap=b,
        validation=(y[:, None], s[:, None]),
    ).details["classes"][0]  # fmt: skip
    resamples = [_drawn(c) for c in _all(b, len(y)).T]
    for name, f in (
        ("f1", sk.f1_score),
        ("sensitivity", sk.recall_score),
        ("mcc", sk.matthews_corrcoef),
        ("balanced_accuracy", sk.balanced_accuracy_score),
    ):
        loop = [f(y[r], s[r] >= row["threshold"]) for r in resamples]
        assert [row[name]["low"], row[name]["high"]] == pytest.approx(
            list(np.quantile(loop, [0.025, 0.975]))
        )


def test_a_resample_has_as_many_draws_as_records_and_is_reproducible():
    b = bs.Bootstrap(1000, seed=3)
    counts = _all(b, 700)  # several chunks
    assert counts.shape == (700, 1000)
    assert (counts.sum(0) == 700).all()
    assert (counts == _all(b, 700)).all()
    assert not (counts == _all(bs.Bootstrap(1000, seed=4), 700)).all()
    # Poisson(1) in the limit: mean and variance 1.
    assert counts.var() == pytest.approx(1.0, abs=0.01)


def test_stratified_keeps_the_positives(case):
    y, _ = case
    counts = _all(bs.Bootstrap(100), len(y), strata=y)
    assert (counts[y == 1].sum(0) == (y == 1).sum()).all()
    assert (counts[y == 0].sum(0) == (y == 0).sum()).all()


def test_stratified_interval_differs_and_macro_does_not():
    rng = np.random.default_rng(1)
    y = (rng.random((60, 2)) < 0.1).astype(int)
    y[:2] = 1
    s = y + rng.normal(size=(60, 2))
    tables = [
        score_classes("ab", y, s, ids=["x"] * 60, bootstrap=bs.Bootstrap(400, scheme=scheme))
        for scheme in ("plain", "stratified")
    ]
    plain, stratified = (t.details for t in tables)
    assert plain["classes"][0]["auc"]["low"] != stratified["classes"][0]["auc"]["low"]
    assert plain["macro"]["auc"] == stratified["macro"]["auc"]


def test_patients_are_drawn_together(case):
    clusters = np.repeat(np.arange(30), 3)
    counts = _all(bs.Bootstrap(50), 90, clusters=clusters)
    assert (counts.reshape(30, 3, 50) == counts.reshape(30, 3, 50)[:, :1]).all()
    assert (counts.sum(0) == 90).all()  # equal cluster sizes
    alone = _all(bs.Bootstrap(50, by_patient=False), 90, clusters=clusters)
    assert (alone == _all(bs.Bootstrap(50), 90)).all()


def test_patients_widen_the_interval():
    rng = np.random.default_rng(2)
    y, s = rng.integers(0, 2, 40), rng.normal(size=40)
    y, s, clusters = np.repeat(y, 6), np.repeat(s + y, 6), np.repeat(np.arange(40), 6)
    widths = []
    for c in (None, clusters):
        row = score_classes(
            ["a"], y[:, None], s[:, None], ids=["x"] * 240, bootstrap=bs.Bootstrap(500), clusters=c
        ).details["classes"][0]["auc"]
        widths.append(row["high"] - row["low"])
    assert widths[1] > 1.7 * widths[0]  # sqrt(6) in theory


def test_no_resamples_gives_no_interval():
    y = np.array([[0], [1]])
    row = score_classes(["a"], y, y * 1.0, ids="xy", bootstrap=bs.Bootstrap(0))
    assert row.details["classes"][0]["auc"] == {"value": 1.0, "low": None, "high": None}


def test_weighted_mean_and_median_equal_a_loop():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(31, 2))
    values[4, 0] = np.nan
    counts = _all(bs.Bootstrap(40), 31)
    means, medians = bs.weighted_mean(values, counts), bs.weighted_median(values[:, 1], counts)
    for j, column in enumerate(counts.T):
        rows = _drawn(column)
        np.testing.assert_allclose(means[:, j], np.nanmean(values[rows], 0))
        assert medians[j] == pytest.approx(np.median(values[rows, 1]))


def test_median_of_an_even_number_and_of_ties():
    counts = np.array([[1, 2, 0], [1, 0, 3], [0, 2, 1]])
    np.testing.assert_array_equal(
        bs.weighted_median(np.array([1.0, 2.0, 5.0]), counts), [1.5, 3.0, 2.0]
    )


def test_paired_difference_is_tighter_than_two_intervals():
    rng = np.random.default_rng(4)
    y = rng.integers(0, 2, (300, 2))
    a = y + rng.normal(size=(300, 2))
    b = a + 0.3 * rng.normal(size=(300, 2))  # nearly the same system
    boot = bs.Bootstrap(400)
    got = paired_auc("ab", y, a, b, bootstrap=boot)
    expected = [
        sk.roc_auc_score(y[:, k], a[:, k]) - sk.roc_auc_score(y[:, k], b[:, k]) for k in (0, 1)
    ]
    assert got["macro"]["value"] == pytest.approx(np.mean(expected))
    single = score_classes("ab", y, a, ids=["x"] * 300, bootstrap=boot).details["macro"]["auc"]
    assert got["macro"]["high"] - got["macro"]["low"] < 0.6 * (single["high"] - single["low"])
    assert paired_auc("ab", y, a, a, bootstrap=boot)["macro"] == {"value": 0, "low": 0, "high": 0}


def test_results_of_other_records_are_not_compared():
    def result(ids):
        return EvalResult(
            {}, {"classes": [{"name": "a"}]},
            {"ids": np.array(ids), "labels": np.zeros((2, 1)), "scores": np.zeros((2, 1))},
        )  # fmt: skip

    with pytest.raises(ValueError, match="ids differ"):
        compare(result(["x", "y"]), result(["x", "z"]), bs.Bootstrap(10))


@pytest.mark.parametrize("kw", [{"resamples": -1}, {"level": 1.0}])
def test_bad_settings(kw):
    with pytest.raises(ValueError, match="bootstrap"):
        bs.Bootstrap(**kw)
