"""What Grain maps over the steps: step number to batch, and what became of unreadable records."""

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from medvlp_jax.data.batch import BatchBuilder
from medvlp_jax.data.columns.base import Batch
from medvlp_jax.data.plan import Plan
from medvlp_jax.data.store.record import COUNTERFACTUAL, Source
from medvlp_jax.data.texts.choice import candidates
from medvlp_jax.data.texts.text_index import eligible_images
from medvlp_jax.data.unreadable import (
    BAD_RECORD,
    DataError,
    UnreadableRecords,
    first_line,
    shard_of,
)

#: Where a loader leaves (id, shard, reason, source) of each record it could not read; taken out
#: again before the batch is handed to anyone.
UNREADABLE = "_unreadable"
#: Strings of an evaluation batch.
HOST = ("id", "text_str", "view", "modality", "patient_id", COUNTERFACTUAL)
_TRIES = 64


class RowThreads:
    """A thread pool that is made where it is first used, so that its holder can be pickled."""

    def __init__(self, threads: int):
        self.threads = threads
        self.__setstate__({"threads": threads})

    def __getstate__(self) -> dict[str, Any]:
        return {"threads": self.threads}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.threads = state["threads"]
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def map(self, function: Callable[[int], Any], rows: int) -> list[Any]:
        """``[function(0), ..., function(rows - 1)]``."""
        if self.threads <= 1:
            return [function(i) for i in range(rows)]
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.threads, "medvlp-decode")
        return list(self._pool.map(function, range(rows)))

    def close(self) -> None:
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)


class TrainLoader:
    """Step -> this process's rows of that global batch; what Grain maps over the steps."""

    def __init__(
        self,
        builder: BatchBuilder,
        plan: Plan,
        sources: Sequence[Source],
        rows: slice,
        threads: RowThreads,
    ):
        self._builder, self._plan, self._sources = builder, plan, tuple(sources)
        self._rows, self._threads = rows, threads

    def __call__(self, step: int) -> Batch:
        visits, length = self._plan.step(step)
        mine = visits.rows(self._rows)
        batch = self._builder.empty(len(mine.record), length)
        unreadable: list[tuple[str, str, str, str]] = []

        def load(row: int) -> str:
            source = int(mine.source[row])
            # An unreadable record is replaced by the next one that the plan has for its source (and
            # modality, where the mixture knows them): the same one in every run, whoever loads the
            # row.
            for attempt in range(_TRIES):
                one = mine.rows(slice(row, row + 1))
                if attempt:
                    one = self._plan.visits(one.stream, one.visit + attempt)
                index, epoch, choice = (int(x[0]) for x in (one.record, one.epoch, one.choice))
                name = f"record {index}"
                try:
                    record = self._sources[source][index]
                    name = record.id
                    rng = np.random.default_rng([self._plan.seed, epoch, source, index])
                    text = ""
                    if choice >= 0:
                        groups = candidates(record, self._builder.config.text)
                        text = [t for group in groups for t in group][choice]
                    self._builder.fill(batch, row, record, text, rng)
                except BAD_RECORD as e:
                    place = shard_of(self._sources[source], index)
                    unreadable.append((name, place, first_line(e), str(source)))
                    continue
                return record.id
            raise DataError(
                f"{_TRIES} records in a row cannot be read, last {unreadable[-1]}; "
                "the data set is damaged"
            )

        ids = self._threads.map(load, len(mine.record))
        self._builder.finish(batch)
        batch["id"] = np.array(ids)
        batch[UNREADABLE] = np.array(sorted(unreadable), dtype=np.str_).reshape(-1, 4)
        return batch

    def close(self) -> None:
        self._threads.close()


class EvalLoader:
    """Batch number -> this process's rows of an evaluation batch, in the order of the source.

    The text is the first candidate of the first group that has one. Rows past the end of the
    source, of records without an image of the wanted views, and of unreadable ones stay padding.
    """

    def __init__(
        self,
        builder: BatchBuilder,
        source: Source,
        batch_size: int,
        rows: slice,
        threads: RowThreads,
    ):
        self._builder, self._source, self._batch_size = builder, source, batch_size
        self._rows, self._threads = rows, threads

    def __call__(self, number: int) -> Batch:
        config = self._builder.config
        first = number * self._batch_size
        places = range(first, first + self._batch_size)[self._rows]
        batch = self._builder.empty(len(places), config.text.max_len)
        host = {name: [""] * len(places) for name in HOST}
        unreadable: list[tuple[str, str, str, str]] = []

        def load(row: int) -> None:
            index = places[row]
            if index >= len(self._source):
                return
            host["id"][row] = f"record {index}"
            try:
                record = self._source[index]
                host["id"][row], host["patient_id"][row] = record.id, record.patient_id
                images = eligible_images(record, config.image)
                if images:
                    host["view"][row], host["modality"][row] = images[0].view, images[0].modality
                elif self._builder.shows_picture:
                    return
                if COUNTERFACTUAL in record.provenance:
                    host[COUNTERFACTUAL][row] = json.dumps(record.provenance[COUNTERFACTUAL])
                text = next((t for group in candidates(record, config.text) for t in group), "")
                host["text_str"][row] = text
                self._builder.fill(batch, row, record, text, None)
            except BAD_RECORD as e:
                place = shard_of(self._source, index)
                unreadable.append((host["id"][row], place, first_line(e), "0"))

        self._threads.map(load, len(places))
        self._builder.finish(batch)
        for name, column in host.items():
            batch[name] = np.array(column)
        batch[UNREADABLE] = np.array(sorted(unreadable), dtype=np.str_).reshape(-1, 4)
        return batch

    def close(self) -> None:
        self._threads.close()


def take_notes(batch: Batch, unreadable: UnreadableRecords) -> list[int]:
    """Moves the loader's notes on unreadable records from ``batch`` to ``unreadable``.

    Returns:
      the source of each of them.

    Raises:
      DataError: more than the allowed fraction of all visits failed.
    """
    unreadable.visits += int((batch["id"] != "").sum())
    notes = batch.pop(UNREADABLE).tolist()
    for name, place, why, _ in notes:
        unreadable.add(name, place, why)
    unreadable.check()
    return [int(source) for *_, source in notes]
