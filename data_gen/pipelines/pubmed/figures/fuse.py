"""The detector's boxes and the gutters' cuts made one: the detector says which, the gutters where.

A detection sees a figure at 288 pixels and is a few pixels off; a cut along a gutter is exact but
falls apart at every white line of a chart, and finds nothing where images touch.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from data_gen.pipelines.pubmed.figures.edges import Edges
from medvlp_jax.eval.metrics.boxes import iou, suppress

Boxes = Float[np.ndarray, "n 4"]


@dataclasses.dataclass(frozen=True)
class Fusion:
    """Thresholds.

    Attributes:
      confidence: of detections that count.
      nms: IoU above which the weaker of two detections goes.
      inside: share of a box that lies in another one for it to be part of it.
      agree: IoU of a detection with the cut pieces within it, to take their edges.
      alone: score of a piece that no detection speaks for.
      filled: share of such a piece that must be no background.
    """

    confidence: float = 0.3
    nms: float = 0.45
    inside: float = 0.75
    agree: float = 0.55
    alone: float = 0.25
    filled: float = 0.85


def fuse(
    detections: Float[np.ndarray, "k 5"],
    leaves: Boxes,
    filled: Float[np.ndarray, "m"],
    edges: Edges,
    fusion: Fusion,
) -> Float[np.ndarray, "n 5"]:
    """Images of a figure as x0, y0, x1, y1 in pixels and a score.

    Args:
      detections: boxes in pixels and scores.
      leaves: pieces that gutters cut out, in pixels.
      filled: share of each piece that is no background.
      edges: of the figure.
    """
    f = fusion
    found = detections[detections[:, 4] >= f.confidence]
    found = found[suppress(found[:, :4], found[:, 4], f.nms)] if len(found) else found
    found = found[_outermost(found[:, :4], f.inside)] if len(found) else found
    boxes, scores = found[:, :4].copy(), found[:, 4].copy()
    within = share_inside(leaves, boxes)  # [leaf, box]
    around = share_inside(boxes, leaves)  # [box, leaf]
    taken = np.zeros(len(leaves), bool)
    loose = []
    for i in range(len(boxes)):
        mine = np.flatnonzero(within[:, i] >= f.inside)
        if len(mine):
            hull = _hull(leaves[mine])
            if iou(hull[None], boxes[i][None])[0, 0] >= f.agree:
                boxes[i] = hull
                taken[mine] = True
                continue
            taken[mine] = True
        loose.append(i)
    for i in loose:
        home = np.flatnonzero(around[i] >= f.inside)
        if len(home):
            leaf = leaves[home[np.argmin(_areas(leaves[home]))]]
            taken[home] = True
            boxes[i] = _to_sides(boxes[i], leaf)
    if loose:
        boxes = edges.snap(boxes, loose)
    if len(boxes):
        taken |= (within.max(1) >= 0.5) | (iou(leaves, boxes).max(1) >= 0.3)
        taken |= around.max(0) >= f.inside
    narrow = (leaves[:, 2:] - leaves[:, :2]).min(1) if len(leaves) else np.zeros(0)
    alone = ~taken & (filled >= f.filled) & (narrow >= edges.smallest)
    extra = leaves[alone]
    boxes = np.concatenate([boxes, extra])
    scores = np.concatenate([scores, np.full(len(extra), f.alone)])
    out = np.concatenate([boxes, scores[:, None]], 1)
    if not len(out):
        return out
    keep = suppress(out[:, :4], out[:, 4], f.nms)
    return out[np.sort(keep)]


def share_inside(a: Boxes, b: Float[np.ndarray, "m 4"]) -> Float[np.ndarray, "n m"]:
    """Share of each box of ``a`` that lies in each of ``b``."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(-1)
    return both / np.maximum(_areas(a), 1e-9)[:, None]


def _areas(boxes: Boxes) -> np.ndarray:
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1)


def _hull(boxes: Boxes) -> np.ndarray:
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])


def _outermost(boxes: Boxes, inside: float) -> np.ndarray:
    """Indices of boxes without insets, and without those that others tile.

    A box in a larger one goes, unless the larger one is mostly covered by such boxes: then that one
    goes, for it is several images taken for one.
    """
    within = share_inside(boxes, boxes) >= inside
    np.fill_diagonal(within, False)
    area = _areas(boxes)
    gone = np.zeros(len(boxes), bool)
    for big in np.argsort(-area, kind="stable"):
        parts = np.flatnonzero(within[:, big] & ~gone & (area < area[big]))
        if gone[big] or not len(parts):
            continue
        if len(parts) > 1 and area[parts].sum() > 0.65 * area[big]:
            gone[big] = True
        else:
            gone[parts] = True
    return np.flatnonzero(~gone)


def _to_sides(box: np.ndarray, leaf: np.ndarray) -> np.ndarray:
    """A box whose sides lie near those of the piece around it, moved onto them and kept within."""
    out = np.concatenate([np.maximum(box[:2], leaf[:2]), np.minimum(box[2:], leaf[2:])])
    size = np.tile(box[2:] - box[:2], 2)
    near = np.abs(out - leaf) <= 0.12 * size
    return np.where(near, leaf, out)
