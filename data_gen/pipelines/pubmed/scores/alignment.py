"""Alignment of sub-figures and sub-captions as MedICaT scores it.

Subramanian et al., Findings of EMNLP 2020, https://aclanthology.org/2020.findings-emnlp.191;
``subfigure_subcaption_metric.py`` of its repository. Words stand for its word pieces.
"""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from data_gen.pipelines.pubmed.base import Pair, Region, Separated, SplitCaption
from data_gen.pipelines.pubmed.match.words import body_text
from data_gen.pipelines.pubmed.scores.ratios import clusters_of, ratio_intervals
from data_gen.pipelines.pubmed.scores.truth import TrueFigure
from medvlp_jax.eval.metrics.bootstrap import Bootstrap, Interval
from medvlp_jax.eval.metrics.boxes import iou


def tokens(text: str) -> set[str]:
    """The words and numbers of a text, lower case."""
    return set(re.findall(r"[^\W_]+", text.lower()))


def alignment_f1(
    truth: TrueFigure, panels: Sequence[Region], texts: Sequence[str], least: float = 0.5
) -> Float[np.ndarray, "k"]:
    """F1 of every true sub-figure that has words of its own.

    The prediction with the best IoU is taken: 0 where that is below ``least``, else the F1 of the
    sets of words. Words that all true sub-captions of the figure share tell nothing and are left
    out on both sides; a true sub-caption of nothing else is not counted.

    Args:
      panels, texts: the sub-figures that were cut out, each with its sub-caption.

    Returns:
      values in [0, 1], one per true sub-figure that counts.
    """
    own = [tokens(panel.text) for panel in truth.panels]
    common = set.intersection(*own) if len(own) > 1 else set()
    boxes = np.array([(r.x0, r.y0, r.x1, r.y1) for r in panels], np.float64).reshape(-1, 4)
    out = []
    for panel, words in zip(truth.panels, own, strict=True):
        wanted = words - common
        if not wanted:
            continue
        box = panel.box
        overlaps = iou(np.array([(box.x0, box.y0, box.x1, box.y1)], np.float64), boxes)[0]
        best = int(np.argmax(overlaps)) if len(overlaps) else -1
        if best < 0 or overlaps[best] < least:
            out.append(0.0)
            continue
        said = tokens(texts[best]) - common
        shared = len(wanted & said)
        out.append(2 * shared / (len(wanted) + len(said)))
    return np.array(out)


def cut_out(
    separated: Separated, split: SplitCaption, pairs: Sequence[Pair]
) -> tuple[list[Region], list[str]]:
    """The sub-figures of a figure and their sub-captions, as records would have them.

    A whole figure is one with its whole caption.
    """
    texts: dict[int, list[str]] = {}
    for pair in pairs:
        if pair.status == "whole_figure":
            return [Region(0.0, 0.0, 1.0, 1.0)], [split.text]
        if pair.status != "rejected":
            for panel in pair.panels:
                texts.setdefault(panel, []).append(body_text(split, pair.part))
    return [separated.panels[p] for p in texts], [" ".join(said) for said in texts.values()]


def score_alignment(
    per_figure: Sequence[Float[np.ndarray, "k"]], bootstrap: Bootstrap, articles: Sequence[str] = ()
) -> Interval:
    """The mean over all sub-figures, with an interval over figures, or articles where given."""
    above = {"f1": np.array([values.sum() for values in per_figure])}
    below = {"f1": np.array([float(len(values)) for values in per_figure])}
    clusters = clusters_of(articles) if articles else None
    return ratio_intervals(above, below, bootstrap, clusters)["f1"]
