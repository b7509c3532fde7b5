"""Training on a tower, end to end on films of 16 pixels."""

import dataclasses
import json
import os
import signal

import cv2
import jax
import numpy as np
import pytest

from medvlp_jax.core.config import ConfigError, parse
from medvlp_jax.core.optim import OptimConfig
from medvlp_jax.core.predict import Predictor
from medvlp_jax.core.sharding import MeshConfig, make_mesh
from medvlp_jax.core.state import ModelDef, flatten
from medvlp_jax.data.config import DataConfig, SourceConfig
from medvlp_jax.data.images.augment import ImageConfig
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.manifest import ShardName
from medvlp_jax.data.store.record import Box, Image, Mask, Record, Text
from medvlp_jax.data.store.shards import write_shard
from medvlp_jax.eval.base import EvalError
from medvlp_jax.eval.config import EvalConfig, EvalSetConfig
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.downstream.config import (
    DetectConfig,
    DownstreamConfig,
    FinetuneConfig,
    SegmentConfig,
    TuneConfig,
)
from medvlp_jax.eval.downstream.sets import Sets
from medvlp_jax.eval.downstream.tower import Tower, Towers
from medvlp_jax.eval.downstream.tuning import Interrupted
from medvlp_jax.eval.embedded import Embedded
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.page.inputs import segmented_of
from medvlp_jax.eval.page.page import write_report
from medvlp_jax.eval.registry import EVALUATORS
from medvlp_jax.eval.results import collect
from medvlp_jax.models.heads import ClassifierConfig, TowerOnly
from medvlp_jax.models.resnet import ResNetConfig, fold
from medvlp_jax.run.build import Run
from medvlp_jax.run.finetune import FinetuningConfig, finetune
from medvlp_jax.run.train import train
from medvlp_jax.run.train import tuner as make_tuner
from medvlp_jax.tasks.images import PixelConfig

pytestmark = pytest.mark.usefixtures("all_compile_quickly")

TRAINS = [word for word, kind in EVALUATORS.items() if kind.trains]
LABELS = ("square", "bright", "no finding")
VISION = ResNetConfig(
    width=4, stage_sizes=(1, 1), stem="fold", block="basic", channels=1, zero_init=False
)
PIXELS = PixelConfig(1)
SIDE = 16


