"""The whole way from a search to records: every stage a job, resumable wherever it was killed.

``work/`` in the data folder holds what lies between: the collected articles, then one folder a
stage with a line per article (:mod:`data_gen.pipelines.pubmed.stages.lines`). The same command goes
on with the first shard that is missing; the bytes depend neither on that nor on where the stages
run.
"""

import dataclasses
import os
import pathlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_args

from absl import logging

from data_gen.curation.rejects import write_rejects
from data_gen.jobs import run as jobs
from data_gen.jobs import summary
from data_gen.jobs.job import JobError, Runner
from data_gen.jobs.local import local
from data_gen.jobs.settings import Settings
from data_gen.pipelines.pubmed import outcome, scored
from data_gen.pipelines.pubmed.collect.run import Collected, collect, update
from data_gen.pipelines.pubmed.config import FREE, PubMedConfig
from data_gen.pipelines.pubmed.match.matched import write_matched
from data_gen.pipelines.pubmed.paged import PAGE, write_page
from data_gen.pipelines.pubmed.served import library_of, served
from data_gen.pipelines.pubmed.stages import screening, separating
from data_gen.pipelines.pubmed.stages.lines import Place, Stage, StageJob
from data_gen.pipelines.pubmed.stages.matched import MEND, corrections, every_figure
from data_gen.pipelines.pubmed.stages.matching import Matching
from data_gen.pipelines.pubmed.stages.reading import Reading
from data_gen.pipelines.pubmed.stages.recording import Arm, RecordsJob, pieces_of
from data_gen.pipelines.pubmed.stages.screening import ByText, Screening
from data_gen.pipelines.pubmed.stages.separating import Separating
from data_gen.pipelines.pubmed.stages.splitting import Splitting
from data_gen.pipelines.pubmed.truth_job import TruthJob, What
from medvlp_jax.core.config import to_plain
from medvlp_jax.core.errors import one_net
from medvlp_jax.data.store.dataset import splits
from medvlp_jax.data.store.manifest import read_lines
from medvlp_jax.data.store.shards import file_sha256

#: What the folder is a data set of, and whether all of it is there.
SETTINGS = "pubmed.json"
WORK, RAW, TRUTH = "work", "raw", "truth"
#: Every figure with its panels, parts and pairs, for launch/label_studio.py.
MATCHED = "matched.jsonl"
#: Name of the folder of the collected articles within ``work``.
COLLECTED = "collect"
#: Key of the settings: digest of what a person set right.
_RIGHT = "corrected_sha256"
_NAMED = 3  # figures that a warning names


@dataclasses.dataclass(frozen=True)
class Made:
    """What :func:`generate` did.

    Attributes:
      made, found: shards of records that were made now, and that were there.
      summary: of the data folder, whose part ``pubmed`` counts what happened on the way; None where
        the run ended with the articles.
      collected: what became of the ids.
      report: the page, None without records.
      seconds: by stage, of this run.
    """

    made: int
    found: int
    summary: dict[str, Any] | None
    collected: dict[str, Any]
    report: pathlib.Path | None
    seconds: dict[str, float]


def stages_of(config: PubMedConfig) -> tuple[Stage, ...]:
    """The stages between the articles and the records, in order."""
    return (
        Reading(),
        Screening(config.text, config.images),
        Separating(config.figures, config.images, config.compare),
        Splitting(),
        Matching(config.match, config.medical_only),
    )


def generate(
    config: PubMedConfig,
    out: str | os.PathLike[str],
    runner: Runner | None = None,
    progress: bool = True,
) -> Made:
    """Makes the data set ``config`` in ``out``, or what of it is missing there.

    Args:
      config: what to make.
      out: empty, or where the same command was interrupted.
      runner: where the stages run; the caller closes it. None is ``config.processes`` of this
        machine. Articles are always collected from here: the services allow no more.
      progress: a line on stderr per stage, if that is a terminal.

    Raises:
      UserError: see :func:`data_gen.jobs.run.run_job`; or a service does not answer; or nothing
        came through the stages; or ``out`` holds another data set.
      KeyboardInterrupt: Ctrl-C; its message says how many shards of the stage are finished.
    """
    with jobs.output(out, "data generation") as given:
        folder = given.absolute()
        right = _digest(config.corrected)
        settings = Settings(folder / SETTINGS, to_plain(config) | {_RIGHT: right}, _free(config))
        then = settings.begun()
        same = then is not None and then.get(_RIGHT, "") == right
        if same and not config.update and config.until != "collect":
            return _found(folder)
        if config.update or config.until != "collect":
            # Whoever is interrupted from here on takes nothing for finished.
            settings.write(finished=False)
        made = _Run(config, folder, runner, progress).run()
        if made.summary is not None:
            settings.write(finished=True)
        return made


def _free(config: PubMedConfig) -> tuple[str, ...]:
    """Keys that may differ from those of the command that began the folder."""
    more = ("collect.date", "collect.until", "synthetic.edition") if config.update else ()
    return (*FREE, "corrected", _RIGHT, *more)


def _digest(corrected: str) -> str:
    """Of the figures that a person set right: the file of that name may have become another."""
    if not corrected:
        return ""
    with one_net(corrected, MEND):
        return file_sha256(corrected)


