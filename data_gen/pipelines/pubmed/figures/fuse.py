"""The detector's boxes and the cuts made one: the detector says which, the cuts where.

A detection sees a figure at a few hundred pixels and is some pixels off. A cut along a gutter or an
edge is exact, but tears charts at every white line and films at every straight one, and finds no
border between two black corners. So all cuts are made, and of the tree of pieces those are taken
that the detections agree with most; detections that no piece answers to stand for themselves.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from data_gen.pipelines.pubmed.figures.edges import Edges
from data_gen.pipelines.pubmed.figures.xy_cut import Piece
from medvlp_jax.eval.metrics.boxes import iou, suppress

Boxes = Float[np.ndarray, "n 4"]


@dataclasses.dataclass(frozen=True)
class Fusion:
    """Thresholds.

    Attributes:
      confidence: of detections that count.
      nms: IoU above which the weaker of two boxes goes.
      inside: share of a box that lies in another one for it to be part of it.
      agree: least agreement (confidence times IoU) of a piece that is taken.
      split: how much better parts must agree than the whole.
      alone: score of a piece between gutters that no detection speaks for.
      filled: share of such a piece that must be no background.
    """

    confidence: float = 0.15
    nms: float = 0.45
    inside: float = 0.75
    agree: float = 0.12
    split: float = 1.03
    alone: float = 0.2
    filled: float = 0.85


def fuse(
    detections: Float[np.ndarray, "k 5"],
    tree: Piece,
    filled: Float[np.ndarray, "m"],
    edges: Edges,
    size: Float[np.ndarray, "4"],
    fusion: Fusion,
) -> Float[np.ndarray, "n 5"]:
    """Images of a figure as x0, y0, x1, y1 in pixels and a score.

    Args:
      detections: boxes in pixels and scores.
      tree: the figure cut along gutters; is cut further, along edges.
      filled: share of each of its leaves that is no background.
      edges: of the figure.
      size: width, height, width, height of the figure.
    """
    f = fusion
    gutters = tree.leaves()
    edges.cut(tree, size)
    found = detections[detections[:, 4] >= f.confidence]
    found = found[suppress(found[:, :4], found[:, 4], f.nms)] if len(found) else found
    found = found[_outermost(found[:, :4], f.inside)] if len(found) else found
    chosen = _chosen(tree, found, size, f)
    boxes = np.array([box * size for box, _ in chosen]).reshape(-1, 4)
    scores = np.array([score for _, score in chosen])
    # Detections that no piece answers to.
    left = np.ones(len(found), bool)
    if len(boxes) and len(found):
        left = (iou(found[:, :4], boxes).max(1) < 0.4) & (
            share_inside(boxes, found[:, :4]).max(0) < f.inside
        )
        left &= share_inside(found[:, :4], boxes).max(1) < f.inside
    extra = found[left & (found[:, 4] >= 1.5 * f.confidence)] if len(found) else found
    if len(extra):
        boxes = np.concatenate([boxes, edges.snap(extra[:, :4])])
        scores = np.concatenate([scores, extra[:, 4]])
    lonely = _lonely(gutters, filled, boxes, edges.smallest, size, f)
    boxes = np.concatenate([boxes, lonely])
    scores = np.concatenate([scores, np.full(len(lonely), f.alone)])
    out = np.concatenate([boxes, scores[:, None]], 1)
    return out[np.sort(suppress(out[:, :4], out[:, 4], f.nms))] if len(out) else out


def _chosen(
    tree: Piece, found: Float[np.ndarray, "k 5"], size: np.ndarray, f: Fusion
) -> list[tuple[np.ndarray, float]]:
    """Pieces that do not overlap and agree best with the detections, with their agreement.

    A piece is worth its agreement; its parts together are worth theirs, weighted by area.
    """
    if not len(found):
        return []

    def best(piece: Piece) -> tuple[float, list[tuple[np.ndarray, float]]]:
        box = piece.box * size
        agreement = float((iou(box[None], found[:, :4])[0] * found[:, 4]).max())
        own = [(piece.box, agreement)] if agreement >= f.agree else []
        if not piece.parts:
            return agreement, own
        answers = [best(part) for part in piece.parts]
        areas = np.array([_area(part.box) for part in piece.parts])
        together = float(np.average([value for value, _ in answers], weights=areas))
        if together > f.split * agreement:
            return together, [one for _, mine in answers for one in mine]
        return agreement, own

    return best(tree)[1]


def _lonely(
    leaves: list[Piece],
    filled: np.ndarray,
    boxes: Boxes,
    smallest: float,
    size: np.ndarray,
    f: Fusion,
) -> Boxes:
    """Pieces between gutters, full of picture, that nothing else covers."""
    mine = np.array([leaf.box for leaf in leaves]).reshape(-1, 4) * size
    if not len(mine):
        return mine
    narrow = (mine[:, 2:] - mine[:, :2]).min(1)
    alone = (filled >= f.filled) & (narrow >= smallest)
    if len(boxes):
        alone &= share_inside(mine, boxes).max(1) < 0.3
        alone &= share_inside(boxes, mine).max(0) < 0.5
    return mine[alone]


def share_inside(a: Boxes, b: Float[np.ndarray, "m 4"]) -> Float[np.ndarray, "n m"]:
    """Share of each box of ``a`` that lies in each of ``b``."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(-1)
    return both / np.maximum((a[:, 2:] - a[:, :2]).prod(1), 1e-9)[:, None]


def _area(box: np.ndarray) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _outermost(boxes: Boxes, inside: float) -> np.ndarray:
    """Indices of boxes without insets, and without those that others tile.

    A box in a larger one goes, unless the larger one is mostly covered by such boxes: then that one
    goes, for it is several images taken for one.
    """
    within = share_inside(boxes, boxes) >= inside
    np.fill_diagonal(within, False)
    area = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1)
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
