"""From the iterator's numpy batches to arrays on the devices, some batches ahead of the step."""

import queue
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jax.sharding import Mesh

from medvlp_jax.core.processes.distributed import make_global_batch
from medvlp_jax.core.sharding import batch_sharding

Batch = dict[str, np.ndarray]


class Checkpointable(Protocol):
    """An iterator over batches whose position can be read, such as ``TrainIterator``."""

    def __next__(self) -> Batch: ...

    def get_state(self) -> dict[str, Any]: ...


class Fed(NamedTuple):
    """One batch on the devices.

    batch: global ``jax.Array`` values, sharded over the batch axes of the mesh.
    host: what has no place on a device (strings, such as ``id``), of this process only.
    state: the iterator's state after this batch: what a checkpoint saves once it was consumed.
    """

    batch: dict[str, jax.Array]
    host: Batch
    state: dict[str, Any]


def to_device(batch: Batch, mesh: Mesh) -> tuple[dict[str, jax.Array], Batch]:
    """Places one batch; every process calls it with its own rows.

    Args:
      batch: arrays whose first dimension is this process's share of the global batch.
      mesh: over all devices of all processes.

    Returns:
      global arrays sharded by :func:`medvlp_jax.core.sharding.batch_sharding`, and the host's part.
    """
    device = make_global_batch(batch, batch_sharding(mesh))
    return device, {name: value for name, value in batch.items() if name not in device}


def prefetch_to_device(iterator: Checkpointable, mesh: Mesh, depth: int = 2) -> "DeviceFeed":
    """Reads ``iterator`` in a thread and keeps up to ``depth`` batches on the devices.

    The feed takes over the iterator: nobody else may advance it. Close the feed (or leave its
    ``with`` block) before closing the iterator.
    """
    return DeviceFeed(iterator, mesh, depth)


class DeviceFeed(Iterator[Fed]):
    """See :func:`prefetch_to_device`. Errors of the iterator come out of ``next``."""

    def __init__(self, iterator: Checkpointable, mesh: Mesh, depth: int):
        if depth < 1:
            raise ValueError(f"depth={depth} must be at least 1")
        self._iterator, self._mesh = iterator, mesh
        self._queue: queue.Queue[Fed | BaseException] = queue.Queue(depth)
        self._stop = threading.Event()
        self._end: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="medvlp-device-feed", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                batch = next(self._iterator)
                state = self._iterator.get_state()
                self._put(Fed(*to_device(batch, self._mesh), state))
        except BaseException as e:  # handed to the consumer, StopIteration included
            self._put(e)

    def _put(self, item: Fed | BaseException) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def __next__(self) -> Fed:
        if self._end is None and self._stop.is_set():
            raise ValueError("this feed is closed")
        if self._end is None:
            item = self._queue.get()
            if isinstance(item, Fed):
                return item
            self._end = item
        raise self._end

    def close(self) -> None:
        """Ends the thread and forgets prefetched batches; waits for a batch in the making."""
        self._stop.set()
        self._thread.join()
        while not self._queue.empty():
            self._queue.get_nowait()

    def __enter__(self) -> "DeviceFeed":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
