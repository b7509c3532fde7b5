"""A checkpoint of our own, opened to answer: the one place of the API that knows the runs."""

import copy
import dataclasses
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from medvlp_jax.core.checkpoints import pretrained
from medvlp_jax.core.errors import UserError
from medvlp_jax.eval.zeroshot.prompt_tokens import PromptTokenizer
from medvlp_jax.run.api.opened import Opened
from medvlp_jax.run.build import Run
from medvlp_jax.run.config import stored_config, workdir_of

#: What a model of images and texts predicts.
NEEDED = ("image_embed", "text_embed", "patch_embed")


@dataclasses.dataclass(frozen=True)
class OpenedRun(Opened):
    """A run's model.

    Attributes:
      run: its model, data and evaluators.
      workdir: that the checkpoint lies in.
      step: name of the checkpoint's folder.
    """

    run: Run = dataclasses.field(kw_only=True)
    workdir: pathlib.Path = dataclasses.field(kw_only=True)
    step: str = dataclasses.field(kw_only=True)


def is_run(path: str | os.PathLike[str]) -> bool:
    """Whether a path is that of a workdir, of its checkpoints or of one of them."""
    name = os.fspath(path)
    if "://" in name:  # published weights are never read from a bucket
        return True
    folder = pathlib.Path(name)
    inside = (folder / pretrained.FOLDER).is_dir() or (folder / "state").is_dir()
    return inside or pretrained.FOLDER in (folder.name, folder.parent.name)


def open_run(
    path: str | os.PathLike[str],
    step: pretrained.Which = "latest",
    devices: Sequence[Any] | None = None,
) -> OpenedRun:
    """Opens a checkpoint with its averaged parameters, where it has some.

    Raises:
      CheckpointError: there is none, or it is damaged.
      UserError: it is no model of images and texts, or its tokenizer is gone.
    """
    stored = stored_config(path, step)
    run = Run(_splittable(stored, devices), devices)
    predict = run.load(os.fspath(path), step)
    missing = [name for name in NEEDED if name not in predict.names]
    if missing:
        raise UserError(
            f"{path} is a run of task {run.config.task['name']!r}, which has no "
            f"{' and no '.join(missing)}: load a run of a model of images and texts"
        )
    config = run.config
    folder = pretrained.resolve(path, step)
    name = f"{config.name}, step {folder.name}"
    return OpenedRun(
        name=name,
        about=f"{name}\n{run.describe()}",
        config=stored,
        data=dataclasses.replace(config.data, workers=0),
        eval=config.eval,
        tokenize=PromptTokenizer(
            run.tokenizer(),
            run.model_config.text.prompt_length,
            config.data.text.max_len,
        ),
        predict=predict,
        temperature=_temperature(run, predict),
        run=run,
        workdir=workdir_of(path, step),
        step=folder.name,
    )


def _splittable(stored: dict[str, Any], devices: Sequence[Any] | None) -> dict[str, Any]:
    """The config with a batch that these devices share evenly: nothing is trained with it."""
    config = copy.deepcopy(stored)
    rows = len(jax.devices() if devices is None else devices) * config.get("micro_batches", 1)
    config["data"]["batch_size"] = -(-config["data"]["batch_size"] // rows) * rows
    return config


def _temperature(run: Run, predict: Any) -> float | None:
    task: Any = getattr(run.task, "config", None)
    if not hasattr(task, "resolved_temperature"):
        return None
    learned = math.exp(-float(np.asarray(predict.arrays[0]["logit_scale"])))
    return task.resolved_temperature() or learned
