"""Checkpoints: training state, position in the data, resolved config; atomic and asynchronous.

On disk, under ``<workdir>/checkpoints/<step>/``: ``state`` (arrays, in the tree of
:class:`~medvlp_jax.core.state.TrainState`), ``data`` (the iterator, counted in global batches, so
that another number of processes can go on from it), ``progress`` (host-side counters) and
``config``. Only this module and
``core/pretrained.py`` know Orbax.
"""

import dataclasses
import json
import logging
import math
import os
import pathlib
import shutil
from typing import Any, Literal

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from medvlp_jax.core import distributed
from medvlp_jax.core.config import differences
from medvlp_jax.core.fields import Count, Size
from medvlp_jax.core.pretrained import FOLDER, CheckpointError, folder_of, load_config
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


@dataclasses.dataclass(frozen=True)
class Restored:
    """What a checkpoint holds."""

    step: int
    state: TrainState
    data: Any  # state of the data iterator, JSON-able; None if there was none
    progress: dict[str, Any]


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
        logging.getLogger("absl").addFilter(_not_orbax)
        self._manager = self._open()

    @property
    def keeps_best(self) -> bool:
        """Whether a checkpoint is wanted at every evaluation, in case it is the best."""
        return bool(self.config.best_metric and self.config.keep_best)

    def _open(self) -> ocp.CheckpointManager:
        keep: list[Any] = [preservation_policy.LatestN(self.config.keep_last)]
        if self.keeps_best:
            best = preservation_policy.BestN(
                get_metric_fn=self.score,
                n=self.config.keep_best,
                keep_checkpoints_without_metrics=False,
            )
            keep.append(best)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=preservation_policy.AnyPreservationPolicy(keep),
            best_fn=self.score if self.config.best_metric else None,
            cleanup_tmp_directories=True,
            enable_async_checkpointing=self.config.asynchronous,
        )
        return ocp.CheckpointManager(self.folder, options=options)

    def score(self, metrics: dict[str, float]) -> float:
        """Larger is better; a missing or NaN metric is the worst."""
        value = metrics.get(self.config.best_metric, math.nan)
        value = -value if self.config.best_mode == "min" else value
        return -math.inf if math.isnan(value) else value

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
        if not self.config.best_metric:
            metrics = None
        elif metrics is not None and math.isfinite(self.score(metrics)):
            progress["score"] = self.score(metrics)
        short = self._space_short(state)
        if short:
            self._report(step, short)
            return False
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),  # type: ignore[call-arg]
            data=ocp.args.JsonSave(_plain(data)),  # type: ignore[call-arg]
            progress=ocp.args.JsonSave(_plain(progress)),  # type: ignore[call-arg]
            config=ocp.args.JsonSave(self.run_config),  # type: ignore[call-arg]
        )
        try:
            self._manager.save(step, args=items, metrics=metrics, force=True)
            self._failed_step = None
        except Exception as e:  # Orbax and TensorStore share no type for a failed write
            self._failed(step, e)
            return False
        return before

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
        """Reads one checkpoint into arrays with the shardings that ``abstract`` carries."""
        got = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(abstract),  # type: ignore[call-arg]
                data=ocp.args.JsonRestore(),
                progress=ocp.args.JsonRestore(),
            ),
        )
        return Restored(step, got["state"], got["data"], got["progress"])

    def restore_latest(
        self, abstract: TrainState, may_differ: tuple[str, ...] = (), resume_anyway: bool = False
    ) -> Restored | None:
        """Reads the newest checkpoint that can be read; ``None`` if there is none at all.

        A corrupt one is named, set aside as ``<step>.corrupt``, and the one before it is taken.

        Args:
          abstract: ``step.abstract_state(...)`` on the current mesh, which may be another than
            the one that saved.
          may_differ: config keys (prefixes, ``mesh`` or ``loop.save_every``) that may have changed.
          resume_anyway: go on although the config differs.

        Raises:
          CheckpointError: the config differs in a key that matters, or no checkpoint is readable.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                stored = load_config(self.folder / str(step))
                if not resume_anyway:
                    self._check(stored, may_differ, step)
                restored = self.restore(abstract, step)
            except CheckpointError:
                raise
            except Exception as e:  # a damaged file surfaces as almost any type
                _log.warning(
                    "checkpoint %s cannot be read (%s); going back to the one before it",
                    self.folder / str(step),
                    _reason(e),
                )
                self._set_aside(step)
                continue
            return restored
        if steps:
            raise CheckpointError(
                f"none of the {len(steps)} checkpoints in {self.folder} can be read; they were "
                f"renamed to <step>{_CORRUPT}. Start again to train from the beginning"
            )
        return None

    def _check(self, stored: dict[str, Any], may_differ: tuple[str, ...], step: int) -> None:
        changed = differences(stored, self.run_config, may_differ)
        if changed:
            raise CheckpointError(
                f"checkpoint {self.folder / str(step)} was written with another config: "
                + "; ".join(changed)
                + ". Use another workdir, restore these values, or pass --resume_anyway"
            )

    def _set_aside(self, step: int) -> None:
        distributed.barrier(f"corrupt checkpoint {step}")
        if distributed.is_main():
            folder = self.folder / str(step)
            folder.rename(folder.parent / f"{step}{_CORRUPT}")
        distributed.barrier(f"set aside checkpoint {step}")
        self._manager.close()
        self._manager = self._open()


def _plain(value: Any) -> Any:
    """JSON-able form of counters that may hold numpy scalars."""
    return json.loads(json.dumps(value, default=lambda v: v.item()))


def _reason(error: BaseException) -> str:
    """One line for an error, which may come from deep inside of TensorStore."""
    if "No space left on device" in str(error):
        return "no space left on device"
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300] if lines else ''}"


def _not_orbax(record: logging.LogRecord) -> bool:
    """Orbax logs each of its steps, and every failure with several tracebacks before it raises it;
    the one line about a failure is ours."""
    return f"{os.sep}orbax{os.sep}" not in record.pathname
