"""Classes as they are asked for, prompts that are cut, and numbers that cannot be measured."""

import json
import logging
import re

import numpy as np
import pytest
from fake_model import tokenize
from made_up import Studies

from medvlp_jax.core.config import ConfigError
from medvlp_jax.data.texts.tokenizer import train_wordpiece
from medvlp_jax.eval.base import EvalError
from medvlp_jax.eval.config import EvalConfig
from medvlp_jax.eval.downstream.efficiency import Collected
from medvlp_jax.eval.embedded import Embedded
from medvlp_jax.eval.grounding.evaluator import Grounding
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.notes import not_measured, notes
from medvlp_jax.eval.page.page import write_report
from medvlp_jax.eval.registry import evaluate
from medvlp_jax.eval.results import collect, write_results
from medvlp_jax.eval.retrieval import Retrieval
from medvlp_jax.eval.zeroshot.baselines import Baseline
from medvlp_jax.eval.zeroshot.chosen import choose, class_names, covered
from medvlp_jax.eval.zeroshot.evaluator import ZeroShot
from medvlp_jax.eval.zeroshot.prompt_tokens import PromptTokenizer, check_cut, cut_texts
from medvlp_jax.eval.zeroshot.promptbank import ClassPrompts, load_bank
from medvlp_jax.eval.zeroshot.recipes import recipe
from medvlp_jax.run.sets import set_configs

BANK = load_bank("reports")


def of(positive, negative):
    return {"positive": positive, "negative": negative, "uncertain": 0}


COUNTS = {
    "pneumonia": of(4, 4), "edema": of(8, 0), "pleural effusion": of(0, 8), "gout": of(3, 5),
    "nodule": of(2, 6),
}  # fmt: skip
LABELS = ("pneumonia", "edema", "pleural effusion", "gout", "fracture")


def chosen(named=(), evaluators=("zeroshot",), counts=COUNTS, labels=LABELS):
    return choose("set 'toy'", named, evaluators, counts, labels, BANK, BANK, recipe("pos_vs_neg"))


def test_what_can_be_scored_is_scored_and_the_rest_is_said():
    found = chosen()
    assert found.scored == ("pneumonia",)
    assert found.labelled == ("pneumonia", "gout")
    assert found.shown == ("pneumonia", "edema")
    assert found.left == {
        "edema": "no negative record",
        "pleural effusion": "no positive record",
        "gout": "not in prompt bank 'reports'",
        "nodule": "not among the labels of the run",
    }
    assert found.unseen == {
        "pleural effusion": "no positive record",
        "gout": "not in prompt bank 'reports'",
        "nodule": "not among the labels of the run",
    }


def test_classes_asked_for(caplog):
    found = chosen(("nodule", "edema"))
    assert found.scored == found.labelled == ("nodule", "edema")
    assert found.left["edema"] == "no negative record"
    assert found.left["pneumonia"] == "not among the classes that were asked for"
    assert "'edema' has no negative record and is not measured" in caplog.text


@pytest.mark.parametrize(
    ("named", "evaluators", "message"),
    [
        (("Pneumonia",), ["zeroshot"], "'Pneumonia' is no label of this set; did you mean 'pneu"),
        (("nodule", "pleural_effusion"), ["zeroshot"], "did you mean 'pleural effusion'"),
        (("pnuemonia",), ["retrieval"], "did you mean 'pneumonia'"),
        (("hernia",), ["zeroshot"], "is no label of this set; it has pneumonia, edema"),
        (("edema",), ["zeroshot"], "zeroshot has nothing to score: edema has no negative record"),
        (("edema",), ["baseline", "probe"], "baseline, probe has nothing to score"),
        (("pleural effusion",), ["grounding"], "grounding has nothing to look for: pleural eff"),
    ],
)
def test_nothing_to_score(named, evaluators, message):
    with pytest.raises(ConfigError, match=message):
        chosen(named, evaluators)