def _found(folder: pathlib.Path) -> Made:
    shards = sum(len(infos) for infos in splits(folder).values())
    whole = summary.read(folder)
    return Made(0, shards, whole, whole["pubmed"]["collect"], folder / PAGE, {})


class _Run:
    """One run through the stages."""

    def __init__(
        self, config: PubMedConfig, folder: pathlib.Path, runner: Runner | None, progress: bool
    ) -> None:
        self.config, self.folder, self.progress = config, folder, progress
        self.work = jobs.make_folder(folder / WORK)
        self._given, self._runner = runner, runner or local(config.processes)
        self.seconds: dict[str, float] = {}

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - start, 2)

    def run(self) -> Made:
        c = self.config
        with self._timed("collect"):
            collected = self._collect()
        if c.until == "collect":
            return Made(0, 0, None, collected.counts, None, self.seconds)
        count = sum(collected.counts["status"].values())
        place = Place(
            self.work,
            collected.articles,
            collected.folder / "status.jsonl",
            count,
            c.articles_per_shard,
        )
        chain = self._stages(place)
        jobs_made = {"processed": self._records(place, chain, "processed", self.folder)}
        if c.raw:
            jobs_made["raw"] = self._records(place, chain, "raw", self.folder / RAW)
        if c.truth:
            self._truth()
        return self._finish(place, collected, jobs_made)

    def _collect(self) -> Collected:
        c, folder = self.config, self.work / COLLECTED
        again = c.update and (folder / "status.jsonl").exists()
        how = update if again else collect
        choice = ByText(c.text)
        if c.library == "collect":
            return how(c.collect, folder, choice, None, self.progress)
        with served(c, self.work, self._given, self.progress) as config:
            return how(config, folder, choice, None, self.progress)

    def _stages(self, place: Place) -> tuple[str, ...]:
        """Every stage between the articles and the records; returns their fingerprints."""
        chain: tuple[str, ...] = ()
        for stage in stages_of(self.config):
            job = StageJob(stage, place, chain)
            jobs.make_folder(self.work / stage.name)
            with self._timed(stage.name):
                jobs.make_missing(
                    job,
                    self.work / stage.name,
                    self._runner,
                    self.progress,
                    label=stage.label,
                    unit="articles",
                )
            chain = (*chain, stage.fingerprint)
            screening.release()
            separating.release()
        return chain

    def _records(
        self, place: Place, chain: tuple[str, ...], arm: Arm, folder: pathlib.Path
    ) -> tuple[RecordsJob, int, int]:
        c = self.config
        with self._timed("records"):
            pieces = pieces_of(place, c.records, c.rows_per_shard, arm, c.corrected)
            if not pieces:
                raise JobError(
                    f"nothing came through the stages: {outcome.commonest(place)}; see "
                    f"{self.work}, and loosen config.text, config.images or config.collect"
                )
            name = c.name if arm == "processed" else f"{c.name}_{arm}"
            job = RecordsJob(name, c.records, place, pieces, chain, c.corrected, arm)
            jobs.make_folder(folder)
            _clear_others(folder, job.fingerprint)
            made, found = jobs.make_missing(
                job, folder, self._runner, self.progress, label="writing", unit="sub-figures"
            )
        return job, made, found

    def _truth(self) -> None:
        c = self.config
        with self._timed("truth"):
            for what in get_args(What):
                job = TruthJob(c, self.work, what)
                folder = self.folder / TRUTH / what
                jobs.run_job(job, folder, c.processes, self.progress, self._runner)

    def _finish(
        self,
        place: Place,
        collected: Collected,
        made: dict[str, tuple[RecordsJob, int, int]],
    ) -> Made:
        c = self.config
        job, new, found = made["processed"]
        with self._timed("page"):
            told = outcome.tell(place, collected, job)
            outcome.write_articles(self.folder, told.articles)
            write_rejects(self.folder, told.rejects)
            write_matched(self.folder / MATCHED, (one.matched for one in every_figure(place)))
            numbers = dict(told.numbers)
            if c.corrected:
                numbers["corrected"] = _taken(c.corrected, place)
            if c.library == "synthetic":
                library = library_of(c, self.work)
                numbers["scores"] = scored.score(place, collected, library)
            if "raw" in made:
                raw = made["raw"][0]
                summary.finish(self.folder / RAW, raw.description)
            whole = summary.finish(self.folder, job.description, {"pubmed": numbers})
            report = write_page(self.folder, place, c, whole, told)
        return Made(new, found, whole, collected.counts, report, self.seconds)


def _taken(corrected: str, place: Place) -> dict[str, int]:
    """How many figures of the file were given and taken; warns of those that are not here."""
    given = corrections(corrected)
    missing = sorted(given.keys() - {one.matched.key for one in every_figure(place)})
    if missing:
        named = ", ".join(missing[:_NAMED]) + (", ..." if len(missing) > _NAMED else "")
        logging.warning(
            "%s: %d of its %d figures are none of this folder (%s); they were left out",
            corrected, len(missing), len(given), named,
        )  # fmt: skip
    return {"given": len(given), "taken": len(given) - len(missing)}


def _clear_others(folder: pathlib.Path, fingerprint: str) -> None:
    """Removes shards of records that are not of this job: an update changed what they hold."""
    for info in read_lines(folder)[0].values():
        if info.fingerprint != fingerprint:
            (folder / info.file).unlink(missing_ok=True)
