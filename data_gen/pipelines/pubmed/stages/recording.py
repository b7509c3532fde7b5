"""The last stage: records of the matched figures, or of the figures as they were published."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import medvlp_jax
from data_gen.curation.rejects import RejectRow
from data_gen.jobs.job import JobError, Shard
from data_gen.pipelines.pubmed.records.build import Built, build, build_raw, rows_of
from data_gen.pipelines.pubmed.records.config import RecordsConfig
from data_gen.pipelines.pubmed.stages.lines import Place, Row
from data_gen.pipelines.pubmed.stages.matched import MEND, NEEDS, Whole, figures_of
from data_gen.sources.importing.base import patient_split
from medvlp_jax.core.config import to_plain
from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files import jsonl
from medvlp_jax.core.files.replacing import replace
from medvlp_jax.data.store.manifest import ShardName, fingerprint
from medvlp_jax.data.store.record import Record
from medvlp_jax.data.store.shards import file_sha256

NAME = "records"
Arm = Literal["processed", "raw"]
_MEND = "delete it and its shard, and the same command makes them again"


@dataclasses.dataclass(frozen=True)
class Piece:
    """Articles that one shard of records is made of.

    Attributes:
      articles: (shard of the stages, place among its fetched articles) of each.
      rows: panels, parts and whole figures, each of which becomes a record or a reject.
    """

    articles: tuple[tuple[int, int], ...]
    rows: int


def pieces_of(
    place: Place,
    config: RecordsConfig,
    per_shard: int,
    arm: Arm = "processed",
    corrected: str = "",
) -> dict[str, list[Piece]]:
    """Split -> its pieces, each of at least ``per_shard`` rows but the last; empty ones left out.

    Sub-figures and whole figures of an article have one split, and one piece holds all of it.
    """
    open_: dict[str, list[tuple[int, int]]] = {}
    rows: dict[str, int] = {}
    out: dict[str, list[Piece]] = {split: [] for split in config.split_fractions}
    for shard in place.shards(NAME):
        index = shard.name.index
        for i, row in enumerate(place.rows(shard, NEEDS)):
            pairs = [one.matched.pairs for one in figures_of(row, corrected)]
            count = len(pairs) if arm == "raw" else sum(map(rows_of, pairs))
            if not count:
                continue
            split = patient_split(row.item.id, dict(config.split_fractions), config.split_seed)
            open_.setdefault(split, []).append((index, i))
            rows[split] = rows.get(split, 0) + count
            if rows[split] >= per_shard:
                out[split].append(Piece(tuple(open_.pop(split)), rows.pop(split)))
    for split in list(open_):
        out[split].append(Piece(tuple(open_.pop(split)), rows.pop(split)))
    return {split: pieces for split, pieces in out.items() if pieces}


@dataclasses.dataclass(frozen=True)
class RecordsJob:
    """Implements :class:`data_gen.jobs.job.Job`.

    Beside each shard, in the folder of the stages, lies what became of its articles.

    Attributes:
      name: of the data set.
      config: of the records.
      place: of the stages.
      pieces: see :func:`pieces_of`.
      chain: fingerprints of the stages before.
      corrected: file of figures that a person set right, or "".
      arm: sub-figures with their part of the caption, or whole figures with all of it.
    """

    name: str
    config: RecordsConfig
    place: Place
    pieces: Mapping[str, Sequence[Piece]]
    chain: tuple[str, ...]
    corrected: str = ""
    arm: Arm = "processed"

    @property
    def description(self) -> str:
        what = {
            "processed": "Sub-figures of PubMed Central with their part of the caption",
            "raw": "Figures of PubMed Central with their captions",
        }[self.arm]
        return f"{what}, made by medvlp_jax {medvlp_jax.__version__}."

    @property
    def fingerprint(self) -> str:
        content = [(split, [to_plain(p) for p in some]) for split, some in self.pieces.items()]
        settings = [to_plain(self.config)]
        if self.corrected:
            with one_net(self.corrected, MEND):
                settings.append(file_sha256(self.corrected))
        return fingerprint(medvlp_jax.__version__, self.arm, self.chain, settings, content)

    def shards(self) -> list[Shard]:
        out = []
        for split, pieces in self.pieces.items():
            start = 0
            for i, piece in enumerate(pieces):
                name = ShardName(self.name, split, i, len(pieces))
                out.append(Shard(name, start, start + piece.rows))
                start += piece.rows
        return out

    def records(self, shard: Shard) -> Iterator[Record]:
        """The records of a piece's articles, in order."""
        piece = self.pieces[shard.name.split][shard.name.index]
        made: list[Record] = []
        lines: list[dict[str, Any]] = []
        for row in self._rows(piece):
            built = [self._build(one) for one in figures_of(row, self.corrected)]
            records = [record for one in built for record in one.records]
            rejects = [reject for one in built for reject in one.rejects]
            made += records
            lines.append(
                {
                    "id": row.item.name,
                    "figures": len(built),
                    "records": len(records),
                    "rejects": [dataclasses.asdict(reject) for reject in rejects],
                }
            )
        replace(self._beside(shard), jsonl.dump(lines))
        yield from made

    def _rows(self, piece: Piece) -> Iterator[Row]:
        shards = {shard.name.index: shard for shard in self.place.shards(NAME)}
        for index in dict.fromkeys(index for index, _ in piece.articles):
            rows = self.place.rows(shards[index], NEEDS)
            yield from (rows[i] for number, i in piece.articles if number == index)

    def _build(self, one: Whole) -> Built:
        where = f"{one.matched.folder}/{one.matched.graphic}"
        with one_net(where, "collect the article again", JobError):
            data = one.path.read_bytes()
        if self.arm == "raw":
            return build_raw(one.matched, data, self.config, one.modalities.get(-1, ""))
        return build(one.matched, data, self.config, one.modalities)

    def _beside(self, shard: Shard) -> pathlib.Path:
        return (
            self.place.work / NAME / self.arm / f"{shard.name.split}-{shard.name.index:05d}.jsonl"
        )

    def told(self) -> Iterator[tuple[str, int, int, list[RejectRow]]]:
        """(directory, figures, records, rejects) of every article of a finished job."""
        for shard in self.shards():
            for line in jsonl.read(self._beside(shard), _MEND, JobError):
                rejects = [
                    RejectRow(**{**row, "reasons": tuple(row["reasons"])})
                    for row in line["rejects"]
                ]
                yield line["id"], line["figures"], line["records"], rejects
