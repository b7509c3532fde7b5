"""The configs of taking figures apart, and of measuring it."""

import dataclasses
from typing import Literal

from data_gen.pipelines.pubmed.figures.pixels import MAX_PIXELS
from medvlp_jax.core.fields import Count, Folder, Fraction, Positive, Size


@dataclasses.dataclass(frozen=True)
class FiguresConfig:
    """How figures are taken apart.

    Attributes:
      method: ``detector`` with the gutters' help, or ``xy_cut`` alone, which needs no training.
      panels: workdir or compact folder of a detector (configs/brain/panels.py); "" is our own.
      labels: of a label reader (configs/brain/labels.py); "" is our own.
      confidence: of detections that count.
      gutter: narrowest gutter that the cut goes along, in thousandths of the longer side.
      smallest: narrowest panel, in thousandths of the longer side.
      batch: figures that go through the detector together.
      max_pixels: larger figures are refused before they are decoded.
    """

    method: Literal["detector", "xy_cut"] = "detector"
    panels: Folder = ""
    labels: Folder = ""
    confidence: Fraction = 0.15
    gutter: Positive = 3.0
    smallest: Positive = 12.0
    batch: Size = 4
    max_pixels: Size = MAX_PIXELS


@dataclasses.dataclass(frozen=True)
class MeasureConfig:
    """What is measured.

    Attributes:
      figures: how figures are taken apart.
      split: of the folder.
      resamples: of the intervals, over figures.
    """

    figures: FiguresConfig = dataclasses.field(default_factory=FiguresConfig)
    split: str = "test"
    resamples: Count = 1000
