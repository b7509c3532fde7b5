"""Checkpoints: other meshes, retention, damage, other configs, other runs."""

import json
import logging
import shutil

import core_toy as toy
import jax
import numpy as np
import pytest

from medvlp_jax.core import sharding
from medvlp_jax.core.checkpoints.checkpoint import CheckpointConfig, Checkpointer
from medvlp_jax.core.checkpoints.pretrained import (
    CheckpointError,
    init_from,
    load_config,
    load_model,
    resolve,
)
from medvlp_jax.core.config import differences
from medvlp_jax.core.optim import OptimConfig
from medvlp_jax.core.sharding import MeshConfig, make_mesh
from medvlp_jax.core.step import abstract_model, shardings_of

from .core_saved import RUN, abstract_on, assert_equal, fill, optimizer_of

#: Orbax leaves callbacks behind that find their event loop closed when a read fails.
noisy = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """(workdir, state): two checkpoints written from a 2 x 2 mesh."""
    workdir = tmp_path_factory.mktemp("run")
    abstract = abstract_on(jax.devices()[:4], MeshConfig(2, 2))
    checkpointer = Checkpointer(workdir, CheckpointConfig(), RUN)
    for step in (5, 10):
        state = fill(abstract, step)
        assert checkpointer.save(state, step, {"next": np.int64(step)}, {"pairs": 16 * step})
    checkpointer.close()
    return workdir, state


@pytest.mark.multidevice
@pytest.mark.parametrize(
    ("n", "mesh"), [(1, (1, 1, 1)), (4, (1, 4, 1)), (8, (2, 2, 2))], ids=["1", "4", "8"]
)
def test_restores_on_another_mesh(saved, devices, n, mesh):
    workdir, state = saved
    abstract = abstract_on(devices[:n], MeshConfig(*mesh))
    checkpointer = Checkpointer(workdir, CheckpointConfig(), RUN)
    restored = checkpointer.restore_latest(abstract)
    checkpointer.close()
    assert (restored.step, restored.data, restored.progress) == (10, {"next": 10}, {"pairs": 160})
    assert_equal(restored.state, state)
    assert shardings_of(restored.state) == shardings_of(abstract)


def test_nothing_to_restore(tmp_path, devices):
    checkpointer = Checkpointer(tmp_path, CheckpointConfig(), RUN)
    assert checkpointer.restore_latest(abstract_on(devices[:1])) is None
    checkpointer.close()


def test_layout_on_disk(saved):
    """The golden of the layout: other programs read these paths."""
    workdir, _ = saved
    folder = workdir / "checkpoints" / "10"
    names = {p.name for p in folder.iterdir() if p.is_dir()}
    assert names == {"state", "data", "progress", "config"}
    assert json.loads((folder / "config" / "metadata").read_text()) == RUN
    stored = json.loads((folder / "state" / "_METADATA").read_text())["tree_metadata"]
    paths = {"/".join(k["key"] for k in leaf["key_metadata"]) for leaf in stored.values()}
    assert {"step", "params/vision/blocks/up", "ema/logit_scale", "frozen/text/embed"} <= paths
    assert {p.split("/")[0] for p in paths} == {
        "step", "params", "frozen", "buffers", "opt_state", "ema",
    }  # fmt: skip


def test_keeps_last_and_best(tmp_path, devices):
    config = CheckpointConfig(keep_last=2, keep_best=1, best_metric="zeroshot/auc")
    state = fill(abstract_on(devices[:1]))
    checkpointer = Checkpointer(tmp_path, config, RUN)
    scores = {1: 0.6, 2: 0.9, 3: float("nan"), 4: 0.7, 6: 0.8}
    for step in range(1, 8):
        metrics = {"zeroshot/auc": scores[step]} if step in scores else None
        checkpointer.save(state, step, None, metrics=metrics)
    checkpointer.close()
    assert checkpointer.steps() == [2, 6, 7]
    assert resolve(tmp_path, "best").name == "2"
    assert resolve(tmp_path).name == "7"
    # Also after a restart, when the metrics are read back.
    again = Checkpointer(tmp_path, config, RUN)
    again.save(state, 8, None, metrics={"zeroshot/auc": 0.1})
    again.close()
    assert again.steps() == [2, 7, 8]


def test_best_is_the_smallest_if_asked(tmp_path, devices):
    config = CheckpointConfig(keep_last=1, best_metric="val/loss", best_mode="min")
    state = fill(abstract_on(devices[:1]))
    checkpointer = Checkpointer(tmp_path, config, RUN)
    for step, loss in ((1, 3.0), (2, 1.0), (3, 2.0)):
        checkpointer.save(state, step, None, metrics={"val/loss": loss})
    checkpointer.close()
    assert checkpointer.steps() == [2, 3]
    assert resolve(tmp_path, "best").name == "2"


