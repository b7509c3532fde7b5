"""A phantom as a data job: studies, pictures, reports and truth as shards of records."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Literal

import medvlp_jax
from data_gen.jobs import run as jobs
from data_gen.jobs.job import Runner, Shard, cut
from data_gen.jobs.run import JobResult
from data_gen.phantom.base import FindingMix
from data_gen.phantom.records import captions, image_of, joined_masks, provenance
from data_gen.phantom.registry import DEFAULT, find_phantom, without_default
from medvlp_jax.core.config import to_plain
from medvlp_jax.core.fields import Count, Extent, Quality, Seed, Size, Workers
from medvlp_jax.data.store.manifest import fingerprint
from medvlp_jax.data.store.record import Box, Record, Text, with_content_hash

#: First study index of a split: far enough apart that a split never reaches the next one, so a
#: larger training set keeps its validation and test studies, and none of them is in it.
SPLIT_START = {"train": 0, "validation": 1_000_000_000, "test": 2_000_000_000}
MAX_STUDIES = 1_000_000_000
_BATCH = 16  # studies rendered at a time; has no influence on the pictures


@dataclasses.dataclass(frozen=True)
class SplitCounts:
    """Studies per split; 0 leaves the split out.

    Attributes:
      train: studies to train on.
      validation: studies that settings and thresholds are chosen on.
      test: studies that results come from.
    """

    train: Count = 4000
    validation: Count = 500
    test: Count = 1000

    def __post_init__(self) -> None:
        for name, count in dataclasses.asdict(self).items():
            if not 0 <= count <= MAX_STUDIES:
                raise ValueError(f"splits.{name}={count} must be 0 to {MAX_STUDIES}")


@dataclasses.dataclass(frozen=True)
class PhantomConfig:
    """What a set of phantom studies is.

    Attributes:
      generator: the word that picks this config.
      name: of the data set, in the names of its shards.
      seed: another seed gives other studies.
      size: side of the square pictures in pixels.
      image_format, quality: gray PNG, or gray JPEG of this quality (1 to 100).
      mix: how many findings a study has, and how severe they are.
      masks: whether to store organs and findings as masks too (they double the size).
      splits: studies per split.
      studies_per_shard: of which one is made, and resumed, at a time.
      processes: 0 for one per CPU core; 1 works in the main process, on JAX's own device.
      modality: what is drawn, a key of :data:`data_gen.phantom.registry.PHANTOMS`.
    """

    generator: Literal["phantom"] = "phantom"
    name: str = "phantom"
    seed: Seed = 0
    size: Extent = 224
    image_format: Literal["jpeg", "png"] = "jpeg"
    quality: Quality = 92
    mix: FindingMix = dataclasses.field(default_factory=FindingMix)
    masks: bool = True
    splits: SplitCounts = dataclasses.field(default_factory=SplitCounts)
    studies_per_shard: Size = 250
    processes: Workers = 0
    modality: str = DEFAULT

    def __post_init__(self) -> None:
        if self.size < 32:
            raise ValueError(f"size={self.size} must be at least 32 pixels")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality={self.quality} must be 1 to 100")
        if self.studies_per_shard < 1:
            raise ValueError(f"studies_per_shard={self.studies_per_shard} must be positive")
        if self.seed < 0 or self.processes < 0:
            raise ValueError("seed and processes must not be negative")
        find_phantom(self.modality)


@dataclasses.dataclass(frozen=True)
class PhantomJob:
    """Implements :class:`data_gen.jobs.job.Job`."""

    config: PhantomConfig

    @property
    def description(self) -> str:
        c = self.config
        what = f"Procedural {find_phantom(c.modality).title} with reports, boxes and masks"
        made = f"seed {c.seed}, {c.size} px, made by medvlp_jax {medvlp_jax.__version__}."
        return f"{what}: {made}"

    @property
    def fingerprint(self) -> str:
        settings = without_default(to_plain(self.config))
        del settings["processes"]
        return fingerprint(medvlp_jax.__version__, settings)

    def shards(self) -> list[Shard]:
        c, out = self.config, []
        for split, count in dataclasses.asdict(c.splits).items():
            out += cut(c.name, split, count, c.studies_per_shard)
        return out

    def records(self, shard: Shard) -> Iterator[Record]:
        """The studies of a shard in order, rendered a few at a time."""
        first = SPLIT_START[shard.name.split]
        for start in range(shard.start, shard.stop, _BATCH):
            indices = range(first + start, first + min(start + _BATCH, shard.stop))
            yield from self.make(indices, shard.name.split)

    def make(self, indices: Sequence[int], split: str) -> list[Record]:
        """Records of the studies ``indices``; each depends on (seed, index) alone."""
        c, phantom = self.config, find_phantom(self.config.modality)
        studies = [phantom.sample(c.seed, index, c.mix) for index in indices]
        rendered = phantom.render(studies, c.size, masks=c.masks)
        records = []
        for i, study in enumerate(studies):
            report = phantom.report(study, c.seed)
            name = f"{c.name}-{c.seed}-{study.index:010d}"
            picture = image_of(
                rendered.images[i], c.image_format, c.quality, study.view, phantom.modality
            )
            record = Record(
                id=name,
                patient_id=name,
                split=split,
                images=(picture,),
                texts=(
                    Text(report.findings, "findings", "grammar"),
                    Text(report.impression, "impression", "grammar"),
                    *captions(study, report, phantom.no_finding),
                ),
                labels=study.labels(),
                boxes=tuple(
                    Box(b.x0, b.y0, b.x1, b.y1, b.label, report.phrases[b.finding])
                    for b in rendered.boxes[i]
                ),
                masks=joined_masks({k: v[i] for k, v in rendered.masks.items()}, study),
                provenance=provenance(phantom, study, report),
            )
            records.append(with_content_hash(record))
        return records


def generate(
    config: PhantomConfig,
    directory: str | os.PathLike[str],
    progress: bool = True,
    runner: Runner | None = None,
) -> JobResult:
    """Makes the data set ``config`` in ``directory``, or what of it is missing there.

    ``runner``: where, instead of ``config.processes`` processes of this machine.

    Raises:
      UserError: see :func:`data_gen.jobs.run.run_job`.
    """
    return jobs.run_job(PhantomJob(config), directory, config.processes, progress, runner)
