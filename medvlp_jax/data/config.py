"""What the input pipeline is told: sources, image, text, and how many hands do the work."""

import dataclasses
from typing import Literal

from medvlp_jax.core.fields import Extent, Folder, Fraction, Positive, Seed, Size, Workers
from medvlp_jax.data.images.augment import ImageConfig
from medvlp_jax.data.mixture import MixtureConfig
from medvlp_jax.data.texts.choice import TextConfig


@dataclasses.dataclass(frozen=True)
class SourceConfig:
    """One split of one data folder.

    Attributes:
      path: the folder that :func:`medvlp_jax.data.store.dataset.open_dataset` reads.
      split: "train", "validation", ...
      weight: share of the batches, relative to the other sources; ``None`` for all of them = by
        number of records, as ``data.mixture`` says.
    """

    path: Folder
    split: str = "train"
    weight: Positive | None = None

    def __post_init__(self) -> None:
        if not self.path.strip():
            raise ValueError("path is empty; give a data folder")


@dataclasses.dataclass(frozen=True)
class LatentsConfig:
    """Arrays that were made of the records beforehand; see :mod:`medvlp_jax.data.columns.latents`.

    Attributes:
      folder: holds them, for all sources.
      shape: of the array of one record.
      dtype: as stored, and as batches have it.
    """

    folder: Folder
    shape: tuple[Extent, ...]
    dtype: Literal["float32", "float16"] = "float32"


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The whole input pipeline. Which columns its batches have, the task says.

    Attributes:
      sources: what training reads.
      batch_size: rows of one global batch, over all processes.
      image, text: how a visit becomes arrays.
      labels: names in the order of ``batch["labels"]`` and of ``batch["box_label"]``.
      max_boxes: how many boxes a row holds.
      masks: names in the order of the last axis of ``batch["masks"]``.
      group_by: key of the provenance (``a.b`` for one in a group) whose value is equal for records
        that belong together, as the panels of one figure; see ``data.columns.record_keys``.
      latents: where cached arrays are; None: nowhere.
      seed: of the data order, text choice and augmentation.
      workers: worker processes; 0 loads in threads of the main process.
      threads: decoding threads per process; 0 = the cores at hand divided among the workers.
      prefetch: batches that each process prepares ahead.
      max_bad_fraction: training stops when more than this fraction of the visited records cannot
        be read (ten are always forgiven, unless it is 0).
      held_out: a list of records that training leaves out, as ``launch/leakage.py`` writes it;
        "" for none.
      cache_dir: folder for text lengths and a trained tokenizer; "" = the source's folder.
      mixture: how much of the batches each source or modality gets.
    """

    sources: tuple[SourceConfig, ...]
    batch_size: Size
    image: ImageConfig = dataclasses.field(default_factory=ImageConfig)
    text: TextConfig = dataclasses.field(default_factory=TextConfig)
    labels: tuple[str, ...] = ()
    max_boxes: Extent = 16
    masks: tuple[str, ...] = ()
    group_by: str = "figure"
    latents: LatentsConfig | None = None
    seed: Seed = 0
    workers: Workers = 0
    threads: Workers = 0
    prefetch: Extent = 2
    max_bad_fraction: Fraction = 0.01
    held_out: Folder = ""
    cache_dir: Folder = ""
    mixture: MixtureConfig = dataclasses.field(default_factory=MixtureConfig)

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("sources is empty; give at least one data folder")
        if len({s.weight is None for s in self.sources}) > 1:
            raise ValueError("either all sources have a weight or none has")
        if self.sources[0].weight is not None:
            if self.mixture.by == "modality":
                raise ValueError(
                    "mixture.by='modality' takes mixture.weights, not sources[i].weight"
                )
            if self.mixture.temperature != 1:
                raise ValueError("give sources[i].weight or mixture.temperature, not both")
        for name in ("labels", "masks"):
            if len(set(getattr(self, name))) != len(getattr(self, name)):
                raise ValueError(f"{name} names one thing twice")
