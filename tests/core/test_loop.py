"""The loop in one process: cadence, lateness, divergence, guard, resuming."""

import dataclasses
import os
import signal

import core_run
import core_toy as toy
import jax
import numpy as np
import pytest

from medvlp_jax.core.checkpoints.checkpoint import Restored
from medvlp_jax.core.config import ConfigError, parse
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.loop import LoopConfig, TrainingDiverged, fit
from medvlp_jax.core.metrics import MetricWriter, read_metrics
from medvlp_jax.core.optim import OptimConfig, make_optimizer
from medvlp_jax.core.predict import Predictor
from medvlp_jax.core.profiling import ProfileConfig, Profiler
from medvlp_jax.core.sharding import MeshConfig, make_mesh
from medvlp_jax.core.step import make_train_step

pytestmark = pytest.mark.usefixtures("all_compile_quickly")

_compiled = {}


def compiled(skip_factor=None):
    """(step, optimizer, predictor) on two devices, compiled once."""
    if skip_factor not in _compiled:
        mesh = make_mesh(MeshConfig(2), jax.devices()[:2])
        model_def = toy.model_def()
        config = OptimConfig(lr=1e-2, skip_factor=skip_factor)
        optimizer = make_optimizer(config, model_def.abstract_params, model_def.logical_axes, 50)
        step = make_train_step(model_def, toy.NOISY, optimizer, mesh)
        _compiled[skip_factor] = step, optimizer, Predictor(model_def, toy.NOISY.predict, mesh)
    return _compiled[skip_factor]


class FakeCheckpointer:
    """Remembers what it was asked to save."""

    keeps_best = False

    def __init__(self):
        self.saved = []

    def save(self, state, step, data, progress, metrics=None):
        assert int(state.step) == step
        self.saved.append((step, data["next"], dict(progress), metrics))
        return True

    def wait(self):
        return True


@dataclasses.dataclass
class Result:
    metrics: dict


def train(tmp_path, loop, *, change=lambda step, batch: batch, skip_factor=None, **extra):
    """Runs the loop; returns (FitResult, saves, metric records)."""
    step, optimizer, predictor = compiled(skip_factor)
    state = toy.initial_state(optimizer, step.abstract)

    def batches():
        for batch, host, data_state in core_run.batches(step.mesh, 0):
            yield change(data_state["next"] - 1, batch), host, data_state

    checkpointer = FakeCheckpointer()
    with MetricWriter(tmp_path) as writer:
        try:
            result = fit(
                state,
                train_step=step,
                batches=extra.pop("batches", batches()),
                key=jax.random.key(1),
                config=loop,
                checkpointer=checkpointer,
                writer=writer,
                profiler=Profiler(tmp_path, loop.profile),
                predictor=predictor,
                **extra,
            )
        except UserError as e:
            result = e
    return result, checkpointer.saved, read_metrics(tmp_path / "metrics.jsonl")


def test_cadence(tmp_path):
    calls = []

    def evaluator(predictor):
        calls.append(predictor("image_embed", toy.batch_of(0, 4)).shape)
        return Result({"auc": 0.5 + len(calls) / 10})

    loop = LoopConfig(steps=7, log_every=2, eval_every=3, save_every=2)
    result, saved, records = train(tmp_path, loop, evaluators={"zs": evaluator})
    assert result.step == 7
    assert not result.preempted
    assert [r["step"] for r in records if r["kind"] == "train"] == [2, 4, 6, 7]
    assert [(r["step"], r["zs/auc"]) for r in records if r["kind"] == "eval"] == [
        (3, 0.6), (6, 0.7), (7, 0.8),
    ]  # fmt: skip
    assert [s[:2] for s in saved] == [(2, 2), (4, 4), (6, 6), (7, 7)]
    # Only a save at the very step of an evaluation carries its metrics.
    assert [s[3] for s in saved] == [None, None, {"zs/auc": 0.7}, {"zs/auc": 0.8}]
    assert saved[-1][2] == {"pairs": 7 * core_run.BATCH, "evaluated": 7}
    assert result.metrics == {"zs/auc": 0.8}
    train_records = [r for r in records if r["kind"] == "train"]
    assert {"loss", "loss_mean", "grad_norm", "lr", "pairs_per_second", "data_wait"} <= set(
        train_records[-1]
    )


def test_metrics_are_read_one_step_late(tmp_path, monkeypatch):
    """When step n is dispatched, step n - 1 has not been waited for, and n - 2 has."""
    from medvlp_jax.core import loop as module

    events = []
    push, flush = module._LateLog.push, module._LateLog.flush

    def recorded_push(self, step, metrics, host):
        events.append(("dispatched", step))
        push(self, step, metrics, host)

    def recorded_flush(self):
        if self._waiting is not None:
            events.append(("read", self._waiting[0]))
        flush(self)

    monkeypatch.setattr(module._LateLog, "push", recorded_push)
    monkeypatch.setattr(module._LateLog, "flush", recorded_flush)
    train(tmp_path, LoopConfig(steps=4, save_every=0))
    assert events == [
        ("dispatched", 1),
        ("dispatched", 2), ("read", 1),
        ("dispatched", 3), ("read", 2),
        ("dispatched", 4), ("read", 3), ("read", 4),
    ]  # fmt: skip


def test_batch_left_on_the_host_is_an_error(tmp_path):
    """The transfer guard: no hidden copy to the device in the loop."""

    def to_host(step, batch):
        return {k: np.asarray(v) for k, v in batch.items()}

    with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed host-to-device transfer"):
        train(tmp_path, LoopConfig(steps=2), change=to_host)


def _nan_at(when):
    def change(step, batch):
        return batch | {"image": batch["image"] * np.nan} if step in when else batch

    return change