def _damage(folder, how):
    files = sorted((folder / "state").rglob("*"), key=lambda p: p.stat().st_size)
    if how == "truncated":
        for file in files:
            if file.is_file() and file.parent.name == "d":
                file.write_bytes(file.read_bytes()[:10])
    elif how == "missing":
        next(p for p in files if p.name == "_METADATA").unlink()
    elif how == "garbled config":
        (folder / "config" / "metadata").write_text("{")


@noisy
@pytest.mark.parametrize("how", ["truncated", "missing", "garbled config"])
def test_damaged_checkpoint_is_named_and_skipped(tmp_path, devices, caplog, how):
    abstract = abstract_on(devices[:1])
    checkpointer = Checkpointer(tmp_path, CheckpointConfig(), RUN)
    states = {step: fill(abstract, step) for step in (1, 2)}
    for step, state in states.items():
        checkpointer.save(state, step, {"next": step})
    checkpointer.close()
    _damage(tmp_path / "checkpoints" / "2", how)
    checkpointer = Checkpointer(tmp_path, CheckpointConfig(), RUN)
    with caplog.at_level(logging.WARNING, logger="medvlp_jax.core.checkpoints.checkpoint"):
        restored = checkpointer.restore_latest(abstract)
    assert restored.step == 1
    assert_equal(restored.state, states[1])
    lines = [r.getMessage() for r in caplog.records if r.name.startswith("medvlp_jax")]
    assert len(lines) == 1
    assert str(tmp_path / "checkpoints" / "2") in lines[0]
    # The damaged one does not stand in the way of the new one, nor is it thrown away.
    assert checkpointer.save(states[2], 2, {"next": 2})
    checkpointer.close()
    assert checkpointer.steps() == [1, 2]
    assert (tmp_path / "checkpoints" / "2.corrupt").is_dir()


@noisy
def test_only_damaged_checkpoints_never_start_from_scratch_silently(tmp_path, devices):
    abstract = abstract_on(devices[:1])
    checkpointer = Checkpointer(tmp_path, CheckpointConfig(), RUN)
    checkpointer.save(fill(abstract), 1, None)
    checkpointer.close()
    _damage(tmp_path / "checkpoints" / "1", "truncated")
    checkpointer = Checkpointer(tmp_path, CheckpointConfig(), RUN)
    with pytest.raises(CheckpointError, match="none of the 1 checkpoints"):
        checkpointer.restore_latest(abstract)
    checkpointer.close()


def test_half_written_checkpoint_is_no_checkpoint(tmp_path, devices):
    abstract = abstract_on(devices[:1])
    checkpointer = Checkpointer(tmp_path, CheckpointConfig(), RUN)
    checkpointer.save(fill(abstract), 1, None)
    checkpointer.close()
    left = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp"
    (left / "state").mkdir(parents=True)
    checkpointer = Checkpointer(tmp_path, CheckpointConfig(), RUN)
    assert checkpointer.restore_latest(abstract).step == 1
    assert checkpointer.save(fill(abstract), 2, None)
    checkpointer.close()
    assert checkpointer.steps() == [1, 2]


def _no_space(*args, **kwargs):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("when", ["before", "while writing"])
def test_full_disk_keeps_the_last_good_one(tmp_path, devices, monkeypatch, caplog, when):
    """A write that fails is one warning; training may go on, and a later write works."""
    state = fill(abstract_on(devices[:1]))
    checkpointer = Checkpointer(tmp_path, CheckpointConfig(keep_last=1), RUN)
    assert checkpointer.save(state, 1, None)
    checkpointer.wait()
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "medvlp_jax"):
        if when == "before":
            usage = shutil.disk_usage(tmp_path)._replace(free=1000)
            patch.setattr(shutil, "disk_usage", lambda path: usage)
        else:
            patch.setattr(checkpointer._manager._checkpointer, "save", _no_space)
        assert not checkpointer.save(state, 2, None)
    lines = [r.getMessage() for r in caplog.records if r.name.startswith("medvlp_jax")]
    assert len(lines) == 1
    assert "checkpoint 2 could not be written (no space left on device" in lines[0]
    assert "the last good one is 1" in lines[0]
    assert checkpointer.steps() == [1]
    assert checkpointer.save(state, 3, None)
    checkpointer.close()
    assert checkpointer.steps() == [3]


def test_a_run_whose_last_checkpoint_failed_does_not_end_well(tmp_path, devices, monkeypatch):
    checkpointer = Checkpointer(tmp_path, CheckpointConfig(), RUN)
    state = fill(abstract_on(devices[:1]))
    with monkeypatch.context() as patch:
        patch.setattr(checkpointer._manager._checkpointer, "save", _no_space)
        checkpointer.save(state, 2, None)
    with pytest.raises(CheckpointError, match="checkpoint 2, the last one, could not be written"):
        checkpointer.close()


