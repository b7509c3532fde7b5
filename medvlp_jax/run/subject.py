"""What an evaluation measures: a checkpoint of a run, or published weights."""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from etils import epath

from medvlp_jax.core.checkpoints import digests, pretrained
from medvlp_jax.core.config import ConfigError, parse
from medvlp_jax.core.predict import Predictor
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.shards import file_sha256
from medvlp_jax.eval.config import EvalConfig
from medvlp_jax.eval.registry import EVALUATORS
from medvlp_jax.run.api.published import open_published
from medvlp_jax.run.build import Run
from medvlp_jax.run.config import workdir_of

#: Files of published weights, by which they are told apart.
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model that is measured.

    Attributes:
      run: its model, data and evaluation.
      predict: its predict functions on its parameters.
      facts: for the record: step of the checkpoint, or family of the weights.
      digest: SHA-256 of the files of its parameters.
      workdir: of the run; None for published weights.
    """

    run: Run
    predict: Predictor
    facts: dict[str, Any]
    digest: str
    workdir: pathlib.Path | None = None


def of_checkpoint(
    checkpoint: str | os.PathLike[str], stored: Mapping[str, Any], step: pretrained.Which
) -> Subject:
    """A checkpoint of a run.

    Args:
      stored: the config to build the run from (``run.config.stored_config``, changed).

    Raises:
      CheckpointError: there is none, or it is damaged.
      ConfigError: there is nothing to measure it on.
    """
    if not stored["eval"].get("sets"):
        raise ConfigError(
            f"there is nothing to evaluate {checkpoint} on: config.eval.sets is empty, as the run "
            "or --config gave it (that of a suite whose folder holds none of its sets is empty "
            "too); name a labelled data folder: --data=FOLDER --split=test"
        )
    folder = pretrained.resolve(checkpoint, step)
    run = Run(stored)
    return Subject(
        run,
        run.load(os.fspath(checkpoint), step),
        {"checkpoint step": pretrained.step_of(folder)},
        folder_digest(folder),
        workdir_of(checkpoint, step),
    )


def of_weights(
    name: str | os.PathLike[str], given: Mapping[str, Any], family: str = "", tokenizer: str = ""
) -> Subject:
    """Published weights of a whole CLIP or SigLIP: a folder, a weights file or a hub id.

    Labels are those of the sets, since no training named any.

    Args:
      given: ``config.eval``.
      family, tokenizer: where the files do not say.

    Raises:
      WeightsError: nothing is there, or it is no model of images and texts.
    """
    if not given.get("sets"):
        raise ConfigError(
            f"{name} holds no checkpoint of a run; of published weights say what they are measured "
            "on: --data=FOLDER --split=test"
        )
    config = parse(EvalConfig, given)
    for set_name, one in config.sets.items():
        trains = [w for w in one.evaluators if w in EVALUATORS and EVALUATORS[w].trains]
        if trains and not one.train_split and not config.downstream.train:
            raise ConfigError(
                f"config.eval.sets.{set_name}: {trains[0]} on published weights needs training "
                f"data: set config.sets.{set_name}.train_split or config.downstream.train"
            )
    sources = (open_dataset(one.path, one.split) for one in config.sets.values())
    labels = tuple(dict.fromkeys(label for source in sources for label in source.label_names))
    opened = open_published(name, family, tokenizer, eval=config, labels=labels)
    facts = {"weights": opened.name, **({"note": opened.note} if opened.note else {})}
    return Subject(opened.run, opened.predict, facts, _weights_digest(opened.weights))


def folder_digest(folder: epath.Path) -> str:
    """Of the digests that lie in a checkpoint; of its files where it has none."""
    known = digests.read(folder)
    if known is None:
        files = sorted(p for p in pathlib.Path(folder).rglob("*") if p.is_file())
        known = {str(p.relative_to(folder)): file_sha256(p) for p in files}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def _weights_digest(weights: pathlib.Path) -> str:
    """Of a weights file, or of those of a folder."""
    if weights.is_file():
        return file_sha256(weights)
    files = sorted({p for pattern in _WEIGHTS for p in weights.glob(pattern)})
    known = {p.name: file_sha256(p) for p in files}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
