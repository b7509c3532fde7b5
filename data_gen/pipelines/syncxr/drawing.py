"""The third stage: images of the reports, each checked by the gate, made again where it fails."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

import medvlp_jax
from data_gen.curation.candidate import Candidate, Verdict
from data_gen.curation.faults import FAULTS, spoil
from data_gen.curation.gate import Gate, GateConfig
from data_gen.curation.rejects import RejectRow, small
from data_gen.entities.entity import Entity
from data_gen.entities.phantom import findings_of
from data_gen.images.base import Drawing, ImageMaker, ImageMakerConfig, ImageRequest, draw
from data_gen.images.registry import make_maker, maker_fingerprint
from data_gen.jobs.job import Shard
from data_gen.phantom.base import Picture, Truth
from data_gen.phantom.chest_xray.requested import patient
from data_gen.phantom.records import image_of, joined_masks
from data_gen.pipelines.syncxr import work
from data_gen.pipelines.syncxr.config import SynCXRConfig
from data_gen.pipelines.syncxr.writing import entities_of
from medvlp_jax.core.config import to_plain
from medvlp_jax.data.images.decoding import to_gray
from medvlp_jax.data.store.manifest import fingerprint
from medvlp_jax.data.store.record import Box, Image, Mask, Record, with_content_hash

STAGE = "images"
#: What a planted film that the gate let pass is refused for.
MISSED = "planted, not found by the gate"


def images_fingerprint(config: SynCXRConfig, reports: str) -> str:
    """Of the images of the reports with that fingerprint."""
    names = ("image_attempts", "planted", "curate", "size", "image_format", "quality", "masks")
    return fingerprint(
        medvlp_jax.__version__,
        reports,
        maker_fingerprint(config.maker),
        config.gate.fingerprint,
        {name: getattr(config, name) for name in (*names, "seed")},
    )


@functools.lru_cache(maxsize=1)
def _maker(config: ImageMakerConfig) -> ImageMaker:
    return make_maker(config)


@functools.lru_cache(maxsize=1)
def _gate(config: GateConfig) -> Gate:
    return Gate(config)


def release() -> None:
    """Gives up the models that this process holds."""
    _maker.cache_clear()
    _gate.cache_clear()


@dataclasses.dataclass
class _Study:
    """One study on its way through the attempts."""

    report: Record
    row: int
    entities: tuple[Entity, ...]
    plant: str  # a fault, or nothing


@dataclasses.dataclass(frozen=True)
class ImagesJob:
    """Implements :class:`data_gen.jobs.job.Job`: whole records from those of the reports.

    Attributes:
      config: of the data set.
      folder: of this stage.
      reports: folder of the stage before.
      fingerprint: see :func:`images_fingerprint`.
    """

    config: SynCXRConfig
    folder: Path
    reports: Path
    fingerprint: str

    description = "Images of reports, before near-duplicates go."

    def shards(self) -> list[Shard]:
        return work.stage_shards(self.config, STAGE)

    def records(self, shard: Shard) -> Iterator[Record]:
        """The studies of a shard whose image was accepted, in order."""
        name = dataclasses.replace(shard.name, dataset="reports")
        studies = [self._study(record) for record in work.read_shard(self.reports, name)]
        made, rejects, counts = self._make(studies)
        order = [s.report.id for s in studies if s.report.id in made]
        work.write_rejects_beside(self.folder, shard.name, rejects)
        work.write_beside(self.folder, shard.name, "counts.json", json.dumps(counts))
        embeddings = [made[i][1] for i in order]
        work.write_accepted(self.folder, shard.name, order, embeddings)
        for i in order:
            yield made[i][0]

    def _study(self, report: Record) -> _Study:
        plant = _planted(self.config.seed, report.id, self.config.planted)
        return _Study(report, report.provenance["row"], entities_of(report), plant)

    def _make(
        self, studies: Sequence[_Study]
    ) -> tuple[
        dict[str, tuple[Record, np.ndarray | None]],
        list[tuple[RejectRow, bytes]],
        dict[str, Any],
    ]:
        """Records by id, rejects, and counts; all attempts of a shard share their batches."""
        maker, attempts = _maker(self.config.maker), self.config.image_attempts
        made: dict[str, tuple[Record, np.ndarray | None]] = {}
        rejects: list[tuple[RejectRow, bytes]] = []
        counts: dict[str, Any] = {"images": 0, "accepted": {}, "planted": {}, "given up": 0}
        waiting = list(studies)
        for attempt in range(attempts):
            again: list[_Study] = []
            for start in range(0, len(waiting), maker.batch_size):
                batch = waiting[start : start + maker.batch_size]
                for study, request, drawing, verdict in self._reviewed(maker, batch, attempt):
                    counts["images"] += 1
                    plant = study.plant if attempt == 0 else ""
                    if plant:
                        found = {plant: {"planted": 1, "found": int(not verdict.accepted)}}
                        work.add_counts(counts["planted"], found)
                    last = attempt + 1 == attempts
                    keep = not plant and (verdict.accepted or (last and not self.config.curate))
                    if keep:
                        record = self._record(study, request, drawing, attempt, verdict)
                        made[record.id] = record, verdict.embedding
                        work.add_counts(counts["accepted"], {f"attempt {attempt + 1}": 1})
                    else:
                        rejects.append(_reject(study, drawing, attempt, verdict, plant))
                        again.append(study)
            waiting = again
        counts["given up"] = len(waiting)
        return made, sorted(rejects, key=lambda r: (r[0].id, r[0].attempt)), counts

    def _reviewed(
        self, maker: ImageMaker, batch: Sequence[_Study], attempt: int
    ) -> Iterator[tuple[_Study, ImageRequest, Drawing, Verdict]]:
        requests = [self._request(study, attempt) for study in batch]
        drawings = []
        for study, drawing in zip(batch, draw(maker, requests), strict=True):
            picture = fitted(drawing.picture, self.config.size)
            if study.plant and attempt == 0:
                picture = spoil(to_gray(picture), study.plant, study.row)
            drawings.append(dataclasses.replace(drawing, picture=picture))
        candidates = [
            Candidate(s.report.id, d.picture, r.prompt, s.report.labels)
            for s, r, d in zip(batch, requests, drawings, strict=True)
        ]
        verdicts = _gate(self.config.gate).review(candidates)
        return zip(batch, requests, drawings, verdicts, strict=True)

    def _request(self, study: _Study, attempt: int) -> ImageRequest:
        c, report = self.config, study.report
        # Counted, not hashed: no two images of a data set share a seed.
        seed = (_number(c.seed, "images") + study.row * c.image_attempts + attempt) % 2**32
        texts = {text.section: text.text for text in reversed(report.texts)}
        prompt = texts.get("impression") or texts.get("findings", "")
        findings = None
        if c.images == "phantom":
            findings = findings_of(study.entities, seed, patient(seed).position)
        return ImageRequest(report.id, prompt, seed, report.labels, findings)

    def _record(
        self,
        study: _Study,
        request: ImageRequest,
        drawing: Drawing,
        attempt: int,
        verdict: Verdict,
    ) -> Record:
        report, truth = study.report, drawing.truth
        # findings_of gives one finding per positive entity that the phantom draws, in order.
        phrases = [e.text for e in study.entities if e.positive and e.finding]
        provenance = {
            **report.provenance,
            "prompt": request.prompt,
            "image": {
                "maker": _maker(self.config.maker).name,
                "seed": request.seed,
                "attempts": attempt + 1,
                "verdict": verdict.as_json(),
            },
        }
        if truth is not None:
            provenance["findings"] = [
                {**to_plain(f), "phrase": phrases[i]} for i, f in enumerate(truth.study.findings)
            ]
        record = dataclasses.replace(
            report,
            images=(self._image(to_gray(drawing.picture), truth),),
            labels=_labels(report.labels, truth),
            boxes=_boxes(truth, phrases) if truth else (),
            masks=_masks(truth) if truth and self.config.masks else (),
            provenance=provenance,
        )
        return with_content_hash(record)

    def _image(self, pixels: UInt8[np.ndarray, "y x"], truth: Truth | None) -> Image:
        c = self.config
        view = truth.study.view if truth else "FRONTAL"
        return image_of(pixels, c.image_format, c.quality, view, "xray")


def fitted(picture: Picture, size: int) -> Picture:
    """Reduced to a longer side of ``size`` pixels; smaller ones stay, and 0 leaves all."""
    height, width = picture.shape[:2]
    if not size or max(height, width) <= size:
        return picture
    scale = size / max(height, width)
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(picture, shape, interpolation=cv2.INTER_AREA)


def _number(seed: int, *words: str) -> int:
    text = "/".join((str(seed), *words))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest())


def _planted(seed: int, name: str, share: float) -> str:
    """The fault to plant in the first image of a study, or nothing."""
    if _number(seed, "planted", name) >= share * 2**32:
        return ""
    return list(FAULTS)[_number(seed, "fault", name) % len(FAULTS)]


def _reject(
    study: _Study, drawing: Drawing, attempt: int, verdict: Verdict, plant: str
) -> tuple[RejectRow, bytes]:
    reasons = verdict.reasons or ((MISSED,) if plant else ())
    texts = {text.section: text.text for text in study.report.texts}
    row = RejectRow(
        id=study.report.id,
        stage=STAGE,
        reasons=reasons,
        detail=f"planted: {plant}" if plant else "",
        attempt=attempt,
        scores=verdict.as_json()["scores"],
        text=texts.get("impression", ""),
        labels=dict(study.report.labels),
    )
    return row, small(drawing.picture)


def _labels(said: Mapping[str, int], truth: Truth | None) -> dict[str, int]:
    """What the report says; where it says nothing, or is not sure, what was drawn."""
    if truth is None:
        return dict(said)
    drawn = truth.study.labels()
    return {**drawn, **{k: v for k, v in said.items() if v != -1 or k not in drawn}}


def _boxes(truth: Truth, phrases: Sequence[str]) -> tuple[Box, ...]:
    return tuple(Box(b.x0, b.y0, b.x1, b.y1, b.label, phrases[b.finding]) for b in truth.boxes)


def _masks(truth: Truth) -> tuple[Mask, ...]:
    return joined_masks(dict(truth.masks), truth.study)
