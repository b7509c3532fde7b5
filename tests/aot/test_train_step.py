"""Ahead-of-time compilation of a training step, for a slice that is not here."""

import pytest
from task_cases import CASES, config_of

from medvlp_jax.aot import topology
from medvlp_jax.aot.train_step import compile_step

CONFIG = {
    "name": "tiny",
    "model": {
        "vision": {"name": "vit_s16", "patch": 8, "width": 128, "depth": 2, "heads": 2},
        "text": {"name": "bert_mini", "vocab": 512, "width": 128, "depth": 2, "heads": 2},
        "embed_dim": 128,
    },
    "task": {"name": "contrastive", "impl": "ring"},
    "data": {
        "sources": [{"path": "nowhere"}],
        "batch_size": 32,
        "image": {"size": 32, "channels": 1},
        "text": {"buckets": [16, 32]},
    },
    "loop": {"steps": 4},
    "mesh": {"data": 2, "fsdp": 2},
}


@pytest.mark.aot
def test_a_training_step_compiles_for_a_slice():
    pytest.importorskip("libtpu")
    topology.prepare()
    report = compile_step(CONFIG, "v5e:2x2")
    assert report.fits, report
    assert "global batch 32, 32 tokens" in str(report)
    # Parameters and two moments in fp32, split in two but for the small ones.
    assert report.held["state"] == pytest.approx(3 * 4 * report.params / 2, rel=0.25)
    # The ring hands blocks on; gradients are summed over both axes.
    kinds = report.compiled.collectives
    assert kinds["collective-permute"] > 0
    assert kinds["all-reduce"] > 0
    assert "FITS" in str(report)


@pytest.mark.aot
def test_what_does_not_fit_is_said():
    pytest.importorskip("libtpu")
    topology.prepare()
    config = CONFIG | {"task": {"name": "contrastive", "impl": "gathered"}, "mesh": {"data": 4}}
    config["data"] = CONFIG["data"] | {"batch_size": 1 << 18}
    report = compile_step(config, "v5e:2x2")
    assert not report.fits
    assert "hbm" in report.compiled.refusal.lower()
    assert "DOES NOT FIT" in str(report)


@pytest.mark.aot
@pytest.mark.parametrize("task", CASES)
def test_every_task_compiles_for_a_slice(task, tmp_path):
    pytest.importorskip("libtpu")
    topology.prepare()
    report = compile_step(config_of(task, tmp_path), "v5e:2x2")
    assert report.fits, report
    assert report.flops > 0
