"""Records that cannot be read: left out, counted, named once, and too many of them stop a run."""

from collections.abc import Iterator

from absl import logging

from medvlp_jax.core.errors import UserError
from medvlp_jax.data.images.base import ImageError
from medvlp_jax.data.store.manifest import ShardError
from medvlp_jax.data.store.record import Record, RecordError, Source

#: What reading one record may raise that is a matter of this record alone.
BAD_RECORD = (ImageError, ShardError, RecordError)
#: Fraction of the visited records that may be unreadable unless the config says otherwise.
MAX_BAD_FRACTION = 0.01
#: Records that may be unreadable before the fraction counts; small numbers say little.
_FORGIVEN = 10


class DataError(UserError, RuntimeError):
    """The data or the way they are asked for is wrong; one line with the mend."""


class UnreadableRecords:
    """Counts visits of records and how many failed, and names each record once."""

    def __init__(self, max_fraction: float):
        self._max_fraction = max_fraction
        self.visits = 0
        self.failures = 0
        self.seen: dict[str, str] = {}  # id -> shard and reason

    def add(self, name: str, place: str, why: str) -> None:
        """A record that failed; ``place``: file name of its shard, "" for none."""
        self.failures += 1
        if name not in self.seen:
            self.seen[name] = f"{place}: {why}" if place else why
            logging.warning("record %s cannot be read (%s)", name, self.seen[name])

    def check(self) -> None:
        """Raises :class:`DataError` if more than the allowed fraction of all visits failed."""
        forgiven = _FORGIVEN if self._max_fraction else 0
        if self.failures > max(self._max_fraction * self.visits, forgiven):
            name, why = next(iter(self.seen.items()))
            raise DataError(
                f"{self.failures} of {self.visits} visited records cannot be read, more than "
                f"data.max_bad_fraction={self._max_fraction:g} allows; the first was {name} ({why})"
            )


class Readable:
    """Iterates over (index, record) of a source; what cannot be read is left out, as in training.

    Raises:
      DataError: at the end, if more than ``max_fraction`` of the records were left out.

    Attributes:
      left_out: indices of the records that could not be read, so far.
    """

    def __init__(self, source: Source, max_fraction: float):
        self._source = source
        self._counts = UnreadableRecords(max_fraction)
        self.left_out: list[int] = []

    def __iter__(self) -> Iterator[tuple[int, Record]]:
        for index in range(len(self._source)):
            self._counts.visits += 1
            try:
                record = self._source[index]
            except BAD_RECORD as error:
                self.left_out.append(index)
                self._counts.add(
                    f"record {index}", shard_of(self._source, index), first_line(error)
                )
            else:
                yield index, record
        self._counts.check()


def still_unreadable(source: Source, indices: list[int]) -> bool:
    """Whether none of these records can be read: an index that lacks them still holds."""
    for index in indices:
        try:
            source[index]
        except BAD_RECORD:
            continue
        return False
    return True


def shard_of(source: Source, index: int) -> str:
    """File name of the shard that holds a record; "" for a source without shards."""
    for shard in getattr(source, "shards", ()):
        if index < shard.records:
            return shard.file
        index -= shard.records
    return ""


def first_line(error: Exception) -> str:
    """The message of an error on one line, or its kind."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
