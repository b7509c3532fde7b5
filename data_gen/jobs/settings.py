"""What the folder of a pipeline is a data set of, and whether all of it is there.

A file beside the shards keeps the config of the command that began the folder: another config is
refused before anything is made, and a finished folder is found again without running a stage.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from absl import logging

import medvlp_jax
from data_gen.jobs import summary
from data_gen.jobs.job import JobError
from medvlp_jax.core.config import differences
from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files import jsonl
from medvlp_jax.data.store.dataset import splits, verify
from medvlp_jax.data.store.shards import whole_file

_NAMED = 3  # keys that a refusal names


@dataclasses.dataclass(frozen=True)
class Settings:
    """A folder's file of settings.

    Attributes:
      path: of the file, in the data folder.
      config: plain values of the config of this command.
      free: keys that may differ from those of the command that began the folder.
    """

    path: Path
    config: dict[str, Any]
    free: tuple[str, ...] = ()

    def begun(self) -> dict[str, Any] | None:
        """The config of the finished folder; None where something is still to be made.

        A folder without the file gets it, unfinished. What is broken in a finished folder is named
        in a warning and made again.

        Raises:
          JobError: the folder is of another config, or the file cannot be read.
        """
        if not self.path.exists():
            self.write(finished=False)
            return None
        folder = self.path.parent
        with one_net(self.path, "delete it and rerun the command that made the folder", JobError):
            stored = jsonl.parse(self.path.read_bytes())
            then, finished = dict(stored["config"]), bool(stored["finished"])
        changed = differences(then, self.config, self.free)
        if changed:
            more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
            raise JobError(
                f"{folder} holds a data set of another config ({'; '.join(changed[:_NAMED])}{more})"
                "; choose another folder, or delete this one"
            )
        if not finished or not summary.exists(folder):
            return None
        broken = verify(folder)
        for why in broken:
            logging.warning("%s: it is made again", why)
        whole = not broken and set(splits(folder)) == set(summary.read(folder)["splits"])
        return then if whole else None

    def write(self, finished: bool) -> None:
        """Keeps the config, by an atomic rename."""
        state = {
            "version": medvlp_jax.__version__,
            "finished": finished,
            "config": self.config,
        }
        with whole_file(self.path) as temporary:
            temporary.write_text(json.dumps(state, indent=1), encoding="utf-8")
