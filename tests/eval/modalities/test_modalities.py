"""Sets of several modalities: recognition, classes within each, counterfactual pairs, the page."""

import json

import numpy as np
import pytest
from fake_model import CLASSES, batches, direction, read, row_of, tokenize

from medvlp_jax.eval.base import EvalError
from medvlp_jax.eval.embedded import Embedded
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.metrics.scores import roc_auc
from medvlp_jax.eval.modalities.counterfactual import Counterfactual
from medvlp_jax.eval.modalities.recognition import Recognition
from medvlp_jax.eval.modalities.within import ByModality
from medvlp_jax.eval.page.examples import Mistaken
from medvlp_jax.eval.page.page import write_report
from medvlp_jax.eval.registry import evaluate
from medvlp_jax.eval.results import collect
from medvlp_jax.eval.zeroshot.evaluator import ZeroShot
from medvlp_jax.eval.zeroshot.promptbank import FOLDER, load_bank
from medvlp_jax.eval.zeroshot.recipes import Recipe

FEW = Bootstrap(100)
RECIPE = Recipe("positive", prompts="brief")
N = 48


class Model:
    """An image embeds its modality and its labels, with noise; a text the words that it names."""

    def __init__(self, labels, modality, noise=0.0, blind=()):
        rng = np.random.default_rng(1)
        names = [direction("edema"), direction("nodule")]
        self.images = np.asarray(labels)[:, :2] @ np.stack(names)
        self.images = self.images + np.stack([2 * direction(m) for m in modality])
        self.images += noise * rng.normal(size=self.images.shape)
        for row in blind:
            self.images[row] = direction("elsewhere")

    def __call__(self, name, batch):
        if name == "text_embed":
            return np.stack([self._text(t.lower()) for t in read(batch)])
        return self.images[row_of(batch)]

    @staticmethod
    def _text(text):
        for word in ("edema", "nodule", "xray", "ct"):
            if word in text:
                return direction(word)
        return direction("nothing")


