"""A figure with all that the stages found in it, as the later ones read it."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable

from data_gen.pipelines.pubmed.base import (
    Article,
    Figure,
    Pair,
    Separated,
    SplitCaption,
    as_json,
    from_json,
)
from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.core.files import jsonl
from medvlp_jax.core.files.replacing import replacing


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


def write_matched(path: str | os.PathLike[str], figures: Iterable[MatchedFigure]) -> pathlib.Path:
    """Writes a line of JSON per figure; the file appears whole or not at all."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.writelines(jsonl.line(as_json(figure)) for figure in figures)
    return pathlib.Path(path)


def read_matched(path: str | os.PathLike[str]) -> list[MatchedFigure]:
    """The figures of a file that :func:`write_matched` wrote.

    Raises:
      UserError: a line that is no such figure, named by its number, or a figure twice.
    """
    out: dict[str, MatchedFigure] = {}
    mend = "it is no output of this stage: make it again"
    for number, line in enumerate(jsonl.read(path, mend), 1):
        with one_net(f"{path}, line {number},", mend):
            figure = from_json(MatchedFigure, line)
            _check(figure)
        if figure.key in out:
            raise UserError(f"{path}, line {number}: {figure.key} stands there twice; {mend}")
        out[figure.key] = figure
    return list(out.values())


def _check(figure: MatchedFigure) -> None:
    """Indices of pairs and labels lie within their lists; names are names and no paths."""
    for name in (figure.graphic, figure.folder, figure.article.pmcid):
        if not name or "/" in name or "\\" in name or name in (".", ".."):
            raise ValueError(f"{name!r} is no name of a file")
    panels, parts = len(figure.separated.panels), len(figure.split.parts)
    for pair in figure.pairs:
        if not all(0 <= panel < panels for panel in pair.panels) or not -1 <= pair.part < parts:
            raise ValueError(f"a pair of panels {pair.panels} with part {pair.part}")
    for panel, _ in figure.separated.labels:
        if not 0 <= panel < panels:
            raise ValueError(f"a label of panel {panel}")
