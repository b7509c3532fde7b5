"""The report page of an evaluation."""

from medvlp_jax.eval.page.inputs import (
    Heatmap,
    LabelledBox,
    Reject,
    Sample,
    Segmented,
    heatmaps_of,
    sample_of,
    segmented_of,
)
from medvlp_jax.eval.page.page import write_report

__all__ = [
    "Heatmap",
    "LabelledBox",
    "Reject",
    "Sample",
    "Segmented",
    "heatmaps_of",
    "sample_of",
    "segmented_of",
    "write_report",
]
