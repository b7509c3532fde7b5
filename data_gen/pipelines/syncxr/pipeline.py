"""The whole way: plan, reports, images, near-duplicates, data folder; resumable at every shard.

``work/plan``, ``work/reports`` and ``work/images`` in the data folder hold what lies between the
stages. Each is a job whose finished shards are in its manifest, so that a run which was killed goes
on with the first shard that is missing, whatever stage it was at.
"""

import dataclasses
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import medvlp_jax
from data_gen.curation.encoders.registry import thresholds
from data_gen.curation.rejects import Pictures, write_rejects
from data_gen.data_page import write_data_report
from data_gen.entities.sampler import plan_in
from data_gen.jobs import run as jobs
from data_gen.jobs import summary
from data_gen.jobs.job import JobError, Shard
from data_gen.jobs.settings import Settings
from data_gen.phantom.registry import without_default
from data_gen.pipelines.syncxr import drawing, writing
from data_gen.pipelines.syncxr.choosing import Choice, FinalJob, choose, final_fingerprint
from data_gen.pipelines.syncxr.config import FREE, SynCXRConfig
from data_gen.pipelines.syncxr.drawing import ImagesJob, images_fingerprint
from data_gen.pipelines.syncxr.fan_out import FanOut
from data_gen.pipelines.syncxr.outcome import Outcome, reasons
from data_gen.pipelines.syncxr.writing import ReportsJob, bank_of, reports_fingerprint
from medvlp_jax.core.config import to_plain
from medvlp_jax.data.store.dataset import splits
from medvlp_jax.data.store.manifest import ShardName
from medvlp_jax.data.store.shards import remove_leftovers

#: What the folder is a data set of, and whether all of it is there.
SETTINGS = "syncxr.json"
WORK = "work"
#: How often each entity of the bank is used, as a picture.
HISTOGRAM = "entities_histogram.png"


@dataclasses.dataclass(frozen=True)
class Made:
    """What :func:`generate` did.

    Attributes:
      made, found: shards of the data folder that were made now, and that were there.
      summary: of the data folder; its part ``syncxr`` counts what happened on the way.
      report: the page.
    """

    made: int
    found: int
    summary: dict[str, Any]
    report: Path


def generate(
    config: SynCXRConfig,
    out: str | os.PathLike[str],
    fan_out: FanOut | None = None,
    progress: bool = True,
) -> Made:
    """Makes the data set ``config`` in ``out``, or what of it is missing there.

    Args:
      config: what to make.
      out: empty, or where the same command was interrupted.
      fan_out: where the stages run; the caller closes it. None is this machine.
      progress: a line on stderr per stage, if that is a terminal.

    Raises:
      UserError: see :func:`data_gen.jobs.run.run_job`; or the bank is too small for the data set,
        or too few studies passed; or ``out`` holds another data set.
      KeyboardInterrupt: Ctrl-C; its message says how many shards of the stage are finished.
    """
    with jobs.output(out, "data generation") as given:
        folder = given.absolute()
        settings = Settings(folder / SETTINGS, without_default(to_plain(config)), FREE)
        if settings.begun() is not None:
            made = _found(folder)
        else:
            made = _Run(config, folder, fan_out or FanOut(config), progress).run()
            settings.write(finished=True)
        if not config.keep_work:
            shutil.rmtree(folder / WORK, ignore_errors=True)
    return made


def _found(folder: Path) -> Made:
    shards = sum(len(infos) for infos in splits(folder).values())
    return Made(0, shards, summary.read(folder), write_data_report(folder))