def test_a_set_without_labels():
    assert chosen((), ["retrieval"], {}).scored == ()
    for word in ("baseline", "probe", "finetune"):
        with pytest.raises(ConfigError, match="no label of the run is one of this set"):
            chosen((), [word], {})
    with pytest.raises(ConfigError, match="has no class to score"):
        covered("set 'toy'", ["gout"], BANK, recipe("chexzero"))


@pytest.mark.parametrize("folder", ["toy", "./toy", "x/../toy", "toy/"])
def test_thresholds_are_not_taken_from_what_they_are_scored_on(folder):
    common = {"split": "test", "evaluators": ["zeroshot"], "classes": ()}
    with pytest.raises(ValueError, match="is the set itself"):
        EvalConfig(set_configs(["toy"], validation=f"{folder}:test", **common))
    EvalConfig(set_configs(["toy"], validation=f"{folder}:validation", **common))


def test_classes_as_typed():
    typed = [" pneumonia", "'edema'", '"pleural  effusion"', "edema", "", " \u201cgout\u201d "]
    assert class_names(typed) == ("pneumonia", "edema", "pleural effusion", "gout")
    common = {"split": "test", "validation": "v:val", "classes": typed}
    sets = set_configs(["toy"], evaluators=["zeroshot", "zeroshot"], **common)
    assert sets["toy"].evaluators == ("zeroshot",)
    assert sets["toy"].classes == sets["validation"].classes == class_names(typed)
    assert sets["validation"].evaluators == ("zeroshot",)
    assert set_configs(["toy"], evaluators=["grounding"], **common)["validation"].evaluators == ()
    with pytest.raises(ConfigError, match="evaluators is empty"):
        set_configs(["toy"], evaluators=[], **common)


def test_a_folder_may_name_its_split(tmp_path):
    (tmp_path / "odd:name").mkdir()
    common = {"split": "test", "validation": "", "classes": (), "evaluators": ["zeroshot"]}
    odd = f"{tmp_path}/odd:name"
    sets = set_configs(["toy:train", "other", odd, "gs://bucket/far"], **common)
    assert [(one.path, one.split) for one in sets.values()] == [
        ("toy", "train"), ("other", "test"), (odd, "test"), ("gs://bucket/far", "test"),
    ]  # fmt: skip