def test_divergence_names_step_and_records_and_is_not_saved(tmp_path):
    loop = LoopConfig(steps=9, log_every=1, save_every=2)
    error, saved, records = train(tmp_path, loop, change=_nan_at({3}))
    assert isinstance(error, TrainingDiverged)
    # The batch of index 3 makes step 4, which would have been saved.
    assert "step 4: loss and grad_norm and param_norm not finite" in str(error)
    assert "step3-row0, step3-row1," in str(error)
    assert f"step3-row{core_run.BATCH - 1}" in str(error)
    assert [s[0] for s in saved] == [2]
    assert max(r["step"] for r in records if r["kind"] == "train") == 3


def test_spike_guard_goes_on_but_not_for_ever(tmp_path):
    loop = LoopConfig(steps=9, log_every=1, save_every=0, max_skips=3)
    result, _, records = train(tmp_path, loop, change=_nan_at({3, 4, 7}), skip_factor=10.0)
    assert result.step == 9
    assert [r["skipped"] for r in records if r["kind"] == "train"] == [0, 0, 0, 1, 2, 2, 2, 3, 3]
    assert records[4]["loss"] is None  # JSON has no NaN
    error, _, _ = train(tmp_path, loop, change=_nan_at({3, 4, 5}), skip_factor=10.0)
    assert isinstance(error, TrainingDiverged)
    assert "step 6" in str(error)


def test_data_that_ends_too_early(tmp_path):
    step, _, _ = compiled()
    batches = iter([next(core_run.batches(step.mesh, 0))])
    error, _, _ = train(tmp_path, LoopConfig(steps=2), batches=batches)
    assert "the data ended after 1 of 2 steps" in str(error)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_saves_at_once_and_restores_the_handlers(tmp_path, number):
    before = signal.getsignal(number)

    def ask(step, batch):
        if step == 3:
            os.kill(os.getpid(), number)
        return batch

    loop = LoopConfig(steps=9, save_every=0, eval_every=4)
    evaluators = {"zs": lambda predictor: Result({"auc": 1.0})}
    result, saved, records = train(tmp_path, loop, change=ask, evaluators=evaluators)
    assert result.preempted
    assert [s[:2] for s in saved] == [(4, 4)]
    assert not [r for r in records if r["kind"] == "eval"]  # there is no time for it
    assert signal.getsignal(number) == before


def test_evaluation_missed_by_a_preemption_is_made_up(tmp_path):
    evaluators = {"zs": lambda predictor: Result({"auc": 1.0})}
    loop = LoopConfig(steps=9, save_every=0, eval_every=4)
    for evaluated, expected in ((None, [4, 8, 9]), (4, [8, 9])):
        progress = {"evaluated": evaluated} if evaluated else {}
        restored = Restored(4, None, {"next": 4}, progress)
        folder = tmp_path / str(evaluated)
        _, _, records = _from(folder, loop, restored, evaluators)
        assert [r["step"] for r in records if r["kind"] == "eval"] == expected


def _from(folder, loop, restored, evaluators):
    class AnyStep(FakeCheckpointer):
        def save(self, *args):
            return True

    step, optimizer, predictor = compiled()
    with MetricWriter(folder) as writer:
        result = fit(
            toy.initial_state(optimizer, step.abstract),
            train_step=step,
            batches=core_run.batches(step.mesh, restored.step),
            key=jax.random.key(1),
            config=loop,
            checkpointer=AnyStep(),
            writer=writer,
            profiler=Profiler(folder, loop.profile),
            predictor=predictor,
            restored=restored,
            evaluators=evaluators,
        )
    return result, None, read_metrics(folder / "metrics.jsonl")


def test_keep_best_saves_at_every_evaluation(tmp_path, monkeypatch):
    monkeypatch.setattr(FakeCheckpointer, "keeps_best", True)
    evaluators = {"zs": lambda predictor: Result({"auc": 1.0})}
    loop = LoopConfig(steps=5, save_every=4, eval_every=2)
    _, saved, _ = train(tmp_path, loop, evaluators=evaluators)
    assert [(s[0], s[3] is not None) for s in saved] == [(2, True), (4, True), (5, True)]


def test_failing_evaluator_does_not_lose_the_training(tmp_path):
    def broken(predictor):
        raise UserError("the test set is gone")

    loop = LoopConfig(steps=3, save_every=0)
    error, saved, _ = train(tmp_path, loop, evaluators={"zs": broken})
    assert "the test set is gone" in str(error)
    assert [s[0] for s in saved] == [3]
    # The next start finds all steps done, and makes up for the evaluation.
    restored = Restored(3, None, {"next": 3}, saved[0][2])
    evaluators = {"zs": lambda predictor: Result({"auc": 1.0})}
    result, _, records = _from(tmp_path / "again", loop, restored, evaluators)
    assert result.metrics == {"zs/auc": 1.0}
    assert [r["step"] for r in records if r["kind"] == "eval"] == [3]


def test_mfu_and_profile_window(tmp_path, monkeypatch):
    from medvlp_jax.core import loop as module

    monkeypatch.setattr(module, "peak_flops", lambda kind: 1e12)
    loop = LoopConfig(steps=6, log_every=1, profile=ProfileConfig(start=2, steps=2))
    _, _, records = train(tmp_path, loop, flops=lambda batch: 1e6 * batch["image"].shape[0])
    last = [r for r in records if r["kind"] == "train"][-1]
    assert last["mfu"] == pytest.approx(last["pairs_per_second"] * 1e6 / 2e12)
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_config_errors():
    with pytest.raises(ConfigError, match="at least 1"):
        parse(LoopConfig, {"steps": 0})