def test_another_config_is_refused_with_the_keys(saved, devices):
    workdir, state = saved
    abstract = abstract_on(devices[:1])
    changed = {"optim": {"lr": 0.2}, "mesh": {"data": 8}, "loop": {"save_every": 7}}
    checkpointer = Checkpointer(workdir, CheckpointConfig(), changed)
    with pytest.raises(CheckpointError, match=r"optim\.lr: 0\.1 -> 0\.2\. Use another") as e:
        checkpointer.restore_latest(abstract, may_differ=("mesh", "loop.save_every"))
    assert "mesh" not in str(e.value)
    restored = checkpointer.restore_latest(abstract, resume_anyway=True)
    assert_equal(restored.state, state)
    checkpointer.close()


def test_differences():
    old = {"a": {"b": 1, "c": [1, 2]}, "d": {}}
    new = {"a": {"b": 2, "c": [1, 2], "e": None}, "d": {}}
    assert differences(old, new) == ["a.b: 1 -> 2", "a.e: (absent) -> null"]
    assert differences(old, new, ("a.e", "a.b")) == []
    assert differences(old, new, ("a",)) == []
    assert differences({"ab": 1}, {"ab": 2}, ("a",)) == ["ab: 1 -> 2"]


def test_load_model_takes_averaged_trained_and_frozen(saved, devices):
    workdir, state = saved
    mesh = make_mesh(MeshConfig(2, 2, 2), devices)
    places = abstract_model(toy.model_def(), mesh)
    params, buffers = load_model(workdir, *places)
    assert_equal(params, state.model_params(use_ema=True))
    assert_equal(buffers, state.buffers)
    assert shardings_of(params) == shardings_of(places[0])
    raw, _ = load_model(workdir, *places, use_ema=False)
    assert_equal(raw, state.model_params())
    assert load_config(workdir) == RUN


def test_load_model_names_every_tensor_that_does_not_fit(saved, devices):
    workdir, _ = saved
    params, buffers = abstract_model(toy.model_def(), make_mesh(MeshConfig(), devices[:1]))
    head = params["vision"]["head"]
    wrong = jax.ShapeDtypeStruct((3, 3), head.dtype, sharding=head.sharding)
    vision = {k: v for k, v in params["vision"].items() if k != "embed"}
    params = params | {"vision": vision | {"head": wrong}, "extra": head}
    with pytest.raises(CheckpointError) as e:
        load_model(workdir, params, buffers)
    for line in (
        "extra is not in the checkpoint",
        "vision/head has shape (16, 8) there and (3, 3) in the model",
        "vision/embed is not in the model",
    ):
        assert line in str(e.value)


def test_init_from_another_run(saved, devices):
    """Another partition into trained and frozen, another mesh, only one tower."""
    workdir, state = saved
    config = OptimConfig(freeze=("vision",), ema_decay=0.9)
    fresh = fill(abstract_on(devices, MeshConfig(4, 2), config), seed=99)
    started = init_from(fresh, optimizer_of(config), workdir, only=("vision",))
    assert_equal(started.frozen["vision"], state.ema["vision"])
    assert_equal(started.buffers["vision"], state.buffers["vision"])
    assert_equal(started.params, fresh.params)
    assert_equal(started.ema, fresh.params)
    assert_equal(started.opt_state, fresh.opt_state)
    assert shardings_of(started) == shardings_of(fresh)
    # Two copies: the step donates both.
    assert started.ema["text"]["head"] is not started.params["text"]["head"]


def test_resolve_errors(saved, tmp_path):
    workdir, _ = saved
    assert resolve(workdir / "checkpoints" / "5").name == "5"
    assert resolve(workdir, 5).name == "5"
    with pytest.raises(CheckpointError, match=r"no step 7; it has \[5, 10\]"):
        resolve(workdir, 7)
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        resolve(tmp_path)
    with pytest.raises(CheckpointError, match="has an evaluation metric to be best by"):
        resolve(workdir, "best")


def test_state_may_be_donated_while_the_write_goes_on(tmp_path, devices):
    """The snapshot is taken before ``save`` returns: later steps cannot leak into it."""
    abstract = abstract_on(devices[:1])
    state = fill(abstract)
    expected = jax.tree.map(np.array, state)
    overwrite = jax.jit(lambda s: jax.tree.map(lambda x: x * 0 - 7, s), donate_argnums=0)
    checkpointer = Checkpointer(tmp_path, CheckpointConfig(), RUN)
    checkpointer.save(state, 1, None)
    overwrite(state)
    restored = checkpointer.restore(abstract, 1) if checkpointer.wait() else None
    checkpointer.close()
    assert_equal(restored.state, expected)


def test_bytes_follow_the_rules_after_restore(saved, devices):
    workdir, _ = saved
    abstract = abstract_on(devices, MeshConfig(1, 8))
    checkpointer = Checkpointer(workdir, CheckpointConfig(), RUN)
    state = checkpointer.restore_latest(abstract).state
    checkpointer.close()
    held = sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(state.params))
    assert held == sharding.bytes_per_device(abstract.params, shardings_of(abstract.params))
    assert held < sum(x.nbytes for x in jax.tree.leaves(state.params)) / 4