def record(i, split):
    rng = np.random.default_rng([i, len(split)])
    square, bright = i % 2, i // 2 % 2
    film = rng.integers(0, 40, (SIDE, SIDE)).astype(np.uint8) + 90 * bright
    mask = np.zeros((SIDE, SIDE), np.uint8)
    x, y = rng.integers(1, 7, 2)
    masks, boxes = (), ()
    if square:
        film[y : y + 8, x : x + 8] = 240
        mask[y : y + 8, x : x + 8] = 255
        masks = (Mask(cv2.imencode(".png", mask)[1].tobytes(), "square"),)
        boxes = (Box(x / SIDE, y / SIDE, (x + 8) / SIDE, (y + 8) / SIDE, "square", "a square"),)
    png = cv2.imencode(".png", film)[1].tobytes()
    return Record(
        id=f"{split}{i}",
        images=(Image(png, "png", "PA", width=SIDE, height=SIDE),),
        texts=(Text("A square." if square else "Nothing.", "impression"),),
        labels={"square": square, "bright": bright, "no finding": int(not square)},
        boxes=boxes,
        masks=masks,
        patient_id=f"{split}{i // 2}",
        split=split,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("films")
    for split, n in (("train", 64), ("validation", 16), ("test", 24)):
        films = [record(i, split) for i in range(n)]
        write_shard(path, ShardName("films", split, 0, 1), films, "test")
    return str(path)


@pytest.fixture(scope="module")
def sets(folder):
    data = DataConfig(
        (SourceConfig(folder),), 8, ImageConfig(SIDE), labels=LABELS, max_boxes=2, threads=1
    )
    mesh = make_mesh(MeshConfig(), jax.devices()[:1])
    places = (SourceConfig(folder, split) for split in ("validation", "test"))
    return Sets("films", data, *places, 8, mesh)


@pytest.fixture(scope="module")
def predict(sets):
    model_def = ModelDef.of(lambda rngs: TowerOnly(VISION, rngs=rngs))
    return Predictor(model_def, {}, sets.mesh).with_arrays(*model_def.init(jax.random.key(5)))


def tower(predict):
    return Tower.of(predict, VISION, PIXELS)


def tune(steps=6, **changes):
    optim = OptimConfig(lr=3e-3, weight_decay=0.0)
    return {"steps": steps, "batch_size": 8, "eval_every": 3, "patience": 0, "optim": optim,
            **changes}  # fmt: skip


CONFIG = DownstreamConfig(
    masks=("square",),
    boxes=("square",),
    fractions=(0.25, 1.0),
    finetune=FinetuneConfig(**tune()),
    segmentation=SegmentConfig(**tune(60, eval_every=60), widths=(8,), stride=4, frozen=False),
    detection=DetectConfig(**tune(), width=8, candidates=10),
)


def build(word, sets, config=CONFIG, folder=None):
    place = EvalSetConfig(sets.test.path, sets.test.split, evaluators=(word,), classes=LABELS[:2])
    context = Context(
        name="films",
        set=place,
        config=EvalConfig(bootstrap=Bootstrap(40), downstream=config),
        labels=LABELS,
        counts=open_dataset(sets.test.path, sets.test.split).label_counts,
        test=sets.embedded("test", ("image", "labels")),
        sets=lambda: sets,
        tower=tower,
        tuner=make_tuner,
        folder=folder,
    )
    return EVALUATORS[word].build(context)[word]


@pytest.fixture(scope="module")
def found(sets, predict):
    whole = dataclasses.replace(CONFIG, fractions=(1.0,))
    return {w: build(w, sets, CONFIG if w == "probe" else whole)(predict) for w in TRAINS}


def test_every_protocol_measures_both_starts_on_all_records(found):
    assert [r.details["kind"] for r in found.values()] == TRAINS
    for word, result in found.items():
        if word == "few_shot":  # of records with one label; it has tests of its own
            continue
        assert result.details["records"] == 24
        assert result.details["bootstrap"]["patients"] == 12
        whole = result.details["levels"][-1]
        assert whole["fraction"] == 1.0
        assert whole["records"] == [64]
        assert {"pretrained", "random", "difference"} <= set(whole)
        name = {"probe": "auc_macro", "finetune": "auc_macro", "segmentation": "dice_positive",
                "detection": "map"}[word]  # fmt: skip
        value, low, high = (result.metrics[name + end] for end in ("", "_low", "_high"))
        assert 0 <= low <= value <= high <= 1


@pytest.mark.parametrize(
    ("word", "changes", "message"),
    [
        ("probe", {"classes": ("bright", "brihgt")}, "has no label of brihgt, .* it has: bright"),
        ("finetune", {"classes": ("",)}, "has no label of .* downstream.classes"),
        ("segmentation", {"masks": ("square", "circle")}, "no mask of circle, .*: square. Name"),
        ("detection", {"boxes": ("Square",)}, "has no box of Square, .* it has: square"),
        ("detection", {"boxes": ()}, "has no box of"),  # the classes, which no box has
    ],
)
def test_names_that_training_never_holds_stop_at_the_start(sets, word, changes, message):
    with pytest.raises(EvalError, match=message):
        build(word, sets, dataclasses.replace(CONFIG, **changes))


def test_a_probe_finds_what_the_features_show(found):
    level = found["probe"].details["levels"][-1]
    assert level["pretrained"]["classes"]["bright"]["value"] > 0.9
    assert len(found["probe"].details["levels"][0]["records"]) == 1


def test_segmentation_learns_bright_squares(found):
    result = found["segmentation"]
    assert result.metrics["dice_positive"] > 0.6
    assert result.details["masks"] == [{"name": "square", "positives": 12, "known": 24}]
    pictures = segmented_of(result)
    assert pictures[0].truth.shape == (SIDE, SIDE, 1)
    assert set(pictures[0].predicted) == {"trained tower", "random start"}


def test_the_report_shows_them_all(found, tmp_path):
    results = collect(found, name="films", command="x", seed=0, config={}, bootstrap=Bootstrap(40))
    json.dumps(results, allow_nan=False)
    path = write_report(
        tmp_path / "report.html", results=results, segmented=segmented_of(found["segmentation"])
    )
    page = path.read_text()
    for words in (
        "Linear probe", "Fine-tuning", "Segmentation", "Detection", "mAP of 1",
        "Dice of positives", "macro AUC by share of the labels", "trained tower",
    ):  # fmt: skip
        assert words in page
    assert page.count('class="seg"') == len(segmented_of(found["segmentation"]))


def test_the_same_tower_and_seed_give_the_same_numbers(found, sets, predict):
    again = build("finetune", sets, dataclasses.replace(CONFIG, fractions=(1.0,)))(predict)
    was = found["finetune"].arrays["scores_pretrained_at_1"]
    np.testing.assert_array_equal(again.arrays["scores_pretrained_at_1"], was)


@pytest.fixture(scope="module")
def tuner(sets):
    data = dataclasses.replace(sets.data, labels=LABELS[:1])
    score = iter([0.5, 0.9, 0.1, 0.2, 0.3, 0.0] * 20)
    task = {"name": "supervised", "frozen": True}
    config = TuneConfig(**tune(12, patience=2))
    model = ClassifierConfig(VISION, 1)
    return make_tuner(model, task, config, sets, data, lambda predict: next(score))


def run(tuner, sets, predict, folder):
    towers = Towers(tower(predict), sets, LABELS[:1])
    return tuner.run(
        towers.start("pretrained"), towers.indices, towers.rows(1.0, 0), seed=0, folder=folder
    )


def test_a_run_ends_early_and_the_best_checkpoint_is_tested(tuner, sets, predict, tmp_path):
    bound = run(tuner, sets, predict, tmp_path)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit()) == [
        "12", "6",
    ]  # fmt: skip
    trained, buffers = jax.device_get(bound.arrays)
    # a frozen tower is the tower that was given, bit for bit
    start = tower(predict)
    for given, kept in ((start.params, trained), (start.buffers, buffers)):
        for path, leaf in flatten(given).items():
            np.testing.assert_array_equal(flatten(kept["vision"])[path], leaf)
    again = jax.device_get(run(tuner, sets, predict, tmp_path).arrays)
    np.testing.assert_array_equal(again[0]["head"]["kernel"], trained["head"]["kernel"])


