"""How well figures are taken apart: panels, their labels, and what was taken for a label."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from data_gen.pipelines.pubmed.base import Region, Separated
from data_gen.pipelines.pubmed.figures.choose import ACCEPTED
from medvlp_jax.eval.metrics.bootstrap import Bootstrap, Interval, interval, mean_interval
from medvlp_jax.eval.metrics.boxes import ClassDetections, iou, match

#: IoU from which a panel is found.
IOU = 0.5
#: Share of a candidate that lies in the true panel for it to count (ImageCLEF).
_CLEF = 2 / 3
#: IoU from which a read label stands where a drawn one does.
_SAME_INK = 0.3


@dataclasses.dataclass(frozen=True)
class DrawnFigure:
    """What is known of a figure, boxes in fractions.

    Attributes:
      panels: [n, 4], in reading order.
      texts: of the panels' labels, "" where none is drawn.
      labels: [k, 4] ink of the drawn labels.
      label_texts: what they say.
      decoys: [d, 4] ink of letters that are no labels.
    """

    panels: Float[np.ndarray, "n 4"]
    texts: tuple[str, ...]
    labels: Float[np.ndarray, "k 4"]
    label_texts: tuple[str, ...]
    decoys: Float[np.ndarray, "d 4"]


def boxes_of(regions: Sequence[Region]) -> Float[np.ndarray, "n 4"]:
    """Regions as an array."""
    return np.array([[r.x0, r.y0, r.x1, r.y1] for r in regions], np.float64).reshape(-1, 4)


def clef_accuracy(truth: Float[np.ndarray, "n 4"], found: Float[np.ndarray, "m 4"]) -> float:
    """ImageCLEF's separation accuracy of one figure, 0 to 1.

    Each true panel in turn takes the free candidate of which the largest share lies in it, and it
    counts from two thirds on; matches over the larger of the two counts (the evaluation tool of
    ImageCLEFmed 2013, García Seco de Herrera et al.).
    """
    if not len(truth) or not len(found):
        return float(len(truth) == len(found))
    low = np.maximum(truth[:, None, :2], found[None, :, :2])
    high = np.minimum(truth[:, None, 2:], found[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(-1)
    share = both / np.maximum((found[:, 2:] - found[:, :2]).prod(1), 1e-12)
    free = np.ones(len(found), bool)
    matches = 0
    for row in share:
        best = int(np.argmax(np.where(free, row, -1.0)))
        if free[best] and row[best] >= _CLEF:
            free[best] = False
            matches += 1
    return matches / max(len(truth), len(found))


def panels_of(truth: Sequence[DrawnFigure], found: Sequence[Sequence[Region]]) -> ClassDetections:
    """All panels that were found in a set, matched with the true ones at :data:`IOU`."""
    records, scores, hits = [], [], []
    for i, (true, regions) in enumerate(zip(truth, found, strict=True)):
        order = sorted(range(len(regions)), key=lambda k: -regions[k].score)
        mine = boxes_of([regions[k] for k in order])
        records += [i] * len(mine)
        scores += [regions[k].score for k in order]
        hits.append(match(mine, true.panels, (IOU,)))
    return ClassDetections(
        np.array(records, np.int64),
        np.array(scores, np.float64),
        np.concatenate(hits) if hits else np.zeros((0, 1), bool),
        np.array([len(t.panels) for t in truth], np.int64),
        np.ones(len(truth), bool),
    )


def average_precision(
    truth: Sequence[DrawnFigure], found: Sequence[Sequence[Region]], bootstrap: Bootstrap
) -> Interval:
    """mAP of panels at IoU 0.5 over a set of figures, with its interval over figures."""
    matched = panels_of(truth, found)
    point = float(matched.precision(np.ones((len(truth), 1), np.int64))[0, 0])
    drawn = [matched.precision(counts)[0] for counts in bootstrap.counts(len(truth))]
    return interval(point, np.concatenate(drawn) if drawn else np.zeros(0), bootstrap.level)


def accuracy(
    truth: Sequence[DrawnFigure], found: Sequence[Sequence[Region]], bootstrap: Bootstrap
) -> Interval:
    """Mean of :func:`clef_accuracy`."""
    each = [
        clef_accuracy(t.panels, boxes_of(regions)) for t, regions in zip(truth, found, strict=True)
    ]
    return mean_interval(np.array(each), bootstrap)


@dataclasses.dataclass(frozen=True)
class LabelCounts:
    """Counts of one figure.

    Attributes:
      drawn: labels that are there.
      read: of them, those read as what they say where they stand.
      placed: of those read, the ones given to the right panel.
      decoys: letters that are no labels.
      taken: of them, those taken for labels.
      accepted: labels that were said to be there.
      wrong: of them, those that are not what is drawn there.
    """

    drawn: int
    read: int
    placed: int
    decoys: int
    taken: int
    accepted: int
    wrong: int


def label_counts(truth: DrawnFigure, separated: Separated) -> LabelCounts:
    """Compares the accepted labels of a figure with what is drawn; case counts."""
    mine = [(panel, one) for panel, one in separated.labels if one.score >= ACCEPTED]
    boxes = boxes_of([one.box for _, one in mine])
    panels = boxes_of(separated.panels)
    same = iou(truth.labels, boxes) if len(mine) and len(truth.labels) else None
    read = placed = 0
    right: set[int] = set()
    for k, text in enumerate(truth.label_texts):
        if same is None:
            break
        at = int(np.argmax(same[k]))
        if same[k, at] >= _SAME_INK and mine[at][1].text == text:
            read += 1
            right.add(at)
            own = truth.panels[truth.texts.index(text)]
            placed += int(iou(own[None], panels[mine[at][0]][None])[0, 0] >= IOU)
    taken = 0
    if len(mine) and len(truth.decoys):
        taken = int((iou(truth.decoys, boxes) >= _SAME_INK).any(1).sum())
    return LabelCounts(
        len(truth.labels), read, placed, len(truth.decoys), taken, len(mine), len(mine) - len(right)
    )


def ratio(
    part: Int[np.ndarray, "n"], whole: Int[np.ndarray, "n"], bootstrap: Bootstrap
) -> Interval:
    """``sum(part) / sum(whole)`` over figures, with its interval; NaN where there is nothing."""
    total = whole.sum()
    point = float(part.sum() / total) if total else float("nan")
    drawn = []
    for counts in bootstrap.counts(len(whole)):
        below = whole @ counts
        drawn.append(np.where(below > 0, (part @ counts) / np.maximum(below, 1), np.nan))
    return interval(point, np.concatenate(drawn) if drawn else np.zeros(0), bootstrap.level)


def score_figures(
    truth: Sequence[DrawnFigure],
    separated: Sequence[Separated],
    cut: Sequence[Sequence[Region]],
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """Every number about a set of figures, each as value, low and high.

    Args:
      separated: by the detector and the reader.
      cut: panels by the XY-cut alone, which stands beside them.
    """
    regions = [one.panels for one in separated]
    counts = [label_counts(t, s) for t, s in zip(truth, separated, strict=True)]
    columns = {
        f.name: np.array([getattr(c, f.name) for c in counts], np.int64)
        for f in dataclasses.fields(LabelCounts)
    }
    compound = np.array(
        [(len(t.panels) > 1) == (len(s.panels) > 1) for t, s in zip(truth, separated, strict=True)]
    )
    out = {
        "panels mAP@0.5": average_precision(truth, regions, bootstrap),
        "panels mAP@0.5, XY-cut": average_precision(truth, cut, bootstrap),
        "ImageCLEF accuracy": accuracy(truth, regions, bootstrap),
        "ImageCLEF accuracy, XY-cut": accuracy(truth, cut, bootstrap),
        "single or compound": mean_interval(compound.astype(float), bootstrap),
        "labels read": ratio(columns["read"], columns["drawn"], bootstrap),
        "labels at their panel": ratio(columns["placed"], columns["drawn"], bootstrap),
        "decoys taken for labels": ratio(columns["taken"], columns["decoys"], bootstrap),
        "accepted labels that are none": ratio(columns["wrong"], columns["accepted"], bootstrap),
    }
    totals = {
        "figures": len(truth),
        "panels": int(sum(len(t.panels) for t in truth)),
        "labels": int(columns["drawn"].sum()),
        "decoys": int(columns["decoys"].sum()),
    }
    return {"counts": totals, "scores": {name: one.to_json() for name, one in out.items()}}
