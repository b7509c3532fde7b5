"""What lies between the stages: shards of records, with files beside them that belong to them."""

import base64
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from data_gen.curation.rejects import RejectRow
from data_gen.jobs.job import Shard, cut
from data_gen.pipelines.syncxr.config import SynCXRConfig
from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files import jsonl, npz
from medvlp_jax.data.store.dataset import open_array_record
from medvlp_jax.data.store.layout import from_example
from medvlp_jax.data.store.manifest import ShardError, ShardName
from medvlp_jax.data.store.record import Record
from medvlp_jax.data.store.shards import whole_file


def stage_shards(config: SynCXRConfig, stage: str) -> list[Shard]:
    """All shards of a stage; ``start`` and ``stop`` count within the split's rows of the plan."""
    out = []
    for split, rows in config.rows.items():
        out += cut(stage, split, len(rows), config.studies_per_shard)
    return out


def study_id(config: SynCXRConfig, row: int) -> str:
    """Of a row of the plan."""
    return f"{config.name}-{config.seed}-{row:08d}"


def read_shard(folder: Path, name: ShardName) -> list[Record]:
    """The records of a finished shard.

    Raises:
      ShardError: the file is missing or damaged.
    """
    reader = open_array_record(folder / name.filename)
    count = reader.num_records()
    return [from_example(data) for data in reader.read(list(range(count)))] if count else []


def write_beside(folder: Path, name: ShardName, kind: str, text: str) -> None:
    """A file that belongs to a shard; whole or not at all."""
    with whole_file(_beside(folder, name, kind)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_beside(folder: Path, name: ShardName, kind: str) -> str:
    """What :func:`write_beside` wrote.

    Raises:
      ShardError: the file is missing or damaged.
    """
    path = _beside(folder, name, kind)
    with _mendable(path):
        return path.read_text(encoding="utf-8")


def read_json_beside(folder: Path, name: ShardName, kind: str) -> dict[str, Any]:
    """:func:`read_beside` of an object in JSON; errors are the same."""
    with _mendable(_beside(folder, name, kind)):
        return jsonl.parse(read_beside(folder, name, kind).encode())


def _beside(folder: Path, name: ShardName, kind: str) -> Path:
    return folder / f"{name.filename}.{kind}"


def _mendable(path: Path) -> AbstractContextManager[None]:
    mend = "delete it and its shard, and the same command makes them again"
    return one_net(path, mend, ShardError)


def write_rejects_beside(
    folder: Path, name: ShardName, rows: Iterable[tuple[RejectRow, bytes]]
) -> None:
    """Rejects of a shard, each with a small JPEG or nothing."""
    lines = []
    for row, picture in rows:
        fields = {
            **dataclasses.asdict(row),
            "scores": row.numbers,
            "jpeg": base64.b64encode(picture).decode(),
        }
        lines.append(jsonl.line(fields))
    write_beside(folder, name, "rejects.jsonl", "".join(lines))


def read_rejects_beside(folder: Path, name: ShardName) -> Iterator[tuple[RejectRow, bytes]]:
    """Inverse of :func:`write_rejects_beside`."""
    path = _beside(folder, name, "rejects.jsonl")
    with _mendable(path):
        rows = jsonl.read(path, "delete it and its shard", ShardError)
        found = []
        for fields in rows:
            picture = base64.b64decode(fields.pop("jpeg"))
            found.append((RejectRow(**{**fields, "reasons": tuple(fields["reasons"])}), picture))
    yield from found


def write_accepted(
    folder: Path, name: ShardName, ids: Sequence[str], embeddings: Sequence[np.ndarray | None]
) -> None:
    """Ids and embeddings of a shard's records, in order."""
    width = next((len(e) for e in embeddings if e is not None), 0)
    rows = np.zeros((len(ids), width), np.float32)
    for i, embedding in enumerate(embeddings):
        if embedding is not None:
            rows[i] = embedding
    # Into a stream: numpy would put .npz behind the temporary name.
    with (
        whole_file(_beside(folder, name, "accepted.npz")) as temporary,
        temporary.open("wb") as stream,
    ):
        np.savez(stream, ids=np.array(list(ids), np.str_), embeddings=rows)


def read_accepted(folder: Path, name: ShardName) -> tuple[list[str], Float[np.ndarray, "n d"]]:
    """Inverse of :func:`write_accepted`; a zero row where there is no embedding."""
    path = _beside(folder, name, "accepted.npz")
    with _mendable(path):
        kept = npz.read(path)
        return [str(i) for i in kept["ids"]], kept["embeddings"]


def add_counts(total: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Adds nested counts in place."""
    for key, value in more.items():
        if isinstance(value, Mapping):
            add_counts(total.setdefault(key, {}), value)
        else:
            total[key] = total.get(key, 0) + value
