"""Pictures of all classes as a data folder: what the classifier of figures is trained on."""

import dataclasses
import os
from collections.abc import Iterator
from typing import Literal

import cv2
import numpy as np

import medvlp_jax
from data_gen.jobs import run as jobs
from data_gen.jobs.job import Runner, Shard, cut_splits
from data_gen.jobs.run import JobResult
from data_gen.phantom.job import SPLIT_START, SplitCounts
from data_gen.phantom.records import encode
from data_gen.pipelines.pubmed.screen.classes import CLASSES
from data_gen.pipelines.pubmed.screen.pictures import pictures
from medvlp_jax.core.config import to_plain
from medvlp_jax.core.fields import Extent, Quality, Seed, Size, Workers
from medvlp_jax.data.store.manifest import fingerprint
from medvlp_jax.data.store.record import MODALITIES, Image, Record, with_content_hash

#: ``provenance["generator"]`` of such a record.
GENERATOR = "figure_classes"


@dataclasses.dataclass(frozen=True)
class FigureClassesConfig:
    """What a set of pictures of all classes is.

    Attributes:
      generator: the word that picks this config.
      name: of the data set, in the names of its shards.
      seed: another seed gives other pictures.
      size: longer side in pixels.
      quality: least and best quality of the JPEGs, 1 to 100.
      splits: pictures of each class, per split.
      per_shard: records of which one is made, and resumed, at a time.
      processes: 0 for one per CPU core.
    """

    generator: Literal["figure_classes"] = "figure_classes"
    name: str = "figure_classes"
    seed: Seed = 0
    size: Extent = 160
    quality: tuple[Quality, Quality] = (40, 95)
    splits: SplitCounts = dataclasses.field(default_factory=lambda: SplitCounts(160, 20, 40))
    per_shard: Size = 160
    processes: Workers = 0

    def __post_init__(self) -> None:
        if self.size < 64:
            raise ValueError(f"size={self.size} must be at least 64 pixels")
        if self.quality[0] > self.quality[1]:
            raise ValueError(f"quality={self.quality} must be least and best, in this order")


@dataclasses.dataclass(frozen=True)
class FigureClassesJob:
    """Implements :class:`data_gen.jobs.job.Job`; records stand in the order of their classes."""

    config: FigureClassesConfig

    @property
    def description(self) -> str:
        c = self.config
        return (
            f"Pictures of {len(CLASSES)} classes that figures show, phantoms and drawings: seed "
            f"{c.seed}, {c.size} px, made by medvlp_jax {medvlp_jax.__version__}."
        )

    @property
    def fingerprint(self) -> str:
        settings = to_plain(self.config)
        del settings["processes"]
        return fingerprint(medvlp_jax.__version__, settings)

    def shards(self) -> list[Shard]:
        c = self.config
        each = dataclasses.asdict(c.splits)
        counts = {split: count * len(CLASSES) for split, count in each.items()}
        return cut_splits(c.name, counts, c.per_shard)

    def records(self, shard: Shard) -> Iterator[Record]:
        c, split = self.config, shard.name.split
        each = dataclasses.asdict(c.splits)[split]
        for number, name in enumerate(CLASSES):
            low, high = number * each, (number + 1) * each
            places = range(max(low, shard.start), min(high, shard.stop))
            indices = [SPLIT_START[split] + place - low for place in places]
            if indices:
                made = pictures(name, c.seed, indices, c.size)
                for index, picture in zip(indices, made, strict=True):
                    yield self._record(name, split, index, picture)

    def _record(self, name: str, split: str, index: int, picture: np.ndarray) -> Record:
        c = self.config
        rng = np.random.default_rng((c.seed, index, 1))
        quality = int(rng.integers(c.quality[0], c.quality[1] + 1))
        data = encode(".jpeg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        height, width = picture.shape[:2]
        modality = name if name in MODALITIES else "other"
        id = f"{c.name}-{name}-{c.seed}-{index:010d}"
        return with_content_hash(
            Record(
                id=id,
                patient_id=id,
                split=split,
                images=(Image(data, "jpeg", "", modality, width, height),),
                labels={other: int(other == name) for other in CLASSES},
                provenance={"generator": GENERATOR, "class": name, "quality": quality},
            )
        )


def generate(
    config: FigureClassesConfig,
    directory: str | os.PathLike[str],
    progress: bool = True,
    runner: Runner | None = None,
) -> JobResult:
    """Makes the data set ``config`` in ``directory``, or what of it is missing there.

    Raises:
      UserError: see :func:`data_gen.jobs.run.run_job`.
    """
    job = FigureClassesJob(config)
    return jobs.run_job(job, directory, config.processes, progress, runner)
