"""Runs one trial: training, then every evaluator; nothing is done twice."""

import dataclasses
import pathlib
import time

from medvlp_jax.core.errors import UserError
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.texts.choice import TextConfig
from medvlp_jax.eval.base import evaluate
from medvlp_jax.eval.results import config_hash
from medvlp_jax.run.experiment import Experiment
from medvlp_jax.run.grid.grid import GridConfig, Trial, training_config
from medvlp_jax.run.grid.outcome import FILE, Outcome, OutcomeError
from medvlp_jax.run.grid.tokenizer import shared_tokenizer


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
      UserError: see ``Experiment``.
    """
    folder = folder_of(out, trial)
    experiment, signature = _prepare(grid, trial, out)
    if is_done(out, trial):
        found = Outcome.load(folder)
        if found.facts["config_sha256"] != signature:
            raise OutcomeError(
                f"{folder} was run with another config; give another --out, or delete that folder"
            )
        return found
    began = time.perf_counter()
    if experiment.train(folder).preempted:
        raise Preempted(f"{trial.name} was asked to stop and is saved; the same command goes on")
    trained = time.perf_counter()
    tokenizer = experiment.tokenizer()
    evaluators = experiment.evaluators(tokenizer, during_training=False)
    results = evaluate(evaluators, experiment.load(folder))
    sources = experiment.config.data.sources
    facts = {
        "config_sha256": signature,
        "steps": experiment.config.loop.steps,
        "records": sum(len(open_dataset(s.path, s.split)) for s in sources),
        "batch_size": experiment.config.data.batch_size,
        "seconds_training": round(trained - began, 1),
        "seconds_evaluation": round(time.perf_counter() - trained, 1),
    }
    outcome = Outcome.of(facts, results)
    outcome.save(folder)
    return outcome


def _prepare(grid: GridConfig, trial: Trial, out: pathlib.Path) -> tuple[Experiment, str]:
    """The experiment of a trial, and the digest of its config wherever ``out`` lies."""
    config = training_config(grid, trial)
    text = config["data"].setdefault("text", {})
    if text.get("tokenizer"):
        experiment = Experiment(config)
        return experiment, config_hash(experiment.config)
    shared = shared_tokenizer(grid, text.get("vocab", TextConfig.vocab), out)
    text["tokenizer"] = shared.name
    experiment = Experiment(config)
    c = experiment.config
    named = dataclasses.replace(c.data.text, tokenizer=shared.hash)
    data = dataclasses.replace(c.data, text=named)
    return experiment, config_hash(dataclasses.replace(c, data=data))
