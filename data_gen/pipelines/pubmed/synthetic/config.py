"""How large the synthetic library is, and how often it has what makes trouble."""

import dataclasses

from data_gen.pipelines.pubmed.synthetic.pool import PoolConfig
from medvlp_jax.core.fields import Count, Fraction, Seed, Size


@dataclasses.dataclass(frozen=True)
class SyntheticConfig:
    """A synthetic PubMed.

    Attributes:
      seed: another seed gives other articles.
      articles: how many there are.
      edition: 0 is the library as it is first seen; with each later one a twentieth more articles
        appear, and some of the old ones are retracted or change their licence.
      figures: most figures of an article.
      panels: most panels of a figure.
      swapped: share of compound figures whose printed labels leave reading order.
      unlabelled: share of compound figures without printed labels.
      retracted: share of articles that are.
      versions: share of articles with more than one version.
      manuscripts: share of articles whose last version is the author's manuscript.
      pool: of the pictures.
    """

    seed: Seed = 0
    articles: Size = 2000
    edition: Count = 0
    figures: Size = 4
    panels: Size = 9
    swapped: Fraction = 0.12
    unlabelled: Fraction = 0.1
    retracted: Fraction = 0.03
    versions: Fraction = 0.06
    manuscripts: Fraction = 0.05
    pool: PoolConfig = dataclasses.field(default_factory=PoolConfig)

    def __post_init__(self) -> None:
        if self.panels > 12:
            raise ValueError(f"panels={self.panels} must be at most 12")
        if self.versions + self.manuscripts > 1:
            raise ValueError("versions and manuscripts are shares of the articles; lower one")

    @property
    def total(self) -> int:
        """Articles of this edition."""
        return self.articles + self.edition * max(1, self.articles // 20)
