"""Checkpoints: training state, position in the data, resolved config; atomic and asynchronous.

On disk, under ``<workdir>/checkpoints/<step>/``: ``state`` (arrays, in the tree of
:class:`~medvlp_jax.core.state.TrainState`), ``data`` (the iterator, counted in global batches, so
that another number of processes can go on from it), ``progress`` (host-side counters) and
``config``. Beside them, ``digests.json`` has the step and the SHA-256 of each of their files: it is
written before the checkpoint gets its final name, and compared at every restore. Only this module
and ``core/pretrained.py`` know Orbax.
"""

import dataclasses
import json
import logging
import math
import os
import pathlib
import shutil
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import orbax.checkpoint as ocp

from medvlp_jax.core.checkpoints import digests
from medvlp_jax.core.checkpoints.restore import (
    FOLDER,
    ITEMS,
    CheckpointError,
    DamagedError,
    Restored,
    folder_of,
    item_damage,
    lacks,
    read,
    read_item,
    steps_in,
)
from medvlp_jax.core.config import differences
from medvlp_jax.core.errors import reason
from medvlp_jax.core.fields import Count, Size
from medvlp_jax.core.processes import distributed
from medvlp_jax.core.state import TrainState

_CORRUPT = ".corrupt"  # suffix of a step folder that was set aside
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class CheckpointConfig:
    """Which checkpoints stay.

    Attributes:
      keep_last: the newest this many.
      keep_best: besides, the best this many by ``best_metric`` (of those saved at an evaluation).
      best_metric: name of an evaluation metric such as ``zeroshot/macro_auc``; empty = none.
      best_mode: whether a larger or a smaller ``best_metric`` is better.
      asynchronous: write in the background while training goes on.
      directory: where the folder of checkpoints is, instead of the workdir. Processes on several
        machines need one that all can reach: a shared disk, or a bucket (``gs://...``, with
        ``pip install gcsfs``).
    """

    keep_last: Size = 2
    keep_best: Count = 1
    best_metric: str = ""
    best_mode: Literal["max", "min"] = "max"
    asynchronous: bool = True
    directory: str = ""

    def __post_init__(self) -> None:
        if self.keep_last < 1:
            raise ValueError("keep_last must be at least 1")


