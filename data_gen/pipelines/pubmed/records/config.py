"""What becomes a record, and what its texts are."""

import dataclasses
from typing import Literal

from data_gen.pipelines.pubmed.base import Status
from medvlp_jax.core.fields import Extent, Fraction, Quality, Seed

TextPolicy = Literal["body", "preface_body", "whole"]


def _fractions() -> dict[str, float]:
    return {"train": 0.8, "validation": 0.1, "test": 0.1}


@dataclasses.dataclass(frozen=True)
class RecordsConfig:
    """How records are made of matched figures.

    Attributes:
      statuses: of pairs that become records; the others are rejects.
      min_score: of such a pair.
      min_side: pixels of the shorter side of a sub-figure.
      crops: file format of sub-figures: ``as_source`` (PNG from a PNG, JPEG from a JPEG), or one
        for all. A whole figure stays the file that was published.
      quality: of JPEG crops, whose colour is not subsampled.
      text: what the joined text (section ``report``) is made of: the part's own words (``body``),
        with what the caption says before all parts (``preface_body``), or also what it says after
        them (``whole``). Section ``caption`` always holds the own words alone.
      mentions: what is kept of paragraphs that refer to the panel.
      split_fractions: split -> share of the articles; an article is never divided.
      split_seed: of the hash.
      modality: of records whose modality nobody knows.
    """

    statuses: tuple[Status, ...] = ("label_match", "order_match", "whole_figure")
    min_score: Fraction = 0.0
    min_side: Extent = 32
    crops: Literal["as_source", "png", "jpeg"] = "as_source"
    quality: Quality = 95
    text: TextPolicy = "whole"
    mentions: Literal["sentence", "paragraph", "none"] = "sentence"
    split_fractions: dict[str, Fraction] = dataclasses.field(default_factory=_fractions)
    split_seed: Seed = 0
    modality: str = ""

    def __post_init__(self) -> None:
        total = sum(self.split_fractions.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"split_fractions add up to {total:g}; they have to add up to 1")
