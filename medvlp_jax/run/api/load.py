"""``medvlp_jax.load``: from a path to a model that answers."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax

from medvlp_jax.core.checkpoints import pretrained
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.presets import apply_cpu_preset
from medvlp_jax.run.api.model import Model
from medvlp_jax.run.api.published import open_published
from medvlp_jax.run.api.trained import is_run, open_run
from medvlp_jax.weights.faults import WeightsError


def load(
    path: str | os.PathLike[str],
    step: pretrained.Which = "latest",
    *,
    family: str = "",
    tokenizer: str = "",
    devices: Sequence[Any] | None = None,
) -> Model:
    """Opens a model of images and texts.

    Args:
      path: the workdir of a run or one of its checkpoints; or published weights of a whole CLIP or
        SigLIP: a folder, a weights file or a hub id.
      step: of a run: ``latest``, ``best`` by the metric that it kept, or a number.
      family: of published weights whose files do not say what they are (``chexzero``).
      tokenizer: folder or hub id, for published weights without one.
      devices: that it runs on; None: all.

    Raises:
      UserError: there is no such model, or it is none of images and texts; one line with the mend.
    """
    apply_cpu_preset()  # the convolutions that launch/evaluate.py measures with
    if jax.process_count() > 1:
        raise UserError("load() answers in one process; for many hosts there is launch/evaluate.py")
    if not family and is_run(path):
        return Model(open_run(path, step, devices))
    if step != "latest":
        raise UserError(f"{path} is no workdir of a run, so it has no step {step!r}; leave it out")
    folder = pathlib.Path(path)
    if (folder / "metrics.jsonl").exists() or (folder / "starts.jsonl").exists():
        raise pretrained.CheckpointError(
            f"{path} is the workdir of a run that has saved no checkpoint yet: train it further"
        )
    try:
        return Model(open_published(path, family, tokenizer, devices))
    except WeightsError as error:
        if family:
            raise
        raise WeightsError(
            f"{error} (a workdir of a run, with {pretrained.FOLDER}/ in it, would do as well)"
        ) from error