class _Run:
    """One run through the stages."""

    def __init__(self, config: SynCXRConfig, folder: Path, fan_out: FanOut, progress: bool) -> None:
        self.config, self.folder, self.fan_out, self.progress = config, folder, fan_out, progress
        self.plan_folder = jobs.make_folder(folder / WORK / "plan")
        self.reports_folder = jobs.make_folder(folder / WORK / writing.STAGE)
        self.images_folder = jobs.make_folder(folder / WORK / drawing.STAGE)
        for place in (self.plan_folder, self.reports_folder, self.images_folder):
            remove_leftovers(place)

    def run(self) -> Made:
        c = self.config
        bank = bank_of(c)
        count = max(rows.stop for rows in c.rows.values()) if c.rows else 0
        if not count:
            raise JobError("config.splits is empty; give at least one split a positive count")
        plan = plan_in(self.plan_folder, bank, count, c.sampler)
        plan.histogram(self.folder / HISTOGRAM)
        self.reports = ReportsJob(
            c,
            self.reports_folder,
            self.plan_folder,
            reports_fingerprint(c, plan.meta["fingerprint"]),
        )
        self.images = ImagesJob(
            c,
            self.images_folder,
            self.reports_folder,
            images_fingerprint(c, self.reports.fingerprint),
        )
        choice, names = self._choose()
        outcome = Outcome(c, self.reports_folder, self.images_folder, names, choice)
        rejects = list(outcome.rejects(Pictures(self.folder, c.pictures)))
        write_rejects(self.folder, rejects)
        numbers = outcome.numbers(plan.balance, rejects)
        if not any(choice.kept.values()):
            raise JobError(
                f"none of {numbers['reports']['written']} reports got an image that passed the "
                f"gate ({reasons(rejects)}); see {self.folder / 'rejects.jsonl'}, and loosen "
                "config.gate, or keep everything with config.curate=False"
            )
        final = FinalJob(
            c,
            self.images_folder,
            {split: places for split, places in choice.kept.items() if places},
            final_fingerprint(self.images.fingerprint, choice),
            self._description(),
        )
        made, found = jobs.make_missing(
            final, self.folder, self.fan_out.final(), self.progress, label="copying"
        )
        whole = summary.finish(self.folder, final.description, {"syncxr": numbers})
        return Made(made, found, whole, write_data_report(self.folder))

    def _description(self) -> str:
        c = self.config
        writer = c.writer if c.chat is None else f"{c.writer}:{c.chat.model}"
        images = c.images if not c.maker.model else f"{c.images}:{Path(c.maker.model).name}"
        return (
            f"Synthetic chest radiographs: reports by {writer} from balanced entities, images by "
            f"{images}, {'curated' if c.curate else 'not curated'}; seed {c.seed}, made by "
            f"medvlp_jax {medvlp_jax.__version__}."
        )

    def _choose(self) -> tuple[Choice, list[ShardName]]:
        """Makes reports and images until enough are good, or all rows of the plan are used."""
        c = self.config
        every: dict[str, list[Shard]] = {split: [] for split in c.rows}
        for shard in self.images.shards():
            every[shard.name.split].append(shard)
        wanted = {
            split: math.ceil(getattr(c.splits, split) / c.studies_per_shard) for split in every
        }
        above = c.same_above or thresholds(c.gate.encoder)[1]
        while True:
            names = {s: [shard.name for shard in every[s][: wanted[s]]] for s in every}
            flat = [name for some in names.values() for name in some]
            self._make(flat)
            choice = choose(c, self.images_folder, names, above if c.curate else 1.0)
            short = {
                split: count
                for split, count in choice.missing(c).items()
                if wanted[split] < len(every[split])
            }
            if not short:
                return choice, flat
            for split, count in short.items():
                wanted[split] += math.ceil(count / c.studies_per_shard)

    def _make(self, names: Sequence[ShardName]) -> None:
        """Both stages for some shards; each gives up its model before the next loads one."""
        reports = {dataclasses.replace(name, dataset=writing.STAGE) for name in names}
        jobs.make_missing(
            self.reports,
            self.reports_folder,
            self.fan_out.reports(),
            self.progress,
            reports,
            "writing",
        )
        writing.release()
        jobs.make_missing(
            self.images,
            self.images_folder,
            self.fan_out.images(),
            self.progress,
            set(names),
            "drawing",
        )
        drawing.release()
