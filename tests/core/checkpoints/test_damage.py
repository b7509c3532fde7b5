"""Checkpoints that are not what was written: turned bits, lost parts, and who is at fault."""

import dataclasses
import json
import logging
import random
import shutil

import core_toy as toy
import jax
import numpy as np
import pytest

from medvlp_jax.core.checkpoints import digests, restore
from medvlp_jax.core.checkpoints.checkpoint import CheckpointConfig, Checkpointer
from medvlp_jax.core.checkpoints.pretrained import (
    CheckpointError,
    load_config,
    load_model,
    resolve,
    step_of,
)
from medvlp_jax.core.sharding import MeshConfig, make_mesh
from medvlp_jax.core.step import abstract_model

from .core_saved import OPTIM, RUN, abstract_on, assert_equal, fill

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
BEST = CheckpointConfig(keep_last=2, best_metric="zeroshot/auc")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """(workdir, {step: state}): steps 4 (the best), 8 and 12, on one device."""
    workdir = tmp_path_factory.mktemp("written")
    abstract = abstract_on(jax.devices()[:1])
    states = {step: fill(abstract, step) for step in (4, 8, 12)}
    checkpointer = Checkpointer(workdir, BEST, RUN)
    for step, state in states.items():
        metrics = {"zeroshot/auc": 1 / step}
        checkpointer.save(state, step, {"next": step}, {"pairs": 16 * step}, metrics)
    checkpointer.close()
    return workdir, states


@pytest.fixture
def run(written, tmp_path):
    """The same, in a copy of its own."""
    shutil.copytree(written[0], tmp_path / "run")
    return tmp_path / "run", written[1]


@pytest.fixture
def said(caplog):
    """The lines of the package about checkpoints, as they come."""
    caplog.set_level(logging.WARNING, logger="medvlp_jax.core")
    return lambda: [
        r.getMessage()
        for r in caplog.records
        if r.name.startswith("medvlp_jax") and r.levelno >= 30
    ]


def go_on(workdir, config=OPTIM, **options):
    checkpointer = Checkpointer(workdir, BEST, RUN)
    try:
        return checkpointer.restore_latest(abstract_on(jax.devices()[:1], config=config), **options)
    finally:
        checkpointer._manager.close()


def to_evaluate(workdir, step="latest"):
    places = abstract_model(toy.model_def(), make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1]))
    return load_model(workdir, *places, step=step)[0]


def names(workdir):
    return sorted(p.name for p in (workdir / "checkpoints").iterdir())


