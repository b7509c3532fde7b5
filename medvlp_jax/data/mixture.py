"""Which source, or which modality of it, stands in which place of the training data.

All of it is arithmetic on the number of a place, so that any place can be asked for at once.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int64

from medvlp_jax.core.config import ConfigError, unknown_word
from medvlp_jax.core.fields import Extent, Positive
from medvlp_jax.data.texts.text_index import UNKNOWN, TextIndex

_LONGEST_PERIOD = 2**16


@dataclasses.dataclass(frozen=True)
class MixtureConfig:
    """How much of the batches each source, or each modality, gets.

    Attributes:
      by: what is weighed: ``source``, or ``modality``, that of the record's images, over all
        sources together; within a modality every record is seen equally often.
      temperature: T of shares in proportion to n^(1/T), n the number of records: 1 shows every
        record equally often, larger ones bring the shares nearer to each other. Sources with a
        ``weight`` of their own, or ``weights``, need none.
      weights: modality -> weight, for ``by="modality"``; all modalities of the data, or none.
      batches: ``mixed``, or ``one_modality``: all records of a batch are of one modality, and the
        modalities take turns in proportion to their shares.
      period: the turns repeat after so many records (batches, where these are of one modality) at
        most, so shares are multiples of 1/period: raise it for sources smaller than 1/1000 of the
        whole.
    """

    by: Literal["source", "modality"] = "source"
    temperature: Positive = 1.0
    weights: dict[str, Positive] = dataclasses.field(default_factory=dict)
    batches: Literal["mixed", "one_modality"] = "mixed"
    period: Extent = 4096

    def __post_init__(self) -> None:
        if self.weights and self.by != "modality":
            raise ValueError(
                "mixture.weights are of modalities and go with mixture.by='modality'; a source has "
                "a weight of its own, sources[i].weight"
            )
        if self.weights and self.temperature != 1:
            raise ValueError("give mixture.weights or mixture.temperature, not both")
        if self.period > _LONGEST_PERIOD:
            raise ValueError(f"mixture.period={self.period} must be at most {_LONGEST_PERIOD}")

    @property
    def knows_modalities(self) -> bool:
        """Whether the order of the data depends on the modality of the records."""
        return self.by == "modality" or self.batches == "one_modality"


class Cell(NamedTuple):
    """The usable records of one modality in one source."""

    source: int
    modality: str
    records: int


class Stream(NamedTuple):
    """Records that come in one shuffled order: a source, or one modality of it.

    modality: "" for a whole source. rows: positions in the source's index; None: all of them.
    """

    source: int
    modality: str
    records: int
    rows: Int64[np.ndarray, " n"] | None = None


def cells_of(indices: Sequence[TextIndex]) -> list[Cell]:
    """The modalities of each source, source by source."""
    out = []
    for source, index in enumerate(indices):
        counts = np.bincount(index.modality_of(slice(None)), minlength=len(index.modalities))
        out += [
            Cell(source, name, int(n)) for name, n in zip(index.modalities, counts, strict=True)
        ]
    return out


class Mixture:
    """The streams of a run, and whose turn it is at each place.

    Raises:
      ConfigError: ``config.weights`` does not name the modalities that there are.
    """

    def __init__(
        self,
        config: MixtureConfig,
        indices: Sequence[TextIndex],
        weights: Sequence[float | None],
        batch_size: int,
    ):
        self._config, self._batch_size = config, batch_size
        self.streams = _split(indices) if config.knows_modalities else _whole(indices)
        relative = _relative(config, self.streams, weights)
        names = sorted({s.modality for s in self.streams})
        grouped = [range(len(self.streams))]
        if config.batches == "one_modality":
            grouped = [
                [i for i, s in enumerate(self.streams) if s.modality == name] for name in names
            ]
        self._members = [np.asarray(g, np.int64) for g in grouped]
        self._within = [Turns(relative[g], config.period) for g in self._members]
        self._among = Turns([relative[g].sum() for g in self._members], config.period)

    @property
    def shares(self) -> tuple[int, ...]:
        """Turns of each stream in one period, of its modality where batches are of one."""
        out = np.zeros(len(self.streams), np.int64)
        for members, turns in zip(self._members, self._within, strict=True):
            out[members] = turns.shares
        return tuple(int(n) for n in out)

    def turn(
        self, place: Int64[np.ndarray, " b"]
    ) -> tuple[Int64[np.ndarray, " b"], Int64[np.ndarray, " b"], Int64[np.ndarray, " b"]]:
        """Stream of each place, which visit of that stream it is, and the kind of its batch.

        Places of one kind may stand in one batch: there is one kind of mixed batches, and one a
        modality otherwise. Every batch of places, in order, is of one kind.
        """
        if len(self._members) == 1:
            stream, visit = self._within[0].at(place)
            return stream, visit, np.zeros_like(place)
        batch, row = np.divmod(place, self._batch_size)
        kind, turn = self._among.at(batch)
        inside = turn * self._batch_size + row
        stream, visit = np.empty_like(place), np.empty_like(place)
        for k, (members, turns) in enumerate(zip(self._members, self._within, strict=True)):
            mine = np.flatnonzero(kind == k)
            which, visit[mine] = turns.at(inside[mine])
            stream[mine] = members[which]
        return stream, visit, kind

    def describe(self) -> dict[str, object]:
        """What the order depends on beyond the shares of whole sources, as JSON values; empty for
        whole sources in mixed batches."""
        if not self._config.knows_modalities:
            return {}
        streams = [
            [s.source, s.modality, s.records, share]
            for s, share in zip(self.streams, self.shares, strict=True)
        ]
        return {
            "mixture": {
                "batches": self._config.batches,
                "streams": streams,
                "modalities": list(self._among.shares),
            }
        }


def _whole(indices: Sequence[TextIndex]) -> list[Stream]:
    return [Stream(i, "", len(index.records)) for i, index in enumerate(indices)]


def _split(indices: Sequence[TextIndex]) -> list[Stream]:
    streams = []
    for cell in cells_of(indices):
        index = indices[cell.source]
        code = index.modalities.index(cell.modality)
        rows = np.flatnonzero(index.modality_of(slice(None)) == code)
        streams.append(Stream(cell.source, cell.modality, cell.records, rows))
    return streams


def _relative(
    config: MixtureConfig, streams: Sequence[Stream], weights: Sequence[float | None]
) -> Float[np.ndarray, " s"]:
    """The weight of each stream: that of what it is part of, times its part of the records."""
    of = [s.modality if config.by == "modality" else s.source for s in streams]
    records: dict[int | str, int] = {}
    for key, stream in zip(of, streams, strict=True):
        records[key] = records.get(key, 0) + stream.records
    given: dict[int | str, float] = {}
    if config.weights:
        _check_names(config.weights, [str(name) for name in records])
        given.update(config.weights)
    elif config.by == "source":
        given = {i: w for i, w in enumerate(weights) if w is not None}
    whole = {
        key: given[key] if given else float(n) ** (1 / config.temperature)
        for key, n in records.items()
    }
    return np.array([whole[k] * (s.records / records[k]) for k, s in zip(of, streams, strict=True)])


def _check_names(weights: Mapping[str, float], there: Sequence[str]) -> None:
    key = "config.data.mixture.weights"
    for name in weights:
        if name not in there:
            raise ConfigError(unknown_word(key, name, sorted(there), "modality of the data"))
    for name in there:
        if name not in weights:
            why = "; its images name none" if name == UNKNOWN else ""
            raise ConfigError(f"{key} lacks the modality {name!r} of the training data{why}")


class Turns:
    """An order in which each of several comes as often as its weight says, evenly spread."""

    def __init__(self, weights: Sequence[float] | Float[np.ndarray, " k"], period: int):
        self.shares = proportions(weights, period)
        self._who, self._turn = interleave(self.shares)

    def at(
        self, place: Int64[np.ndarray, " b"]
    ) -> tuple[Int64[np.ndarray, " b"], Int64[np.ndarray, " b"]]:
        """Who stands in each place, and how often it came before."""
        period, slot = np.divmod(place, len(self._who))
        who = self._who[slot]
        return who, period * np.asarray(self.shares)[who] + self._turn[slot]


def proportions(
    weights: Sequence[float] | Float[np.ndarray, " k"], period: int = 4096
) -> tuple[int, ...]:
    """Small integers in the ratio of ``weights``, exact where a sum up to ``period`` can be.

    Otherwise they are off by less than 1/period of the whole, and no weight becomes zero.
    """
    share = np.asarray(weights, np.float64) / np.sum(weights)
    periods = np.arange(1, period + 1)
    scaled = share[None, :] * periods[:, None]
    whole = np.rint(scaled)
    exact = (np.abs(scaled - whole).max(axis=1) < 1e-6) & (whole.min(axis=1) > 0)
    if exact.any():
        return tuple(int(w) for w in whole[np.argmax(exact)])
    return tuple(max(int(w), 1) for w in whole[-1])


def interleave(shares: Sequence[int]) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """One period in which source s comes ``shares[s]`` times, evenly spread.

    Returns:
      source of each slot, and how many slots of that source came before in the period.
    """
    source = np.repeat(np.arange(len(shares)), shares)
    turn = np.concatenate([np.arange(n) for n in shares])
    order = np.lexsort((source, (turn + 0.5) / np.asarray(shares)[source]))
    return source[order], turn[order]
