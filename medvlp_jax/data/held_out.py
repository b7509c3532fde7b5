"""Records that training leaves out: a list that ``launch/leakage.py`` writes and training reads.

The file is JSON: ``{"version": 1, "folders": [{"path", "split", "content", "records", "left_out":
[{"record", "id", "why"}]}, ...]}``; ``record`` is the index into the split. A split is known by
its content, not by its path, so that a folder may move; a split that the list knows nothing of is
an error, because then nobody has looked at it.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from absl import logging
from jaxtyping import Bool, Int, Int64

from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files.opening import read_bytes
from medvlp_jax.core.files.replacing import replace
from medvlp_jax.data.store.dataset import RecordSource
from medvlp_jax.data.store.record import Source
from medvlp_jax.data.unreadable import DataError

_VERSION = 1


class LeftOut(NamedTuple):
    """A record that training must not see: its index in the split, its id, and why."""

    record: int
    id: str
    why: str


def identity(source: Source) -> str:
    """16 hex digits of the digests of a split's shards; "" for a source without shards."""
    shards = getattr(source, "shards", None)
    if shards is None:
        return ""
    digests = json.dumps([shard.sha256 for shard in shards])
    return hashlib.sha256(digests.encode()).hexdigest()[:16]


def write_held_out(
    path: str | os.PathLike[str], splits: Sequence[tuple[RecordSource, Sequence[LeftOut]]]
) -> None:
    """Writes the list: per split its records to leave out; a split without any is listed too."""
    folders = [
        {
            "path": str(source.directory),
            "split": source.split,
            "content": identity(source),
            "records": len(source),
            "left_out": [one._asdict() for one in left_out],
        }
        for source, left_out in splits
    ]
    replace(path, json.dumps({"version": _VERSION, "folders": folders}, indent=1) + "\n")


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """The records to leave out, by the identity of their split.

    Attributes:
      path: of the list.
      records: identity -> indices into the split.
    """

    path: pathlib.Path
    records: Mapping[str, Int64[np.ndarray, " n"]]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "HeldOut":
        """Reads a list.

        Raises:
          DataError: there is none, or it is damaged or of another version.
        """
        path = pathlib.Path(path)
        with one_net(f"data.held_out={path}", "make it with launch/leakage.py", DataError):
            found = json.loads(read_bytes(path))
            if found["version"] != _VERSION:
                raise DataError(
                    f"data.held_out={path} has version {found['version']}, this is {_VERSION}; "
                    "make it again with launch/leakage.py"
                )
            records = {
                folder["content"]: np.array([int(one["record"]) for one in folder["left_out"]])
                for folder in found["folders"]
            }
        return cls(path, records)

    def kept(self, source: Source, records: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Which of ``records``, indices into ``source``, stay.

        Raises:
          DataError: the list knows nothing of this split, or none of it is left.
        """
        known = identity(source)
        if known not in self.records:
            raise DataError(
                f"data.held_out={self.path} was made without {source!r}, or before it changed; "
                "run launch/leakage.py again with --train for every training folder"
            )
        kept = ~np.isin(records, self.records[known])
        if not kept.any():
            raise DataError(f"data.held_out={self.path} leaves nothing of {source!r} to train on")
        if not kept.all():
            logging.info(
                "data.held_out: %d of %d records of %r are left out",
                (~kept).sum(), len(kept), source,
            )  # fmt: skip
        return kept
