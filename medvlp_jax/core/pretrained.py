"""Parameters out of another run's checkpoint: to evaluate it, or to start a new run from it."""

import contextlib
import dataclasses
import json
import os
import re
from typing import Any, Literal

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from etils import epath

from medvlp_jax.core.errors import UserError
from medvlp_jax.core.optim import Optimizer
from medvlp_jax.core.state import Path, TrainState, combine, flatten, path_str, unflatten

#: Folder of the checkpoints inside a workdir.
FOLDER = "checkpoints"
#: A step number, or which one to take.
Which = int | Literal["latest", "best"]


class CheckpointError(UserError):
    """A checkpoint cannot be written or read; the message names it and what to do."""


def which(text: str) -> Which:
    """What ``--step`` says: latest, best or a number.

    Raises:
      CheckpointError: it is something else.
    """
    if text == "latest" or text == "best":
        return text
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise CheckpointError(f"--step={text} must be latest, best or the number of a step")
    return int(text)


def folder_of(path: str | os.PathLike[str]) -> epath.Path:
    """An absolute local path, or the address of a bucket as it is."""
    text = os.fspath(path)
    return epath.Path(text if "://" in text else os.path.abspath(text))


def resolve(path: str | os.PathLike[str], step: Which = "latest") -> epath.Path:
    """Folder of one checkpoint.

    Args:
      path: a workdir, its ``checkpoints`` folder, or the folder of one step.
      step: which one, unless ``path`` is already one; ``best`` by the metric the run kept.

    Raises:
      CheckpointError: there is no such checkpoint.
    """
    folder = folder_of(path)
    if (folder / "state").is_dir():
        return folder
    if (folder / FOLDER).is_dir():
        folder = folder / FOLDER
    if not folder.is_dir():
        raise CheckpointError(f"{path} does not exist: give a workdir or <workdir>/{FOLDER}")
    steps = {int(p.name) for p in folder.iterdir() if p.name.isdigit() and (p / "state").is_dir()}
    if not steps:
        raise CheckpointError(f"{path} holds no checkpoint: give a workdir or <workdir>/{FOLDER}")
    if step == "latest":
        return folder / str(max(steps))
    if step == "best":
        return folder / str(_best(folder, steps))
    if step not in steps:
        raise CheckpointError(f"{folder} has no step {step}; it has {sorted(steps)}")
    return folder / str(step)


def _best(folder: epath.Path, steps: set[int]) -> int:
    scores: dict[int, float] = {}
    for step in steps:
        progress = json.loads((folder / str(step) / "progress" / "metadata").read_text())
        if progress.get("score") is not None:
            scores[step] = progress["score"]
    if not scores:
        raise CheckpointError(f"no checkpoint in {folder} has an evaluation metric to be best by")
    return max(scores, key=lambda s: (scores[s], s))


def load_config(path: str | os.PathLike[str], step: Which = "latest") -> dict[str, Any]:
    """The resolved config that a checkpoint was written with, as plain values."""
    file = resolve(path, step) / "config" / "metadata"
    return json.loads(file.read_text())


def load_model(
    path: str | os.PathLike[str],
    abstract_params: dict[str, Any],
    abstract_buffers: dict[str, Any],
    *,
    step: Which = "latest",
    use_ema: bool = True,
    only: tuple[str, ...] = (".*",),
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and buffers of a model, whatever part of it that run had trained or frozen.

    Args:
      path: as for :func:`resolve`.
      abstract_params: ``ShapeDtypeStruct`` leaves with the shardings they shall have
        (``step.abstract_model``).
      use_ema: take averaged parameters where the checkpoint has them.
      only: patterns of the paths to load, of parameters and buffers alike; others are left out.

    Raises:
      CheckpointError: a tensor is missing, left over or of another shape; all are listed.
    """
    folder = resolve(path, step) / "state"
    matches = re.compile("|".join(f"(?:{p})" for p in only)).match
    with contextlib.closing(ocp.PyTreeCheckpointHandler()) as reader:
        stored = flatten(reader.metadata(folder).tree)
        wanted: dict[Path, Any] = {}
        problems: list[str] = []
        for group, tree in (("params", abstract_params), ("buffers", abstract_buffers)):
            sources = ("ema", "params", "frozen") if group == "params" else ("buffers",)
            sources = sources if use_ema else tuple(s for s in sources if s != "ema")
            known = {p for p in flatten(tree) if matches(path_str(p))}
            for key in sorted(known):
                leaf = flatten(tree)[key]
                source = next(((s, *key) for s in sources if (s, *key) in stored), None)
                if source is None:
                    problems.append(f"{path_str(key)} is not in the checkpoint")
                elif tuple(stored[source].shape) != tuple(leaf.shape):
                    problems.append(
                        f"{path_str(key)} has shape {tuple(stored[source].shape)} there and "
                        f"{tuple(leaf.shape)} in the model"
                    )
                else:
                    wanted[source] = leaf
            there = {p[1:] for p in stored if p[0] in sources and matches(path_str(p[1:]))}
            problems += [f"{path_str(k)} is not in the model" for k in sorted(there - known)]
        if problems:
            raise CheckpointError(
                f"{folder.parent} does not fit the model: "
                + "; ".join(problems[:20])
                + (f"; and {len(problems) - 20} more" if len(problems) > 20 else "")
            )
        target = unflatten(wanted)
        args = ocp.args.PyTreeRestore(  # type: ignore[call-arg]
            item=target,
            restore_args=ocp.checkpoint_utils.construct_restore_args(target),
            partial_restore=True,
        )
        loaded = flatten(reader.restore(folder, args=args))
    params = {p[1:]: x for p, x in loaded.items() if p[0] != "buffers"}
    buffers = {p[1:]: x for p, x in loaded.items() if p[0] == "buffers"}
    return unflatten(params), unflatten(buffers)


def init_from(
    state: TrainState,
    optimizer: Optimizer,
    path: str | os.PathLike[str],
    *,
    step: Which = "latest",
    only: tuple[str, ...] = (".*",),
) -> TrainState:
    """A fresh state whose parameters and buffers come from another run.

    Step, optimizer state and data start anew. What ``only`` leaves out keeps its fresh values.

    Args:
      state: a fresh state (``step.init_state``); gives shapes and shardings.
      only: patterns as in :func:`load_model`.
    """

    def like(tree: Any) -> Any:
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree
        )

    everything = combine(state.params, state.frozen)
    params, buffers = load_model(path, like(everything), like(state.buffers), step=step, only=only)
    merged = unflatten(flatten(everything) | flatten(params))
    trained, frozen = optimizer.split(merged)
    return dataclasses.replace(
        state,
        params=trained,
        frozen=frozen,
        buffers=unflatten(flatten(state.buffers) | flatten(buffers)),
        ema=jax.tree.map(jnp.copy, trained) if state.ema else state.ema,
    )
