"""Probabilities from scores against scipy and scikit-learn, and their quality against loops."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from medvlp_jax.eval.metrics import calibration as cal
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.metrics.classify import score_classes


def _case(seed=0, n=300, scale=1.0, shift=0.0):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(int)
    return y, scale * (y + rng.normal(size=n)) + shift


def _targets(y):
    return np.where(y == 1, (y.sum() + 1) / (y.sum() + 2), 1 / ((1 - y).sum() + 2))


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1e-3, 0.3), (-50.0, 1e3)])
def test_platt_minimises_the_smoothed_cross_entropy(scale, shift):
    y, s = _case(scale=scale, shift=shift)
    slope, offset = cal.fit_logistic(y, s)
    t = _targets(y)

    def loss(w, x):
        z = w[0] * x + w[1]
        return (np.logaddexp(0, z) - t * z).sum()

    x = (s - s.mean()) / s.std()  # scipy needs it well scaled
    best = minimize(loss, [0.0, 0.0], args=(x,), tol=1e-12)
    assert slope * s.std() == pytest.approx(best.x[0], abs=1e-4)
    assert loss((slope, offset), s) <= best.fun + 1e-9
    assert (slope > 0) == (scale > 0)


def test_with_many_records_it_is_logistic_regression():
    y, s = _case(n=20_000)
    peer = LogisticRegression(C=np.inf, tol=1e-10).fit(s[:, None], y)
    got = cal.fit_logistic(y, s)
    assert got == pytest.approx((peer.coef_[0, 0], peer.intercept_[0]), abs=5e-3)


def test_temperature_finds_the_scale_of_log_odds_and_keeps_the_ranking():
    rng = np.random.default_rng(1)
    logit = rng.normal(size=50_000) * 2
    y = (rng.random(50_000) < expit(logit)).astype(int)
    slope, offset = cal.fit_logistic(y, logit / 0.07, "temperature")
    assert offset == 0
    assert slope == pytest.approx(0.07, rel=0.03)
    assert cal.fit_logistic(y, -logit, "temperature") == (0.0, 0.0)  # never turns a ranking round


@pytest.mark.parametrize("method", ["platt", "temperature"])
def test_degenerate_scores(method):
    y = np.array([0, 1, 1, 0, 1])
    slope, offset = cal.fit_logistic(y, np.full(5, 0.3), method)  # says how frequent the class is
    assert expit(slope * 0.3 + offset) == pytest.approx(np.mean(_targets(y)))
    assert (slope == 0) == (method == "platt")
    separable = cal.fit_logistic(y, np.array([-1.0, 1, 2, -3, 1]), method)
    assert np.isfinite(separable).all()
    assert separable[0] > 0
    for one in (np.zeros(4, int), np.ones(4, int), np.full(4, -1), np.zeros(0, int)):
        assert np.isnan(cal.fit_logistic(one, np.arange(len(one), dtype=float), method)).all()
    with pytest.raises(ValueError, match="2 scores are not finite"):
        cal.fit_logistic(y, np.array([0, np.nan, np.inf, 1, 1]), method)
    with pytest.raises(ValueError, match="platt"):
        cal.fit_logistic(y, np.zeros(5), "isotonic")  # type: ignore


def test_uncertain_labels_are_left_out_of_the_fit():
    y, s = _case()
    y2, s2 = np.r_[y, -1, -2], np.r_[s, np.nan, 1e9]  # not even looked at
    assert cal.fit_logistic(y2, s2) == cal.fit_logistic(y, s)


def test_many_classes_and_the_file(tmp_path):
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, (80, 3))
    labels[:, 1] = 0
    scores = rng.normal(size=(80, 3)) + labels
    got = cal.fit_calibration("abc", labels, scores)
    p = got.probabilities(scores)
    assert np.isnan(p[:, 1]).all()
    assert got.prior == pytest.approx((labels[:, 0].mean(), 0.0, labels[:, 2].mean()))
    np.testing.assert_allclose(p[:, 2], expit(got.slope[2] * scores[:, 2] + got.offset[2]))
    assert sk.roc_auc_score(labels[:, 0], p[:, 0]) == sk.roc_auc_score(labels[:, 0], scores[:, 0])
    read = cal.Calibration.load(got.save(tmp_path / "calibration.json"))
    np.testing.assert_array_equal(read.probabilities(scores), p)
    with pytest.raises(cal.CalibrationError, match="2 scores a record"):
        got.probabilities(scores[:, :2])
    (tmp_path / "bad.json").write_text('{"classes": ["a"], "slope": [1]}')
    with pytest.raises(cal.CalibrationError, match=r"bad\.json: no calibration"):
        cal.Calibration.load(tmp_path / "bad.json")
    with pytest.raises(cal.CalibrationError, match=r"none\.json"):
        cal.Calibration.load(tmp_path / "none.json")


@pytest.mark.parametrize("bins", [1, 4, 10])
def test_quality_equals_scikit_learn_and_a_loop(bins):
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 200)
    p = np.round(rng.random(200), 1)  # many on the edges of bins
    assert cal.brier(y, p) == pytest.approx(sk.brier_score_loss(y, p))
    assert cal.log_loss(y, np.clip(p, 0.05, 0.95)) == pytest.approx(
        sk.log_loss(y, np.clip(p, 0.05, 0.95))
    )
    r = cal.reliability(y, p, bins)
    true, said = calibration_curve(y, p, n_bins=bins)
    np.testing.assert_allclose(r.true[r.count > 0], true)
    np.testing.assert_allclose(r.said[r.count > 0], said)
    error, edges = 0.0, np.linspace(0, 1, bins + 1)
    for b in range(bins):
        inside = (p > edges[b]) & (p <= edges[b + 1]) | (b == 0) & (p == 0)
        if inside.any():
            error += inside.mean() * abs(p[inside].mean() - y[inside].mean())
    assert cal.expected_calibration_error(y, p, bins) == pytest.approx(error)


def test_quality_of_what_is_undefined():
    none = np.full(3, -1), np.full(3, 0.5)
    for f in (cal.brier, cal.log_loss, cal.expected_calibration_error):
        assert np.isnan(f(*none))
        assert np.isnan(f(np.array([0, 1]), np.array([0.5, np.nan])))
        assert f(np.array([0, 1, -1]), np.array([0.5, 0.5, np.nan])) >= 0  # not judged: not used
    assert cal.brier(np.zeros(2, int), np.array([0.0, 0.5])) == 0.125  # one class is no obstacle
    assert cal.log_loss(np.array([1]), np.array([0.0])) == pytest.approx(-np.log(1e-12))


def test_the_table_calibrates_on_validation_and_judges_on_the_other_records():
    y, s = _case(4, 400)
    validation = _case(5, 400)
    table = score_classes(
        ["a", "b"], np.stack([y, y * 0], 1), np.stack([s, s], 1), ids=["x"] * 400,
        bootstrap=Bootstrap(100),
        validation=tuple(np.stack([v, v], 1) for v in validation),
    )  # fmt: skip
    row = table.details["classes"][0]
    p = expit(np.dot(cal.fit_logistic(*validation), [s, np.ones(400)]))
    assert row["brier"]["value"] == pytest.approx(sk.brier_score_loss(y, p))
    assert row["brier"]["low"] < row["brier"]["value"] < row["brier"]["high"]
    assert row["ece"]["value"] == pytest.approx(cal.expected_calibration_error(y, p))
    prior = validation[0].mean()
    assert row["brier_prior"]["value"] == pytest.approx(np.mean((prior - y) ** 2))
    assert row["brier"]["value"] < row["brier_prior"]["value"]
    assert table.details["classes"][1]["brier"]["value"] is None
    assert table.metrics["brier_macro"] == row["brier"]["value"]
    read = cal.Calibration.from_json(table.details["calibration"])
    np.testing.assert_allclose(read.probabilities(np.stack([s, s], 1))[:, 0], p)
