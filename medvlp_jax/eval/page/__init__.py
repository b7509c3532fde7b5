"""The page of an evaluation: its sections, drawn with the kit in ``medvlp_jax.pages``."""

from medvlp_jax.eval.page.inputs import Heatmap, Segmented, heatmaps_of, sample_of, segmented_of
from medvlp_jax.eval.page.page import write_report

__all__ = ["Heatmap", "Segmented", "heatmaps_of", "sample_of", "segmented_of", "write_report"]
