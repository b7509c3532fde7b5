"""Numbers by which a record, and the group that it belongs to, are known."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from medvlp_jax.data.columns.base import ArrayColumn, Batch, Cells, Visit


class RecordKeysColumn(ArrayColumn):
    """``record_key`` uint32 [b]: of the record's id; 0 only for padding. ``group_key`` uint32 [b]:
    equal for records whose provenance says the same under ``data.group_by`` (the panels of one
    figure); 0 where it says nothing.
    """

    name = "record_keys"
    about = "a hash of the record's id, and one of the group that it belongs to"

    def arrays(self, rows: int, text_len: int) -> Mapping[str, Cells]:
        return {
            "record_key": Cells((rows,), np.uint32),
            "group_key": Cells((rows,), np.uint32),
        }

    def fill(self, batch: Batch, row: int, visit: Visit) -> None:
        batch["record_key"][row] = key_of(visit.record.id)
        group = lookup(visit.record.provenance, self.config.group_by)
        batch["group_key"][row] = 0 if group in (None, "") else key_of(str(group))


def lookup(provenance: Mapping[str, Any], path: str) -> Any:
    """What stands under ``a.b``; None where there is nothing."""
    found: Any = provenance
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def key_of(name: str) -> int:
    """A stable 32-bit hash, never 0."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "little") or 1
