"""Zero-shot protocols, masks and real films, as launch/evaluate.py reaches them."""

import json

import cv2
import jax
import numpy as np
import pytest

from configs import common
from medvlp_jax.core.checkpoints.checkpoint import Checkpointer
from medvlp_jax.core.checkpoints.pretrained import CheckpointError
from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.step import init_state
from medvlp_jax.data.store.manifest import ShardName
from medvlp_jax.data.store.record import Box, Image, Mask, Record, Text
from medvlp_jax.data.store.shards import write_shard
from medvlp_jax.eval.base import EvalError
from medvlp_jax.eval.config import EvalConfig, EvalSetConfig
from medvlp_jax.eval.metrics.calibration import Calibration
from medvlp_jax.eval.zeroshot.chosen import covered
from medvlp_jax.eval.zeroshot.promptbank import load_bank
from medvlp_jax.eval.zeroshot.recipes import recipe
from medvlp_jax.run.build import Run
from medvlp_jax.run.evaluate import evaluate_checkpoint
from medvlp_jax.run.sets import film_configs, set_configs

pytestmark = pytest.mark.usefixtures("all_compile_quickly")

LABELS = ("atelectasis", "edema", "pleural effusion", "no finding")
SIDE, COUNT = 16, 24


def _record(split, i, labelled=True):
    rng = np.random.default_rng([i, len(split)])
    film = rng.integers(0, 60, (SIDE, SIDE), np.uint8)
    found = i % 4
    x, y = rng.integers(1, 7, 2)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[y : y + 8, x : x + 8] = 255
    name = LABELS[found]
    ill = labelled and found < 3
    film[mask > 0] += 60 * (found + 1) * ill
    return Record(
        id=f"{split}{i}",
        images=(
            Image(cv2.imencode(".png", film)[1].tobytes(), "png", "PA", width=SIDE, height=SIDE),
        ),
        texts=(Text(f"There is {name}." if found < 3 else "Clear lungs.", "impression"),),
        labels={n: int(k == found) for k, n in enumerate(LABELS)} if labelled else {},
        boxes=(Box(x / SIDE, y / SIDE, (x + 8) / SIDE, (y + 8) / SIDE, name, name),) * ill,
        masks=(Mask(cv2.imencode(".png", mask)[1].tobytes(), name),) * ill,
        patient_id=f"{split}{i // 2}",
        split=split,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(workdir, data folder, folder of films that nobody has read)"""
    folder = tmp_path_factory.mktemp("launch")
    for split in ("train", "validation", "test"):
        records = [_record(split, i) for i in range(COUNT)]
        write_shard(folder / "toy", ShardName("toy", split, 0, 1), records)
    unread = [_record("all", i, labelled=False) for i in range(5)]
    write_shard(folder / "films", ShardName("films", "all", 0, 1), unread)
    return _start(folder / "run", str(folder / "toy")), str(folder / "toy"), str(folder / "films")


def _start(workdir, data, seed=0, width=16):
    """A run as training would leave it, without the minute that compiling a step costs."""
    config = common.base()
    config.name = "toy"
    tower = {"width": width, "depth": 1, "heads": 2}
    config.model = {
        "vision": {"name": "vit_s16", "patch": 4, **tower},
        "text": {"name": "bert_mini", "vocab": 400, "max_length": 48, **tower},
        "embed_dim": 16,
        "dtype": "float32",
    }
    config.data.sources[0].path = data
    config.data.batch_size = 8
    config.data.labels = LABELS
    config.data.image = {"size": SIDE, "channels": 1}
    config.data.text = {"buckets": (16,), "window": 0, "vocab": 400}
    config.optim.warmup_steps = 1
    config.loop = {"steps": 2, "log_every": 1, "eval_every": 2, "save_every": 2}
    config.log.tensorboard = False
    config.eval.batch_size = 8
    config.eval.bootstrap = {"resamples": 50}
    config.eval.heatmap = "contrast"
    config.eval.sets = {
        "test": {"path": data, "evaluators": ("zeroshot",)},
    }
    experiment = Run(config)
    experiment.tokenizer()
    state = init_state(
        experiment.model_def, experiment.optimizer, jax.random.key(seed), experiment.mesh
    )
    checkpointer = Checkpointer(workdir, experiment.config.checkpoint, experiment.resolved)
    checkpointer.save(state, 2, {})
    checkpointer.close()
    return workdir


def _evaluate(run, out, evaluators, overrides=None, films=(), **sets):
    workdir, data, _ = run
    chosen = set_configs(
        [data], split="test", validation=f"{data}:validation", evaluators=evaluators, classes=(),
        **sets,
    )  # fmt: skip
    done = evaluate_checkpoint(
        workdir, out, command="test", sets=chosen, overrides=overrides, films=films
    )
    return done, json.loads((out / "results.json").read_text())["evaluations"]


def test_the_set_of_the_run_beside_films_that_nobody_has_read(run, tmp_path):
    workdir, _, films = run
    done = evaluate_checkpoint(workdir, tmp_path, command="test", films=(f"{films}:all",))
    found = done.results["evaluations"]
    assert set(found) == {"test-zeroshot", "films-pictures"}
    assert found["films-pictures"]["unlabelled"] == found["films-pictures"]["pictures"] == 5
    page = (tmp_path / "report.html").read_text()
    assert "without any label" in page
    assert page.count('class="grounded"') == 5
    assert found["test-zeroshot"]["protocol"] == "pos_vs_neg"


def test_labelled_films_are_scored_too(run, tmp_path):
    workdir, data, _ = run
    done = evaluate_checkpoint(workdir, tmp_path, command="test", films=(f"{data}:validation",))
    assert {"test-zeroshot", "toy-zeroshot", "toy-pictures"} < set(done.results["evaluations"])


def test_protocols_from_the_command_line(run, tmp_path):
    overrides = {"protocol": "gloria", "prompts": "", "max_prompts": 3}
    done, found = _evaluate(run, tmp_path, ["zeroshot", "baseline"], overrides, per_class=4)
    entry = found["toy-zeroshot"]
    assert entry["protocol"] == "gloria, changed"
    assert entry["prompt_bank"] == "descriptive"
    assert entry["records"] == 16
    assert entry["top1"]["balanced_accuracy"]["value"] is not None
    assert [row["name"] for row in entry["classes"]] == list(LABELS)
    assert not done.results["comparisons"] or all(
        c["model"] != "toy-zeroshot" for c in done.results["comparisons"]
    )  # other records than those of the rules
    page = (tmp_path / "report.html").read_text()
    assert "4 records of each class" in page
    assert "Balanced accuracy" in page


def test_biovil_prompts_come_from_the_tower_before_normalisation(run, tmp_path):
    _, found = _evaluate(run, tmp_path, ["zeroshot"], {"protocol": "biovil", "prompts": ""})
    assert found["toy-zeroshot"]["ensemble"] == "unnormalised"
    with pytest.raises(EvalError, match="score='pairs' needs a task"):
        _evaluate(run, tmp_path, ["zeroshot"], {"protocol": "gloria_pairs", "prompts": ""})


def test_masks_as_truth_and_the_maps_of_a_protocol(run, tmp_path):
    _, boxes = _evaluate(run, tmp_path / "b", ["grounding"], {"maps": "biovil"})
    _, masks = _evaluate(
        run, tmp_path / "m", ["grounding"], {"maps": "biovil", "heatmap": "contrast"}, truth="masks"
    )
    a, b = boxes["toy-grounding"], masks["toy-grounding"]
    assert (a["truth"], b["truth"]) == ("boxes", "masks")
    assert a["maps"]["size"] == 224
    assert a["pairs"] == b["pairs"] == 18
    for name in ("cnr", "auprc", "dice_oracle", "miou_raw"):  # the masks are the boxes here
        assert a["overall"][name]["value"] == pytest.approx(b["overall"][name]["value"], abs=1e-6)
    page = (tmp_path / "b/report.html").read_text()
    assert "sigma of 1.5 patches, nearest upsampling" in page
    # This checkpoint is the start of its run, so the untrained network is the same one.
    for name in ("pointing", "cnr", "dice", "dice_oracle"):
        assert a["overall"][f"{name}_random"] == a["overall"][name]
        assert a["overall"][f"{name}_gain_random"]["value"] == 0
    assert "the same network untrained" in page
    _, alone = _evaluate(run, tmp_path / "u", ["grounding"], {"untrained": False})
    assert "pointing_random" not in alone["toy-grounding"]["overall"]


@pytest.mark.slow
def test_an_ensemble_of_checkpoints(run, tmp_path):
    workdir, data, _ = run
    other = _start(tmp_path / "other", data, seed=1)

    def score(*ensemble):
        done = evaluate_checkpoint(
            workdir, tmp_path / f"{len(ensemble)}", command="test", ensemble=ensemble,
            overrides={"protocol": "chexzero", "prompts": ""},
        )  # fmt: skip
        return done.results["evaluations"]["test-zeroshot"]

    alone, same, mixed = score(), score(workdir, workdir), score(other)
    assert (alone["models"], same["models"], mixed["models"]) == (1, 3, 2)
    assert same["macro"] == alone["macro"]
    assert mixed["macro"] != alone["macro"]
    assert "mean of 2 checkpoints" in (tmp_path / "1/report.html").read_text()
    wider = _start(tmp_path / "wider", data, width=24)
    with pytest.raises(CheckpointError, match=r"wider cannot be scored together .*: model differ"):
        score(wider)


def test_a_calibration_stands_beside_the_report(run, tmp_path):
    done, found = _evaluate(run, tmp_path, ["zeroshot"])
    stored = Calibration.load(tmp_path / "calibration.json")
    assert stored.classes == tuple(row["name"] for row in found["toy-zeroshot"]["classes"])
    assert stored == Calibration.from_json(found["toy-zeroshot"]["calibration"])
    assert "Brier" in (tmp_path / "report.html").read_text()
    assert done.report_path.exists()


def test_classes_that_the_run_never_heard_of(run, tmp_path):
    workdir, data, _ = run
    sets = {"toy": EvalSetConfig(data, "test", classes=("edema", "pneumonia"))}
    done = evaluate_checkpoint(workdir, tmp_path, command="test", sets=sets)
    entry = done.results["evaluations"]["toy-zeroshot"]
    assert entry["macro"]["undefined"] == ["pneumonia"]  # scored, but never judged in this set


def test_settings(run):
    _, data, films = run
    assert film_configs([f"{films}:all"], {"films"}, LABELS)["films-films"].evaluators == (
        "pictures",
    )
    with pytest.raises(ConfigError, match="FOLDER:SPLIT"):
        film_configs([data], (), LABELS)
    with pytest.raises(ConfigError, match="'mean' or 'max'"):
        EvalConfig(score="pairs")
    for column in ("labels", "images", "text", "id", ""):
        with pytest.raises(ValueError, match="is not one of view, patient_id"):
            EvalConfig(subgroups=("view", column))
    assert EvalConfig(subgroups=("patient_id", "view")).subgroups
    with pytest.raises(ConfigError, match="no class to score"):
        covered("toy", ["gout"], load_bank("brief"), recipe("chexzero"))
