"""Runs one trial: training, then every evaluator; nothing is done twice."""

import dataclasses
import pathlib
import time

from medvlp_jax.core.errors import UserError
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.texts.choice import TextConfig
from medvlp_jax.eval.registry import evaluate
from medvlp_jax.eval.results import config_hash
from medvlp_jax.run.build import Run
from medvlp_jax.run.evaluators import evaluators_of
from medvlp_jax.run.grid.grid import GridConfig, Trial, training_config
from medvlp_jax.run.grid.outcome import FILE, Outcome, OutcomeError
from medvlp_jax.run.grid.tokenizer import shared_tokenizer
from medvlp_jax.run.train import train, tuner


class Preempted(UserError):
    """The run was asked to stop and saved; the same command goes on."""


def folder_of(out: pathlib.Path, trial: Trial) -> pathlib.Path:
    return out / "trials" / trial.name


def is_done(out: pathlib.Path, trial: Trial) -> bool:
    return (folder_of(out, trial) / FILE).exists()


def run_trial(grid: GridConfig, trial: Trial, out: pathlib.Path) -> Outcome:
    """Trains and measures one run in ``out/trials/NAME``, or reads what it measured before.

    Raises:
      OutcomeError: the folder holds the run of another config.
      Preempted: training was asked to stop.
      UserError: see ``run.build.Run``.
    """
    folder = folder_of(out, trial)
    run, signature = _prepare(grid, trial, out)
    if is_done(out, trial):
        found = Outcome.load(folder)
        if found.facts["config_sha256"] != signature:
            raise OutcomeError(
                f"{folder} was run with another config; give another --out, or delete that folder"
            )
        return found
    began = time.perf_counter()
    if train(run, folder).preempted:
        raise Preempted(f"{trial.name} was asked to stop and is saved; the same command goes on")
    trained = time.perf_counter()
    tokenizer = run.tokenizer() if run.reads_text else None
    evaluators = evaluators_of(run, tokenizer, tuner=tuner, during_training=False)
    results = evaluate(evaluators, run.load(folder))
    sources = run.config.data.sources
    facts = {
        "config_sha256": signature,
        "steps": run.config.loop.steps,
        "records": sum(len(open_dataset(s.path, s.split)) for s in sources),
        "batch_size": run.config.data.batch_size,
        "seconds_training": round(trained - began, 1),
        "seconds_evaluation": round(time.perf_counter() - trained, 1),
    }
    outcome = Outcome.of(facts, results)
    outcome.save(folder)
    return outcome


def _prepare(grid: GridConfig, trial: Trial, out: pathlib.Path) -> tuple[Run, str]:
    """The run of a trial, and the digest of its config wherever ``out`` lies."""
    config = training_config(grid, trial)
    text = config["data"].setdefault("text", {})
    if text.get("tokenizer"):
        run = Run(config)
        return run, config_hash(run.config)
    shared = shared_tokenizer(grid, text.get("vocab", TextConfig.vocab), out)
    text["tokenizer"] = shared.name
    run = Run(config)
    c = run.config
    named = dataclasses.replace(c.data.text, tokenizer=shared.hash)
    data = dataclasses.replace(c.data, text=named)
    return run, config_hash(dataclasses.replace(c, data=data))
