"""Cleans a data folder: reviews every image, decides, and writes what may stay."""

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import medvlp_jax
from data_gen.curation.decisions import Drop, decide
from data_gen.curation.encoders.registry import thresholds
from data_gen.curation.gate import GateConfig
from data_gen.curation.rejects import Pictures, RejectRow, counts, write_rejects
from data_gen.curation.review import (
    Reviewed,
    ReviewJob,
    chosen_splits,
    key_of,
    read_review,
    source_shards,
)
from data_gen.jobs import run as jobs
from data_gen.jobs.job import JobError, Runner, Shard
from data_gen.jobs.local import local
from medvlp_jax.core.errors import one_net
from medvlp_jax.core.fields import Cosine, Count, Workers
from medvlp_jax.data.store.croissant import Origin, read_origin
from medvlp_jax.data.store.dataset import keep_digests, open_dataset, splits
from medvlp_jax.data.store.manifest import fingerprint
from medvlp_jax.data.store.record import Record, with_content_hash
from medvlp_jax.data.store.shards import whole_file

#: Folder of the review, and file of the decisions, inside the folder that is made.
REVIEW, DECISIONS = "review", "decisions.json"
#: Share of the good images that the bad set may take before a warning.
_GREEDY = 0.2


@dataclasses.dataclass(frozen=True)
class CurateConfig:
    """What to clean, and how.

    Attributes:
      generator: the word that picks this config.
      source: a data folder, of whatever importer or generator.
      only: splits; empty for all.
      gate: the checks of each image.
      spread: drop what is too similar to an image that the judge refused.
      bad_above, same_above: cosines of that step and of near-duplicates; 0 takes the encoder's own,
        1 switches the step off.
      pictures: small pictures kept per reason.
      processes: 0 is one per core, or one in all where a model of ours computes.
    """

    generator: Literal["curate"] = "curate"
    source: str = ""
    only: tuple[str, ...] = ()
    gate: GateConfig = dataclasses.field(default_factory=GateConfig)
    spread: bool = True
    bad_above: Cosine = 0.0
    same_above: Cosine = 0.0
    pictures: Count = 24
    processes: Workers = 0

    def __post_init__(self) -> None:
        if not self.source:
            raise ValueError("source is empty; set it to the data folder to clean")
        for name in ("bad_above", "same_above"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} must be 0 to 1")
        if self.pictures < 0 or self.processes < 0:
            raise ValueError("pictures and processes must not be negative")


@dataclasses.dataclass(frozen=True)
class Cleaned:
    """What :func:`clean` did.

    Attributes:
      images, kept: in the source, and in the folder that was made.
      reasons: first reason -> images dropped for it.
      summary: of the folder that was made.
      warnings: lines for the terminal.
    """

    images: int
    kept: int
    reasons: dict[str, int]
    summary: dict[str, Any]
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        share = 100 * self.kept / max(self.images, 1)
        lines = [f"images: {self.kept} of {self.images} kept ({share:.1f} %)"]
        if self.reasons:
            kinds = ", ".join(f"{reason} {n}" for reason, n in self.reasons.items())
            lines.append(f"dropped, named in rejects.jsonl: {kinds}")
        return "\n".join([*lines, *self.warnings])


def clean(
    config: CurateConfig,
    out: str | os.PathLike[str],
    progress: bool = True,
    runner: Runner | None = None,
) -> Cleaned:
    """Makes ``out`` from the images of ``config.source`` that may stay.

    ``out`` holds record shards under the names of the source's, ``rejects.jsonl`` with a row per
    dropped image, some of their pictures, and the review. The same command goes on where it was
    stopped, by shard.

    Raises:
      UserError: see :func:`data_gen.jobs.run.run_job`; or ``out`` is the source.
    """
    folder = jobs.make_folder(out)
    if folder.resolve() == pathlib.Path(config.source).resolve():
        raise JobError(f"{out} is the source itself; the cleaned data need a folder of their own")
    job = ReviewJob(config.source, config.gate, config.only)
    runner = runner or local(config.processes or _processes(config.gate))
    with jobs.output(folder / REVIEW, "a review") as review:
        jobs.make_missing(job, review, runner, progress, label="reviewing")
        lines = [one for s in splits(review) for one in read_review(open_dataset(review, s))]
        bad_above, same_above = _thresholds(config)
        drops = decide(lines, bad_above, same_above)
        _write_decisions(review / DECISIONS, drops)
    work = CleanJob(config.source, config.only, str(review), job.fingerprint, _digest(drops))
    result = jobs.run_job(work, folder, progress=progress, runner=runner)
    rows = _write_rejects(folder, lines, drops, config.pictures)
    keep_digests(folder)
    reasons = counts([row.as_json() for row in rows])
    warnings = _warnings(lines, drops)
    return Cleaned(len(lines), len(lines) - len(drops), reasons, result.summary, warnings)


