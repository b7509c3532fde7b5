"""Batches loaded ahead by threads or worker processes, which neither get lost nor left behind."""

import os
from collections.abc import Callable
from typing import Any

import cv2
import grain
import numpy as np
from absl import flags, logging

from medvlp_jax.core.processes.cores import cores
from medvlp_jax.core.processes.family import follow_parent
from medvlp_jax.data.columns.base import Batch
from medvlp_jax.data.config import DataConfig
from medvlp_jax.data.unreadable import DataError

_DIED = "terminated unexpectedly"  # in what Grain says of a worker that is gone
_DEATHS = 3  # in a row, without a batch in between


class Batches:
    """Iterates over ``load(start) .. load(stop - 1)``, in order.

    Workers that die (killed for memory, most often) are replaced: what they had loaded is loaded
    again, so the batches are the same.

    Raises:
      DataError: workers died :data:`_DEATHS` times without a batch in between.
    """

    def __init__(self, load: Callable[[int], Batch], start: int, stop: int, config: DataConfig):
        self._load, self._next, self._stop, self._config = load, start, stop, config
        self._source: Any = None
        self._deaths = 0

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> Batch:
        while True:
            if self._source is None:
                self._source = _iterate(self._load, self._next, self._stop, self._config)
            try:
                batch = _own(next(self._source))
            except RuntimeError as error:
                if _DIED not in str(error):
                    raise
                self._replace(error)
            else:
                self._next += 1
                self._deaths = 0
                return batch

    def _replace(self, error: RuntimeError) -> None:
        self.close()
        self._deaths += 1
        if self._deaths >= _DEATHS:
            raise DataError(
                f"workers that load data died {self._deaths} times before batch {self._next} was "
                "there; if memory ran out, set data.workers lower (0 shows other causes)"
            ) from error
        logging.warning("a worker that loads data died; batch %d is loaded again", self._next)

    def close(self) -> None:
        """Ends threads and worker processes."""
        if self._source is not None:
            self._source.close()
            self._source = None


def threads_of(config: DataConfig) -> int:
    """Decoding threads of a process: as configured, or its share of the cores."""
    return config.threads or max(cores() // max(config.workers, 1), 1)


def _start_worker(worker: int, count: int) -> None:
    del worker, count
    # When the last worker is gone, Python's resource tracker unlinks the shared memory.
    follow_parent()
    cv2.setNumThreads(0)  # processes and decoding threads already use every core
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def _iterate(load: Callable[[int], Batch], start: int, stop: int, config: DataConfig) -> Any:
    """A Grain iterator over ``load(start) .. load(stop - 1)``, in order, loaded ahead."""
    cv2.setNumThreads(0)
    # Two batches in the making keep the decoding threads busy across the end of a batch.
    ahead = grain.ReadOptions(
        num_threads=min(2, config.prefetch), prefetch_buffer_size=config.prefetch
    )
    dataset = grain.MapDataset.range(start, stop).map(load).to_iter_dataset(ahead)
    if config.workers:
        if not flags.FLAGS.is_parsed():
            # Grain reads its flags when it starts workers; notebooks and tests never parse any.
            flags.FLAGS.mark_as_parsed()
        options = grain.MultiprocessingOptions(
            num_workers=config.workers, per_worker_buffer_size=config.prefetch
        )
        dataset = dataset.mp_prefetch(options, worker_init_fn=_start_worker)
    return iter(dataset)


def _own(batch: Batch) -> Batch:
    """The batch in memory of this process.

    Workers hand arrays over in shared memory that lives as long as the array; JAX on CPU may keep
    it for as long as the batch is used, and file descriptors run out.
    """
    return {k: v if type(v) is np.ndarray else np.array(v) for k, v in batch.items()}
