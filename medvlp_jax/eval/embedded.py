"""One evaluation set seen through one model, read once and shared by all evaluators.

An evaluator says in its constructor which columns it needs (:meth:`Embedded.want`). The first
evaluator that is called causes one pass over the batches, in which all columns are computed; the
others find them. Host data of a process (labels, ids) is gathered, so that its rows stand beside
the global rows of the predict function.
"""

import collections
import dataclasses
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Int

from medvlp_jax.eval.base import Batch, EvalError, PredictFn

#: ``gather(local)`` -> global rows, in the order of the rows that the predict function returns.
GatherFn = Callable[[np.ndarray], np.ndarray]
#: The columns of a batch by which records can be grouped.
GROUPS = ("view", "patient_id", "modality")


def gather_processes(local: np.ndarray) -> np.ndarray:
    """Concatenates the rows of all processes; the identity where there is one."""
    if jax.process_count() == 1:
        return local
    return np.asarray(multihost_utils.process_allgather(local, tiled=True))


class Column(Protocol):
    """Something computed for every record of a set.

    Columns are compared and hashed: equal columns are computed once. ``start`` is called at the
    beginning of a pass and returns the function that maps a batch to its global rows.
    """

    def start(self, predict: PredictFn, gather: GatherFn) -> Callable[[Batch], np.ndarray]: ...

    def __hash__(self) -> int: ...


#: What each predict function reads. It is given nothing else: it compiles anew for new shapes.
INPUTS = {
    "image_embed": ("image",),
    "patch_embed": ("image",),
    "text_embed": ("text", "text_mask"),
    "text_embed_unnormalised": ("text", "text_mask"),
    "word_embed": ("text", "text_mask", "word_ids"),
    "features": ("image",),
    "logits": ("image",),
    "mask": ("image",),
    "boxes": ("image",),
    "image_tokens": ("image",),
    "match_logit": ("image_tokens", "text", "text_mask"),
    "match_map": ("image", "text", "text_mask"),
    "caption": ("image", "end"),
}


def apply(predict: PredictFn, name: str, batch: Batch) -> np.ndarray:
    """``predict(name, ...)`` on the part of ``batch`` that this function reads."""
    for key in INPUTS[name]:
        if key not in batch:
            raise EvalError(f"{name} needs {key!r}; the batches have {', '.join(batch)}")
    return np.asarray(predict(name, {key: batch[key] for key in INPUTS[name]}))


@dataclasses.dataclass(frozen=True)
class Predicted:
    """The rows of a predict function: a key of :data:`INPUTS`."""

    name: str

    def start(self, predict: PredictFn, gather: GatherFn) -> Callable[[Batch], np.ndarray]:
        return lambda batch: apply(predict, self.name, batch)


@dataclasses.dataclass(frozen=True)
class FromBatch:
    """An array of the batch, for instance ``labels``."""

    key: str

    def start(self, predict: PredictFn, gather: GatherFn) -> Callable[[Batch], np.ndarray]:
        def read(batch: Batch) -> np.ndarray:
            if self.key not in batch:
                raise EvalError(f"the batches have no {self.key!r}, only {', '.join(batch)}")
            value = np.asarray(batch[self.key])
            return gather_strings(value, gather) if value.dtype.kind in "OUS" else gather(value)

        return read


def gather_strings(values: np.ndarray, gather: GatherFn) -> np.ndarray:
    """Gathers strings as padded UTF-8 bytes, because collectives know numbers only."""
    encoded = [str(v).encode() for v in values.ravel()]
    width = int(np.max(gather(np.array([max([1, *map(len, encoded)])]))))
    padded = np.zeros((len(encoded), width), np.uint8)
    for row, text in zip(padded, encoded, strict=True):
        row[: len(text)] = np.frombuffer(text, np.uint8)
    padded = gather(padded.reshape(*values.shape, width))
    rows = [bytes(r).rstrip(b"\0").decode() for r in padded.reshape(-1, width)]
    return np.array(rows, dtype=object).reshape(padded.shape[:-1])


class Rows:
    """The columns of all valid records, in the order of the set."""

    def __init__(self, ids: np.ndarray, columns: dict[Column, np.ndarray]):
        self.ids = ids
        self._columns = columns

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, column: Column) -> Any:
        return self._columns[column]

    def __contains__(self, column: Column) -> bool:
        return column in self._columns

    def take(self, index: Int[np.ndarray, "m"]) -> "Rows":
        """Some of the records, in the order of ``index``."""
        return Rows(self.ids[index], {k: v[index] for k, v in self._columns.items()})