def flip(path, where):
    data = bytearray(path.read_bytes())
    data[where // 8 % len(data)] ^= 1 << where % 8
    path.write_bytes(data)


def largest(folder):
    return max((folder / "state").rglob("*"), key=lambda p: p.stat().st_size * p.is_file())


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


DAMAGE = {
    "a bit of the arrays": lambda f: flip(largest(f), 4321),
    "cut arrays": lambda f: largest(f).write_bytes(b"short"),
    "a file of the arrays gone": lambda f: largest(f).unlink(),
    "a letter of the tree": lambda f: replace(f / "state/_METADATA", "vision", "visoin"),
    "another number in the config": lambda f: replace(f / "config/metadata", "0.1", "0.3"),
    "another number in the data": lambda f: replace(f / "data/metadata", "12", "11"),
    "another number in progress": lambda f: replace(f / "progress/metadata", "192", "193"),
    "progress is a list": lambda f: (f / "progress/metadata").write_text("[]"),
    "config is not UTF-8": lambda f: (f / "config/metadata").write_bytes(b"\xff\xfe{}"),
    "no state": lambda f: shutil.rmtree(f / "state"),
    "no data": lambda f: shutil.rmtree(f / "data"),
    "nothing at all": lambda f: [shutil.rmtree(p) for p in f.iterdir() if p.is_dir()],
    "digests cut": lambda f: (f / "digests.json").write_text('{"files": {'),
    "a letter of a digest": lambda f: replace(f / "digests.json", "sha256", "sha257"),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_training_and_evaluation_take_the_one_before(run, said, how):
    workdir, states = run
    damaged = workdir / "checkpoints" / "12"
    DAMAGE[how](damaged)
    assert_equal(to_evaluate(workdir), states[8].model_params(use_ema=True))
    with pytest.raises(CheckpointError, match="12 is damaged") as refused:
        to_evaluate(workdir, 12)
    assert "\n" not in str(refused.value)
    restored = go_on(workdir)
    assert (restored.step, restored.data, restored.progress["pairs"]) == (8, {"next": 8}, 128)
    assert_equal(restored.state, states[8])
    assert names(workdir) == ["12.corrupt", "4", "8"]
    lines = said()
    assert len(lines) == 2, lines  # one of the evaluation, one of training
    assert all(str(damaged) in line and "\n" not in line for line in lines)


@pytest.mark.parametrize("named", [16, 9])
def test_a_checkpoint_under_the_number_of_another_step_is_damaged(run, said, named):
    workdir, _ = run
    folder = workdir / "checkpoints"
    shutil.copytree(folder / "8", folder / str(named))
    shutil.copytree(folder / "8", workdir / "mine")  # a name says nothing of a step
    assert [step_of(resolve(p)) for p in (workdir / "mine", folder / "4")] == ["mine", 4]
    with pytest.raises(CheckpointError, match=f"{named} is damaged .it holds step 8"):
        resolve(workdir, named)
    shutil.rmtree(folder / "12")
    assert resolve(workdir).name == "8"  # evaluation
    assert go_on(workdir).step == 8
    assert (folder / f"{named}.corrupt").is_dir()
    assert any("it holds step 8" in line for line in said())


def test_the_name_for_a_damaged_one_may_be_taken_and_empty_folders_lie_beside_it(run):
    workdir, states = run
    for name in ("12.corrupt", "12.corrupt.2", "13", "20"):
        (workdir / "checkpoints" / name).mkdir()
    flip(largest(workdir / "checkpoints" / "12"), 99)
    assert_equal(go_on(workdir).state, states[8])
    aside = {"12.corrupt", "12.corrupt.2", "12.corrupt.3", "13.corrupt", "20.corrupt"}
    assert set(names(workdir)) == aside | {"4", "8"}
    assert go_on(workdir).step == 8


def test_every_start_is_refused_while_none_is_whole(run):
    workdir, states = run
    for step in states:
        flip(largest(workdir / "checkpoints" / str(step)), 7)
    before = names(workdir)
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"none of the 3 checkpoints .* from the begin"):
            go_on(workdir)
    assert names(workdir) == before
    with pytest.raises(CheckpointError, match="none of the 3 checkpoints"):
        to_evaluate(workdir)
    for step in states:  # as older versions, or a user, leave it
        folder = workdir / "checkpoints" / str(step)
        folder.rename(folder.with_name(f"{step}.corrupt"))
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"set aside as damaged \(12\.corrupt, 4\.corrup"):
            go_on(workdir)
    shutil.rmtree(workdir / "checkpoints")
    assert go_on(workdir) is None


@pytest.mark.parametrize(
    ("config", "leaf"),
    [
        (dataclasses.replace(OPTIM, ema_decay=0.0), "ema/logit_scale is not in this run"),
        (dataclasses.replace(OPTIM, freeze=()), "params/text/embed is not in the checkpoint"),
        (dataclasses.replace(OPTIM, skip_factor=None), "opt_state"),
    ],
    ids=["no averages", "nothing frozen", "another optimizer"],
)
def test_another_model_is_no_damage(run, said, config, leaf):
    workdir, _ = run
    before = names(workdir)
    with pytest.raises(CheckpointError, match=leaf) as refused:
        go_on(workdir, config, resume_anyway=True)
    assert not isinstance(refused.value, restore.DamagedError)
    assert names(workdir) == before
    assert said() == []
    assert go_on(workdir).step == 12