@dataclasses.dataclass(frozen=True)
class CleanJob:
    """Writes the records of ``source`` without the images that a review dropped.

    Implements :class:`data_gen.jobs.job.Job` and ``HasOrigin``.

    Attributes:
      review: folder of the review, with its decisions.
      reviewed, decided: fingerprints of both.
    """

    source: str
    only: tuple[str, ...]
    review: str
    reviewed: str
    decided: str

    @property
    def description(self) -> str:
        return f"{self.source}, cleaned by medvlp_jax {medvlp_jax.__version__}."

    @property
    def origin(self) -> Origin:
        """That of the source."""
        return read_origin(self.source)

    @property
    def fingerprint(self) -> str:
        return fingerprint(medvlp_jax.__version__, "clean", self.reviewed, self.decided)

    def shards(self) -> list[Shard]:
        first = next(iter(chosen_splits(self.source, self.only).values()))
        return source_shards(self.source, self.only, first[0].name.dataset)

    def records(self, shard: Shard) -> Iterator[Record]:
        """The records that keep an image, and those that never had one, in order."""
        dropped = _decisions(self.review, self.decided)
        source = open_dataset(self.source, shard.name.split)
        scores = _scores(self.review, shard)
        for i in range(shard.start, shard.stop):
            record = source[i]
            keys = [key_of(record, k) for k in range(len(record.images))]
            stay = [k for k, key in enumerate(keys) if key not in dropped]
            if stay or not keys:
                yield kept_part(record, stay, [scores[keys[k]] for k in stay])


def kept_part(record: Record, stay: Sequence[int], scores: Sequence[Mapping[str, float]]) -> Record:
    """``record`` with the images ``stay`` (indices, in order), their boxes, masks and scores."""
    place = {old: new for new, old in enumerate(stay)}
    curation = {"version": medvlp_jax.__version__, "scores": [dict(s) for s in scores]}
    kept = dataclasses.replace(
        record,
        images=tuple(record.images[k] for k in stay),
        boxes=tuple(
            dataclasses.replace(b, image=place[b.image]) for b in record.boxes if b.image in place
        ),
        masks=tuple(
            dataclasses.replace(m, image=place[m.image]) for m in record.masks if m.image in place
        ),
        turns=tuple(
            dataclasses.replace(t, images=tuple(place[k] for k in t.images if k in place))
            for t in record.turns
            if t.text.strip() or any(k in place for k in t.images)
        ),
        provenance={**record.provenance, "curation": curation},
    )
    return with_content_hash(kept)


def _processes(gate: GateConfig) -> int:
    ours = gate.encoder.kind in ("clip", "dinov2") or gate.judge.kind == "clip"
    # A model computes on the device of this process; a server is asked side by side anyway.
    return 1 if ours or gate.agreement.checkpoint or gate.judge.kind == "server" else 0


def _thresholds(config: CurateConfig) -> tuple[float, float]:
    if config.gate.encoder.kind == "none":
        return 1.0, 1.0
    bad, same = thresholds(config.gate.encoder)
    bad_above = config.gate.bad.threshold or config.bad_above or bad
    return (bad_above if config.spread else 1.0), config.same_above or same


def _write_decisions(path: pathlib.Path, drops: Mapping[str, Drop]) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(sorted(drops)), encoding="utf-8")


def _digest(drops: Mapping[str, Drop]) -> str:
    return fingerprint(sorted(drops))


@functools.lru_cache(maxsize=1)
def _decisions(review: str, decided: str) -> frozenset[str]:
    path = pathlib.Path(review) / DECISIONS
    with one_net(path, "delete it and repeat the command", JobError):
        names = list(json.loads(path.read_bytes()))
    if fingerprint(names) != decided:
        raise JobError(f"{path} was changed by another run; wait for it, then repeat the command")
    return frozenset(names)


def _scores(review: str, shard: Shard) -> dict[str, dict[str, float]]:
    """Scores of the images of one shard of the source."""
    source = open_dataset(review, shard.name.split)
    start = sum(i.records for i in source.shards[: shard.name.index])
    stop = start + source.shards[shard.name.index].records
    found = {}
    for i in range(start, stop):
        record = source[i]
        found[record.id] = record.provenance["verdict"]["scores"]
    return found


def _write_rejects(
    folder: pathlib.Path, lines: Sequence[Reviewed], drops: Mapping[str, Drop], most: int
) -> list[RejectRow]:
    pictures, rows = Pictures(folder, most), []
    sources = {s: open_dataset(folder / REVIEW, s) for s in splits(folder / REVIEW)}
    for one in lines:
        drop = drops.get(one.id)
        if drop is None:
            continue
        record = sources[one.split][one.place]
        row = RejectRow(
            one.id,
            drop.stage,
            drop.reasons,
            drop.detail or record.provenance.get("error", ""),
            scores={**one.scores, **drop.scores},
            text=record.texts[0].text if record.texts else "",
            labels=record.labels,
        )
        data = record.images[0].data if record.images else b""
        rows.append(pictures.keep(row, data))
    write_rejects(folder, rows)
    return rows


def _warnings(lines: Sequence[Reviewed], drops: Mapping[str, Drop]) -> tuple[str, ...]:
    good = sum(not one.reasons for one in lines)
    found = []
    for stage, key in (("bad set", "bad_above"), ("duplicates", "same_above")):
        taken = sum(drop.stage == stage for drop in drops.values())
        if good and taken > _GREEDY * good:
            found.append(
                f"warning: the step '{stage}' drops {taken} of {good} images that passed every "
                f"check; look at them, and raise config.{key} if the encoder finds all films alike"
            )
    return tuple(found)
