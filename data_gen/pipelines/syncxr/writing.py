"""The second stage: reports of the plan's entities, checked, and written again where they fail."""

import collections
import dataclasses
import functools
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import medvlp_jax
from data_gen.curation.rejects import RejectRow
from data_gen.entities.bank import EntityBank, default_bank
from data_gen.entities.entity import Entity
from data_gen.entities.extract import default_extractor
from data_gen.entities.sampler import SamplePlan
from data_gen.jobs.job import Shard
from data_gen.phantom.chest_xray.findings import NO_FINDING
from data_gen.pipelines.syncxr import work
from data_gen.pipelines.syncxr.config import SynCXRConfig
from data_gen.reports.base import ReportWriter, ReportWriterConfig
from data_gen.reports.check import ReportChecker
from data_gen.reports.checked import CheckedReport, checked_reports, request_for
from data_gen.reports.registry import make_writer
from medvlp_jax.core.config import to_plain
from medvlp_jax.data.store.manifest import fingerprint
from medvlp_jax.data.store.record import Record, Text

STAGE = "reports"


def bank_of(config: SynCXRConfig) -> EntityBank:
    """The bank of a config, without findings that its back end for images cannot show."""
    return _bank(config.bank, config.images == "phantom")


@functools.lru_cache(maxsize=1)
def _bank(path: str, drawable: bool) -> EntityBank:
    bank = EntityBank.load(path) if path else default_bank()
    return bank.drawable() if drawable else bank


@functools.lru_cache(maxsize=1)
def _plan(folder: Path, path: str, drawable: bool) -> SamplePlan:
    return SamplePlan.load(folder, _bank(path, drawable))


@functools.lru_cache(maxsize=1)
def _writer(config: ReportWriterConfig) -> ReportWriter:
    return make_writer(config)


def release() -> None:
    """Gives up the model that this process holds."""
    _writer.cache_clear()


def reports_fingerprint(config: SynCXRConfig, plan: str) -> str:
    """Of the reports of the plan with that fingerprint; loads no model."""
    writer = config.writer_config
    if writer.chat is None:
        written = make_writer(writer).fingerprint
    else:
        written = fingerprint(writer.chat.fingerprint, writer.system, writer.example)
    return fingerprint(
        medvlp_jax.__version__,
        plan,
        written,
        to_plain(config.checker),
        {"attempts": config.report_attempts, "name": config.name, "seed": config.seed},
    )


@dataclasses.dataclass(frozen=True)
class ReportsJob:
    """Implements :class:`data_gen.jobs.job.Job`: records without images.

    Attributes:
      config: of the data set.
      folder: of this stage.
      plan: folder of the stage before.
      fingerprint: see :func:`reports_fingerprint`.
    """

    config: SynCXRConfig
    folder: Path
    plan: Path
    fingerprint: str

    description = "Checked reports, before images are made of them."

    def shards(self) -> list[Shard]:
        return work.stage_shards(self.config, STAGE)

    def records(self, shard: Shard) -> Iterator[Record]:
        """The studies of a shard whose report passed, in order."""
        c = self.config
        plan = _plan(self.plan, c.bank, c.images == "phantom")
        first = c.rows[shard.name.split].start
        rows = {
            work.study_id(c, row): row for row in range(first + shard.start, first + shard.stop)
        }
        entities = {name: plan.entities(row) for name, row in rows.items()}
        checker = ReportChecker(default_extractor(), c.checker)
        requests = (request_for(name, found) for name, found in entities.items())
        writer, answers = self._make_writer(shard)
        reports = {r.id: r for r in checked_reports(writer, checker, requests, c.report_attempts)}
        rejects = [
            (_reject(name, reject, reports[name].labels), b"")
            for name in rows
            for reject in reports[name].rejects
        ]
        kept = collections.Counter(f"attempt {r.attempts}" for r in reports.values() if r.report)
        missing = sum(r.report is None for r in reports.values())
        counts = {"written": len(rows) - missing, "accepted": kept, "given up": missing}
        work.write_rejects_beside(self.folder, shard.name, rejects)
        work.write_beside(self.folder, shard.name, "counts.json", json.dumps(counts))
        for name, row in rows.items():
            if reports[name].report is not None:
                yield _record(c, shard.name.split, row, entities[name], reports[name])
        if answers is not None:
            shutil.rmtree(answers, ignore_errors=True)

    def _make_writer(self, shard: Shard) -> tuple[ReportWriter, Path | None]:
        """The writer; for a server, with a cache of its own, so that a shard that was stopped in
        the middle asks for nothing twice."""
        config = self.config.writer_config
        if config.chat is None or config.chat.backend != "openai" or config.chat.cache:
            return _writer(config), None
        answers = self.folder / "answers" / shard.name.filename
        chat = dataclasses.replace(config.chat, cache=str(answers))
        return make_writer(dataclasses.replace(config, chat=chat)), answers


def _reject(name: str, reject: Mapping[str, Any], labels: Mapping[str, int]) -> RejectRow:
    kinds = dict.fromkeys(reason.partition(":")[0] for reason in reject["reasons"])
    sections = (reject["findings"], reject["impression"])
    return RejectRow(
        id=name,
        stage=STAGE,
        reasons=tuple(kinds),
        detail="; ".join(reject["reasons"]),
        attempt=reject["attempt"],
        text=" / ".join(text for text in sections if text),
        labels=dict(labels),
    )


def _record(
    config: SynCXRConfig,
    split: str,
    row: int,
    entities: tuple[Entity, ...],
    checked: CheckedReport,
) -> Record:
    assert checked.report is not None
    name = work.study_id(config, row)
    return Record(
        id=name,
        patient_id=name,
        images=(),
        split=split,
        texts=(*checked.texts, *_captions(entities, checked)),
        labels=dict(checked.labels),
        provenance={
            "generator": "syncxr",
            "version": medvlp_jax.__version__,
            "seed": config.seed,
            "row": row,
            "entities": [to_plain(entity) for entity in entities],
            "report": {
                "writer": checked.report.source,
                "attempts": checked.attempts,
                "refused for": [reject["reasons"] for reject in checked.rejects],
            },
        },
    )


def _captions(entities: tuple[Entity, ...], checked: CheckedReport) -> Iterator[Text]:
    """One per finding, which affirms that finding alone; a study without any is described by its
    impression."""
    assert checked.report is not None
    source, labels = checked.report.source, checked.labels
    named = [e for e in entities if e.positive and labels.get(e.finding) == 1]
    for entity in named:
        said = entity.text[:1].upper() + entity.text[1:]
        yield Text(said, "caption", source, (entity.finding,))
    if not named and labels.get(NO_FINDING) == 1 and checked.report.impression:
        yield Text(checked.report.impression, "caption", source, (NO_FINDING,))


def entities_of(record: Record) -> tuple[Entity, ...]:
    """Those that a record of this stage was written from."""
    return tuple(Entity(**fields) for fields in record.provenance["entities"])