def test_another_width_is_named_with_both_shapes(run, monkeypatch):
    workdir, _ = run
    monkeypatch.setattr(toy, "JOINT", 6)
    toy.model_def.cache_clear()
    try:
        with pytest.raises(CheckpointError, match=r"head has shape \(16, 8\) there and \(16, 6\)"):
            go_on(workdir, resume_anyway=True)
    finally:
        toy.model_def.cache_clear()
    assert names(workdir) == ["12", "4", "8"]


def test_checkpoints_of_older_versions_are_read_and_said_to_be_unverified(run, said):
    workdir, states = run
    for step in states:
        (workdir / "checkpoints" / str(step) / "digests.json").unlink()
    assert_equal(go_on(workdir).state, states[12])
    assert_equal(to_evaluate(workdir), states[12].model_params(use_ema=True))
    (line,) = said()
    assert "12 was written without digests" in line
    for file in (workdir / "checkpoints" / "12" / "state").rglob("*"):
        if file.parent.name == "d":  # which of the files of values is read is TensorStore's choice
            file.write_bytes(b"short")
    with pytest.raises(CheckpointError, match="12 cannot be read"):
        to_evaluate(workdir)
    assert_equal(go_on(workdir).state, states[8])
    assert "12.corrupt" in names(workdir)


def test_best_is_that_one_or_an_error(run):
    workdir, states = run
    assert_equal(to_evaluate(workdir, "best"), states[4].model_params(use_ema=True))
    replace(workdir / "checkpoints/8/progress/metadata", '"score": 0.125', '"score": 0.725')
    with pytest.raises(CheckpointError, match="is best is not known, for 8 is damaged"):
        resolve(workdir, "best")
    DAMAGE["no state"](workdir / "checkpoints" / "12")
    with pytest.raises(CheckpointError, match=r"12 is damaged \(it has no state"):
        load_config(workdir / "checkpoints" / "12")


def test_digests_stand_in_the_folder_before_it_has_its_name(tmp_path, devices, monkeypatch, said):
    seen = []

    def refuse(folder, names):
        seen.append(folder.name)
        raise OSError("no digests today")

    state = fill(abstract_on(devices[:1]))
    for asynchronous in (True, False):
        workdir = tmp_path / str(asynchronous)
        checkpointer = Checkpointer(workdir, CheckpointConfig(asynchronous=asynchronous), RUN)
        with monkeypatch.context() as patch:
            patch.setattr(digests, "write", refuse)
            checkpointer.save(state, 1, None)
            assert not checkpointer.wait() or not asynchronous
        assert checkpointer.steps() == []
        assert checkpointer.save(state, 2, None)
        checkpointer.close()
        known = json.loads((workdir / "checkpoints/2/digests.json").read_text())["files"]
        assert {n.split("/")[0] for n in known} == {"state", "data", "progress", "config"}
    assert all(name.endswith("tmp") for name in seen)
    assert len(said()) == 2


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("flips", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_turned_bits_are_found_or_harmless(written, tmp_path, flips):
    """Any file of a checkpoint, each as often as the other and by its size: never other numbers."""
    workdir, states = written
    found, draw = [], random.Random(flips)
    newest = workdir / "checkpoints" / "12"
    files = [p.relative_to(workdir) for p in sorted(newest.rglob("*")) if p.is_file()]
    sizes = [(workdir / f).stat().st_size for f in files]
    for i in range(flips):
        copy = tmp_path / str(i)
        shutil.copytree(workdir, copy)
        file = draw.choice(files) if i % 2 else draw.choices(files, sizes)[0]
        flip(copy / file, draw.randrange(8 * (copy / file).stat().st_size))
        evaluated = to_evaluate(copy)
        restored = go_on(copy)
        assert_equal(restored.state, states[restored.step])
        assert_equal(evaluated, states[restored.step].model_params(use_ema=True))
        assert restored.data == {"next": restored.step}
        assert restored.progress["pairs"] == 16 * restored.step
        assert restored.step == 8 or file.name in ("_CHECKPOINT_METADATA", "commit_success.txt")
        found.append(restored.step == 8)
        shutil.rmtree(copy)
    print(f"{sum(found)} of {flips} found, {flips - sum(found)} harmless")
    assert sum(found) > flips // 2
    assert np.mean(found) < 1 or flips < 20