WORDS = [f"word{i}" for i in range(40)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return train_wordpiece(
        [*WORDS, "there is no a finding"] * 4, tmp_path_factory.mktemp("t") / "t"
    )


def words(count, *more):
    return " ".join([*WORDS[:count], *more])


class TestCutPrompts:
    def test_no_word_where_all_fit(self, tokenizer):
        read = PromptTokenizer(tokenizer, 8, 16)
        assert read(["there is"])[0].shape == (1, 8)
        assert read([words(1), words(9)])[0].shape == (2, 16)
        assert read.word_ids([words(9)]).shape == (1, 16)
        prompts = {"x": ClassPrompts(("there is",), ("no",))}
        assert check_cut(read, prompts, "mine") == cut_texts(read, [words(3)]) == {}
        assert cut_texts(tokenize, ["a" * 9999]) == {}

    def test_cut_ones_are_counted_and_said(self, tokenizer, caplog):
        read = PromptTokenizer(tokenizer, 8, 16)
        prompts = {"x": ClassPrompts((words(30), "there is"), ("no " + words(20),))}
        lengths = tokenizer.lengths([words(30), "no " + words(20)])
        assert min(lengths) > 16
        said = check_cut(read, prompts, "mine")["prompts_cut"]
        assert (said["read"], said["count"], said["of"]) == (16, 2, 3)
        assert said["longest"][0] == {"prompt": words(30), "tokens": max(lengths)}
        assert "2 of its prompts are longer" in caplog.text
        assert "2 of 3 prompts are longer than the 16 tokens" in notes({"prompts_cut": said})[0]

    @pytest.mark.parametrize(
        "prompts",
        [
            {"x": ClassPrompts((words(30, "there"),), (words(30, "no"),))},
            {"x": ClassPrompts((words(30, "there"),), ()), "y": ClassPrompts((words(31),), ())},
        ],
    )
    def test_one_that_loses_its_meaning_is_refused(self, tokenizer, prompts):
        with pytest.raises(EvalError, match=r"Cut there, a .* prompt of '.' is the same as a"):
            check_cut(PromptTokenizer(tokenizer, 8, 16), prompts, "mine")


def strictly(path):
    def refuse(word):
        raise ValueError(f"{word} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def nulls(value, path=()):
    """Paths of all nulls, through rows by their name."""
    if value is None:
        yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from nulls(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            name = inner["name"] if isinstance(inner, dict) and "name" in inner else str(i)
            yield from nulls(inner, (*path, name))


OPTIONAL = {"validation", "threshold_rule", "patients", "calibration"}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A set without a nodule, without validation, with and without resamples."""
    folder = tmp_path_factory.mktemp("results")
    studies = Studies(n=24)
    studies.labels[:, 3] = 0
    studies.box_label[studies.box_label == 3] = -1
    found, located = {}, studies.classes[:-1]
    for resamples in (0, 20):
        boot = Bootstrap(resamples)
        test = Embedded("toy", studies.batches, studies.classes)
        common = {"bootstrap": boot, "subgroups": ("view",)}
        evaluators = {
            "zeroshot": ZeroShot(test, studies.classes, BANK, tokenize, **common,
                                 recipe=recipe("multiclass"), not_scored={"gout": "a word"}),
            "rule": Baseline(test, studies.classes, rule="mean brightness", **common),
            "retrieval": Retrieval(test, bootstrap=boot),
            "grounding": Grounding(test, located, BANK, tokenize, query="contrast",
                                   bootstrap=boot),
        }  # fmt: skip
        for name, result in evaluate(evaluators, studies.predict_of(0.5)).items():
            found[f"{name}-{resamples}"] = result
    results = collect(found, name="toy", command="test", seed=0, config={}, bootstrap=boot)
    write_results(folder / "results.json", results)
    page = write_report(folder / "report.html", results=results).read_text()
    return strictly(folder / "results.json"), page


class TestResults:
    def test_every_null_has_its_reason(self, written):
        results, _ = written
        assert len(results["evaluations"]) == 8
        for entry in results["evaluations"].values():
            told = {p for paths in entry["not_measured"].values() for p in paths}
            left = {k: v for k, v in entry.items() if k not in ("bootstrap", "maps", "roc")}
            for path in nulls(left):
                steps = ["/".join(path[:n]) for n in range(1, len(path) + 1)]
                assert OPTIONAL & set(path) or set(steps) & told, path
            assert all(isinstance(v, float) for v in entry["metrics"].values())

    def test_the_reasons_are_the_right_ones(self, written):
        entry = written[0]["evaluations"]["zeroshot-20"]
        why = {p: reason for reason, paths in entry["not_measured"].items() for p in paths}
        assert why["classes/nodule/auc"] == "no positive record of 'nodule' in this set"
        assert why["metrics/auc/nodule"] == why["classes/nodule/auc"]
        assert why["classes/fracture/f1"].startswith("no validation data")
        assert why["metrics/f1_macro"].startswith("no validation data")
        entry = written[0]["evaluations"]["zeroshot-0"]
        why = {p: reason for reason, paths in entry["not_measured"].items() for p in paths}
        assert why["classes/fracture/auc/low"] == "no interval: bootstrap.resamples is 0"
        entry = written[0]["evaluations"]["grounding-20"]
        why = {p: reason for reason, paths in entry["not_measured"].items() for p in paths}
        assert why["classes/nodule/pointing"] == "no region of 'nodule' in this set"
        assert [r["pairs"] == 0 for r in entry["classes"]] == [False, False, False, True, False]

    def test_what_depends_on_the_classes_says_so_beside_the_numbers(self, written):
        results, page = written
        shown = re.sub(r"&#x27;|&#39;", "'", page)
        for name in ("zeroshot-20", "grounding-20"):
            said = results["evaluations"][name]["depends_on_classes"]
            assert "cardiomegaly, pleural effusion, pneumothorax" in said
            assert said in shown
        assert results["evaluations"]["zeroshot-20"]["top1"]["depends_on_classes"]
        assert "depends_on_classes" not in results["evaluations"]["rule-20"]
        assert "Not scored: gout (a word)." in shown
        assert "Not measured: no region of 'nodule' in this set." in shown


def test_an_evaluation_without_anything_to_evaluate_is_an_error(caplog):
    studies = Studies(n=8)
    predict = studies.predict_of(0.5)
    studies.labels[:] = 0
    test = Embedded("toy", studies.batches, studies.classes)
    with pytest.raises(EvalError, match="has nothing to score: no class of cardiomegaly, "):
        ZeroShot(test, studies.classes, BANK, tokenize)(predict)
    collected = Collected()
    collected.add("pretrained", 1.0, 8, np.zeros((8, 6)), 0)
    collected._labels, collected._ids = studies.labels, np.arange(8)
    with pytest.raises(EvalError, match=r"probe: no class of .* in the test set"):
        collected.result(studies.classes, Bootstrap(0), {"kind": "probe"})


@pytest.mark.parametrize("keys", [[0] * 6, [5] * 6, [0] * 5 + [5]])
def test_nothing_to_retrieve(keys):
    with pytest.raises(EvalError, match="has nothing to retrieve"):
        Retrieval(_texts(keys))(_embed)


def test_records_without_a_text_are_left_out_of_retrieval():
    got = Retrieval(_texts([3, 0, 5, 0, 9, 7]), at=(1,), bootstrap=Bootstrap(0))(_embed)
    assert (got.details["records"], got.details["without_text"]) == (4, 2)
    assert got.metrics["image_to_text/r@1"] == 1
    assert got.details["chance"]["r@1"] == pytest.approx(1 / 4)
    assert "2 records have no text and were left out." in notes(got.details)


def _texts(keys):
    n = len(keys)

    def batches():
        yield {
            "image": np.arange(n), "text": np.arange(n)[:, None], "valid": np.ones(n, bool),
            "text_mask": np.array(keys)[:, None] > 0, "text_key": np.array(keys, np.uint32),
            "labels": np.zeros((n, 1), int), "id": np.array([f"r{i}" for i in range(n)]),
        }  # fmt: skip

    return Embedded("toy", batches, ("x",))


def _embed(name, batch):
    return np.eye(6)[np.asarray(batch["image" if name == "image_embed" else "text"]).ravel()]


def test_reasons_of_the_other_kinds():
    entry = {
        "kind": "detection", "bootstrap": {"resamples": 9},
        "classes": [{"name": "mass", "boxes": 0}, {"name": "nodule", "boxes": 3}],
        "levels": [{"pretrained": {"macro": {"value": 0.5, "low": 0.4, "high": 0.6}, "classes": {
            "mass": {"value": float("nan"), "low": None, "high": None},
            "nodule": {"value": 0.5, "low": 0.4, "high": 0.6}}}}],
    }  # fmt: skip
    assert not_measured(entry) == {
        "no box of 'mass' in this set": ["levels/0/pretrained/classes/mass"]
    }
    entry = {"masks": [{"name": "lung", "positives": 0}], "overlap": {"lung": {"value": None}}}
    assert not_measured(entry) == {"no positive record of 'lung' in this set": ["overlap/lung"]}


def test_training_says_how_many_texts_its_last_bucket_cuts(caplog):
    from medvlp_jax.data.config import SourceConfig
    from medvlp_jax.data.pipeline import _say_cut
    from medvlp_jax.data.texts.text_index import TextIndex

    lengths = np.array([5, 64, 65, 300, 64, 8])
    index = TextIndex(np.arange(6), np.ones((6, 1), int), lengths, {})
    with caplog.at_level(logging.WARNING):
        _say_cut(SourceConfig("toy", "train"), index, 300)
        assert caplog.text == ""
        _say_cut(SourceConfig("toy", "train"), index, 64)
    assert "toy, split train: 2 of 6 texts (33.3 %) are longer" in caplog.text
    assert "cut to its 64 tokens; the longest has 300" in caplog.text