def test_an_interrupted_run_goes_on_to_the_same_end(sets, predict, tmp_path):
    stop = []

    def score(bound):
        if stop:
            os.kill(os.getpid(), signal.SIGTERM)
            stop.clear()
        return 0.5

    data = dataclasses.replace(sets.data, labels=LABELS[:1])
    task = {"name": "supervised"}
    tuner = make_tuner(ClassifierConfig(VISION, 1), task, TuneConfig(**tune(9)), sets, data, score)
    whole = jax.device_get(run(tuner, sets, predict, tmp_path / "whole").arrays)
    stop.append(True)
    with pytest.raises(Interrupted):
        run(tuner, sets, predict, tmp_path / "cut")
    cut = jax.device_get(run(tuner, sets, predict, tmp_path / "cut").arrays)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(cut), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_tower_that_does_not_fit_is_named(tuner, sets, predict):
    one = tower(predict)
    params = dict(one.params)
    params.pop("stem_conv")
    with pytest.raises(EvalError, match="stem_conv"):
        tuner.run(dataclasses.replace(one, params=params), [], [], seed=0)
    with pytest.raises(EvalError, match="needs a Predictor"):
        tower(lambda name, batch: np.zeros(1))


def test_a_random_tower_has_the_statistics_of_the_films(sets, predict):
    towers = Towers(tower(predict), sets, LABELS)
    random = towers.start("random", 1)
    assert random.digest() != tower(predict).digest()
    means = flatten(random.buffers)[("stem_norm", "mean")]
    assert np.abs(means).max() > 0.05
    # eval-mode features of the films are on the scale that training mode would give
    assert towers.start("random", 1) is random


