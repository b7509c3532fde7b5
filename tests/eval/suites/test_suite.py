"""A suite through launch/evaluate.py: means over what is there, absent sets by name, kept scores,
few labels; and two models in pairs."""

import dataclasses
import json
import pathlib
import sys

import jax
import numpy as np
import pytest

import medvlp_jax as mv
from configs import common
from configs.unimed.suite import get_config
from medvlp_jax.core.checkpoints.checkpoint import Checkpointer
from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.step import init_state
from medvlp_jax.eval.base import EvalError
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.suites import scores as kept
from medvlp_jax.eval.suites.catalogue import SUITES
from medvlp_jax.eval.suites.statistics import Statistics
from medvlp_jax.eval.zeroshot.promptbank import PromptError, load_bank
from medvlp_jax.run.build import Run
from medvlp_jax.run.config import stored_config
from medvlp_jax.run.evaluate import evaluate_checkpoint
from medvlp_jax.run.evaluators import evaluators_of
from medvlp_jax.run.train import tuner

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from conftest import import_sets

NAMES = ("thyroid_us", "acl_mri", "breast_us")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(workdir of a run at its start, root of three imported sets)"""
    folder = tmp_path_factory.mktemp("suite")
    suite = import_sets(folder, NAMES[:2], 6, ("train", "val", "test"))
    import_sets(folder, NAMES[2:], 6)
    # A bank that the user holds, as a list of classes and sentences.
    (suite / "prompts").mkdir()
    listed = [{"class": c, "prompts": [f"{{{c}}} in braces", c]} for c in ("benign", "malignant")]
    (suite / "prompts/breast_us.json").write_text(json.dumps(listed))
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    workdir = _start(folder / "run", suite)
    jax.config.update("jax_disable_most_optimizations", before)
    return workdir, suite


def _start(workdir, suite):
    tower = {"width": 16, "depth": 1, "heads": 2}
    config = common.base()
    config.name, config.seed = "toy", 0
    config.model = {
        "vision": {"name": "vit_s16", "patch": 8, **tower},
        "text": {"name": "bert_mini", "vocab": 300, "max_length": 48, **tower},
        "embed_dim": 16,
        "dtype": "float32",
    }
    words = workdir.parent / "words"
    if not words.is_dir():
        from medvlp_jax.data.texts.tokenizer import train_wordpiece

        texts = [t for n in NAMES for c in load_bank(f"suites/{n}").classes.values()
                 for t in c.positive]  # fmt: skip
        train_wordpiece(texts, words, 300)
    config.data.sources[0].path = str(suite / NAMES[0])
    config.data.batch_size = 8
    config.data.labels = ("benign", "malignant")
    config.data.image = {"size": 32, "channels": 3}
    config.data.text = {"buckets": (48,), "window": 0, "tokenizer": str(words)}
    config.optim.warmup_steps = 1
    config.loop = {"steps": 2, "log_every": 1, "eval_every": 2, "save_every": 2}
    config.log.tensorboard = False
    run = Run(config)
    run.tokenizer()
    state = init_state(run.model_def, run.optimizer, jax.random.key(0), run.mesh)
    checkpointer = Checkpointer(workdir, run.config.checkpoint, run.resolved)
    checkpointer.save(state, 2, {})
    checkpointer.close()
    return workdir


def _measure(workdir, suite, out, words="", **changes):
    config = get_config(f"{suite}{words}").to_dict()
    config |= {"batch_size": 8, "bootstrap": {"resamples": 40}} | changes
    done = evaluate_checkpoint(workdir, out, command="test", overrides=config)
    return done, json.loads((out / "results.json").read_text())["evaluations"]


@pytest.fixture(scope="module")
def measured(made, tmp_path_factory):
    out = tmp_path_factory.mktemp("measured")
    downstream = {"few_shot": {"shots": (1, 4), "seeds": 2, "features": "projected"}}
    sets = get_config(f"{made[1]},few_shot").to_dict()["sets"]
    sets["acl_mri"]["first_prompts"] = 1
    done, found = _measure(*made, out, ",few_shot", downstream=downstream, sets=sets)
    return out, done, found


def test_a_folder_with_one_of_the_two_suites_is_scored_by_it_alone(tmp_path):
    folder = tmp_path / "pathmnist"
    folder.mkdir()
    (folder / "manifest.jsonl").touch()
    config = get_config(str(tmp_path))
    assert [*config.suites] == ["medmnist"]
    assert [*config.sets] == ["pathmnist"]
    assert [*get_config(str(tmp_path / "nowhere")).suites] == ["unimed"]


def test_means_are_over_what_is_there(measured):
    _, done, found = measured
    entry = found["unimed-suite"]
    assert (entry["measured"], entry["of"]) == (3, 21)
    assert len(entry["absent"]) == 18
    assert "PCAM" in entry["absent"]
    rows = {row["name"]: row for row in entry["sets"]}
    assert list(rows) == ["thyroid_us", "breast_us", "acl_mri"]  # in the order of the suite
    for name, row in rows.items():
        alone = found[f"{name}-zeroshot"]
        assert row["accuracy"] == alone["top1"]["accuracy"]
        assert row["auc"] == alone["macro"]["auc"]
        own = "breast_us" if name == "breast_us" else f"suites/{name}"
        assert alone["prompt_bank"].removesuffix(", first 1") == own
    accuracies = [rows[n]["accuracy"]["value"] for n in ("thyroid_us", "breast_us", "acl_mri")]
    over = entry["means"]["over_sets"]["accuracy"]
    assert over["value"] == pytest.approx(np.mean(accuracies))
    assert over["low"] <= over["value"] <= over["high"]
    by_modality = entry["means"]["over_modalities"]["accuracy"]["value"]
    assert by_modality == pytest.approx((np.mean(accuracies[:2]) + accuracies[2]) / 2)
    said = done.summary()
    assert "over the 3 of 21 sets that are here" in said
    assert "No data folder (18): chexpert_5x200" in said
    assert "accuracy_mean" in said
    assert {row["protocol"] for row in rows.values()} == {"unimed"}


def test_the_page_shows_sets_means_and_what_is_absent(measured):
    page = (measured[0] / "report.html").read_text()
    for words in ("mean of 2, ultrasound", "mean over 3 sets", "mean over 2 modalities",
                  "No data folder (18)", "Few labels", "Suite, zero-shot accuracy"):  # fmt: skip
        assert words in page, words


def test_few_labels(measured):
    found = measured[2]
    assert "breast_us-few_shot" not in found  # it has no split to learn from
    assert "breast_us (no splits" in " ".join(measured[1].summary().split())
    entry = found["acl_mri-few_shot"]
    assert [level["shots"] for level in entry["levels"]] == [1, 4, "all"]
    assert [level["records"] for level in entry["levels"]] == [[2, 2], [8, 8], [12]]
    # Two patterns that differ this much are told apart from all labels even by random weights.
    assert entry["levels"][-1]["accuracy"]["value"] > 0.9
    assert entry["levels"][0]["accuracy"]["sd"] is not None
    assert [m["shots"] for m in found["unimed-suite"]["few_shot"]] == ["1", "4", "all"]
    assert found["unimed-suite"]["few_shot"][0]["sets"] == 2


def test_scores_are_kept_per_image(measured):
    out, _, found = measured
    assert {p.stem for p in (out / "scores").glob("*")} == set(NAMES)
    one = mv.read_scores(out / "scores/acl_mri.npz")
    assert one.classes == ("normal acl", "acl tear")
    assert one.truth.tolist().count(1) == 6
    # The scores are log-softmaxes of the cosines: differences are those of the cosines.
    np.testing.assert_allclose(np.diff(one.scores, axis=1), np.diff(one.cosines, axis=1), atol=1e-9)
    again = Statistics(one.labels, one.scores).values
    for value, measure in zip(again, ("accuracy", "balanced_accuracy", "auc"), strict=True):
        row = next(r for r in found["unimed-suite"]["sets"] if r["name"] == "acl_mri")
        assert value == pytest.approx(row[measure]["value"])
    assert len(one.model_digest) == len(one.prompt_digest) == 64
    assert one.about["prompts"]["acl tear"]["positive"]
    other = mv.read_scores(out / "scores/thyroid_us.npz")
    assert other.model_digest == one.model_digest
    assert other.prompt_digest != one.prompt_digest


def test_two_models_in_pairs(measured, tmp_path):
    out = measured[0]
    rng = np.random.default_rng(0)
    for path in sorted((out / "scores").glob("*.npz")):
        one = mv.read_scores(path)
        order = rng.permutation(len(one.ids))  # another order of the same records
        scores = one.scores + rng.normal(size=one.scores.shape)
        other = dataclasses.replace(
            one, ids=one.ids[order], labels=one.labels[order], scores=scores[order],
            cosines=None, patients=None, model_digest="0" * 64,
        )  # fmt: skip
        kept.write_scores(tmp_path / "scores" / path.name, other)
    found = mv.compare_scores(out, tmp_path, resamples=50)
    assert set(found.sets) == set(NAMES)
    a, b = (mv.read_scores(p / "scores/acl_mri.npz") for p in (out, tmp_path))
    want = Statistics(a.labels, a.scores).values - Statistics(b.labels, b.scores).values
    assert found.sets["acl_mri"]["auc"].value == pytest.approx(want[2])
    assert found.sets["acl_mri"]["auc"].low <= want[2] <= found.sets["acl_mri"]["auc"].high
    mean = np.mean([s["accuracy"].value for s in found.sets.values()])
    assert found.mean["accuracy"].value == pytest.approx(mean)
    assert "mean of 3 sets: accuracy" in str(found)
    (tmp_path / "scores/acl_mri.npz").unlink()
    left = mv.compare_scores(out, tmp_path, resamples=0).left_out
    assert left == {"acl_mri": f"only in {out}"}
    with pytest.raises(EvalError, match="classes differ"):
        mv.compare_scores(out / "scores/acl_mri.npz", out / "scores/thyroid_us.npz")


def test_files_of_scores_that_are_wrong(measured, tmp_path):
    one = mv.read_scores(measured[0] / "scores/acl_mri.npz")
    for change, words in (
        ({"scores": one.scores[:, :1]}, "'scores' is"),
        ({"ids": np.array(["x"] * len(one.ids))}, "twice"),
        ({"labels": one.labels + 5}, "none of 1, 0, -1, -2"),
        ({"scores": one.scores * np.nan}, "not finite"),
    ):
        path = kept.write_scores(tmp_path / "bad.npz", dataclasses.replace(one, **change))
        with pytest.raises(EvalError, match=words):
            mv.read_scores(path)
    (tmp_path / "cut.npz").write_bytes(b"PK")
    with pytest.raises(EvalError, match="cannot be read"):
        mv.read_scores(tmp_path / "cut.npz")
    less = dataclasses.replace(
        one, ids=one.ids[1:], scores=one.scores[1:], labels=one.labels[1:], cosines=None
    )
    path = kept.write_scores(tmp_path / "less.npz", less)
    with pytest.raises(EvalError, match="1 records were scored by one model alone"):
        mv.compare_scores(measured[0] / "scores/acl_mri.npz", path)


def test_first_prompt_and_own_bank(measured, made, tmp_path):
    found = measured[2]
    assert [len(p["positive"]) for p in found["acl_mri-zeroshot"]["prompts"].values()] == [1, 1]
    prompts = found["breast_us-zeroshot"]["prompts"]
    assert prompts["benign"]["positive"] == ["{benign} in braces", "Benign"]
    own = tmp_path / "own.json"
    own.write_text(json.dumps([{"class": "benign"}]))
    with pytest.raises(PromptError, match="entry 1 lacks the key 'prompts'"):
        load_bank(str(own))


def test_a_suite_without_any_set_is_refused(made, tmp_path):
    with pytest.raises(ConfigError, match="nothing to evaluate"):
        _measure(made[0], tmp_path / "nowhere", tmp_path)
    config = get_config(str(made[1])).to_dict()
    config["sets"] = {"acl_mri": config["sets"]["acl_mri"] | {"evaluators": ()}}
    with pytest.raises(ConfigError, match="none of its 21 sets"):
        _measure(*made, tmp_path, sets=config["sets"])


def test_while_a_run_trains(made):
    """Sets and mean are evaluators of the loop, where the config says so, and only there."""
    workdir, suite = made
    stored = stored_config(workdir)
    for words, expected in (("", set()), (",training", {f"{n}-zeroshot" for n in NAMES})):
        stored["eval"] = get_config(f"{suite}{words}").to_dict() | {"batch_size": 8}
        run = Run(stored)
        built = evaluators_of(run, run.tokenizer(), tuner=tuner, during_training=True)
        assert set(built) == (expected | {"unimed-suite"} if expected else expected)


def test_every_set_has_its_prompts():
    for sets in SUITES.values():
        for one in sets:
            bank = load_bank(f"suites/{one.name}")
            assert set(bank.classes) == set(one.classes), one.name
            every = [p for c in bank.classes.values() for p in c.positive]
            assert len(every) == len(set(every)), one.name  # no sentence stands for two classes
    assert len(SUITES["unimed"]) == 21
    counts = {}
    for one in SUITES["unimed"]:
        counts[one.modality] = counts.get(one.modality, 0) + 1
    assert counts == {"xray": 2, "ultrasound": 2, "mri": 2, "ct": 3, "fundus": 4, "pathology": 8}


def test_statistics_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 60)
    labels, scores = np.eye(3, dtype=int)[truth], rng.normal(size=(60, 3)) + np.eye(3)[truth]
    of = Statistics(labels, scores)
    auc = np.mean([metrics.roc_auc_score(labels[:, k], scores[:, k]) for k in range(3)])
    expected = [
        metrics.accuracy_score(truth, scores.argmax(1)),
        metrics.balanced_accuracy_score(truth, scores.argmax(1)),
        auc,
    ]
    np.testing.assert_allclose(of.values, expected)
    # A resample is the same measure of the records drawn.
    (counts,) = Bootstrap(1, seed=3).counts(60)
    drawn = np.repeat(np.arange(60), counts[:, 0])
    again = Statistics(labels[drawn], scores[drawn]).values
    np.testing.assert_allclose(of(counts)[:, 0], again)
