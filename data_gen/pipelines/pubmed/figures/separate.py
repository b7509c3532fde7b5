"""Figures to panels and labels: :class:`Separator` runs all of it, several figures at a time."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from data_gen.pipelines.pubmed.base import ReadLabel, Region, Separated
from data_gen.pipelines.pubmed.figures import glyphs as strokes_of
from data_gen.pipelines.pubmed.figures.choose import Chosen, Word, choose
from data_gen.pipelines.pubmed.figures.config import FiguresConfig
from data_gen.pipelines.pubmed.figures.edges import Edges
from data_gen.pipelines.pubmed.figures.fuse import Fusion, fuse
from data_gen.pipelines.pubmed.figures.group import group
from data_gen.pipelines.pubmed.figures.models import LabelReader, PanelDetector
from data_gen.pipelines.pubmed.figures.order import reading_order
from data_gen.pipelines.pubmed.figures.places import FIRST, SLOTS, places
from data_gen.pipelines.pubmed.figures.words import LONGEST, readings
from data_gen.pipelines.pubmed.figures.xy_cut import Cutting, filling, pieces, xy_cut

#: Longer side at which letters are read; a larger figure is scaled down to it first.
_READ_AT = 2000
#: Ring around a panel, and squares in its corners, that labels stand in: of the longer side.
_RING, _CORNER = 0.05, 0.085
#: Glyphs of one figure that are read, those nearest to panels' corners first.
_MOST_GLYPHS = 512

Image = UInt8[np.ndarray, "h w 3"]


class Separator:
    """Takes figures apart; holds the models, and is to be made once.

    Raises:
      UserError: a model cannot be opened.
    """

    def __init__(self, config: FiguresConfig | None = None) -> None:
        self.config = config or FiguresConfig()
        c = self.config
        self.detect = PanelDetector(c.panels, c.batch) if c.method == "detector" else None
        self.read = LabelReader(c.labels)
        self.fusion = Fusion(confidence=c.confidence)

    def separate(self, images: Sequence[Image]) -> list[Separated]:
        """Panels in reading order and candidates for their labels, figure by figure.

        A figure is compound if it has more than one panel. Labels that fit each other come first at
        their panel; the scores of other candidates are below 0.3.

        Args:
          images: uint8 RGB of any size.
        """
        found = self.detect(images) if self.detect is not None else [None] * len(images)
        out = []
        for image, detections in zip(images, found, strict=True):
            boxes, scores = self.images_of(image, detections)
            chosen, words = self._labels(image, boxes)
            out.append(self._assembled(image, boxes, scores, chosen, words))
        return out

    def images_of(
        self, image: Image, detections: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Boxes of the single images in pixels, and their scores; ``detections`` as the detector
        gives them, None for the cut alone."""
        c = self.config
        height, width = image.shape[:2]
        size = np.array([width, height, width, height], np.float64)
        cutting = Cutting(c.gutter, c.smallest)
        whole = size[None] * [0, 0, 1, 1]
        if detections is None:
            cut = xy_cut(image, cutting)
            return np.array([[r.x0, r.y0, r.x1, r.y1] for r in cut]) * size, np.ones(len(cut))
        tree, empty = pieces(image, cutting)
        if tree is None:
            return whole, np.full(1, self.fusion.alone)
        smallest = c.smallest * max(height, width) / 1000
        leaves = np.array([leaf.box for leaf in tree.leaves()])
        fused = fuse(
            detections, tree, filling(empty, leaves), Edges(image, smallest), size, self.fusion
        )
        if not len(fused):
            return whole, np.full(1, self.fusion.alone)
        return fused[:, :4], fused[:, 4]

    def _labels(self, image: Image, boxes: np.ndarray) -> tuple[list[Chosen], list[Word]]:
        """Words that may be labels, and what they are to the images ``boxes``."""
        scale = min(_READ_AT / max(image.shape[:2]), 1.0)
        small = image
        if scale < 1:
            size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
            small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        ink = strokes_of.strokes(small)
        glyphs = strokes_of.find_glyphs(ink, _zone(small.shape, boxes * scale))
        lines = [line for line in strokes_of.lines(glyphs) if len(line) <= LONGEST]
        around = np.array([_around([glyphs[i] for i in line]) for line in lines]).reshape(-1, 4)
        kept = _nearest(lines, around, boxes * scale)
        order = [i for k in kept for i in lines[k]]
        answers = dict(
            zip(order, self.read([strokes_of.crop(ink, glyphs[i]) for i in order]), strict=True)
        )
        words = []
        for k in kept:
            found = readings([answers[i] for i in lines[k]])
            if found:
                words.append(Word(around[k] / scale, tuple(found)))
        return choose(words, boxes), words

    def _assembled(
        self,
        image: Image,
        boxes: np.ndarray,
        scores: np.ndarray,
        chosen: Sequence[Chosen],
        words: Sequence[Word],
    ) -> Separated:
        accepted = {c.panel: c for c in chosen if c.accepted}
        first = sum(SLOTS[c.slot] in FIRST for c in accepted.values())
        groups = group(
            boxes, {p: c.place for p, c in accepted.items() if c.series != "letter and digit"},
            2 * first > len(accepted),
        ) if accepted else [[i] for i in range(len(boxes))]  # fmt: skip
        hulls = np.array([[*boxes[g][:, :2].min(0), *boxes[g][:, 2:].max(0)] for g in groups])
        order = reading_order(hulls)
        of_image = {i: n for n, k in enumerate(order) for i in groups[k]}
        height, width = image.shape[:2]
        size = np.array([width, height, width, height], np.float64)

        def region(box: np.ndarray, score: float) -> Region:
            x0, y0, x1, y1 = (float(v) for v in np.clip(box / size, 0, 1))
            return Region(x0, y0, x1, y1, float(np.clip(score, 0, 1)))

        labels = sorted(
            (
                (of_image[c.panel], ReadLabel(c.text, region(words[c.word].box, c.score), c.score))
                for c in chosen
            ),
            key=lambda pair: (pair[0], -pair[1].score),
        )
        panels = tuple(region(hulls[k], max(scores[i] for i in groups[k])) for k in order)
        return Separated(width, height, panels, tuple(labels), self.config.method)


