"""Which record, with which text, stands in which row of which batch: a pure function of the step.

Every process and worker computes the same plan and loads its part of it, so the order of the data
depends on nothing but the seed, the sources and the size of the global batch. All randomness is a
hash of counters (SplitMix64, Steele et al. 2014, doi:10.1145/2660193.2660195): any step can be
asked for at once, and no library's generator can change the order behind a checkpoint's back.
"""

import collections
import dataclasses
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int64, UInt64

from medvlp_jax.data.mixture import Mixture, MixtureConfig, cells_of
from medvlp_jax.data.texts.choice import TextConfig
from medvlp_jax.data.texts.text_index import TextIndex

# What a hash is for; keeps the uses of one seed apart.
_SHUFFLE, _GROUP, _TEXT, _TIE, _BATCH, _ROW = range(6)
_KEPT_PERMUTATIONS = 4
_KEPT_WINDOWS = 3


class Visits(NamedTuple):
    """Several visits of records, one per row.

    source: which source. visit: how many records of it came before, over all epochs. record: index
    into the source. epoch: of the source. choice: index into the record's candidate texts, -1 for
    none. length: its tokens. stream: which of :attr:`Plan.mixture`. cell: which of
    :attr:`Plan.cells`. group: which of ``TextConfig.groups`` the text is of, -1 for none.
    """

    source: Int64[np.ndarray, " b"]
    visit: Int64[np.ndarray, " b"]
    record: Int64[np.ndarray, " b"]
    epoch: Int64[np.ndarray, " b"]
    choice: Int64[np.ndarray, " b"]
    length: Int64[np.ndarray, " b"]
    stream: Int64[np.ndarray, " b"]
    cell: Int64[np.ndarray, " b"]
    group: Int64[np.ndarray, " b"]

    def rows(self, which: Any) -> "Visits":
        return Visits(*(field[which] for field in self))


