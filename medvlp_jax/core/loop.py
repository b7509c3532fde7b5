"""The training loop. It reads from top to bottom; everything it calls is a file beside it."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from medvlp_jax.core.checkpoints.checkpoint import Checkpointer, Restored
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.fields import Count, Size
from medvlp_jax.core.metrics import Mean, MetricWriter
from medvlp_jax.core.predict import Predictor
from medvlp_jax.core.processes.preemption import Preemption
from medvlp_jax.core.profiling import ProfileConfig, Profiler, memory_stats, peak_flops
from medvlp_jax.core.progress import Clock, ProgressLine, Rates, duration
from medvlp_jax.core.sharding import replicated
from medvlp_jax.core.state import TrainState
from medvlp_jax.core.step import TrainStep

#: ``(batch on the devices, what stays on the host, iterator state AFTER this batch)``.
Batches = Iterator[tuple[Mapping[str, jax.Array], Mapping[str, Any], Any]]


class TrainingDiverged(UserError):
    """The loss or the gradient is not finite; the message names the step and the records."""


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """The length of a run and what happens how often; 0 = only at the end.

    Attributes:
      steps: optimizer steps of the whole run; the learning rate follows it.
      log_every: steps between lines of metrics.
      eval_every: steps between evaluations of the sets with ``during_training``.
      save_every: steps between checkpoints.
      max_skips: the run stops after this many skipped updates in a row (``optim.skip_factor``).
      patience: the run ends after this many evaluations in a row without a better value of
        ``checkpoint.best_metric``; 0 = never.
      profile: which steps are traced by the profiler.
    """

    steps: Size
    log_every: Size = 50
    eval_every: Count = 0
    save_every: Count = 1000
    max_skips: Count = 20
    patience: Count = 0
    profile: ProfileConfig = dataclasses.field(default_factory=ProfileConfig)


@dataclasses.dataclass(frozen=True)
class FitResult:
    """How a run ended.

    Attributes:
      step: optimizer steps done; fewer than asked for where ``patience`` ended the run.
      metrics: of the last evaluation.
      preempted: it saved and left early; leave with ``preemption.EXIT_CODE``.
    """

    state: TrainState
    step: int
    metrics: dict[str, float]
    preempted: bool


def fit(
    state: TrainState,
    *,
    train_step: TrainStep,
    batches: Batches,
    key: jax.Array,
    config: LoopConfig,
    checkpointer: Checkpointer,
    writer: MetricWriter,
    profiler: Profiler,
    predictor: Predictor | None = None,
    evaluators: Mapping[str, Callable[[Predictor], Any]] | None = None,
    restored: Restored | None = None,
    seen: Callable[[Any], Mapping[str, float]] | None = None,
    flops: Callable[[Mapping[str, jax.Array]], float] | None = None,
) -> FitResult:
    """Trains until ``config.steps``, or until it is asked to stop.

    Args:
      state: fresh, or that of ``restored``; it is donated.
      batches: must start right after the batches that ``restored`` had seen.
      key: the run's random key; the same after a restart.
      evaluators: name -> function of a predictor that returns an object with ``metrics``.
      seen: state of the data after a batch -> counters of what was shown, for the log.
      flops: model FLOPs of one step on a (global) batch, for the MFU.

    Raises:
      TrainingDiverged: a non-finite loss or gradient norm, or ``max_skips`` skips in a row. It is
        raised before the damaged state could be saved.
    """
    evaluators = evaluators or {}
    if config.patience and not (evaluators and checkpointer.keeps_best):
        raise UserError("loop.patience needs an evaluation and checkpoint.best_metric to judge by")
    key = jax.jit(lambda k: k, out_shardings=replicated(train_step.mesh))(key)
    progress = dict(restored.progress) if restored else {}
    first = restored.step if restored else 0
    metrics: dict[str, float] = {}
    clock, line = Clock(), ProgressLine(config.steps)
    peak = peak_flops(jax.devices()[0].device_kind)
    rates = Rates(clock, peak * train_step.mesh.size if peak else None)
    late = _LateLog(config, writer, line, rates)
    done, preempted = first, False

    def evaluate() -> dict[str, float]:
        assert predictor is not None, "evaluators need a predictor"
        bound = predictor.with_state(state)  # one for all: what they share is kept by it
        found: dict[str, float] = {}
        for name, evaluator in evaluators.items():
            with clock("eval"):
                result = evaluator(bound)
            found |= {f"{name}/{k}": float(v) for k, v in result.metrics.items()}
        writer.write(done, found, kind="eval")
        line.note(f"step {done}: " + "  ".join(f"{k} {v:.4f}" for k, v in _headline(found)))
        progress["evaluated"] = done
        if config.patience:
            _judge(progress, checkpointer.score(found))
        return found

    def ended() -> bool:
        return 0 < config.patience <= progress.get("stalled", 0)

    try:
        with Preemption() as preemption:
            # A run that was asked to stop, or whose evaluator failed, saved first: evaluate now.
            due = first == config.steps or _due(first, config.eval_every)
            if restored and evaluators and due and progress.get("evaluated") != first:
                metrics = evaluate()

            while done < config.steps and not preempted and not ended():
                with clock("data"):
                    batch, host, data_state = _next(batches, done, config.steps)

                traces, began = train_step.traces, time.perf_counter()
                with profiler.step(done), jax.transfer_guard("disallow"):
                    state, on_device = train_step(state, batch, key)
                done += 1
                late.push(done, on_device, host)
                if train_step.traces > traces:
                    clock.add("compile", time.perf_counter() - began)
                    writer.write(done, _compiled(batch, time.perf_counter() - began), kind="event")
                else:
                    clock.add("step", time.perf_counter() - began)
                    rates.add(_rows(batch), flops(batch) if flops else 0.0)
                progress["pairs"] = progress.get("pairs", 0) + _rows(batch)

                at_end = done == config.steps
                preempted = preemption.reached(done) and not at_end
                if seen is not None and (at_end or preempted or _due(done, config.log_every)):
                    writer.write(done, seen(data_state), kind="seen")
                eval_now = bool(evaluators) and (at_end or _due(done, config.eval_every))
                save_now = at_end or preempted or _due(done, config.save_every)
                save_now |= eval_now and checkpointer.keeps_best
                if eval_now or save_now:
                    late.flush()  # waits for this step: what is saved has been seen to be finite
                fresh = None
                if eval_now and not preempted:
                    try:
                        metrics = fresh = evaluate()
                    except Exception:  # training is not lost with it
                        checkpointer.save(state, done, data_state, progress)
                        raise
                if save_now:
                    with clock("save"):
                        checkpointer.save(state, done, data_state, progress, fresh)
    finally:
        checkpointer.wait()
        profiler.close()
        line.close()
    writer.write(done, {f"seconds_{k}": v for k, v in clock.seconds.items()}, kind="event")
    if preempted:
        line.note(f"asked to stop: saved step {done}; the same command goes on from there")
    else:
        spent = ", ".join(f"{k} {duration(v)}" for k, v in sorted(clock.seconds.items()))
        line.note(f"done: {done} steps ({spent})")
    return FitResult(state, done, metrics, preempted)


class _LateLog:
    """Reads the metrics of a step once the next one is under way, so that the device never waits.

    Every step is checked; every ``log_every``-th is written.
    """

    def __init__(
        self, config: LoopConfig, writer: MetricWriter, line: ProgressLine, rates: Rates
    ) -> None:
        self._config, self._writer, self._line, self._rates = config, writer, line, rates
        self._waiting: tuple[int, dict[str, jax.Array], Mapping[str, Any]] | None = None
        self._mean = Mean()
        self._shown: dict[str, float] = {}
        self._skipped, self._in_a_row = 0.0, 0

    def push(self, step: int, metrics: dict[str, jax.Array], host: Mapping[str, Any]) -> None:
        """Hands over a step that was just dispatched; reports the one before it."""
        self.flush()
        self._waiting = (step, metrics, host)

    def flush(self) -> None:
        """Waits for the step in hand and reports it."""
        if self._waiting is None:
            return
        step, metrics, host = self._waiting
        self._waiting = None
        values = {k: float(v) for k, v in jax.device_get(metrics).items()}
        self._check(step, values, host)
        self._mean.add(values["loss"])
        if _due(step, self._config.log_every) or step == self._config.steps:
            self._shown = self._rates.take() | memory_stats()
            mean = {"loss_mean": self._mean.take()}
            self._writer.write(step, values | mean | self._shown)
        self._line.show(step, self._shown | {"loss": values["loss"]})

    def _check(self, step: int, values: dict[str, float], host: Mapping[str, Any]) -> None:
        guarded = "skipped" in values
        if guarded:
            self._in_a_row = self._in_a_row + 1 if values["skipped"] > self._skipped else 0
            self._skipped = values["skipped"]
        bad = [k for k in ("loss", "grad_norm", "param_norm") if not math.isfinite(values[k])]
        if guarded and self._in_a_row < self._config.max_skips:
            return
        if not guarded and not bad:
            return
        what = f"{' and '.join(bad)} not finite" if bad else f"{self._in_a_row} updates skipped"
        ids = [str(i) for i in host.get("id", ())]
        raise TrainingDiverged(
            f"step {step}: {what} (loss {values['loss']}, gradient norm {values['grad_norm']}, "
            f"learning rate {values['lr']:.3g}). Nothing was saved after it. Records of this "
            f"process in the batch: {', '.join(ids) or 'unknown'}"
        )


def _judge(progress: dict[str, Any], score: float) -> None:
    """Counts the evaluations since the best one; a checkpoint carries the count on."""
    if "best_score" not in progress or score > progress["best_score"]:
        # JSON has no infinity: a score that is not finite is no best one.
        if math.isfinite(score):
            progress["best_score"] = score
        progress["stalled"] = 0 if math.isfinite(score) else progress.get("stalled", 0) + 1
    else:
        progress["stalled"] = progress.get("stalled", 0) + 1


def _next(batches: Batches, done: int, steps: int) -> Any:
    try:
        return next(batches)
    except StopIteration:
        raise UserError(
            f"the data ended after {done} of {steps} steps: the pipeline must repeat its sources"
        ) from None


def _due(step: int, every: int) -> bool:
    return step > 0 and every > 0 and step % every == 0


def _rows(batch: Mapping[str, jax.Array]) -> int:
    return next(iter(batch.values())).shape[0]


def _compiled(batch: Mapping[str, jax.Array], seconds: float) -> dict[str, Any]:
    shapes = ", ".join(f"{k}{list(v.shape)}" for k, v in sorted(batch.items()))
    return {"event": "compile", "seconds": seconds, "batch": shapes}


def _headline(metrics: dict[str, float]) -> list[tuple[str, float]]:
    """The metrics for the terminal: those of the whole set, not the ones per class."""
    return [(k, v) for k, v in metrics.items() if k.count("/") == 1][:6]
