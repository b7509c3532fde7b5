"""Whatever ``TASKS`` lists is trained, stopped, resumed, measured and compiled ahead of time."""

import json
import os
import signal

import cv2
import jax
import numpy as np
import pytest
from task_cases import CASES, SIDE, TOWERS, config_of

from configs.cxr import labelled
from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.metrics import FILE, read_metrics
from medvlp_jax.data.store.manifest import ShardName
from medvlp_jax.data.store.record import Box, Image, Mask, Record, Text
from medvlp_jax.data.store.shards import write_shard
from medvlp_jax.eval.base import EvalResult
from medvlp_jax.run import train as training
from medvlp_jax.run.build import Run
from medvlp_jax.run.evaluate import evaluate_checkpoint
from medvlp_jax.tasks.registry import TASKS

BANK = {
    "name": "films",
    "description": "squares and exposure",
    "positive": ["{c}."],
    "negative": ["No {c}."],
    "slots": {},
    "classes": {"square": {"names": ["square"]}, "bright": {"names": ["bright film"]}},
}


def film(i: int, split: str) -> Record:
    rng = np.random.default_rng([i, len(split)])
    square, bright = i % 2, i // 2 % 2
    pixels = rng.integers(0, 40, (SIDE, SIDE)).astype(np.uint8) + 90 * bright
    mask = np.zeros((SIDE, SIDE), np.uint8)
    x, y = rng.integers(1, 7, 2)
    masks, boxes = (), ()
    if square:
        pixels[y : y + 8, x : x + 8] = 240
        mask[y : y + 8, x : x + 8] = 255
        masks = (Mask(cv2.imencode(".png", mask)[1].tobytes(), "square"),)
        corners = (value / SIDE for value in (x, y, x + 8, y + 8))
        boxes = (Box(*corners, "square", "a square"),)
    words = [f"{'A' if square else 'No'} square", f"{'bright' if bright else 'dark'} film {i}."]
    return Record(
        id=f"{split}{i}",
        images=(
            Image(cv2.imencode(".png", pixels)[1].tobytes(), "png", "PA", width=SIDE, height=SIDE),
        ),
        texts=(Text(" and a ".join(words), "impression"),),
        labels={"square": square, "bright": bright},
        boxes=boxes,
        masks=masks,
        split=split,
    )


@pytest.fixture(scope="module", autouse=True)
def quick_compiles():
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("films")
    for split, count in (("train", 32), ("validation", 16), ("test", 16)):
        films = [film(i, split) for i in range(count)]
        write_shard(path, ShardName("films", split, 0, 1), films, "test")
    (path / "bank.json").write_text(json.dumps(BANK))
    return path


def losses(workdir):
    rows = read_metrics(workdir / FILE)
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


def seen(workdir):
    """What the log says was shown, by the last step."""
    *_, last = (row for row in read_metrics(workdir / FILE) if row["kind"] == "seen")
    return {key: value for key, value in last.items() if key != "time"}


def test_every_task_has_a_case():
    assert set(CASES) == set(TASKS)


@pytest.mark.parametrize("task", CASES)
def test_a_task_is_trained_stopped_resumed_and_measured(task, folder, tmp_path, monkeypatch):
    stop = []

    def evaluator(predict):
        if stop:
            os.kill(os.getpid(), signal.SIGTERM)
            stop.clear()
        return EvalResult({}, {})

    monkeypatch.setattr(training, "evaluators_of", lambda *_, **__: {"stop": evaluator})
    run = Run(config_of(task, folder), jax.devices()[:1])
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert training.train(run, whole).step == 6
    stop.append(True)
    first = training.train(run, cut)
    assert first.preempted
    assert first.step < 6
    assert training.train(run, cut).step == 6
    assert losses(cut) == losses(whole)
    assert np.isfinite(list(losses(whole).values())).all()
    assert seen(cut) == seen(whole)
    rows = 6 * run.config.data.batch_size
    assert (seen(cut)["step"], seen(cut)[f"source/{folder.name}/records"]) == (6, rows)
    done = evaluate_checkpoint(cut, tmp_path / "out", command="typed")
    (entry,) = done.results["evaluations"].values()
    evaluator_, metric = CASES[task][2:]
    assert entry["kind"] == evaluator_
    assert np.isfinite(entry["metrics"][metric])
    assert metric.split("/")[0] in done.summary()
    page = done.report_path.read_text()
    assert f'id="{evaluator_}"' in page
    assert "What was seen" in page


def test_a_task_says_which_model_it_trains(folder):
    config = config_of("supervised", folder)
    config["model"] = TOWERS | {"name": "clip"}
    with pytest.raises(ConfigError, match=r"trains classifier, not config.model.name='clip'"):
        Run(config)


def test_an_evaluator_that_the_task_cannot_feed_is_refused(folder, tmp_path):
    config = config_of("supervised", folder)
    config["eval"]["sets"]["test"]["evaluators"] = ("zeroshot",)
    with pytest.raises(ConfigError, match="zeroshot reads image_embed, and the task 'supervised'"):
        training.train(Run(config, jax.devices()[:1]), tmp_path)


@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_what_the_data_never_hold_stops_at_the_start(task, folder, tmp_path):
    films = [film(i, "train") for i in range(0, 32, 2)]  # without a square
    write_shard(tmp_path / "plain", ShardName("films", "train", 0, 1), films, "test")
    config = config_of(task, folder)
    config["data"]["sources"] = [{"path": str(tmp_path / "plain")}]
    with pytest.raises(ConfigError, match=r"has no mask of square|needs boxes"):
        training.train(Run(config, jax.devices()[:1]), tmp_path / "run")


@pytest.mark.parametrize("word", labelled.WORDS)
def test_every_word_of_the_config_is_a_run(word):
    config = labelled.get_config(f"{word}:somewhere")
    if word == "segmentation":
        config.data.masks = ("left lung",)
    run = Run(config, jax.devices()[:1])
    assert run.config.name == word
    assert "vision" in run.describe()


def test_a_classifier_starts_from_the_tower_of_another_run(folder, tmp_path):
    first = Run(config_of("contrastive", folder), jax.devices()[:1])
    training.train(first, tmp_path / "clip")
    config = config_of("supervised", folder)
    config |= {"init_from": str(tmp_path / "clip"), "init_only": ("vision/.*",)}
    config["task"]["frozen"] = True
    second = Run(config, jax.devices()[:1])
    training.train(second, tmp_path / "classifier")
    towers = [
        jax.device_get(run.load(tmp_path / name).arrays[0]["vision"])
        for run, name in ((first, "clip"), (second, "classifier"))
    ]
    jax.tree.map(np.testing.assert_array_equal, *towers)
