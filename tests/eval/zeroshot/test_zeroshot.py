"""Zero-shot with a fake tower that encodes labels; prompts; baselines; the shared cache."""

import json

import numpy as np
import pytest
from fake_model import CLASSES, batches, direction, read, row_of, tokenize
from sklearn import metrics as sk

from medvlp_jax.eval.base import EvalError
from medvlp_jax.eval.embedded import Embedded, FromBatch, Predicted, gather_strings
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.registry import EVALUATORS, evaluate, flat_metrics
from medvlp_jax.eval.vectors import embed_texts
from medvlp_jax.eval.zeroshot.baselines import (
    Baseline,
    lung_to_body_contrast,
    mean_brightness,
    regions,
)
from medvlp_jax.eval.zeroshot.compare import compare
from medvlp_jax.eval.zeroshot.evaluator import ZeroShot
from medvlp_jax.eval.zeroshot.promptbank import FOLDER, PromptError, load_bank
from medvlp_jax.eval.zeroshot.recipes import Recipe

FEW = Bootstrap(200)


@pytest.fixture
def labels():
    rng = np.random.default_rng(0)
    y = np.zeros((30, 3), int)
    y[:, :2] = rng.random((30, 2)) < 0.4
    y[:, 2] = (y[:, :2].sum(1) == 0).astype(int)
    y[0] = 1, 0, 0
    return y


class Oracle:
    """Image embedding: sum of the directions of its labels; text: signed direction of its class."""

    def __init__(self, labels, names=("edema", "nodule"), noise=0.0):
        self.labels, self.names, self.noise, self.calls = labels, names, noise, []

    def __call__(self, name, batch):
        self.calls.append(name)
        if name == "text_embed":
            return np.stack([self._text(t.lower()) for t in read(batch)])
        rng = np.random.default_rng(1)
        rows = row_of(batch)
        x = self.labels[rows, :2] @ np.stack([direction(n) for n in self.names])
        return x + direction("image") + self.noise * rng.normal(size=x.shape)

    def _text(self, text):
        sign = -1 if text.startswith("no ") or " no " in text or "without" in text else 1
        sign = -1 if "not suggestive" in text else sign
        named = [n for n in self.names if n in text]
        return sign * direction(named[0]) if named else direction("elsewhere")


def _set(labels, **columns):
    return Embedded("toy", lambda: batches(labels, **columns), CLASSES)


