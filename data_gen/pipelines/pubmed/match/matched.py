"""A figure with all that the stages found in it, as the later ones read it."""

import dataclasses

from data_gen.pipelines.pubmed.base import Article, Figure, Pair, Separated, SplitCaption


@dataclasses.dataclass(frozen=True)
class MatchedFigure:
    """One image of a figure, taken apart and matched; goes to JSON and back as the others do.

    Attributes:
      article: without its figures and abstract.
      figure: the caption is that of ``split``.
      graphic: name of the image's file in the folder of the article.
      separated, split, pairs: what was found.
      source_url, retrieved: where the image is from, and the date (ISO) it was fetched.
    """

    article: Article
    figure: Figure
    graphic: str
    separated: Separated
    split: SplitCaption
    pairs: tuple[Pair, ...]
    source_url: str = ""
    retrieved: str = ""

    def __post_init__(self) -> None:
        slim = dataclasses.replace(self.article, figures=(), abstract="")
        object.__setattr__(self, "article", slim)

    @property
    def folder(self) -> str:
        """Name of the folder of the article: ``PMC123.1``, or ``PMC123`` without a version."""
        version = f".{self.article.version}" if self.article.version else ""
        return f"{self.article.pmcid}{version}"

    @property
    def key(self) -> str:
        """Unique among all images of all articles."""
        return f"{self.folder}/{self.figure.id}/{self.graphic}"