@pytest.fixture
def labels():
    y = np.full((N, 3), -2)
    rng = np.random.default_rng(0)
    y[:, 0] = rng.random(N) < 0.5
    y[:, 2] = 1 - y[:, 0]
    y[: N // 2, 1] = rng.random(N // 2) < 0.5  # nodules are judged on radiographs alone
    return y


@pytest.fixture
def modality():
    return np.array(["xray"] * (N // 2) + ["ct"] * (N // 2), object)


@pytest.fixture
def bank(tmp_path):
    path = tmp_path / "kinds.json"
    names = {"classes": {"ct": {}, "xray": {}, "mri": {}}, "positive": ["{c}"]}
    path.write_text(json.dumps(names))
    return load_bank(path)


def a_set(labels, modality, **more):
    return Embedded("toy", lambda: batches(labels, modality=modality, **more), CLASSES)


def test_recognition_counts_hits_and_names_what_it_leaves_out(labels, modality, bank):
    modality[3], modality[4] = "", "fundus"
    model = Model(labels, modality, blind=(0, 30))
    result = Recognition(a_set(labels, modality), bank, tokenize, FEW)(model)
    d = result.details
    assert d["left_out"] == {"(none named)": 1, "fundus": 1}
    assert d["records"] == N - 2
    # A blind image ties between all three prompts that it has nothing to do with.
    confusion = np.array(d["top1"]["confusion"]["counts"])
    assert confusion.sum() == pytest.approx(N - 2)
    assert result.metrics["accuracy"] == pytest.approx(np.trace(confusion) / (N - 2))
    assert result.metrics["accuracy"] < 1
    assert result.metrics["accuracy_low"] < result.metrics["accuracy"]
    assert np.isnan(result.metrics["recall/mri"])
    perfect = Recognition(a_set(labels, modality), bank, tokenize, FEW)(Model(labels, modality))
    assert perfect.metrics["accuracy"] == 1
    assert not len(perfect.arrays["mistaken"])
    json.dumps(d, allow_nan=False)


def test_the_failures_are_the_surest_ones(labels, modality, bank):
    said = modality.copy()
    said[:9] = "ct"  # nine radiographs that the data call CT
    model = Model(labels, modality)
    result = Recognition(a_set(labels, said), bank, tokenize, FEW)(model)
    assert result.metrics["accuracy"] == pytest.approx(1 - 9 / N)
    assert len(result.arrays["mistaken"]) == 6  # of one modality
    assert set(result.arrays["mistaken_at"]) <= set(range(9))
    names = result.details["top1"]["confusion"]["classes"]
    assert {names[k] for k in result.arrays["mistaken_as"]} == {"xray"}


def test_recognition_of_a_set_without_modalities_is_one_line(labels, modality, bank):
    with pytest.raises(EvalError, match="no record of a modality that prompt bank 'kinds' knows"):
        Recognition(a_set(labels, np.array([""] * N)), bank, tokenize, FEW)(Model(labels, modality))
    data = Embedded("toy", lambda: batches(labels), CLASSES)
    with pytest.raises(EvalError, match="the batches have no 'modality'"):
        Recognition(data, bank, tokenize, FEW)(Model(labels, modality))


def test_a_modality_is_scored_as_if_it_were_a_set_of_its_own(labels, modality):
    model = Model(labels, modality, noise=0.8)
    bank = load_bank("brief")
    classes = ("edema", "nodule")
    whole = ByModality(
        a_set(labels, modality), classes, bank, tokenize, recipe=RECIPE, bootstrap=FEW,
        validation=a_set(labels, modality), subgroups=(),
    )(model)  # fmt: skip
    parts = {p["name"]: p for p in whole.details["parts"]}
    assert list(parts) == ["ct", "xray"]
    assert [row["name"] for row in parts["ct"]["classes"]] == ["edema"]
    half = slice(0, N // 2)
    alone = ZeroShot(
        a_set(labels[half], modality[half]), classes, bank, tokenize, recipe=RECIPE,
        validation=a_set(labels[half], modality[half]), bootstrap=FEW, subgroups=(),
    )(model)  # fmt: skip
    for mine, other in zip(parts["xray"]["classes"], alone.details["classes"], strict=True):
        assert mine == other
    assert parts["xray"]["macro"] == alone.details["macro"]
    each = [p["macro"]["auc"]["value"] for p in parts.values()]
    assert whole.metrics["auc_macro"] == pytest.approx(np.mean(each))
    every = [row["auc"]["value"] for p in parts.values() for row in p["classes"]]
    assert whole.metrics["auc_classes"] == pytest.approx(np.mean(every))
    low, high = whole.metrics["auc_macro_low"], whole.metrics["auc_macro_high"]
    assert low < whole.metrics["auc_macro"] < high
    ct = slice(N // 2, N)
    expected = roc_auc(labels[ct, 0], model.images[ct] @ direction("edema") / np.linalg.norm(
        model.images[ct], axis=1))  # fmt: skip
    assert whole.metrics["auc/ct/edema"] == pytest.approx(expected)
    json.dumps(whole.details, allow_nan=False)


def test_what_a_modality_cannot_be_asked_is_said(labels, modality):
    labels[: N // 2, 1] = 0
    whole = ByModality(
        a_set(labels, modality), CLASSES, load_bank("brief"), tokenize, recipe=RECIPE,
        bootstrap=FEW, subgroups=(),
    )(Model(labels, modality))  # fmt: skip
    assert whole.details["not_scored"] == {"nodule in xray": "no positive record"}
    with pytest.raises(EvalError, match="no modality with a class to score"):
        ByModality(
            a_set(0 * labels, modality), CLASSES, load_bank("brief"), tokenize, recipe=RECIPE
        )(Model(labels, modality))


def paired(labels):
    """Every odd record is the one before it with edema switched."""
    labels = labels.copy()
    said = []
    for i in range(N):
        if i % 2:
            labels[i] = labels[i - 1]
            labels[i, 0] = 1 - labels[i - 1, 0]
            of = {"of": f"r{i - 1}", "label": "edema", "present": bool(labels[i, 0])}
            said.append(json.dumps(of))
        else:
            said.append("")
    patients = np.array([f"p{i // 2}" for i in range(N)])
    return labels, {"counterfactual": np.array(said), "patient_id": patients}


def counterfactual(labels, modality, more, **changes):
    given = {"recipe": RECIPE, "bootstrap": FEW} | changes
    return Counterfactual(
        a_set(labels, modality, **more), CLASSES, load_bank("brief"), tokenize, **given
    )


def test_pairs_are_ranked_by_the_prompt_of_the_finding(labels, modality):
    labels, more = paired(labels)
    result = counterfactual(labels, modality, more)(Model(labels, modality))
    assert result.metrics["ranked"] == result.metrics["ranked/ct/edema"] == 1
    assert result.details["compared"] == N // 2
    assert result.details["bootstrap"]["patients"] == N // 2
    # Three of 24 pairs turned round, and one of which both pictures are alike.
    model = Model(labels, modality)
    for i in (0, 2, N - 2):
        model.images[[i, i + 1]] = model.images[[i + 1, i]]
    model.images[5] = model.images[4]
    result = counterfactual(labels, modality, more)(model)
    assert result.metrics["ranked"] == pytest.approx(1 - 3.5 / 24)
    assert result.metrics["ranked/xray"] == pytest.approx(1 - 2.5 / 12)
    assert result.metrics["ranked_modalities"] == pytest.approx(1 - 3.5 / 24)
    assert result.metrics["ranked_low"] < result.metrics["ranked"] < result.metrics["ranked_high"]
    json.dumps(result.details, allow_nan=False)


def test_what_is_no_pair_is_counted(labels, modality):
    labels, more = paired(labels)
    said = more["counterfactual"].astype(object)
    said[1] = json.dumps({"of": "elsewhere", "label": "edema", "present": True})
    said[3] = json.dumps({"of": "r2", "label": "gout", "present": True})
    more["counterfactual"] = said.astype(str)
    result = counterfactual(labels, modality, more)(Model(labels, modality))
    assert result.details["without_partner"] == 1
    assert result.details["left_out"] == {"xray, gout: no class of the run": 1}
    assert result.details["compared"] == N // 2 - 2
    more["counterfactual"] = np.array([""] * N)
    with pytest.raises(EvalError, match=r"no counterfactual pair; generate it with config"):
        counterfactual(labels, modality, more)(Model(labels, modality))


def test_the_page_shows_all_three(labels, modality, bank, tmp_path):
    labels, more = paired(labels)
    data = a_set(labels, modality, **more)
    evaluators = {
        "toy-modality": Recognition(data, bank, tokenize, FEW),
        "toy-by_modality": ByModality(
            data, CLASSES, load_bank("brief"), tokenize, recipe=RECIPE, bootstrap=FEW
        ),
        "toy-counterfactual": Counterfactual(
            data, CLASSES, load_bank("brief"), tokenize, recipe=RECIPE, bootstrap=FEW
        ),
    }
    found = evaluate(evaluators, Model(labels, modality, noise=0.3))
    results = collect(found, name="toy", command="test", seed=0, config={}, bootstrap=FEW)
    failed = Mistaken(np.zeros((8, 8, 3), np.uint8), "r<7>", "ct", "mri", "toy")
    path = write_report(tmp_path / "report.html", results=results, examples=[failed])
    page = path.read_text()
    sections = ("Which modality is it?", "mean of 2 modalities", "Counterfactual pairs")
    cards = ("Pairs ranked right", "Macro AUC within modalities", "Modality recognised")
    said = ("ct, taken for mri", "r&lt;7&gt;", "24 pairs of pictures of one patient")
    for words in (*sections, *cards, *said):
        assert words in page, words


def test_the_banks_of_the_package_read(labels):
    kinds = load_bank("modalities")
    assert set(kinds.classes) == {"xray", "ct", "mri", "ultrasound", "pathology", "fundus"}
    assert "findings" in {p.stem for p in FOLDER.glob("*.json")}
    assert load_bank("findings").classes["no finding"].negative
