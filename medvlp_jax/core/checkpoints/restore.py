"""One checkpoint on disk: whether it is what was written, and reading it.

Whose fault a failure is decides what becomes of it: a file that differs from its digest is damaged
and may be passed over; a whole checkpoint that does not fit the run that asks is left alone.
"""

import contextlib
import dataclasses
import functools
import json
import logging
import os
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from medvlp_jax.core.checkpoints import digests
from medvlp_jax.core.errors import UserError, one_net, reason
from medvlp_jax.core.files import jsonl
from medvlp_jax.core.processes import distributed
from medvlp_jax.core.state import TrainState, leaf_names

#: Folder of the checkpoints inside a workdir.
FOLDER = "checkpoints"
#: What a checkpoint holds: a folder each.
ITEMS = ("state", "data", "progress", "config")
MEND = "take another step, or restore its files from a copy"
_log = logging.getLogger(__name__)


class CheckpointError(UserError):
    """A checkpoint cannot be written or read; the message names it and what to do."""


class DamagedError(CheckpointError):
    """A checkpoint is not what was written: the file is at fault, not the one who asks for it."""


@dataclasses.dataclass(frozen=True)
class Restored:
    """What a checkpoint holds."""

    step: int
    state: TrainState
    data: Any  # state of the data iterator, JSON-able; None if there was none
    progress: dict[str, Any]


def folder_of(path: str | os.PathLike[str]) -> epath.Path:
    """An absolute local path, or the address of a bucket as it is."""
    text = os.fspath(path)
    return epath.Path(text if "://" in text else os.path.abspath(text))


def steps_in(folder: epath.Path) -> list[int]:
    """Steps that have a folder under their final name, ascending, damaged ones included."""
    found = [p for p in folder.iterdir() if p.name.isdecimal() and p.is_dir()]
    if "://" in str(folder):  # a bucket cannot rename: there a last file says that all are written
        found = [p for p in found if (p / "commit_success.txt").exists()]
    return sorted(int(p.name) for p in found)


def damage(folder: epath.Path) -> str:
    """What is wrong with the folder of one checkpoint; empty if it is whole.

    One without digests, of an older version, is asked only for its parts; one line says so.
    """
    if why := lacks(folder):
        return why
    try:
        known = digests.read(folder)
    except (ValueError, OSError) as error:
        return reason_of(error)
    if known is None:
        say_unverified(str(folder))
        return ""
    return next(iter(digests.damaged(folder, known).values()), "")


def lacks(folder: epath.Path) -> str:
    """Which part of a checkpoint is not there, or is no JSON; empty if all is as it should be."""
    for item in ITEMS:
        if not (folder / item).is_dir():
            return f"it has no {item}"
    for item in ("config", "progress"):
        try:
            jsonl.parse((folder / item / "metadata").read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            return f"its {item} cannot be read: {reason(error)}"
    return ""


def read_item(folder: epath.Path, item: str) -> dict[str, Any]:
    """What a checkpoint holds under ``config`` or ``progress``."""
    file = folder / item / "metadata"
    with one_net(file, MEND, CheckpointError):
        return jsonl.parse(file.read_bytes())


def reason_of(error: Exception) -> str:
    """One line for an error, without the kind of a plain ``ValueError``, whose words are ours."""
    return str(error) if type(error) is ValueError else reason(error)


@functools.cache  # once per checkpoint and process
def say_unverified(folder: str) -> None:
    """Says that there is nothing to compare a checkpoint with."""
    _log.warning("checkpoint %s was written without digests: its arrays are not verified", folder)


def item_damage(folder: epath.Path, item: str) -> str:
    """What is wrong with ``config`` or ``progress`` of a checkpoint; empty if nothing."""
    try:
        read_item(folder, item)
        known = digests.read(folder) or {}
    except (UserError, ValueError, OSError) as error:
        return reason_of(error)
    known = {name: digest for name, digest in known.items() if name.startswith(f"{item}/")}
    return next(iter(digests.damaged(folder, known).values()), "")


def read(folder: epath.Path, step: int, abstract: TrainState) -> Restored:
    """Reads one checkpoint into arrays with the shardings that ``abstract`` carries; every process
    calls it alike.

    Raises:
      DamagedError: a file is not what was written.
      CheckpointError: it holds another tree than ``abstract``; the leaves are named.
    """
    verified = _verify(folder)
    try:
        return Restored(step, *_read(folder, abstract))
    except CheckpointError:
        raise
    except Exception as e:  # a damaged file surfaces as almost any type
        if not verified:
            raise DamagedError(reason(e)) from e
        raise CheckpointError(
            f"checkpoint {folder} is whole but cannot be read here ({reason(e)}); it was left as "
            "it is"
        ) from e


def _verify(folder: epath.Path) -> bool:
    """Compares the files with their digests, each process its share; False if there are none.

    Raises:
      DamagedError: on every process alike.
    """
    why = lacks(folder)
    if why:
        raise DamagedError(why)
    try:
        known = digests.read(folder)
    except ValueError as error:
        raise DamagedError(str(error)) from error
    if known is None:
        if distributed.is_main():
            say_unverified(str(folder))
        return False
    names = list(known)
    mine = {name: known[name] for name in names[jax.process_index() :: jax.process_count()]}
    found = digests.damaged(folder, mine)
    place = distributed.largest(max((names.index(name) for name in found), default=-1))
    if place >= 0:
        name = names[place]
        raise DamagedError(found.get(name, f"{name} differs from what was written"))
    return True


def _read(folder: epath.Path, abstract: TrainState) -> tuple[TrainState, Any, dict[str, Any]]:
    """State, position in the data and progress of one checkpoint."""
    with contextlib.closing(ocp.StandardCheckpointHandler()) as reader:
        stored = leaf_names(reader.metadata(folder / "state").tree)
        _compare(folder, {k: tuple(x.shape) for k, x in stored.items()}, abstract)
        args = ocp.args.StandardRestore(abstract)
        state = reader.restore(folder / "state", args=args)
    data = json.loads((folder / "data" / "metadata").read_bytes())
    return state, data, jsonl.parse((folder / "progress" / "metadata").read_bytes())


def _compare(folder: epath.Path, stored: dict[str, tuple[int, ...]], abstract: TrainState) -> None:
    wanted = {k: tuple(x.shape) for k, x in leaf_names(abstract).items()}
    differ = [f"{k} is not in the checkpoint" for k in wanted if k not in stored]
    differ += [f"{k} is not in this run" for k in stored if k not in wanted]
    differ += [
        f"{k} has shape {stored[k]} there and {shape} in this run"
        for k, shape in wanted.items()
        if k in stored and stored[k] != shape
    ]
    if differ:
        more = f"; and {len(differ) - 8} more" if len(differ) > 8 else ""
        raise CheckpointError(
            f"checkpoint {folder} was written by another model, optimizer or averaging: "
            f"{'; '.join(differ[:8])}{more}. It was left as it is: restore the config, or use "
            "another workdir (config.init_from starts one from these parameters)"
        )