def run_config(folder):
    return {
        "name": "tiny",
        "model": {
            "vision": {
                "name": "resnet", "width": 4, "stage_sizes": (1, 1), "stem": "fold",
                "block": "basic", "zero_init": False,
            },
            "text": {"name": "bert", "vocab": 256, "max_length": 8, "width": 8, "depth": 1,
                     "heads": 2, "mlp_width": 8},
            "embed_dim": 8,
        },
        "task": {"name": "contrastive"},
        "data": {
            "sources": [{"path": folder}], "batch_size": 8, "labels": LABELS, "threads": 1,
            "image": {"size": SIDE, "channels": 1},
            "text": {"policy": "impression", "vocab": 256, "buckets": (8,), "window": 0},
        },
        "loop": {"steps": 1},
        "optim": {"warmup_steps": 0},
    }  # fmt: skip


def test_an_untrained_network_has_the_statistics_of_the_films(folder):
    experiment = Run(run_config(folder), jax.devices()[:1])
    rng = np.random.default_rng(0)
    batches = [{"image": rng.integers(0, 255, (8, SIDE, SIDE, 1), np.uint8)} for _ in range(3)]
    batches.append({"image": np.zeros_like(batches[0]["image"])})  # padding, left out
    got = experiment.untrained(experiment.predictor(), Embedded("x", lambda: batches, LABELS))
    params, buffers = got.arrays
    start, untouched = experiment.model_def.init(jax.random.key(experiment.config.seed))
    for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(start), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
    norm, plain = buffers["vision"]["stem_norm"], untouched["vision"]["stem_norm"]
    model = experiment.model_def.merge(start, untouched)
    seen = []
    for batch in batches[:3]:
        image = fold(experiment.task.config.prepare(batch["image"]))
        seen.append(np.asarray(model.vision.stem_conv(image)).mean((0, 1, 2)))
    np.testing.assert_allclose(norm["mean"], np.mean(seen, 0), rtol=1e-4, atol=1e-5)
    assert not np.allclose(norm["var"], plain["var"], rtol=0.1)


@pytest.mark.slow
def test_a_checkpoint_is_fine_tuned_by_its_config_and_goes_on(folder, tmp_path):
    from configs.cxr.finetune import get_config

    workdir, out = tmp_path / "run", tmp_path / "out"
    train(Run(run_config(folder), jax.devices()[:1]), workdir)
    config = get_config("full")
    config.downstream.train[0].path = config.validation.path = config.test.path = folder
    config.downstream.update(fractions=(1.0,), seeds=1, starts=("pretrained",))
    config.downstream.finetune.update(steps=2, batch_size=8, eval_every=1)
    config.downstream.finetune.optim.warmup_steps = 1
    config.eval_batch = 8
    config.bootstrap = {"resamples": 20}
    done = finetune(workdir, config, out, command="typed")
    results = json.loads(done.results_path.read_text())
    entry = next(iter(results["evaluations"].values()))
    assert [c["name"] for c in entry["classes"]] == list(LABELS)
    assert "Fine-tuning" in done.report_path.read_text()
    assert "auc_macro" in done.summary()
    kept = list((out / "runs").glob("finetune-*/pretrained-100pct-seed0/checkpoints"))
    assert len(kept) == 1
    times = {p: p.stat().st_mtime_ns for p in kept[0].iterdir()}
    again = finetune(workdir, config, out, command="typed")
    assert {p: p.stat().st_mtime_ns for p in kept[0].iterdir()} == times
    assert again.results["evaluations"] == done.results["evaluations"]
    config.validation.split = "train"
    with pytest.raises(ConfigError, match="also trained on"):
        finetune(workdir, config, out, command="typed")


@pytest.mark.parametrize("word", ["probe", "full", "segmentation", "detection"])
def test_every_word_of_the_config_is_a_valid_recipe(word):
    from configs.cxr.finetune import get_config

    c = parse(FinetuningConfig, get_config(word))
    assert set(c.evaluators) <= set(TRAINS)


def test_segmentation_without_masks_says_so(sets):
    with pytest.raises(ConfigError, match="names of the regions"):
        build("segmentation", sets, dataclasses.replace(CONFIG, masks=()))
