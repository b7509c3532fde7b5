"""The last stage: which studies stay, and the shards that they are copied to."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from data_gen.curation.duplicates import near_duplicates
from data_gen.jobs.job import Shard, cut
from data_gen.pipelines.syncxr import work
from data_gen.pipelines.syncxr.config import ORDER, SynCXRConfig
from data_gen.pipelines.syncxr.drawing import STAGE
from medvlp_jax.data.store.dataset import open_array_record
from medvlp_jax.data.store.layout import from_example
from medvlp_jax.data.store.manifest import ShardName, fingerprint
from medvlp_jax.data.store.record import Record

#: (index of the shard of the stage before, place in it).
Place = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which studies stay.

    Attributes:
      kept: split -> places of its studies, at most as many as were asked for, in order.
      spare: split -> how many more there are.
      duplicates: id of a study that goes -> id of the one that it is like.
    """

    kept: dict[str, list[Place]]
    spare: dict[str, int]
    duplicates: dict[str, str]

    def missing(self, config: SynCXRConfig) -> dict[str, int]:
        """Split -> studies that it lacks; complete splits are left out."""
        short = {s: getattr(config.splits, s) - len(places) for s, places in self.kept.items()}
        return {split: count for split, count in short.items() if count > 0}


def choose(
    config: SynCXRConfig, folder: Path, names: Mapping[str, Sequence[ShardName]], above: float
) -> Choice:
    """Goes through the accepted images in the order of their rows, held-out splits first.

    Args:
      folder: of the images.
      names: split -> its finished shards.
      above: cosine above which the later one of two images goes; 1 keeps all.
    """
    ids: list[str] = []
    places: list[tuple[str, Place]] = []
    blocks = []
    for split in (s for s in ORDER if s in names):
        for name in names[split]:
            found, embeddings = work.read_accepted(folder, name)
            places += [(split, (name.index, i)) for i in range(len(found))]
            ids += found
            blocks.append(embeddings)
    width = max((b.shape[1] for b in blocks), default=0)
    duplicates: dict[str, str] = {}
    if width and above < 1:
        # A shard in which nothing was embedded has rows of no width.
        rows = [b if b.shape[1] else np.zeros((len(b), width), np.float32) for b in blocks]
        duplicates = near_duplicates(np.concatenate(rows), ids, above)
    kept: dict[str, list[Place]] = {split: [] for split in names}
    spare = dict.fromkeys(names, 0)
    for name, (split, place) in zip(ids, places, strict=True):
        if name in duplicates:
            continue
        if len(kept[split]) < getattr(config.splits, split):
            kept[split].append(place)
        else:
            spare[split] += 1
    return Choice(kept, spare, duplicates)


@dataclasses.dataclass(frozen=True)
class FinalJob:
    """Implements :class:`data_gen.jobs.job.Job`: copies what stays.

    Attributes:
      config: of the data set.
      images: folder of the stage before.
      kept: see :class:`Choice`.
      fingerprint: see :func:`final_fingerprint`.
      description: of the data set, for its metadata.
    """

    config: SynCXRConfig
    images: Path
    kept: dict[str, list[Place]]
    fingerprint: str
    description: str

    def shards(self) -> list[Shard]:
        c = self.config
        out = []
        for split, places in self.kept.items():
            out += cut(c.name, split, len(places), c.studies_per_shard)
        return out

    def records(self, shard: Shard) -> Iterator[Record]:
        """The studies of a shard, in order."""
        split = shard.name.split
        stage = {s.name.index: s.name for s in self._stage() if s.name.split == split}
        places = self.kept[split][shard.start : shard.stop]
        for index in dict.fromkeys(index for index, _ in places):
            reader = open_array_record(self.images / stage[index].filename)
            for data in reader.read([i for number, i in places if number == index]):
                yield from_example(data)

    def _stage(self) -> list[Shard]:
        return work.stage_shards(self.config, STAGE)


def final_fingerprint(images: str, choice: Choice) -> str:
    """Of what was chosen from the images with that fingerprint."""
    return fingerprint(images, choice.kept)