class Plan:
    """The order of the training data.

    Sources are interleaved with a fixed period in the proportion of their weights
    (:mod:`medvlp_jax.data.mixture`). Within a source every record comes once per epoch, in an order
    that is shuffled over the whole source anew each epoch; where the mixture knows modalities, each
    modality of a source is shuffled by itself. Then ``text.window`` global batches at a time are
    rearranged: rows whose texts fall into the same bucket of lengths come together, so that a batch
    is as short as its texts allow; batches of a window, and rows of a batch, stand in random order.
    Batches of one modality stay so, and a window has as many of each as it had before.

    Attributes:
      mixture: whose turn it is.
      cells: the modalities of each source.
      groups: the kinds of text that a visit may read (``TextConfig.groups``).
    """

    def __init__(
        self,
        indices: Sequence[TextIndex],
        weights: Sequence[float | None],
        text: TextConfig,
        batch_size: int,
        seed: int,
        mixture: MixtureConfig | None = None,
    ):
        """``weights``: see ``SourceConfig``; one per index.

        Raises:
          ConfigError: ``mixture`` does not fit the modalities that there are.
        """
        self.batch_size = batch_size
        self.seed = seed
        self._indices = tuple(indices)
        self._text = text
        self._window = max(text.window, 1)
        self._buckets = np.asarray(text.buckets if text.window else text.buckets[-1:], np.int64)
        self.mixture = Mixture(mixture or MixtureConfig(), indices, weights, batch_size)
        self.cells = cells_of(indices)
        self.groups = text.groups
        self._first_cell = np.cumsum([0, *(len(index.modalities) for index in indices)])[:-1]
        self._permutations: collections.OrderedDict[tuple[int, int], np.ndarray]
        self._windows: collections.OrderedDict[int, tuple[Visits, np.ndarray]]
        self.__setstate__({})

    def __getstate__(self) -> dict[str, Any]:
        hidden = ("_permutations", "_windows", "_lock")
        return {k: v for k, v in self.__dict__.items() if k not in hidden}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._permutations = collections.OrderedDict()
        self._windows = collections.OrderedDict()
        self._lock = threading.RLock()

    def describe(self) -> dict[str, Any]:
        """What the order depends on, as JSON values; a checkpoint keeps it beside the step."""
        text = dataclasses.asdict(self._text)
        for key in ("tokenizer", "vocab"):  # a folder may move; its hash is part of the contents
            del text[key]
        return {
            "seed": self.seed,
            "batch_size": self.batch_size,
            "text": {k: list(v) if isinstance(v, tuple) else v for k, v in text.items()},
            "sources": self._described_sources(),
            **self.mixture.describe(),
        }

    def _described_sources(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [
            {"content": index.content, "records": len(index.records)} for index in self._indices
        ]
        if not self.mixture.describe():
            for one, share in zip(found, self.mixture.shares, strict=True):
                one["share"] = share
        return found

    def step(self, step: int) -> tuple[Visits, int]:
        """The rows of the global batch ``step``, and its text length: one of the buckets."""
        window, position = divmod(step, self._window)
        with self._lock:
            if window not in self._windows:
                self._windows[window] = self._arrange(window)
            self._windows.move_to_end(window)
            while len(self._windows) > _KEPT_WINDOWS:
                self._windows.popitem(last=False)
            visits, lengths = self._windows[window]
        at = position * self.batch_size
        return visits.rows(slice(at, at + self.batch_size)), int(lengths[position])

    def _arrange(self, window: int) -> tuple[Visits, Int64[np.ndarray, " w"]]:
        n, size = self._window, self.batch_size
        first = window * n * size
        *turn, kind = self.mixture.turn(np.arange(first, first + n * size))
        visits = self.visits(*turn)
        longest = self._buckets[-1]
        bucket = np.searchsorted(self._buckets, np.minimum(visits.length, longest))
        place = np.arange(n * size)
        if n > 1:
            # Batches of the places are of one kind each, and so are those of this order.
            by_bucket = np.lexsort((mix(self.seed, _TIE, window, place), bucket, kind))
            batches = by_bucket.reshape(n, size)
            batches = batches[np.argsort(mix(self.seed, _BATCH, window, np.arange(n)))]
        else:
            batches = place.reshape(n, size)
        rows = np.argsort(mix(self.seed, _ROW, window, place).reshape(n, size), axis=1)
        batches = np.take_along_axis(batches, rows, axis=1)
        return visits.rows(batches.ravel()), self._buckets[bucket[batches].max(axis=1)]

    def visits(self, stream: Int64[np.ndarray, " b"], visit: Int64[np.ndarray, " b"]) -> Visits:
        """Record and text of visit number ``visit`` of ``stream``, row by row."""
        shape = stream.shape
        source, record, epoch, choice, length, cell, group = (
            np.zeros(shape, np.int64) for _ in range(7)
        )
        for t, of in enumerate(self.mixture.streams):
            mine = np.flatnonzero(stream == t)
            if not mine.size:
                continue
            index = self._indices[of.source]
            epochs, position = np.divmod(visit[mine], of.records)
            rows = np.empty(mine.size, np.int64)
            for e in np.unique(epochs):
                of_epoch = epochs == e
                rows[of_epoch] = self._permutation(t, int(e))[position[of_epoch]]
            if of.rows is not None:
                rows = of.rows[rows]
            group_draw, text_draw = (
                unit(mix(self.seed, use, t, epochs, rows)) for use in (_GROUP, _TEXT)
            )
            choice[mine], length[mine] = index.choose(
                rows, self._text.weights, group_draw, text_draw
            )
            group[mine] = index.group_of(rows, choice[mine])
            record[mine], epoch[mine] = index.records[rows], epochs
            source[mine] = of.source
            cell[mine] = self._first_cell[of.source] + index.modality_of(rows)
        return Visits(source, visit, record, epoch, choice, length, stream, cell, group)

    def _permutation(self, stream: int, epoch: int) -> Int[np.ndarray, " n"]:
        key = (stream, epoch)
        with self._lock:
            if key not in self._permutations:
                n = self.mixture.streams[stream].records
                keys = mix(self.seed, _SHUFFLE, stream, epoch, np.arange(n))
                self._permutations[key] = np.argsort(keys, kind="stable")
            self._permutations.move_to_end(key)
            while len(self._permutations) > _KEPT_PERMUTATIONS * len(self.mixture.streams):
                self._permutations.popitem(last=False)
            return self._permutations[key]


def mix(*parts: int | Int[np.ndarray, "*b"]) -> UInt64[np.ndarray, "*b"]:
    """A 64-bit hash of the parts, arrays broadcast; the same on every machine, for ever."""
    h = np.zeros(1, np.uint64)
    for part in parts:
        z = (h ^ np.atleast_1d(np.asarray(part)).astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        h = z ^ (z >> np.uint64(31))
    return h


def unit(h: UInt64[np.ndarray, " b"]) -> Float[np.ndarray, " b"]:
    """Hashes as numbers in [0, 1)."""
    return (h >> np.uint64(11)) * 2.0**-53
