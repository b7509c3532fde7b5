"""What is known of a synthetic article: the truth that every stage is measured against."""

import dataclasses

from data_gen.pipelines.pubmed.base import (
    Licence,
    Mention,
    Pair,
    ReadLabel,
    Region,
    SplitCaption,
)


@dataclasses.dataclass(frozen=True)
class FindingTruth:
    """Something abnormal that a panel shows.

    Attributes:
      name: the label of the finding.
      phrase: as the caption says it.
      panel: index into the panels of the figure.
      box: within the figure.
      within: within the panel.
    """

    name: str
    phrase: str
    panel: int
    box: Region
    within: Region


@dataclasses.dataclass(frozen=True)
class PanelTruth:
    """A panel of a figure.

    Attributes:
      box: within the figure.
      kind: of the picture ("brain_mri", "chart", ...).
      modality: as a record says it; "" for what is no medical picture.
      labels: the printed label with its box, or nothing.
      name: what the caption calls it: a label in upper case, or positional words; "" for nothing.
      exchanged: whether its label is not that of its place in reading order.
      present, absent: labels of the picture that are true, and that are not; others say nothing.
    """

    box: Region
    kind: str
    modality: str
    labels: tuple[ReadLabel, ...] = ()
    name: str = ""
    exchanged: bool = False
    present: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class FigureTruth:
    """A figure of an article.

    Attributes:
      id, label: of the ``fig`` element; "" where it has none.
      graphic: name of the file.
      width, height: in pixels.
      medical: whether any panel is a medical picture.
      relevant: whether any panel shows what the article is looked for ("brain").
      panels: in reading order.
      caption: the text with its parts, as it reads once its markup is gone.
      convention: how the caption names its panels; "" where it names none.
      pairs: panels and the parts that are about them, with the status that can be reached.
      swapped: whether the labels in the pixels do not follow reading order.
      findings: of all panels.
      mentions: paragraphs that refer to the figure, in order.
    """

    id: str
    label: str
    graphic: str
    width: int
    height: int
    medical: bool
    relevant: bool
    panels: tuple[PanelTruth, ...]
    caption: SplitCaption
    convention: str
    pairs: tuple[Pair, ...]
    swapped: bool = False
    findings: tuple[FindingTruth, ...] = ()
    mentions: tuple[Mention, ...] = ()


@dataclasses.dataclass(frozen=True)
class ArticleTruth:
    """An article of the library.

    Attributes:
      pmcid, version: which.
      relevant: whether it is what the screening looks for.
      licence: as the metadata say it.
      retracted, manuscript: as the metadata say it.
      figures: in the order of the text.
    """

    pmcid: str
    version: int
    relevant: bool
    licence: Licence
    retracted: bool
    manuscript: bool
    figures: tuple[FigureTruth, ...]
