"""Where numbers go: ``metrics.jsonl`` always, TensorBoard and Weights & Biases if asked."""

import dataclasses
import logging
import math
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any, Literal

from medvlp_jax.core.errors import UserError
from medvlp_jax.core.files import jsonl
from medvlp_jax.core.files.replacing import replace
from medvlp_jax.core.processes import distributed

FILE = "metrics.jsonl"
_log = logging.getLogger(__name__)
Kind = Literal["train", "eval", "seen", "event"]


@dataclasses.dataclass(frozen=True)
class LogConfig:
    """Writers besides ``metrics.jsonl``.

    Attributes:
      tensorboard: write event files to ``<workdir>/tensorboard``.
      wandb_project: a Weights & Biases project; empty = off. Needs the ``wandb`` extra.
      wandb_name: of the run there; empty = one that Weights & Biases makes up.
    """

    tensorboard: bool = False
    wandb_project: str = ""
    wandb_name: str = ""


class Mean:
    """Weighted mean of numbers that arrive in pieces; pieces of unequal size weigh by size."""

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0.0

    def add(self, value: float, count: float = 1.0) -> None:
        """Takes the mean ``value`` of ``count`` items."""
        self.total += value * count
        self.count += count

    def take(self) -> float:
        """The mean so far (NaN of nothing); starts anew."""
        mean = self.total / self.count if self.count else math.nan
        self.total, self.count = 0.0, 0.0
        return mean


class MetricWriter:
    """Appends one JSON object per line: ``step``, ``kind``, ``time`` (Unix seconds), values.

    Only process 0 writes. After a restart the lines beyond the restored step are dropped, so that
    a step never occurs twice. A number that is not finite is written as ``null``.
    """

    def __init__(
        self,
        workdir: str | os.PathLike[str],
        config: LogConfig | None = None,
        *,
        start_step: int = 0,
        run_config: Mapping[str, Any] | None = None,
    ) -> None:
        """Opens the writers.

        Args:
          start_step: the step that was restored; later lines are dropped.
          run_config: the resolved config, shown by Weights & Biases.

        Raises:
          UserError: Weights & Biases is asked for but not installed.
        """
        config = config or LogConfig()
        self._file = self._board = self._wandb = None
        self._warned = False
        if not distributed.is_main():
            return
        folder = pathlib.Path(workdir)
        folder.mkdir(parents=True, exist_ok=True)
        _drop_after(folder / FILE, start_step)
        self._file = (folder / FILE).open("a", encoding="utf-8")
        if config.tensorboard:
            self._board = _tensorboard(folder / "tensorboard", start_step)
        if config.wandb_project:
            self._wandb = _wandb(folder, config, run_config)

    def write(self, step: int, values: Mapping[str, Any], kind: Kind = "train") -> None:
        """Writes one line; scalars also go to the other writers."""
        if self._file is None:
            return
        clean = {k: _json_number(v) for k, v in values.items()}
        record = {"step": step, "kind": kind, "time": round(time.time(), 3), **clean}
        # One write of one line on an append-only file: a kill leaves whole lines, or a last one
        # that the next start drops.
        self._append(jsonl.line(record))
        scalars = {
            f"{kind}/{k}": v for k, v in clean.items() if isinstance(v, float) and kind != "event"
        }
        if self._board is not None:
            for name, value in scalars.items():
                self._board.add_scalar(name, value, step)
        if self._wandb is not None and scalars:
            self._wandb.log(scalars, step=step)

    def _append(self, line: str) -> None:
        assert self._file is not None
        self._file.write(line)
        try:
            self._file.flush()
        except OSError as e:  # the line stays in the buffer, and the next flush tries again
            if not self._warned:
                _log.warning("cannot write %s now (%s); training goes on", self._file.name, e)
            self._warned = True

    def close(self) -> None:
        """Flushes and closes all writers."""
        try:
            if self._file is not None:
                self._file.close()
        except OSError as e:
            _log.warning("the last lines of %s are lost (%s)", FILE, e)
        if self._board is not None:
            self._board.close()
        if self._wandb is not None:
            self._wandb.finish()
        self._file = self._board = self._wandb = None

    def __enter__(self) -> "MetricWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The records of a ``metrics.jsonl``, without a last line that a crash cut off.

    A line that is damaged costs a warning that names it, and no other line.

    Raises:
      UserError: the file cannot be read.
    """
    records, broken = jsonl.tolerant(path)
    for number, what in broken.items():
        _log.warning("%s, line %d, is left out: %s", path, number, what)
    whole = [r for r in records if type(r.get("step")) is int and type(r.get("kind")) is str]
    if len(whole) < len(records):
        _log.warning("%s: %d lines have no step or kind", path, len(records) - len(whole))
    return whole


def _drop_after(path: pathlib.Path, step: int) -> None:
    if not path.exists():
        return
    kept = [r for r in read_metrics(path) if r["step"] <= step]
    replace(path, jsonl.dump(kept))


def _json_number(value: Any) -> Any:
    if isinstance(value, str | bool | int) or value is None:
        return value
    number = float(value)
    return number if math.isfinite(number) else None


def _tensorboard(folder: pathlib.Path, start_step: int) -> Any:
    try:
        import tensorboardX
    except ImportError as e:
        raise UserError("log.tensorboard needs: pip install tensorboardX") from e
    return tensorboardX.SummaryWriter(str(folder), purge_step=start_step + 1)


def _wandb(folder: pathlib.Path, config: LogConfig, run_config: Mapping[str, Any] | None) -> Any:
    try:
        import wandb  # pyright: ignore[reportMissingImports]
    except ImportError as e:
        raise UserError(
            "log.wandb_project is set, but wandb is not installed: pip install 'medvlp_jax[wandb]'"
        ) from e
    # The id is kept, so that a restart goes on with the same run.
    id_file = folder / "wandb_id"
    if not id_file.exists():
        id_file.write_text(wandb.util.generate_id())
    return wandb.init(
        project=config.wandb_project,
        name=config.wandb_name or None,
        id=id_file.read_text(),
        resume="allow",
        dir=str(folder),
        config=dict(run_config or {}),
    )
