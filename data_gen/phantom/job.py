"""A phantom as a data job: studies, pictures, reports and truth as shards of records."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import medvlp_jax
from data_gen.jobs import run as jobs
from data_gen.jobs.job import Runner, Shard
from data_gen.jobs.run import JobResult
from data_gen.phantom.base import FindingMix, Phantom, Study, Switched
from data_gen.phantom.grammar import listing
from data_gen.phantom.pieces import Piece, pieces
from data_gen.phantom.records import record_of
from data_gen.phantom.registry import DEFAULT, find_phantom, without_default
from medvlp_jax.core.config import to_plain
from medvlp_jax.core.fields import Count, Extent, Quality, Seed, Size, Workers
from medvlp_jax.data.store.manifest import ShardName, fingerprint
from medvlp_jax.data.store.record import Record

#: First study index of a split: far enough apart that a split never reaches the next one, so a
#: larger training set keeps its validation and test studies, and none of them is in it.
SPLIT_START = {"train": 0, "validation": 1_000_000_000, "test": 2_000_000_000}
MAX_STUDIES = 1_000_000_000
_BATCH = 16  # pictures rendered at a time; has no influence on them
SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
#: Keys that came later -> what they were before: they are no part of a fingerprint then.
_LATER: dict[str, Any] = {
    "modalities": (),
    "counterfactual": False,
    "counterfactual_splits": SPLITS,
}


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
      image_format, quality: PNG, or JPEG of this quality (1 to 100); gray, or in colour where the
        modality has any.
      mix: how many findings a study has, and how severe they are.
      masks: whether to store organs and findings as masks too (they double the size).
      splits: studies per split.
      studies_per_shard: of which one is made, and resumed, at a time.
      processes: 0 for one per CPU core; 1 works in the main process, on JAX's own device.
      modality: what is drawn, a key of :data:`data_gen.phantom.registry.PHANTOMS`.
      modalities: several of them in one folder instead, in equal shares of every split; a shard
        holds studies of one.
      counterfactual: whether each study is followed by its counterfactual, which has one finding
        more or fewer (:meth:`data_gen.phantom.base.Phantom.switched`): ``splits`` counts studies,
        and there are twice as many records.
      counterfactual_splits: the splits in which that is so.
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
    modalities: tuple[str, ...] = ()
    counterfactual: bool = False
    counterfactual_splits: tuple[SplitName, ...] = SPLITS

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
        for name in self.modalities:
            find_phantom(name)
        if len(set(self.modalities)) < len(self.modalities):
            raise ValueError(f"modalities={self.modalities} names one twice")
        if self.modalities and self.modality != DEFAULT:
            raise ValueError(
                f"modality={self.modality!r} and modalities={self.modalities} are both given; "
                "give one of the two"
            )

    @property
    def drawn(self) -> tuple[str, ...]:
        """The modalities of the folder."""
        return self.modalities or (self.modality,)

    def partners(self, split: str) -> bool:
        """Whether the studies of a split have counterfactuals beside them."""
        return self.counterfactual and split in self.counterfactual_splits


@dataclasses.dataclass(frozen=True)
class PhantomJob:
    """Implements :class:`data_gen.jobs.job.Job`."""

    config: PhantomConfig

    @property
    def description(self) -> str:
        c = self.config
        titles = listing([find_phantom(name).title for name in c.drawn], "and")
        made = f"seed {c.seed}, {c.size} px, made by medvlp_jax {medvlp_jax.__version__}."
        what = f"Procedural {titles} with reports, boxes and masks: {made}"
        paired = [split for split in dataclasses.asdict(c.splits) if c.partners(split)]
        if paired:
            what += (
                f" In {listing(paired, 'and')} each study is followed by its counterfactual, with "
                "one finding more or fewer: twice as many records as studies."
            )
        return what

    @property
    def fingerprint(self) -> str:
        settings = without_default(to_plain(self.config))
        del settings["processes"]
        if not self.config.counterfactual:
            del settings["counterfactual_splits"]  # of which nothing is seen
        for key, before in _LATER.items():
            if key in settings and getattr(self.config, key) == before:
                del settings[key]
        return fingerprint(medvlp_jax.__version__, settings)

    def _pieces(self, split: str) -> list[Piece]:
        c = self.config
        return pieces(c.drawn, dataclasses.asdict(c.splits)[split], c.studies_per_shard)

    def shards(self) -> list[Shard]:
        out = []
        for split in dataclasses.asdict(self.config.splits):
            made, each = self._pieces(split), 2 if self.config.partners(split) else 1
            start = 0
            for i, piece in enumerate(made):
                stop = start + each * (piece.stop - piece.start)
                name = ShardName(self.config.name, split, i, len(made))
                out.append(Shard(name, start, stop))
                start = stop
        return out

    def records(self, shard: Shard) -> Iterator[Record]:
        """The studies of a shard in order, rendered a few at a time."""
        split = shard.name.split
        piece = self._pieces(split)[shard.name.index]
        first = SPLIT_START[split]
        for start in range(piece.start, piece.stop, _BATCH):
            indices = range(first + start, first + min(start + _BATCH, piece.stop))
            yield from self.make(indices, split, piece.modality)

    def make(self, indices: Sequence[int], split: str, modality: str = "") -> list[Record]:
        """Records of the studies ``indices``; each depends on (seed, index) alone.

        ``modality``: one of those of the folder; empty takes the first.
        """
        c = self.config
        phantom = find_phantom(modality or c.drawn[0])
        shown: list[tuple[Study, Switched | None]] = []
        for index in indices:
            study = phantom.sample(c.seed, index, c.mix)
            shown.append((study, None))
            if c.partners(split):
                switched = phantom.switched(study)
                shown.append((switched.study, switched))
        rendered = phantom.render([study for study, _ in shown], c.size, masks=c.masks)
        return [
            record_of(
                phantom,
                study,
                rendered,
                i,
                name=self._id(phantom, study.index),
                split=split,
                seed=c.seed,
                file=c.image_format,
                quality=c.quality,
                switched=switched,
            )
            for i, (study, switched) in enumerate(shown)
        ]

    def _id(self, phantom: Phantom, index: int) -> str:
        c = self.config
        among = f"{phantom.name}-" if c.modalities else ""
        return f"{c.name}-{among}{c.seed}-{index:010d}"


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
