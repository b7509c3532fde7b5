"""Boxes on the host: suppression, matching, and average precision of a set and its resamples."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

#: IoU thresholds that mAP is averaged over (the RSNA challenge's; MGCA's detector).
THRESHOLDS = tuple(round(0.4 + 0.05 * i, 2) for i in range(8))
Boxes = Float[np.ndarray, "n 4"]


def iou(a: Boxes, b: Float[np.ndarray, "m 4"]) -> Float[np.ndarray, "n m"]:
    """Intersection over union of boxes (x0, y0, x1, y1); 0 where both are empty."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.prod(np.clip(high - low, 0, None), -1)
    area_a, area_b = (np.prod(np.clip(x[:, 2:] - x[:, :2], 0, None), -1) for x in (a, b))
    union = area_a[:, None] + area_b[None] - both
    out = np.zeros(both.shape, np.result_type(both, np.float32))  # whole pixels divide too
    return np.divide(both, union, out=out, where=union > 0)


def suppress(boxes: Boxes, scores: Float[np.ndarray, "n"], limit: float) -> Int[np.ndarray, "k"]:
    """Greedy non-maximum suppression: indices that stay, best first.

    A box goes if its IoU with a better one that stays is above ``limit``.
    """
    order = np.argsort(-scores, kind="stable")
    overlaps = iou(boxes, boxes)
    kept: list[int] = []
    for i in order:
        if not kept or overlaps[i, kept].max() <= limit:
            kept.append(int(i))
    return np.array(kept, np.int64)


def match(
    found: Boxes, truth: Float[np.ndarray, "m 4"], thresholds: Sequence[float]
) -> Bool[np.ndarray, "n t"]:
    """Which detections, best first, hit: each takes the best box that is free, one box once."""
    hit = np.zeros((len(found), len(thresholds)), bool)
    if not len(truth) or not len(found):
        return hit
    overlaps = iou(found, truth)
    for t, limit in enumerate(thresholds):
        free = np.ones(len(truth), bool)
        for i in range(len(found)):
            best = int(np.argmax(np.where(free, overlaps[i], -1.0)))
            if free[best] and overlaps[i, best] >= limit:
                hit[i, t], free[best] = True, False
    return hit


@dataclasses.dataclass(frozen=True)
class ClassDetections:
    """All detections of one class in a set, matched.

    Attributes:
      record: of each detection.
      score: of each detection.
      hit: of each detection at each threshold.
      boxes: number of true boxes of each record.
      known: whether the record's boxes of this class are known; others count nowhere.
    """

    record: Int[np.ndarray, "d"]
    score: Float[np.ndarray, "d"]
    hit: Bool[np.ndarray, "d t"]
    boxes: Int[np.ndarray, "n"]
    known: Bool[np.ndarray, "n"]

    def precision(self, counts: Int[np.ndarray, "n r"]) -> Float[np.ndarray, "t r"]:
        """Average precision at each threshold when record i counts ``counts[i]`` times.

        The area under the precision-recall curve with precision made monotone (VOC 2010), one
        point per distinct score. A record without a box adds its detections as false positives,
        one without a detection its boxes as misses. NaN where no true box is left.
        """
        total = (self.boxes * self.known) @ counts
        order = np.argsort(-self.score, kind="stable")
        order = order[self.known[self.record[order]]]
        out = np.full((self.hit.shape[1], counts.shape[1]), np.nan)
        some = total > 0
        if not len(order):
            out[:, some] = 0.0
            return out
        ranked = self.score[order]
        new = np.append(True, ranked[1:] != ranked[:-1])
        group = np.cumsum(new) - 1  # of each detection: those of one score
        ends = np.append(np.flatnonzero(new)[1:] - 1, len(ranked) - 1)
        drawn = counts[self.record[order]]
        called = np.cumsum(drawn, 0, dtype=np.int64)
        for t in range(self.hit.shape[1]):
            # Precision rises at a hit alone, so that no other point counts.
            hits = np.flatnonzero(self.hit[order, t])
            if not len(hits):
                out[t, some] = 0.0
                continue
            groups, first = np.unique(group[hits], return_index=True)
            gained = np.add.reduceat(drawn[hits], first, 0, dtype=np.int64)
            true = np.cumsum(gained, 0)
            precision = true / np.maximum(called[ends[groups]], 1)
            best = np.maximum.accumulate(precision[::-1], 0)[::-1]
            area = (gained * best).sum(0)
            out[t, some] = area[some] / total[some]
        return out


def detections_of(
    predicted: Float[np.ndarray, "n c 6"],
    boxes: Float[np.ndarray, "n m 4"],
    box_label: Int[np.ndarray, "n m"],
    known: Bool[np.ndarray, "n k"],
    *,
    confidence: float,
    nms: float,
    thresholds: Sequence[float] = THRESHOLDS,
) -> list[ClassDetections]:
    """Suppresses and matches, class by class.

    Args:
      predicted: x0, y0, x1, y1, score, class.
      box_label: -1 is padding.
      confidence: detections with a smaller score are dropped.
      nms: IoU above which the weaker of two detections of one class is dropped.
    """
    out = []
    for k in range(known.shape[1]):
        records, scores, hits = [], [], []
        of_class = box_label == k
        for i in range(len(predicted)):
            mine = predicted[i][(predicted[i, :, 5] == k) & (predicted[i, :, 4] >= confidence)]
            mine = mine[suppress(mine[:, :4], mine[:, 4], nms)] if len(mine) else mine
            records += [i] * len(mine)
            scores.append(mine[:, 4])
            hits.append(match(mine[:, :4], boxes[i][of_class[i]], thresholds))
        out.append(
            ClassDetections(
                np.array(records, np.int64),
                np.concatenate(scores) if scores else np.zeros(0),
                np.concatenate(hits) if hits else np.zeros((0, len(thresholds)), bool),
                of_class.sum(1),
                known[:, k],
            )
        )
    return out


def optimistic(one: ClassDetections) -> ClassDetections:
    """Without the records that lack a box or a detection, as published code leaves them out."""
    detected = np.bincount(one.record, minlength=len(one.boxes)) > 0
    return dataclasses.replace(one, known=one.known & detected & (one.boxes > 0))


def mean_precision(
    found: Sequence[ClassDetections], counts: Int[np.ndarray, "n r"] | None = None
) -> np.ndarray:
    """Average precision averaged over :data:`THRESHOLDS`, of each class [k].

    With ``counts``, how often each resample holds each record, [k, r].
    """
    if counts is None:
        one = np.ones((len(found[0].boxes), 1), np.int64)
        return np.array([d.precision(one).mean(0)[0] for d in found])
    return np.stack([d.precision(counts).mean(0) for d in found])