@pytest.mark.parametrize("protocol", ["pos_vs_neg", "positive"])
def test_embeddings_that_encode_labels_give_auc_one(labels, protocol):
    data = _set(labels)
    evaluator = ZeroShot(
        data, CLASSES, load_bank("brief"), tokenize, validation=_set(labels), 
        recipe=Recipe(protocol), bootstrap=FEW,
    )  # fmt: skip
    result = evaluator(Oracle(labels))
    assert result.metrics["auc_macro"] == 1.0
    assert result.metrics["auc/no finding"] == 1.0
    assert result.metrics["f1_macro"] == 1.0
    assert result.details["macro"]["auc"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert "no finding" in result.details["derived"]
    assert result.arrays["scores"].shape == (30, 3)
    json.dumps(result.details, allow_nan=False)


def test_score_is_the_log_odds_of_a_softmax_over_the_two_ensembles(labels):
    oracle = Oracle(labels, noise=0.5)
    bank = load_bank("reports")
    got = ZeroShot(
        _set(labels), ["edema"], bank, tokenize, recipe=Recipe(temperature=0.1), bootstrap=FEW
    )(oracle)
    image = np.concatenate([oracle("image_embed", b)[b["valid"]] for b in batches(labels)])
    image /= np.linalg.norm(image, axis=1, keepdims=True)
    logits = []
    for side in (bank.classes["edema"].positive, bank.classes["edema"].negative):
        vectors = [oracle._text(p.lower()) for p in side]
        mean = np.mean([v / np.linalg.norm(v) for v in vectors], 0)
        logits.append(image @ mean / np.linalg.norm(mean) / 0.1)
    p = np.exp(logits[0]) / (np.exp(logits[0]) + np.exp(logits[1]))
    np.testing.assert_allclose(1 / (1 + np.exp(-got.arrays["scores"][:, 0])), p, atol=1e-12)
    assert got.metrics["auc/edema"] == pytest.approx(sk.roc_auc_score(labels[:, 0], p))


def test_temperature_does_not_change_the_ranking(labels):
    aucs = {
        t: ZeroShot(
            _set(labels),
            CLASSES,
            load_bank("brief"),
            tokenize,
            recipe=Recipe(temperature=t),
            bootstrap=FEW,
        )(Oracle(labels, noise=1.0)).metrics["auc_macro"]
        for t in (1.0, 1e-4)
    }
    assert aucs[1.0] == aucs[1e-4] < 1


def test_no_finding_uses_its_own_pair_where_the_bank_has_one(labels):
    evaluator = ZeroShot(_set(labels), CLASSES, load_bank("reports"), tokenize, bootstrap=FEW)
    details = evaluator(Oracle(labels)).details
    assert "derived" not in details
    assert not any("no no " in p.lower() for p in details["prompts"]["no finding"]["negative"])


def test_multiclass_counts_records_with_one_class(labels):
    got = ZeroShot(
        _set(labels), ["edema", "nodule"], load_bank("brief"), tokenize,
        recipe=Recipe("multiclass"), bootstrap=FEW,
    )(Oracle(labels))  # fmt: skip
    single = labels[:, :2].sum(1) == 1
    assert got.details["top1"]["records"] == single.sum()
    assert got.metrics["top1_accuracy"] == 1.0
    counts = np.array(got.details["top1"]["confusion"]["counts"])
    assert counts.trace() == counts.sum() == single.sum()


def test_multiclass_of_a_blind_model_is_chance(labels):
    def blind(name, batch):
        return np.ones((len(next(iter(batch.values()))), 4))

    got = ZeroShot(
        _set(labels), ["edema", "nodule"], load_bank("brief"), tokenize,
        recipe=Recipe("multiclass"), bootstrap=FEW,
    )(blind)  # fmt: skip
    assert got.metrics["top1_accuracy"] == got.details["top1"]["chance"] == 0.5
    assert got.metrics["auc_macro"] == 0.5


def test_subgroups(labels):
    view = np.array(["PA", "AP"] * 15)
    got = ZeroShot(
        _set(labels, view=view), CLASSES, load_bank("brief"), tokenize, bootstrap=FEW
    )(Oracle(labels, noise=1.0))  # fmt: skip
    groups = got.details["subgroups"]["view"]
    assert set(groups) == {"PA", "AP"}
    for value, group in groups.items():
        member = view == value
        assert group["records"] == member.sum()
        expected = sk.roc_auc_score(labels[member, 0], got.arrays["scores"][member, 0])
        assert group["classes"]["edema"]["auc"]["value"] == pytest.approx(expected)


def test_patients_reach_the_bootstrap(labels):
    patient = np.array([f"p{i // 3}" for i in range(30)])
    got = ZeroShot(
        _set(labels, patient_id=patient), CLASSES, load_bank("brief"), tokenize, bootstrap=FEW
    )(Oracle(labels))
    assert got.details["bootstrap"]["patients"] == 10


def test_a_nan_embedding_names_the_record(labels):
    def broken(name, batch):
        x = Oracle(labels)(name, batch)
        if name == "image_embed":
            x[row_of(batch) == 5] = np.nan
        return x

    evaluators = {"toy-zeroshot": ZeroShot(_set(labels), CLASSES, load_bank("brief"), tokenize)}
    with pytest.raises(ValueError, match=r"'toy-zeroshot': .*'r5'"):
        evaluate(evaluators, broken)


def test_unknown_classes_and_protocols(labels):
    bank = load_bank("brief")
    with pytest.raises(PromptError, match="no class 'gout'"):
        ZeroShot(_set(labels), ["gout"], bank, tokenize)
    with pytest.raises(ValueError, match="'mass' is not a label of set 'toy'"):
        ZeroShot(_set(labels), ["mass"], bank, tokenize)
    with pytest.raises(ValueError, match="protocol"):
        Recipe("softmax")  # type: ignore
    with pytest.raises(ValueError, match="no denying prompts"):
        ZeroShot(_set(labels), ["edema"], load_bank("descriptive"), tokenize)
    with pytest.raises(ValueError, match="cannot derive"):
        ZeroShot(_set(labels), CLASSES, bank, tokenize, recipe=Recipe("multiclass"))


# ------------------------------------------------------------------------------------ the cache


def test_all_evaluators_share_one_pass(labels):
    passes = []

    def factory():
        passes.append(1)
        ids, mask = tokenize(["ab"] * 30)
        return batches(labels, text_key=np.arange(30), text=ids, text_mask=mask)

    data = Embedded("toy", factory, CLASSES)
    oracle = Oracle(labels)
    evaluators = {
        "zeroshot": ZeroShot(data, CLASSES, load_bank("brief"), tokenize, bootstrap=FEW),
        "retrieval": EVALUATORS["retrieval"](data, bootstrap=FEW),
        "brightness": Baseline(data, CLASSES, rule="mean brightness", bootstrap=FEW),
    }
    results = evaluate(evaluators, oracle)
    assert len(passes) == 1
    assert oracle.calls.count("image_embed") == 8  # ceil(30 / 4)
    assert "retrieval/image_to_text/r@1" in flat_metrics(results)
    evaluate(evaluators, oracle)
    assert len(passes) == 1
    evaluate(evaluators, Oracle(labels))  # other parameters
    assert len(passes) == 2


def test_a_column_wanted_later_is_added(labels):
    data = _set(labels, text_key=np.arange(30))
    oracle = Oracle(labels)
    data.want(Predicted("image_embed"))
    data.rows(oracle)
    data.want(FromBatch("text_key"))
    before = len(oracle.calls)
    assert data.rows(oracle)[FromBatch("text_key")].tolist() == list(range(30))
    assert len(oracle.calls) == before


def test_padding_is_dropped_and_order_kept(labels):
    rows = _set(labels).rows(Oracle(labels))
    assert rows.ids.tolist() == [f"r{i}" for i in range(30)]
    np.testing.assert_array_equal(rows[FromBatch("labels")], labels)


def test_bad_sets(labels):
    with pytest.raises(ValueError, match="no valid record"):
        Embedded("empty", list, CLASSES).rows(Oracle(labels))
    twice = Embedded("twice", lambda: [*batches(labels), *batches(labels)], CLASSES)
    with pytest.raises(ValueError, match="'r0' occurs 2 times"):
        twice.rows(Oracle(labels))
    data = _set(labels)
    data.want(FromBatch("text_key"))
    with pytest.raises(ValueError, match="no 'text_key'"):
        data.rows(Oracle(labels))
    data = _set(labels)
    data.want(Predicted("image_embed"))
    with pytest.raises(ValueError, match="gave 1 rows for 4 records"):
        data.rows(lambda name, batch: np.zeros((1, 4)))


def test_strings_survive_gathering():
    def two_processes(x):
        return np.concatenate([x, x])

    got = gather_strings(np.array(["", "Röntgen", "a"]), two_processes)
    assert got.tolist() == ["", "Röntgen", "a"] * 2


def test_texts_are_embedded_in_batches_of_one_shape():
    shapes = []

    def predict(name, batch):
        shapes.append(batch["text"].shape)
        return np.array([[len(t), 1.0] for t in read(batch)])

    got = embed_texts(predict, tokenize, ["a" * (i + 1) for i in range(7)], batch_size=3)
    assert set(shapes) == {(3, 7)}
    expected = np.array([[i + 1, 1] / np.hypot(i + 1, 1) for i in range(7)])
    np.testing.assert_allclose(got, expected)


# ---------------------------------------------------------------------------------- the prompts


@pytest.mark.parametrize("name", sorted(p.stem for p in FOLDER.glob("*.json")))
def test_banks_of_the_package(name):
    bank = load_bank(name)
    assert bank.name == name
    seen: dict[str, str] = {}
    for c, prompts in bank.classes.items():
        for p in prompts.positive + prompts.negative:
            assert p == p.strip()
            assert "  " not in p
            assert "{" not in p
            assert " no a " not in f" {p.lower()} "
        assert not set(prompts.positive) & set(prompts.negative)
        for p in prompts.positive:
            assert p not in seen, f"{c} and {seen[p]} share {p!r}"
            seen[p] = c


def test_both_sides_of_a_class_have_the_same_number_of_prompts():
    for name in ("reports", "brief", "statements"):
        for prompts in load_bank(name).classes.values():
            assert len(prompts.positive) == len(prompts.negative)


def test_templates_names_articles_and_slots(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({
        "positive": ["{degree} {c} {site}.", "There is {a}."], "negative": ["No {c}."],
        "slots": {"degree": ["", "mild"], "site": ["", "on the left"]},
        "classes": {"x": {"names": ["an x sign"], "slots": {"site": [""]}}, "y": {}},
    }))  # fmt: skip
    bank = load_bank(path)
    assert bank.classes["x"].positive == ("X sign.", "Mild x sign.", "There is an x sign.")
    assert bank.classes["x"].negative == ("No x sign.",)
    assert len(bank.classes["y"].positive) == 5
    thinned = load_bank(path, max_prompts=2, seed=6)
    assert len(thinned.classes["y"].positive) == 2
    assert thinned == load_bank(path, max_prompts=2, seed=6)
    assert set(thinned.classes["y"].positive) < set(bank.classes["y"].positive)


@pytest.mark.parametrize(
    ("bank", "message"),
    [
        ({"classes": {"x": {}}}, "no positive prompt"),
        ({"positive": ["{site}"], "classes": {"x": {}}}, "slot 'site'"),
        ({"positive": ["{c}"], "classes": {"x": {"synonyms": []}}}, "unknown key 'synonyms'"),
        ({"positive": ["{c}"]}, "lacks the key 'classes'"),
    ],
)
def test_malformed_banks(tmp_path, bank, message):
    (tmp_path / "bad.json").write_text(json.dumps(bank))
    with pytest.raises(PromptError, match=message):
        load_bank(tmp_path / "bad.json")


def test_missing_and_broken_bank(tmp_path):
    known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.json")))
    with pytest.raises(PromptError, match=f"one of {known}"):
        load_bank("nothing")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(PromptError, match="JSONDecodeError"):
        load_bank(tmp_path / "bad.json")


# -------------------------------------------------------------------------------- the baselines


def test_rules_measure_what_they_say():
    image = np.full((3, 20, 20, 1), 120, np.uint8)
    lungs, body = regions(20, 20)
    assert not (lungs & body).any()
    assert 0.15 < lungs.mean() < 0.3
    image[0, lungs] = 40  # aerated
    image[2, lungs] = 200  # opaque
    assert list(np.argsort(lung_to_body_contrast(image))) == [0, 1, 2]
    brighter = (image * 0.5 + 100).astype(np.uint8)
    np.testing.assert_allclose(
        lung_to_body_contrast(brighter), lung_to_body_contrast(image), atol=0.05
    )
    assert mean_brightness(brighter)[1] > mean_brightness(image)[1]
    np.testing.assert_allclose(mean_brightness(np.full((1, 4, 4, 3), 255, np.uint8)), [1.0])


def test_baseline_is_scored_like_the_model_and_compared_in_pairs(labels):
    def bright():
        for batch in batches(labels):
            ill = labels[row_of(batch), 0] == 1
            yield batch | {"image": np.where(ill[:, None, None, None], 200, 50).astype(np.uint8)
                           * np.ones((1, 8, 8, 1), np.uint8)}  # fmt: skip

    data = Embedded("toy", bright, CLASSES)
    rule = Baseline(data, CLASSES, rule="mean brightness", validation=data, bootstrap=FEW)
    result = rule(lambda name, batch: pytest.fail("a rule needs no model"))
    assert result.metrics["auc/edema"] == 1.0
    assert result.details["low_speaks_for"] == ["no finding"]

    def coin(name, batch):
        return np.ones((len(next(iter(batch.values()))), 3))

    model = ZeroShot(data, CLASSES, load_bank("brief"), tokenize, bootstrap=FEW)(coin)
    difference = compare(model, result, FEW)
    assert difference["classes"]["edema"] == {"value": -0.5, "low": -0.5, "high": -0.5}
    with pytest.raises(ValueError, match="lung-to-body"):
        Baseline(data, CLASSES, rule="darkness")


def test_multiclass_needs_two_classes(labels):
    data = Embedded("toy", lambda: batches(labels), CLASSES)
    with pytest.raises(EvalError, match="needs two or more"):
        ZeroShot(data, CLASSES[:1], load_bank("reports"), tokenize, recipe=Recipe("multiclass"))


@pytest.mark.parametrize("rule", ["pos_vs_neg", "multiclass", "positive"])
def test_an_ensemble_is_the_mean_of_the_probabilities(labels, rule):
    models = [Oracle(labels, noise=n) for n in (0.0, 0.5, 1.0)]
    recipe, classes = Recipe(rule=rule, temperature=0.3), ["edema", "nodule"]

    def run(ensemble, predict):
        one = ZeroShot(_set(labels), classes, load_bank("brief"), tokenize, recipe=recipe,
                       ensemble=ensemble, bootstrap=FEW)  # fmt: skip
        return one(predict)

    to_p = {
        "pos_vs_neg": lambda s: 1 / (1 + np.exp(-s)),
        "multiclass": np.exp,
        "positive": lambda s: s,
    }[rule]
    alone = [to_p(run((), m).arrays["scores"]) for m in models]
    got = run(models[1:], models[0])
    np.testing.assert_allclose(to_p(got.arrays["scores"]), np.mean(alone, 0), atol=1e-9)
    assert got.details["models"] == 3


def test_no_finding_is_derived_from_the_ensemble(labels):
    models = [Oracle(labels, noise=n) for n in (0.0, 1.0)]
    got = ZeroShot(_set(labels), CLASSES, load_bank("brief"), tokenize, bootstrap=FEW,
                   ensemble=models[1:])(models[0])  # fmt: skip
    scores = got.arrays["scores"]
    np.testing.assert_allclose(scores[:, 2], -scores[:, :2].max(1))