class Embedded:
    """A named evaluation set and its cache of columns.

    Args:
      name: shown in results and errors, for instance ``synthetic``.
      batches: called once per pass; yields the batches of this process, the same number with the
        same shapes on all processes. Rows with ``valid`` False are dropped.
      label_names: the order of the columns of ``labels``, and what the numbers in ``box_label``
        mean.
      mask_names: the order of the channels of ``masks``; by default ``label_names``.
      split: shown in results.
      groups: host string columns that subgroups and the bootstrap may use where the batches have
        them, for instance ``view`` and ``patient_id``.
      gather: see :data:`GatherFn`; to be given where processes do not hold their share of a
        global batch in the order of their index.
    """

    def __init__(
        self,
        name: str,
        batches: Callable[[], Iterable[Batch]],
        label_names: Sequence[str],
        *,
        split: str = "test",
        mask_names: Sequence[str] | None = None,
        groups: Sequence[str] = GROUPS,
        gather: GatherFn = gather_processes,
    ):
        self.name = name
        self.split = split
        self.label_names = tuple(label_names)
        self.mask_names = self.label_names if mask_names is None else tuple(mask_names)
        self.batches = batches
        self._groups = tuple(groups)
        self._gather = gather
        self._wanted: dict[Column, None] = {FromBatch("labels"): None}
        self._seen: weakref.ref[PredictFn] | None = None
        self._rows: Rows | None = None

    def want(self, column: Column) -> Column:
        """Asks for a column in the passes to come; returns it, as the key into :class:`Rows`."""
        self._wanted[column] = None
        return column

    def alike(self) -> "Embedded":
        """The same set with a cache of its own, for a second model; nothing is asked of it yet."""
        return Embedded(
            self.name, self.batches, self.label_names, split=self.split,
            mask_names=self.mask_names, groups=self._groups, gather=self._gather,
        )  # fmt: skip

    def rows(self, predict: PredictFn) -> Rows:
        """All wanted columns under ``predict``; cached until another predict object comes.

        Raises:
          EvalError: no valid record, a column whose rows do not match the batch, or a record id
            that occurs twice.
        """
        if self._seen is None or self._seen() is not predict:
            self._rows = None
        missing = [c for c in self._wanted if self._rows is None or c not in self._rows]
        if missing:
            fresh = self._read(predict, missing)
            old = {} if self._rows is None else self._rows._columns
            self._rows = Rows(fresh.ids, old | fresh._columns)
            # The cache dies with the predict object, which holds the parameters.
            self._seen = weakref.ref(predict, self._forget)
        assert self._rows is not None
        return self._rows

    def _forget(self, ref: Any) -> None:
        if ref is self._seen:
            self._rows = None

    def _read(self, predict: PredictFn, columns: Sequence[Column]) -> Rows:
        started = {c: c.start(predict, self._gather) for c in columns}
        ids: list[np.ndarray] = []
        parts: dict[Column, list[np.ndarray]] = {c: [] for c in columns}
        for number, batch in enumerate(self.batches()):
            if not number:
                for key in self._groups:
                    if key in batch and FromBatch(key) not in started:
                        started[FromBatch(key)] = FromBatch(key).start(predict, self._gather)
                        parts[FromBatch(key)] = []
            valid = self._gather(np.asarray(batch["valid"], bool))
            ids.append(gather_strings(batch["id"], self._gather)[valid])
            for column, compute in started.items():
                values = compute(batch)
                if len(values) != len(valid):
                    raise EvalError(
                        f"set {self.name!r}, batch {number}: {column} gave {len(values)} rows for "
                        f"{len(valid)} records"
                    )
                parts[column].append(values[valid])
        if not ids or not sum(map(len, ids)):
            raise EvalError(f"set {self.name!r} (split {self.split!r}) has no valid record")
        all_ids = np.concatenate(ids)
        name, count = collections.Counter(all_ids).most_common(1)[0]
        if count > 1:
            raise EvalError(
                f"set {self.name!r}: record {name!r} occurs {count} times; an evaluation pass "
                "must visit every record once"
            )
        return Rows(all_ids, {c: np.concatenate(p) for c, p in parts.items()})

    def clusters(self, rows: Rows) -> Int[np.ndarray, "n"] | None:
        """Patient number of each record; ``None`` where the set names no patient.

        A record without a patient is a patient of its own.
        """
        column = FromBatch("patient_id")
        if column not in rows or not any(rows[column]):
            return None
        names = [p or f"record {i}" for p, i in zip(rows[column], rows.ids, strict=True)]
        return np.unique(names, return_inverse=True)[1]

    def label_columns(self, classes: Sequence[str]) -> list[int]:
        """Position of each class among the labels.

        Raises:
          EvalError: a class is not a label of this set.
        """
        for name in classes:
            if name not in self.label_names:
                raise EvalError(
                    f"class {name!r} is not a label of set {self.name!r}; "
                    f"it has {', '.join(self.label_names)}"
                )
        return [self.label_names.index(c) for c in classes]

    def mask_columns(self, classes: Sequence[str]) -> list[int]:
        """Channel of each class among the masks.

        Raises:
          EvalError: a class has no channel.
        """
        for name in classes:
            if name not in self.mask_names:
                raise EvalError(
                    f"class {name!r} has no mask in set {self.name!r}; "
                    f"there are {', '.join(self.mask_names) or 'none'}"
                )
        return [self.mask_names.index(c) for c in classes]
