"""What a set of composites is."""

import dataclasses
from typing import Literal

from data_gen.phantom.job import SplitCounts
from data_gen.pipelines.pubmed.compose.figure import Sizes
from data_gen.pipelines.pubmed.figures.config import MeasureConfig
from medvlp_jax.core.fields import Extent, Folder, Fraction, Positive, Quality, Seed, Size, Workers


@dataclasses.dataclass(frozen=True)
class PoolSizes:
    """How many pictures are drawn beforehand, for training and again for the other splits.

    Attributes:
      per_modality: phantoms of each modality.
      drawings: of each kind of drawing.
      side: pixels a side of phantoms; the longer side of drawings is twice as long.
    """

    per_modality: Size = 64
    drawings: Size = 20
    side: Extent = 224

    def __post_init__(self) -> None:
        if not 48 <= self.side <= 1024:
            raise ValueError(f"pool.side={self.side} must be 48 to 1024 pixels")


@dataclasses.dataclass(frozen=True)
class CompositesConfig:
    """Compound figures with their truth, as a data folder.

    Boxes of a record: ``panel`` (with its label as phrase), ``image`` (of which panels are made),
    ``label`` and ``decoy`` (ink, with what is written). Splits other than ``train`` use other
    pictures and, of ``layouts``, other layouts.

    Attributes:
      generator: the word that picks this config.
      name: of the data set, in the names of its shards.
      seed: another seed gives other figures.
      longer: range of the longer side in pixels.
      letters: range of the em of labels, in thousandths of the longer side.
      quality: range of JPEG's quality.
      layouts: JSON file of real layouts; "" for none.
      real: share of figures in a real layout, where ``layouts`` is given.
      pool: pictures that panels show.
      splits: figures per split; 0 leaves the split out.
      per_shard: of which one is made, and resumed, at a time.
      processes: of this machine; 0 is one per core.
      score: what is measured on the finished folder; None: nothing.
    """

    generator: Literal["composites"] = "composites"
    name: str = "composites"
    seed: Seed = 0
    longer: tuple[Extent, Extent] = (600, 1600)
    letters: tuple[Positive, Positive] = (14.0, 34.0)
    quality: tuple[Quality, Quality] = (55, 95)
    layouts: Folder = ""
    real: Fraction = 0.4
    pool: PoolSizes = dataclasses.field(default_factory=PoolSizes)
    splits: SplitCounts = dataclasses.field(default_factory=SplitCounts)
    per_shard: Size = 100
    processes: Workers = 0
    score: MeasureConfig | None = None

    def __post_init__(self) -> None:
        low, high = self.longer
        if not 200 <= low <= high <= 6000:
            raise ValueError(f"longer={self.longer} must be 200 <= low <= high <= 6000 pixels")
        for name in ("letters", "quality"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}={(low, high)} must be low <= high")

    @property
    def sizes(self) -> Sizes:
        return Sizes(self.longer, self.letters)