class Checkpointer:
    """Writes and reads the checkpoints of one run. Every process makes one and calls it alike."""

    def __init__(
        self, workdir: str | pathlib.Path, config: CheckpointConfig, run_config: dict[str, Any]
    ) -> None:
        """Opens (or makes) ``<workdir>/checkpoints``, or the folder that ``config`` names.

        Args:
          run_config: the resolved config as plain JSON-able values (``config.to_plain``).
        """
        self.folder = folder_of(config.directory or workdir) / FOLDER
        self.config = config
        self.run_config = run_config
        self._failed_step: int | None = None  # the newest write, if it failed
        self._writing = -1  # the step that is being written
        self._scores: dict[int, float | None] = {}
        logging.getLogger("absl").addFilter(_not_orbax)
        self._manager = self._open()

    @property
    def keeps_best(self) -> bool:
        """Whether a checkpoint is wanted at every evaluation, in case it is the best."""
        return bool(self.config.best_metric and self.config.keep_best)

    def _open(self) -> ocp.CheckpointManager:
        options = ocp.CheckpointManagerOptions(
            preservation_policy=_Keep(self),
            cleanup_tmp_directories=True,
            lightweight_initialize=True,  # what it would read there has no digest
            async_options=ocp.AsyncOptions(post_finalization_callback=self._write_digests),
        )
        return ocp.CheckpointManager(self.folder, options=options)

    def _write_digests(self) -> None:
        """Called on process 0, when all files are written but the folder has no final name yet."""
        name = str(self._writing)
        unnamed = (p for p in self.folder.iterdir() if p.name.startswith(f"{name}.orbax"))
        folder = next(unnamed, self.folder / name)  # a bucket has no names to come
        digests.write(folder, ITEMS, self._writing)

    def score(self, metrics: dict[str, float]) -> float:
        """Larger is better; a missing or NaN metric is the worst."""
        value = metrics.get(self.config.best_metric, math.nan)
        value = -value if self.config.best_mode == "min" else value
        return -math.inf if math.isnan(value) else value

    def score_of(self, step: int) -> float | None:
        """The score that a finished checkpoint was saved with; None if it had no evaluation."""
        if step not in self._scores:
            why = item_damage(self.folder / str(step), "progress")
            progress = {} if why else read_item(self.folder / str(step), "progress")
            self._scores[step] = progress.get("score")
        return self._scores[step]

    def steps(self) -> list[int]:
        """Steps of the finished checkpoints, ascending."""
        return sorted(self._manager.all_steps())

    def save(
        self,
        state: TrainState,
        step: int,
        data: Any,
        progress: dict[str, Any] | None = None,
        metrics: dict[str, float] | None = None,
    ) -> bool:
        """Starts to write a checkpoint; returns once the arrays may be donated again.

        The write goes on in the background. If it fails, that is reported by the next call of
        ``save`` or ``wait``; the checkpoints before it stay.

        Args:
          data: state of the data iterator after the last batch that was trained on.
          metrics: evaluation metrics of exactly this state, for ``keep_best``.

        Returns:
          False if this write, or the one before it, failed (reported as a warning).
        """
        before = self.wait()
        if step in self._manager.all_steps():
            return before
        progress = dict(progress or {})
        if self.config.best_metric and metrics and math.isfinite(self.score(metrics)):
            progress["score"] = self.score(metrics)
        short = self._space_short(state)
        if short:
            self._report(step, short)
            return False
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            data=ocp.args.JsonSave(_plain(data)),
            progress=ocp.args.JsonSave(_plain(progress)),
            config=ocp.args.JsonSave(self.run_config),
        )
        self._writing, self._scores[step] = step, progress.get("score")
        try:
            self._manager.save(step, args=items, force=True)
            self._failed_step = None
        except Exception as e:  # Orbax and TensorStore share no type for a failed write
            self._failed(step, e)
            return False
        return before if self.config.asynchronous else self.wait() and before

    def wait(self) -> bool:
        """Waits for the write in the background; False (and a warning) if it failed."""
        step = max(self._manager.all_steps(), default=-1)
        try:
            self._manager.wait_until_finished()
        except Exception as e:  # as above
            self._failed(step, e)
            return False
        return True

    def _failed(self, step: int, error: Exception) -> None:
        # A new manager forgets the half-written step and deletes its temporary folder.
        self._manager = self._open()
        self._report(step, _reason(error))

    def _report(self, step: int, reason: str) -> None:
        self._failed_step = step
        left = self.steps()
        _log.warning(
            "checkpoint %d could not be written (%s); %s",
            step,
            reason,
            f"the last good one is {left[-1]}" if left else "there is none yet",
        )

    def _space_short(self, state: TrainState) -> str:
        """Why the disk cannot take this state; empty if it can.

        Asked beforehand, because a write that fails half-way leaves less space and much noise.
        """
        if "://" in str(self.folder):
            return ""
        need = 2**18 + sum(1.02 * x.nbytes for x in jax.tree.leaves(state))
        free = shutil.disk_usage(self.folder).free if distributed.is_main() else 0
        if distributed.from_main(int(free >= need)):
            return ""
        return f"no space left on device: it takes {need / 2**20:.1f} MiB in {self.folder}"

    def close(self) -> None:
        """Waits, then stops the background threads.

        Raises:
          CheckpointError: the newest write failed.
        """
        self.wait()
        self._manager.close()
        if self._failed_step is not None:
            raise CheckpointError(
                f"checkpoint {self._failed_step}, the last one, could not be written to "
                f"{self.folder}: see the warning above, make room, and start the same command again"
            )

    def restore(self, abstract: TrainState, step: int) -> Restored:
        """Reads one checkpoint into arrays with the shardings that ``abstract`` carries.

        Raises:
          DamagedError: a file is not what was written.
          CheckpointError: it holds another tree than ``abstract``; the leaves are named.
        """
        return read(self.folder / str(step), step, abstract)

    def restore_latest(
        self,
        abstract: TrainState,
        may_differ: tuple[str, ...] = (),
        resume_anyway: bool = False,
        as_of_today: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    ) -> Restored | None:
        """Reads the newest checkpoint that is whole; ``None`` if there never was one.

        A damaged one is named and set aside as ``<step>.corrupt``, and the one before it is taken.
        If none is whole, all stay as they are, and so every start is refused.

        Args:
          abstract: ``step.abstract_state(...)`` on the current mesh, which may be another than
            the one that saved.
          may_differ: config keys (prefixes, ``mesh`` or ``loop.save_every``) that may have changed.
          resume_anyway: go on although the config differs.
          as_of_today: what makes a config that an older version stored one of this version.

        Raises:
          CheckpointError: the config differs in a key that matters, the arrays are not those of
            ``abstract``, or no checkpoint is whole.
        """
        steps = steps_in(self.folder)
        damaged: dict[int, DamagedError] = {}
        for step in reversed(steps):
            try:
                if not resume_anyway:
                    self._check(as_of_today(self._config_of(step)), may_differ, step)
                restored = self.restore(abstract, step)
            except DamagedError as e:
                damaged[step] = e
                continue
            self._set_aside(damaged)
            return restored
        if steps:
            raise CheckpointError(
                f"none of the {len(steps)} checkpoints in {self.folder} can be read ({steps[-1]}: "
                f"{damaged[steps[-1]]}); restore one from a copy, or move the folder away to train "
                "from the beginning"
            )
        aside = [p.name for p in self.folder.iterdir() if _CORRUPT in p.name]
        if aside:
            raise CheckpointError(
                f"{self.folder} holds only checkpoints that were set aside as damaged "
                f"({', '.join(sorted(aside))}); restore one from a copy, or move the folder away "
                "to train from the beginning"
            )
        return None

    def _config_of(self, step: int) -> dict[str, Any]:
        folder = self.folder / str(step)
        why = lacks(folder) or item_damage(folder, "config")
        if why:
            raise DamagedError(why)
        return read_item(folder, "config")

    def _check(self, stored: dict[str, Any], may_differ: tuple[str, ...], step: int) -> None:
        changed = differences(stored, self.run_config, may_differ)
        if changed:
            raise CheckpointError(
                f"checkpoint {self.folder / str(step)} was written with another config: "
                + "; ".join(changed)
                + ". Use another workdir, restore these values, or pass --resume_anyway"
            )

    def _set_aside(self, damaged: dict[int, DamagedError]) -> None:
        if not damaged:
            return
        distributed.barrier("damaged checkpoints")
        if distributed.is_main():
            for step, why in damaged.items():
                folder = self.folder / str(step)
                taken = {p.name for p in self.folder.iterdir()}
                names = (f"{step}{_CORRUPT}{n}" for n in ("", *(f".{i}" for i in range(2, 10**6))))
                aside = next(name for name in names if name not in taken)
                folder.rename(self.folder / aside)
                _log.warning(
                    "checkpoint %s cannot be read (%s); it was set aside as %s, and the one before "
                    "it is taken",
                    folder,
                    why,
                    aside,
                )
        distributed.barrier("set aside checkpoints")
        self._manager.close()
        self._manager = self._open()


class _Keep:
    """Orbax' preservation policy: the newest, and the best by the scores of their own files."""

    def __init__(self, owner: Checkpointer) -> None:
        self._owner = owner

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Whether each of the checkpoints stays; in their order."""
        del context
        config, steps = self._owner.config, sorted(c.step for c in checkpoints)
        stay = set(steps[-config.keep_last :])
        if self._owner.keeps_best:
            scores = [(self._owner.score_of(s), s) for s in steps]
            scored = sorted((score, s) for score, s in scores if score is not None)
            stay |= {s for _, s in scored[-config.keep_best :]}
        return [c.step in stay for c in checkpoints]


def _plain(value: Any) -> Any:
    """JSON-able form of counters that may hold numpy scalars."""
    return json.loads(json.dumps(value, default=lambda v: v.item()))


def _reason(error: BaseException) -> str:
    """One line for an error, which may come from deep inside of TensorStore."""
    if "No space left on device" in str(error):
        return "no space left on device"
    return reason(error, 300)


def _not_orbax(record: logging.LogRecord) -> bool:
    """Orbax logs each of its steps, and every failure with several tracebacks before it raises it;
    the one line about a failure is ours."""
    return f"{os.sep}orbax{os.sep}" not in record.pathname
