"""The named zero-shot protocols against loops written from their description."""

import json

import numpy as np
import pytest
from fake_model import batches, direction, read, row_of, tokenize
from scipy import stats
from sklearn import metrics as sk

from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.predict import Predictor
from medvlp_jax.eval.base import EvalError
from medvlp_jax.eval.embedded import Embedded
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.zeroshot.class_scores import ClassScores, zscores
from medvlp_jax.eval.zeroshot.evaluator import ZeroShot
from medvlp_jax.eval.zeroshot.multiway import exclusive_subset, multiway
from medvlp_jax.eval.zeroshot.promptbank import PromptError, load_bank
from medvlp_jax.eval.zeroshot.recipes import RECIPES, Recipe, recipe

FIVE = ("atelectasis", "cardiomegaly", "consolidation", "edema", "pleural effusion")
FEW = Bootstrap(100)
N = 40


def _image_of(row):
    return np.random.default_rng(row).normal(size=16) + 1  # something in common, as in real ones


def _text_of(text):
    return direction(text) * (1 + len(text) % 7) + 0.3  # lengths differ before normalisation


def _tower(name, batch):
    if name == "image_embed":
        return np.stack([_image_of(i) for i in row_of(batch)])
    rows = np.stack([_text_of(t) for t in read(batch)])
    return rows if name.endswith("unnormalised") else _unit(rows)


def _unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.fixture
def labels():
    y = np.zeros((N, 5), int)
    y[np.arange(N), np.arange(N) % 5] = 1
    y[:3] = 1  # not of one class
    return y


def _run(labels, the_recipe, names=FIVE, classes=FIVE, tower=_tower, **more):
    bank = load_bank(
        the_recipe.prompts, max_prompts=the_recipe.max_prompts, seed=the_recipe.prompt_seed
    )
    data = Embedded("toy", lambda: batches(labels), names)
    evaluator = ZeroShot(data, classes, bank, tokenize, recipe=the_recipe, bootstrap=FEW, **more)
    return evaluator(tower), bank


def _loop(bank, the_recipe, classes=FIVE):
    """Scores [N, k] by plain loops over images, classes and prompts."""
    out = np.zeros((N, len(classes)))
    for i in range(N):
        image = _unit(_image_of(i))
        for k, c in enumerate(classes):
            sides = []
            for prompts in (bank.classes[c].positive, bank.classes[c].negative):
                if not prompts:
                    continue
                raw = [_text_of(p) for p in prompts]
                if the_recipe.ensemble == "embeddings":
                    sides.append(image @ _unit(np.mean([_unit(t) for t in raw], 0)))
                elif the_recipe.ensemble == "unnormalised":
                    sides.append(image @ _unit(np.mean(raw, 0)))
                else:
                    cosines = [image @ _unit(t) for t in raw]
                    sides.append(
                        np.mean(cosines) if the_recipe.ensemble == "mean" else max(cosines)
                    )
            out[i, k] = sides[0] - sides[1] if the_recipe.rule == "pos_vs_neg" else sides[0]
    return out


@pytest.mark.parametrize("name", ["chexzero", "biovil", "maco"])
def test_two_sided_protocols(labels, name):
    got, bank = _run(labels, recipe(name))
    np.testing.assert_allclose(got.arrays["scores"], _loop(bank, recipe(name)), atol=1e-8)
    assert got.details["protocol"] == name
    assert got.details["prompt_bank"] == RECIPES[name].prompts
    json.dumps(got.details, allow_nan=False)


@pytest.mark.parametrize("name", ["gloria", "medclip"])
def test_five_way_protocols(labels, name):
    got, bank = _run(labels, recipe(name))
    r = recipe(name)
    assert all(len(p.positive) <= r.max_prompts for p in bank.classes.values())
    expected = _loop(bank, r)
    if r.zscore:
        expected = stats.zscore(expected, axis=0)
        np.testing.assert_allclose(got.arrays["scores"], expected, atol=1e-6)
    single = labels.sum(1) == 1
    chosen = expected[single].argmax(1)
    truth = labels[single].argmax(1)
    top1 = got.details["top1"]
    assert top1["records"] == single.sum()
    assert got.metrics["top1_accuracy"] == pytest.approx(sk.accuracy_score(truth, chosen))
    assert got.metrics["balanced_accuracy"] == pytest.approx(
        sk.balanced_accuracy_score(truth, chosen)
    )
    np.testing.assert_allclose(
        top1["confusion"]["counts"], sk.confusion_matrix(truth, chosen, labels=range(5))
    )
    assert top1["balanced_accuracy"]["low"] <= top1["balanced_accuracy"]["value"]


def test_prompts_are_drawn_once_with_the_seed():
    a, b, c = (load_bank("descriptive", max_prompts=5, seed=s) for s in (6, 6, 7))
    assert a == b != c