def _zone(shape: Sequence[int], boxes: np.ndarray) -> UInt8[np.ndarray, "h w"]:
    """Where labels may stand: around panels and in their corners."""
    height, width = shape[:2]
    ring, corner = (round(share * max(height, width)) for share in (_RING, _CORNER))
    zone = np.zeros((height, width), np.uint8)
    whole = np.rint(boxes).astype(int)
    for x0, y0, x1, y1 in whole:
        zone[max(y0 - ring, 0) : max(y1 + ring, 0), max(x0 - ring, 0) : max(x1 + ring, 0)] = 1
    for x0, y0, x1, y1 in whole:
        zone[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = 0
    for x0, y0, x1, y1 in whole:
        dx, dy = min(corner, (x1 - x0) * 2 // 3), min(corner, (y1 - y0) * 2 // 3)
        for left in (x0 - 2, x1 - dx + 2):
            for top in (y0 - 2, y1 - dy + 2):
                zone[max(top, 0) : max(top + dy, 0), max(left, 0) : max(left + dx, 0)] = 1
    return zone


def _around(glyphs: Sequence[strokes_of.Glyph]) -> tuple[int, int, int, int]:
    """The box around glyphs."""
    x0, y0 = min(g.x0 for g in glyphs), min(g.y0 for g in glyphs)
    return x0, y0, max(g.x1 for g in glyphs), max(g.y1 for g in glyphs)


def _nearest(lines: Sequence[list[int]], around: np.ndarray, boxes: np.ndarray) -> list[int]:
    """Indices of as many words as are read, those nearest to a usual place first."""
    if not lines:
        return []
    away = places(around.astype(np.float64), boxes).distance.min(1)
    out: list[int] = []
    total = 0
    for k in np.argsort(away, kind="stable"):
        total += len(lines[k])
        if total > _MOST_GLYPHS or not np.isfinite(away[k]):
            break
        out.append(int(k))
    return out
