import numpy as np
import pytest

from medvlp_jax.eval.base import EvalError
from medvlp_jax.eval.downstream.efficiency import Level, Shares, efficiency_result, macro_auc
from medvlp_jax.eval.downstream.probe import fit_logistic
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.metrics.scores import roc_auc


def problem(n, d, k=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * rng.uniform(0.1, 5, d) + rng.normal(size=d)
    w = rng.normal(size=(d, k))
    labels = (x @ w + 3 * rng.normal(size=(n, k)) > 0).astype(int)
    return x, labels


@pytest.mark.parametrize(("n", "d"), [(80, 6), (12, 30)], ids=["tall", "wide"])
def test_the_probe_is_scikit_learns_logistic_regression(n, d):
    sklearn = pytest.importorskip("sklearn.linear_model")
    x, labels = problem(n, d)
    labels[0, 1], labels[1, 1] = -1, -2  # left out of their class only
    strengths = (1.0, 0.01)
    models = fit_logistic(x, labels, strengths)
    z = (x - x.mean(0)) / x.std(0)
    for model, strength in zip(models, strengths, strict=True):
        for k in range(3):
            rows = labels[:, k] >= 0
            want = sklearn.LogisticRegression(C=1 / (rows.sum() * strength), tol=1e-10,
                                              max_iter=10_000)  # fmt: skip
            want.fit(z[rows], labels[rows, k])
            np.testing.assert_allclose(model(x)[:, k], want.decision_function(z), atol=3e-3)


def test_the_auc_of_a_probe_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    x, labels = problem(60, 4, seed=1)
    scores = fit_logistic(x, labels, (0.1,))[0](x)
    want = [metrics.roc_auc_score(labels[:, k], scores[:, k]) for k in range(3)]
    assert macro_auc(labels, scores) == pytest.approx(np.mean(want))


def test_a_class_of_one_value_is_said_and_does_not_disturb_the_others():
    x, labels = problem(40, 5)
    alone = fit_logistic(x, labels[:, :1], (0.1,))[0]
    labels[:, 1], labels[:, 2] = 0, -2
    model = fit_logistic(x, labels, (0.1,))[0]
    np.testing.assert_allclose(model(x)[:, 0], alone(x)[:, 0], atol=1e-3)
    assert (model(x)[:, 1:] == -30).all()
    labels[:, 1] = 1
    assert (fit_logistic(x, labels, (0.1,))[0](x)[:, 1] == 30).all()


def test_a_feature_that_never_changes_and_one_that_is_broken():
    x, labels = problem(20, 3)
    x[:, 1] = 7.0
    assert np.isfinite(fit_logistic(x, labels, (0.1,))[0](x)).all()
    x[3, 2] = np.nan
    with pytest.raises(EvalError, match="not finite"):
        fit_logistic(x, labels, (0.1,))


def scored(seed, labels, strength):
    rng = np.random.default_rng(seed)
    return labels * strength + rng.normal(size=labels.shape)


def test_levels_average_over_subsets_and_compare_in_pairs():
    rng = np.random.default_rng(0)
    labels = (rng.random((60, 2)) < 0.4).astype(int)
    labels[:5, 0] = -1
    good = [scored(s, labels, 2.0) for s in (1, 2)]
    poor = [scored(s, labels, 0.2) for s in (3, 4)]
    levels = {
        0.1: Level([6, 6], {"pretrained": good, "random": poor}),
        1.0: Level([60], {"pretrained": good[:1], "random": good[:1]}),
    }
    result = efficiency_result(
        levels, classes="ab", labels=labels, ids=np.array([f"r{i}" for i in range(60)]),
        clusters=None, bootstrap=Bootstrap(80), protocol={"kind": "probe"},
    )  # fmt: skip
    first, last = result.details["levels"]
    for k, name in enumerate("ab"):
        keep = labels[:, k] >= 0
        want = np.mean([roc_auc(labels[keep, k], s[keep, k]) for s in good])
        assert first["pretrained"]["classes"][name]["value"] == pytest.approx(want)
    part = first["difference"]["auc"]
    assert part["value"] == pytest.approx(
        first["pretrained"]["auc"]["value"] - first["random"]["auc"]["value"]
    )
    assert 0 < part["low"] < part["value"] < part["high"]
    # the same scores on the same resamples do not differ at all
    assert last["difference"]["auc"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert len(first["pretrained"]["seeds"]) == 2
    assert result.metrics["auc_macro"] == last["pretrained"]["auc"]["value"]
    assert result.metrics["auc_macro_random_at_0.1"] == first["random"]["auc"]["value"]


def test_a_class_without_positives_is_undefined_and_left_out_of_the_mean():
    labels = np.array([[0, 1], [0, 0], [0, 1], [0, 0]])
    scores = scored(0, labels, 3.0)
    result = efficiency_result(
        {1.0: Level([4], {"pretrained": [scores]})}, classes="ab", labels=labels,
        ids=np.array(list("wxyz")), clusters=None, bootstrap=Bootstrap(20), protocol={},
    )  # fmt: skip
    level = result.details["levels"][0]
    assert level["pretrained"]["classes"]["a"]["value"] is None
    assert level["pretrained"]["auc"]["value"] == roc_auc(labels[:, 1], scores[:, 1])
    assert "difference" not in level


def test_shares_say_what_is_wrong():
    with pytest.raises(ValueError, match="fractions"):
        Shares(("a",), fractions=(0.0,))
    subsets = list(Shares(("a",), (0.1, 1.0), seeds=2).subsets())
    assert subsets == [(0.1, 0), (0.1, 1), (1.0, 0)]
    assert len(list(Shares(("a",), (0.1, 1.0), seeds=2, repeat_whole=True).subsets())) == 4