def test_the_extra_normal_class(labels):
    wide = np.c_[labels, labels.sum(1) == 0]
    wide[3] = 0, 0, 0, 0, 0, 1
    got, _ = _run(wide, recipe("gloria"), (*FIVE, "no finding"), (*FIVE, "no finding"))
    assert got.details["top1"]["chance"] == pytest.approx(1 / 6)
    prompts = got.details["prompts"]["no finding"]["positive"]
    assert prompts
    assert not any("no " in p.lower().split() for p in prompts)


def test_zscores_do_not_change_a_ranking_and_survive_a_constant_class():
    rng = np.random.default_rng(0)
    x = np.c_[rng.normal(size=(50, 2)) * 3 + 1, np.full(50, 0.3)]
    z = zscores(x)
    np.testing.assert_allclose(z[:, :2], stats.zscore(x[:, :2], axis=0))
    assert (z[:, 2] == 0).all()
    assert (z[:, 0].argsort() == x[:, 0].argsort()).all()


def test_only_the_ranking_of_the_pair_without_temperature_means_something(labels):
    """CheXzero's probabilities all lie near one half; a calibration on validation mends that."""
    data = Embedded("toy", lambda: batches(labels), FIVE)
    got, _ = _run(labels, recipe("chexzero"), validation=data)
    p = 1 / (1 + np.exp(-got.arrays["scores"]))
    assert np.ptp(p) < 0.5  # logits are differences of cosines, at most 2
    assert got.details["calibration"]["method"] == "platt"
    for row in got.details["classes"]:
        assert row["brier"]["value"] <= row["brier_prior"]["value"] + 1e-3


# ------------------------------------------------------------------------------- no finding


def test_no_finding_never_passes_through_the_templates(tmp_path):
    path = tmp_path / "mine.json"
    bank = {"positive": ["{c}"], "negative": ["no {c}"], "classes": {"no finding": {}, "edema": {}}}
    path.write_text(json.dumps(bank))
    with pytest.raises(PromptError, match="deny it twice"):
        load_bank(path)
    bank["classes"]["no finding"] = {"positive": ["normal film"]}
    path.write_text(json.dumps(bank))
    assert load_bank(path).classes["no finding"].negative == ()
    scores = ClassScores(["edema", "no finding"], load_bank(path), Recipe(), tokenize)
    assert scores.derived == "no finding"  # no pair of its own: one minus the largest


@pytest.mark.parametrize("rule", ["pos_vs_neg", "positive"])
def test_derived_no_finding_is_one_minus_the_largest(rule):
    classes = ("edema", "nodule", "no finding")
    scores = ClassScores(classes, load_bank("brief"), Recipe(rule), tokenize)
    found = scores(np.stack([_image_of(i) for i in range(6)]), scores.text(_tower))
    np.testing.assert_array_equal(found[:, 2], -found[:, :2].max(1))


# ----------------------------------------------------------------------------- pair scores


class Worded:
    """A task with a score of its own: half of the cosine plus the largest word's dot product."""

    def __init__(self):
        self.calls = 0

    def __call__(self, name, batch, shared=None):
        if name == "word_embed":
            assert batch["word_ids"].shape == batch["text"].shape
            return np.stack([self.words(t) for t in read(batch)])
        if name == "pair_scores":
            self.calls += 1
            image = np.stack([_image_of(i) for i in row_of(batch)])
            local = np.einsum("bd,kwd->bkw", _unit(image), shared["word_embed"]).max(2)
            return (_unit(image) @ shared["text_embed"].T + local) / 2
        return _tower(name, batch)

    @staticmethod
    def words(text):
        return np.stack([direction(w) for w in (text.split() * 8)[:8]])


