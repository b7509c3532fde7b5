"""Reviews the images of a data folder: a job whose shards hold the verdicts.

A review is itself a folder of records, one per image: a small picture, what is said of it, and the
verdict with its embedding in the provenance. So it is resumable by shard, and nothing has to be
looked at twice to draw the page.
"""

import base64
import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

import medvlp_jax
from data_gen.curation.candidate import Candidate, Pixels, Verdict
from data_gen.curation.gate import Gate, GateConfig
from data_gen.curation.reasons import UNREADABLE
from data_gen.curation.rejects import small
from data_gen.jobs.job import Shard
from medvlp_jax.data.images.base import ImageError
from medvlp_jax.data.images.decoding import decode
from medvlp_jax.data.store.dataset import RecordSource, open_dataset, splits
from medvlp_jax.data.store.manifest import ShardName, fingerprint
from medvlp_jax.data.store.record import Image, Record, Text

#: Texts that stand for an image, the first that there is.
SECTIONS = ("impression", "caption", "findings", "report")
#: Records whose images are reviewed together.
_BATCH = 16


@dataclasses.dataclass(frozen=True)
class ReviewJob:
    """Implements :class:`data_gen.jobs.job.Job`.

    Attributes:
      source: the data folder.
      gate: the checks.
      only: splits; empty for all.
    """

    source: str
    gate: GateConfig
    only: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        return f"Verdicts on the images of {self.source}."

    @property
    def fingerprint(self) -> str:
        content = {
            split: [(i.file, i.sha256) for i in infos]
            for split, infos in chosen_splits(self.source, self.only).items()
        }
        return fingerprint(medvlp_jax.__version__, "review", content, self.gate.fingerprint)

    def shards(self) -> list[Shard]:
        return source_shards(self.source, self.only, "review")

    def records(self, shard: Shard) -> Iterator[Record]:
        """A record per image of the shard, in order."""
        source = open_dataset(self.source, shard.name.split)
        for start in range(shard.start, shard.stop, _BATCH):
            batch = [source[i] for i in range(start, min(start + _BATCH, shard.stop))]
            yield from self._review(batch)

    def _review(self, batch: Sequence[Record]) -> Iterator[Record]:
        found = [_looked_at(r, i) for r in batch for i in range(len(r.images))]
        good = [c for _, _, c in found if isinstance(c, Candidate)]
        verdicts = iter(_gate(self.gate).review(good))
        for record, i, candidate in found:
            if isinstance(candidate, Candidate):
                yield _reviewed(record, i, next(verdicts), candidate.image)
            else:
                yield _reviewed(record, i, Verdict(False, (UNREADABLE,)), None, candidate)


@functools.lru_cache(maxsize=1)
def _gate(config: GateConfig) -> Gate:
    # One for the life of a process: a worker makes many shards, and models load slowly.
    return Gate(config)


def chosen_splits(source: str, only: Sequence[str]) -> dict[str, list[Any]]:
    """The splits of a folder with their shards.

    Raises:
      ShardError: no complete data folder.
      UserError: a split that is not there.
    """
    every = splits(source)
    for split in only:
        if split not in every:
            open_dataset(source, split)  # says which there are
    return {k: v for k, v in every.items() if not only or k in only}


def source_shards(source: str, only: Sequence[str], dataset: str) -> list[Shard]:
    """A shard per shard of ``source``, under another name of the data set."""
    found = []
    for split, infos in chosen_splits(source, only).items():
        ends = list(itertools.accumulate((i.records for i in infos), initial=0))
        for k, info in enumerate(infos):
            name = ShardName(dataset, split, info.name.index, info.name.count)
            found.append(Shard(name, ends[k], ends[k + 1]))
    return found


def key_of(record: Record, image: int) -> str:
    """The id of an image in a review."""
    return record.id if len(record.images) == 1 else f"{record.id}/{image}"


def text_of(record: Record) -> str:
    """What is said of a record's images; empty where nothing is."""
    texts = {t.section: t.text for t in reversed(record.texts)}
    return next((texts[s] for s in SECTIONS if texts.get(s)), next(iter(texts.values()), ""))


def _looked_at(record: Record, i: int) -> tuple[Record, int, Candidate | str]:
    image = record.images[i]
    try:
        pixels = decode(image.data, image.format)
    except ImageError as error:
        return record, i, str(error)
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():  # grey stored as colour
        pixels = np.ascontiguousarray(pixels[..., 0])
    one = Candidate(key_of(record, i), pixels, text_of(record), record.labels, image.view)
    return record, i, one


def _reviewed(
    record: Record, i: int, verdict: Verdict, pixels: Pixels | None, error: str = ""
) -> Record:
    of = record.images[i]
    picture = () if pixels is None else (Image(small(pixels), "jpeg", of.view, of.modality),)
    text = text_of(record) or ("" if picture else "no text")
    provenance = {"record": record.id, "image": i, "verdict": verdict.as_json(), "error": error}
    if verdict.embedding is not None:
        half = np.asarray(verdict.embedding, "<f2").tobytes()
        provenance["embedding"] = base64.b64encode(half).decode()
    return Record(
        id=key_of(record, i),
        images=picture,
        texts=(Text(text, "said"),) if text else (),
        labels=record.labels,
        patient_id=record.patient_id,
        split=record.split,
        provenance=provenance,
    )


@dataclasses.dataclass(frozen=True)
class Reviewed:
    """A line of a review, read back; the picture stays in its shard, at ``place``."""

    id: str
    split: str
    place: int
    reasons: tuple[str, ...]
    scores: dict[str, float]
    embedding: Float[np.ndarray, "d"] | None = dataclasses.field(repr=False)


def read_review(source: RecordSource) -> Iterator[Reviewed]:
    """All lines of one split of a review, in order."""
    for place in range(len(source)):
        record = source[place]
        kept = record.provenance
        packed = kept.get("embedding")
        row = None if packed is None else np.frombuffer(base64.b64decode(packed), "<f2")
        verdict = kept["verdict"]
        yield Reviewed(
            record.id,
            record.split,
            place,
            tuple(verdict["reasons"]),
            verdict["scores"],
            None if row is None else row.astype(np.float32),
        )
