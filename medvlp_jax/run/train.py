"""The one way to train. It reads from top to bottom; ``core/loop.py`` has the loop itself."""

import functools
import logging
import os
import pathlib
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import jax

from medvlp_jax.core.checkpoints import pretrained, provenance
from medvlp_jax.core.checkpoints.checkpoint import Checkpointer
from medvlp_jax.core.config import dumps
from medvlp_jax.core.files.folders import output_folder
from medvlp_jax.core.loop import FitResult, fit
from medvlp_jax.core.metrics import MetricWriter
from medvlp_jax.core.processes import distributed
from medvlp_jax.core.processes.lock import workdir_lock
from medvlp_jax.core.profiling import Profiler
from medvlp_jax.core.state import TrainState
from medvlp_jax.data.device import prefetch_to_device
from medvlp_jax.data.texts.tokenizer import Tokenizer
from medvlp_jax.models.blip import momentum
from medvlp_jax.run.batches import require, training_batches
from medvlp_jax.run.build import Run
from medvlp_jax.run.config import TOKENIZER
from medvlp_jax.run.evaluators import evaluators_of
from medvlp_jax.run.old_configs import forget_old_keys
from medvlp_jax.run.tune import Tuner
from medvlp_jax.run.variant import Variant
from medvlp_jax.weights import towers

_log = logging.getLogger(__name__)


def train(
    run: Run,
    workdir: str | pathlib.Path,
    *,
    resume_anyway: bool = False,
    variant: Variant | None = None,
) -> FitResult:
    """Trains in ``workdir``, from its newest checkpoint if it has one.

    Args:
      run: config, mesh, model, task and optimizer.
      resume_anyway: go on although the config is another one than that of the checkpoint.
      variant: see :class:`Variant`.

    Raises:
      LockError: another process trains in this folder.
      UserError: see the parts; the message says what to mend.
    """
    c, workdir = run.config, output_folder(workdir, "workdir")
    stored, seed = run.resolved, c.seed
    if variant is None:
        require(run)
    else:
        stored, seed = stored | {"variant": dict(variant.facts)}, variant.seed
    if distributed.is_main():
        workdir.mkdir(parents=True, exist_ok=True)
    distributed.barrier("workdir")
    with workdir_lock(workdir, "training") if distributed.is_main() else nullcontext():
        # State: that of the newest checkpoint, or a new one.
        checkpointer = Checkpointer(workdir, c.checkpoint, stored)
        step, key = run.train_step, jax.random.key(seed)
        restored = checkpointer.restore_latest(
            step.abstract, run.may_differ, resume_anyway, forget_old_keys
        )
        if restored is not None:
            state = restored.state
            _log.info("going on from step %d of %s", restored.step, workdir)
        else:
            state = _first_state(run, key, variant)
        begun = restored.step if restored else 0
        if distributed.is_main():
            (workdir / "config.json").write_text(dumps(stored))
            provenance.note_start(workdir, begun)
            print(_told(run, variant), flush=True)

        # Data: a pure function of the step.
        tokenizer = _tokenizer(run, workdir / TOKENIZER, begun > 0)
        iterator = training_batches(run, tokenizer, seed, variant.rows if variant else None)
        if restored is not None:
            iterator.set_state(restored.data)

        # Evaluators, and the loop.
        if variant is None:
            evaluators = evaluators_of(run, tokenizer, tuner=tuner, during_training=True)
        else:
            evaluators = variant.evaluators
        with (
            iterator,
            prefetch_to_device(iterator, run.mesh, c.data.prefetch) as batches,
            MetricWriter(workdir, c.log, start_step=begun, run_config=stored) as writer,
        ):
            result = fit(
                state,
                train_step=step,
                batches=batches,
                key=key,
                config=c.loop,
                checkpointer=checkpointer,
                writer=writer,
                profiler=Profiler(workdir, c.loop.profile),
                predictor=run.predictor(),
                evaluators=evaluators,
                restored=restored,
                seen=lambda position: iterator.seen.report(position["seen"]),
                flops=lambda batch: run.step_flops(*_shape(batch)),
            )
        checkpointer.close()
    return result


#: Makes the runs of evaluators that train on a tower; see ``eval.downstream.tuning.MakeTuner``.
tuner = functools.partial(Tuner, train)


def _first_state(run: Run, key: jax.Array, variant: Variant | None) -> TrainState:
    """A fresh state, with the weights that the run starts from."""
    c = run.config
    state = run.fresh_state(key)
    if variant is not None:
        return variant.begin(state)
    if c.init_towers:
        state = towers.start(state, run.optimizer, run.model_config, c.init_towers)
    if c.init_from:
        state = pretrained.init_from(state, run.optimizer, c.init_from, only=c.init_only)
    return momentum.begin(state)


def _told(run: Run, variant: Variant | None) -> str:
    """What a run is, for the terminal."""
    if variant is None:
        return run.describe()
    facts = ", ".join(f"{key} {value}" for key, value in variant.facts.get("about", {}).items())
    records = sum(map(len, variant.rows.rows))
    return f"{run.config.name}: {records} records" + (f" ({facts})" if facts else "")


def _tokenizer(run: Run, kept: pathlib.Path, going_on: bool) -> Tokenizer | None:
    """That of the workdir when a run goes on; at its first start, what the config says."""
    if going_on and kept.is_dir():
        return Tokenizer.load(kept)
    if not run.reads_text:
        return None
    tokenizer = run.tokenizer()
    if distributed.is_main():
        _keep(tokenizer, kept)
    return tokenizer


def _keep(tokenizer: Tokenizer, folder: pathlib.Path) -> None:
    """Copies a tokenizer of the data folder beside the checkpoints, so that they can travel."""
    if pathlib.Path(tokenizer.name).is_dir():
        temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
        shutil.copytree(tokenizer.name, temporary)
        shutil.rmtree(folder, ignore_errors=True)  # of a start that never saved a step
        temporary.replace(folder)


def _shape(batch: Mapping[str, Any]) -> tuple[int, int]:
    """Rows, and tokens per text; 0 without texts."""
    text = batch.get("text")
    return len(batch["valid"]), 0 if text is None else text.shape[1]