def test_pair_scores_of_the_task(labels):
    tower = Worded()
    got, bank = _run(labels, recipe("gloria_pairs"), tower=tower, word_ids=lambda t: tokenize(t)[0])
    expected = np.zeros((N, 5))
    for i in range(N):
        image = _unit(_image_of(i))
        for k, c in enumerate(FIVE):
            expected[i, k] = max(
                (image @ _unit(_text_of(p)) + (tower.words(p) @ image).max()) / 2
                for p in bank.classes[c].positive
            )
    np.testing.assert_allclose(got.arrays["scores"], stats.zscore(expected, axis=0), atol=1e-5)
    assert tower.calls == -(-N // 4) * 2  # 25 prompts in two blocks


def test_pair_scores_need_a_task_that_has_them(labels):
    blind = Predictor(None, {"image_embed": None}, None)  # type: ignore
    with pytest.raises(EvalError, match="gloria"):
        _run(labels, recipe("gloria_pairs"), tower=blind, word_ids=lambda t: tokenize(t)[0])
    with pytest.raises(EvalError, match="no predict function 'text_embed_unnormalised'"):
        _run(labels, recipe("biovil"), tower=blind)
    with pytest.raises(EvalError, match="word ids"):
        _run(labels, recipe("gloria_pairs"))


# ----------------------------------------------------------------------- subsets, settings


def test_five_times_so_many():
    rng = np.random.default_rng(1)
    names = (*FIVE, "fracture", "no finding")
    y = rng.choice([0, 0, 0, 1, -2], (400, 7))
    y[:20, 0], y[:20, 1:] = 1, 0
    y[20, :] = 1, 0, 0, 0, 0, -1, 0  # uncertain
    y[21, :] = 1, 0, 0, 0, 0, 1, 0  # another finding
    classes = ("atelectasis", "edema")
    found = exclusive_subset(names, y, classes, 5, 0, "toy")
    assert len(found) == 10 == len(set(found))
    assert (np.diff(found) > 0).all()
    for i in found:
        others = [y[i, k] for k in range(6) if names[k] not in classes]
        assert max(others) <= 0
        assert -1 not in others
        assert (y[i, [0, 3]] == 1).sum() == 1
    assert (found == exclusive_subset(names, y, classes, 5, 0, "toy")).all()
    assert not np.array_equal(found, exclusive_subset(names, y, classes, 5, 1, "toy"))
    allowed = exclusive_subset(names, y, ("atelectasis",), 20, 0, "toy")
    assert not {20, 21} & set(allowed)
    with pytest.raises(EvalError, match=r"too few .*per_class=300: atelectasis"):
        exclusive_subset(names, y, classes, 300, 0, "toy")


def test_a_balanced_subset_is_what_is_reported(labels):
    patients = np.array([f"p{i // 2}" for i in range(N)])
    data = Embedded("toy", lambda: batches(labels, patient_id=patients), FIVE)
    r = recipe("gloria")
    bank = load_bank(r.prompts, max_prompts=r.max_prompts, seed=r.prompt_seed)
    got = ZeroShot(data, FIVE, bank, tokenize, recipe=r, bootstrap=FEW, per_class=4)(_tower)
    assert got.details["records"] == got.details["top1"]["records"] == 20
    assert got.details["subset"] == {"per_class": 4, "seed": 0, "of": N}
    assert got.metrics["balanced_accuracy"] == pytest.approx(got.metrics["top1_accuracy"])
    assert len(got.arrays["clusters"]) == 20


@pytest.mark.parametrize("seed", range(4))
def test_balanced_accuracy_and_its_interval_equal_a_loop(seed):
    rng = np.random.default_rng(seed)
    labels = np.eye(3, dtype=int)[rng.integers(0, 2 if seed == 3 else 3, 60)]  # one class absent
    scores = rng.normal(size=(60, 3)) + labels
    boot = Bootstrap(60)
    got = multiway("abc", labels, scores, boot, None)
    truth, chosen = labels.argmax(1), scores.argmax(1)

    def balanced(rows):
        recalls = [(chosen[rows] == k)[truth[rows] == k].mean() for k in np.unique(truth[rows])]
        return np.mean(recalls)

    assert got["balanced_accuracy"]["value"] == pytest.approx(balanced(np.arange(60)))
    drawn = [np.repeat(np.arange(60), c) for c in np.concatenate(list(boot.counts(60)), 1).T]
    low, high = np.quantile([balanced(r) for r in drawn], [0.025, 0.975])
    assert got["balanced_accuracy"]["low"] == pytest.approx(low)
    assert got["balanced_accuracy"]["high"] == pytest.approx(high)
    nothing = multiway("abc", labels * 0, scores, boot, None)
    assert nothing["records"] == 0
    assert nothing["balanced_accuracy"]["value"] is None


def test_settings():
    assert recipe("gloria", max_prompts=None, prompts="") == recipe("gloria")
    assert recipe("gloria", max_prompts=3).name == "gloria, changed"
    with pytest.raises(ConfigError, match="protocol"):
        recipe("glorious")
    with pytest.raises(ConfigError, match=r"'mean' or 'max'"):
        recipe("pos_vs_neg", score="pairs")
    with pytest.raises(ConfigError, match="zscore"):
        recipe("chexzero", zscore=True)
    for bad in ({"temperature": 0.0}, {"max_prompts": -1}, {"ensemble": "median"}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            Recipe(**bad)
    for name, one in RECIPES.items():
        bank = load_bank(one.prompts, max_prompts=one.max_prompts, seed=one.prompt_seed)
        words = {"word_ids": lambda t: t} if one.score == "pairs" else {}
        assert ClassScores(FIVE, bank, recipe(name), tokenize, **words).scored == FIVE
