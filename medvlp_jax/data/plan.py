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

from medvlp_jax.data.texts.choice import TextConfig
from medvlp_jax.data.texts.text_index import TextIndex

# What a hash is for; keeps the uses of one seed apart.
_SHUFFLE, _GROUP, _TEXT, _TIE, _BATCH, _ROW = range(6)
_PERIOD = 4096  # weights are multiples of 1/4096 at the coarsest
_KEPT_PERMUTATIONS = 4
_KEPT_WINDOWS = 3


class Visits(NamedTuple):
    """Several visits of records, one per row.

    source: which source. visit: how many records of it came before, over all epochs. record: index
    into the source. epoch: of the source. choice: index into the record's candidate texts, -1 for
    none. length: its tokens.
    """

    source: Int64[np.ndarray, " b"]
    visit: Int64[np.ndarray, " b"]
    record: Int64[np.ndarray, " b"]
    epoch: Int64[np.ndarray, " b"]
    choice: Int64[np.ndarray, " b"]
    length: Int64[np.ndarray, " b"]

    def rows(self, which: Any) -> "Visits":
        return Visits(*(field[which] for field in self))


class Plan:
    """The order of the training data.

    Sources are interleaved with a fixed period in the proportion of their weights. Within a source
    every record comes once per epoch, in an order that is shuffled over the whole source anew each
    epoch. Then ``text.window`` global batches at a time are rearranged: rows whose texts fall into
    the same bucket of lengths come together, so that a batch is as short as its texts allow;
    batches of a window, and rows of a batch, stand in random order.
    """

    def __init__(
        self,
        indices: Sequence[TextIndex],
        weights: Sequence[float | None],
        text: TextConfig,
        batch_size: int,
        seed: int,
    ):
        """``weights``: see ``SourceConfig``; one per index."""
        self.batch_size = batch_size
        self.seed = seed
        self._indices = tuple(indices)
        self._text = text
        self._window = max(text.window, 1)
        self._buckets = np.asarray(text.buckets if text.window else text.buckets[-1:], np.int64)
        relative = [
            float(len(index.records) if weight is None else weight)
            for index, weight in zip(indices, weights, strict=True)
        ]
        self._shares = proportions(relative)
        self._slot_source, self._slot_turn = interleave(self._shares)
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
            "sources": [
                {"content": index.content, "records": len(index.records), "share": share}
                for index, share in zip(self._indices, self._shares, strict=True)
            ],
        }

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
        visits = self.visits(*self._turn(np.arange(first, first + n * size)))
        longest = self._buckets[-1]
        bucket = np.searchsorted(self._buckets, np.minimum(visits.length, longest))
        place = np.arange(n * size)
        if n > 1:
            by_bucket = np.lexsort((mix(self.seed, _TIE, window, place), bucket))
            batches = by_bucket.reshape(n, size)
            batches = batches[np.argsort(mix(self.seed, _BATCH, window, np.arange(n)))]
        else:
            batches = place.reshape(n, size)
        rows = np.argsort(mix(self.seed, _ROW, window, place).reshape(n, size), axis=1)
        batches = np.take_along_axis(batches, rows, axis=1)
        return visits.rows(batches.ravel()), self._buckets[bucket[batches].max(axis=1)]

    def _turn(self, place: Int64[np.ndarray, " b"]) -> tuple[np.ndarray, np.ndarray]:
        """Source of each place in the stream, and the visit of that source it is."""
        period, slot = np.divmod(place, len(self._slot_source))
        source = self._slot_source[slot]
        return source, period * np.asarray(self._shares)[source] + self._slot_turn[slot]

    def visits(self, source: Int64[np.ndarray, " b"], visit: Int64[np.ndarray, " b"]) -> Visits:
        """Record and text of visit number ``visit`` of ``source``, row by row."""
        shape = source.shape
        record, epoch, choice, length = (np.zeros(shape, np.int64) for _ in range(4))
        for s, index in enumerate(self._indices):
            mine = np.flatnonzero(source == s)
            if not mine.size:
                continue
            epochs, position = np.divmod(visit[mine], len(index.records))
            rows = np.empty(mine.size, np.int64)
            for e in np.unique(epochs):
                of_epoch = epochs == e
                rows[of_epoch] = self._permutation(s, int(e))[position[of_epoch]]
            group_draw, text_draw = (
                unit(mix(self.seed, use, s, epochs, rows)) for use in (_GROUP, _TEXT)
            )
            choice[mine], length[mine] = index.choose(
                rows, self._text.weights, group_draw, text_draw
            )
            record[mine], epoch[mine] = index.records[rows], epochs
        return Visits(source, visit, record, epoch, choice, length)

    def _permutation(self, source: int, epoch: int) -> Int[np.ndarray, " n"]:
        key = (source, epoch)
        with self._lock:
            if key not in self._permutations:
                n = len(self._indices[source].records)
                keys = mix(self.seed, _SHUFFLE, source, epoch, np.arange(n))
                self._permutations[key] = np.argsort(keys, kind="stable")
            self._permutations.move_to_end(key)
            while len(self._permutations) > _KEPT_PERMUTATIONS * len(self._indices):
                self._permutations.popitem(last=False)
            return self._permutations[key]


def proportions(weights: Sequence[float]) -> tuple[int, ...]:
    """Small integers in the ratio of ``weights``, exact where a sum up to 4096 can be.

    Otherwise they are off by less than 1/4096 of the whole, and no weight becomes zero.
    """
    share = np.asarray(weights, np.float64) / np.sum(weights)
    periods = np.arange(1, _PERIOD + 1)
    scaled = share[None, :] * periods[:, None]
    whole = np.rint(scaled)
    exact = (np.abs(scaled - whole).max(axis=1) < 1e-6) & (whole.min(axis=1) > 0)
    if exact.any():
        return tuple(int(w) for w in whole[np.argmax(exact)])
    return tuple(max(int(w), 1) for w in whole[-1])


def interleave(shares: Sequence[int]) -> tuple[Int64[np.ndarray, " p"], Int64[np.ndarray, " p"]]:
    """One period in which source s comes ``shares[s]`` times, evenly spread.

    Returns:
      source of each slot, and how many slots of that source came before in the period.
    """
    source = np.repeat(np.arange(len(shares)), shares)
    turn = np.concatenate([np.arange(n) for n in shares])
    order = np.lexsort((source, (turn + 0.5) / np.asarray(shares)[source]))
    return source[order], turn[order]


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
