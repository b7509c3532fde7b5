"""Parameters out of another run's checkpoint: to evaluate it, or to start a new run from it.

Every read is preceded by a comparison with the digests of the checkpoint (``core/digests.py``).
Asked for the ``latest``, the readers here take the newest one that is whole, and one line names
each damaged one that they pass over; ``best``, a number or the folder of one checkpoint is that
one or an error.
"""

import contextlib
import dataclasses
import functools
import logging
import os
import re
from typing import Any, Literal

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from etils import epath

from medvlp_jax.core.checkpoints.restore import (
    FOLDER,
    MEND,
    CheckpointError,
    damage,
    folder_of,
    item_damage,
    read_item,
    steps_in,
)
from medvlp_jax.core.errors import one_net
from medvlp_jax.core.optim import Optimizer
from medvlp_jax.core.state import Path, TrainState, combine, flatten, path_str, unflatten

#: A step number, or which one to take.
Which = int | Literal["latest", "best"]
_log = logging.getLogger(__name__)


class NoScoreError(CheckpointError):
    """No checkpoint of a run was saved at an evaluation, so that none is the best."""


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


def resolve(path: str | os.PathLike[str], step: Which = "latest") -> epath.Path:
    """Folder of one checkpoint, which is whole.

    Args:
      path: a workdir, its ``checkpoints`` folder, or the folder of one step.
      step: which one, unless ``path`` is already one; ``best`` by the metric the run kept.

    Raises:
      CheckpointError: there is no such checkpoint, or it is damaged.
    """
    folder = folder_of(path)
    with one_net(path, "check the path and its permissions", CheckpointError):
        if _is_one(folder):
            return _whole(folder)
        if (folder / FOLDER).is_dir():
            folder = folder / FOLDER
        if not folder.is_dir():
            wrong = "is no folder" if folder.exists() else "does not exist"
            raise CheckpointError(f"{path} {wrong}: give a workdir or <workdir>/{FOLDER}")
        steps = steps_in(folder)
        if not steps:
            raise CheckpointError(
                f"{path} holds no checkpoint: give a workdir or <workdir>/{FOLDER}"
            )
        if step == "latest":
            return _newest_whole(folder, steps)
        if step == "best":
            return _whole(folder / str(_best(folder, steps)))
        if step not in steps:
            raise CheckpointError(f"{folder} has no step {step}; it has {steps}")
        return _whole(folder / str(step))


def step_of(folder: epath.Path) -> int | str:
    """The step of a checkpoint's folder; the name of one that was given another name."""
    return int(folder.name) if folder.name.isdecimal() else folder.name


def _is_one(folder: epath.Path) -> bool:
    named = folder.parent.name == FOLDER and folder.name.isdecimal() and folder.is_dir()
    return named or (folder / "state").is_dir()


@functools.cache
def _say_damaged(folder: str, why: str) -> None:
    _log.warning("checkpoint %s is damaged (%s); taking the one before it", folder, why)


def _whole(folder: epath.Path) -> epath.Path:
    why = damage(folder)
    if why:
        raise CheckpointError(f"checkpoint {folder} is damaged ({why}); {MEND}")
    return folder


def _newest_whole(folder: epath.Path, steps: list[int]) -> epath.Path:
    problems = []
    for step in reversed(steps):
        why = damage(folder / str(step))
        if not why:
            for other, problem in problems:
                _say_damaged(str(folder / str(other)), problem)
            return folder / str(step)
        problems.append((step, why))
    raise CheckpointError(
        f"none of the {len(steps)} checkpoints in {folder} can be read ({steps[-1]}: "
        f"{problems[0][1]}); restore one from a copy"
    )


def _best(folder: epath.Path, steps: list[int]) -> int:
    scores: dict[int, float] = {}
    for step in steps:
        why = item_damage(folder / str(step), "progress")
        if why:
            raise CheckpointError(
                f"which checkpoint in {folder} is best is not known, for {step} is damaged ({why});"
                " name a step"
            )
        score = read_item(folder / str(step), "progress").get("score")
        if score is not None:
            scores[step] = score
    if not scores:
        raise NoScoreError(f"no checkpoint in {folder} has an evaluation metric to be best by")
    return max(scores, key=lambda s: (scores[s], s))


def load_config(path: str | os.PathLike[str], step: Which = "latest") -> dict[str, Any]:
    """The resolved config that a checkpoint was written with, as plain values."""
    return read_item(resolve(path, step), "config")


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
        with one_net(folder.parent, MEND, CheckpointError):
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
        args = ocp.args.PyTreeRestore(
            item=target,
            restore_args=ocp.checkpoint_utils.construct_restore_args(target),
            partial_restore=True,
        )
        with one_net(folder.parent, MEND, CheckpointError):
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
