"""Every (record, phrase) pair of a set that has a region, scored by itself."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from medvlp_jax.eval.base import EvalError
from medvlp_jax.eval.embedded import FromBatch, Rows
from medvlp_jax.eval.grounding import heatmap
from medvlp_jax.eval.grounding.regions import RegionMasks, distinct

#: Scores of one pair, in the order of the columns of ``Pairs.values``.
PAIR_METRICS = (
    "pointing", "pointing_chance", "pointing_other_phrase", "cnr", "cnr_absolute", "auprc",
    "auprc_chance", "miou", "miou_raw",
)  # fmt: skip
#: Scores at a threshold, as :class:`~medvlp_jax.eval.grounding.heatmap.Overlap` names them.
OVERLAPS = heatmap.Overlap._fields


class Region(NamedTuple):
    """Where a phrase is in one record."""

    query: int  # which map of the record belongs to it
    label: int  # column of the evaluator's classes
    mask: Bool[np.ndarray, "s s"]
    area: float  # exact share of the image
    boxes: Bool[np.ndarray, "m"]  # which boxes of the record; empty for masks


#: (rows, record) -> the regions of that record.
FindRegions = Callable[[Rows, int], Iterator[Region]]


def boxes_of_classes(columns: Sequence[int], size: int) -> FindRegions:
    """Union of the boxes of each class; ``columns`` are the label numbers of the classes."""

    def find(rows: Rows, i: int) -> Iterator[Region]:
        boxes, label = rows[FromBatch("boxes")][i], rows[FromBatch("box_label")][i]
        for k, column in enumerate(columns):
            if (label == column).any():
                yield _from_boxes(k, k, boxes, label == column, size)

    return find


def boxes_of_phrases(columns: Sequence[int], size: int) -> FindRegions:
    """Union of the boxes with the same phrase; the first of them tells the class."""

    def find(rows: Rows, i: int) -> Iterator[Region]:
        boxes, label = rows[FromBatch("boxes")][i], rows[FromBatch("box_label")][i]
        phrase = np.array([p.lower() for p in rows[FromBatch("box_phrase")][i]])
        for query, words in enumerate(distinct(phrase)):
            mine = (phrase == words) & (label >= 0)
            if mine.any() and label[mine][0] in columns:
                yield _from_boxes(query, columns.index(label[mine][0]), boxes, mine, size)

    return find


def masks_of_classes(columns: Sequence[int], size: int) -> FindRegions:
    """The mask of each class; ``columns`` are its channels."""

    def find(rows: Rows, i: int) -> Iterator[Region]:
        masks = rows[RegionMasks(size)][i]
        for k, column in enumerate(columns):
            if masks is not None and masks[column].any():
                mask = masks[column]
                yield Region(k, k, mask, float(mask.mean()), np.zeros(0, bool))

    return find


def _from_boxes(query: int, label: int, boxes: np.ndarray, mine: np.ndarray, size: int) -> Region:
    mask = heatmap.box_mask(boxes[mine], size)
    return Region(query, label, mask, heatmap.union_area(boxes[mine]), mine)


class Pairs(NamedTuple):
    """The pairs of a set, in set order."""

    record: Int[np.ndarray, "p"]
    regions: list[Region]
    label: Int[np.ndarray, "p"]  # that of the region
    values: Float[np.ndarray, "p m"]  # PAIR_METRICS
    overlap: heatmap.Overlap  # [p, l] each, at heatmap.LEVELS

    def best_level(self) -> int:
        """The index of the level with the largest mean Dice."""
        return int(self.overlap.dice.mean(0).argmax())

    def at_level(self, level: int) -> Float[np.ndarray, "p o"]:
        """:data:`OVERLAPS` of every pair at one level."""
        return np.stack([of[:, level] for of in self.overlap], 1)

    def where(self, label: int) -> Float[np.ndarray, "s s"] | None:
        """How often each pixel is in a region of this class; ``None`` without any."""
        masks = [r.mask for r in self.regions if r.label == label]
        return np.stack(masks).sum(0, dtype=np.float64) if masks else None


def score_pairs(
    rows: Rows, maps: np.ndarray, find: FindRegions, config: heatmap.MapConfig
) -> Pairs:
    """Scores every region against its map.

    Args:
      rows: of the set.
      maps: per record the maps [q, h, w] of its queries, or ``None``.
      find: the regions of a record.
      config: from patches to pixels.

    Raises:
      EvalError: a map is not finite; the record is named.
    """
    record, regions, values, overlap = [], [], [], []
    for i in range(len(rows)):
        if maps[i] is None:
            continue
        found = list(find(rows, i))
        if not found:
            continue
        pixels = heatmap.to_pixels(maps[i], config)
        if not np.isfinite(pixels).all():
            raise EvalError(f"the heat-map of record {str(rows.ids[i])!r} is not finite")
        for region in found:
            mine, mask = pixels[region.query], region.mask
            others = [heatmap.pointing(p, mask) for j, p in enumerate(pixels) if j != region.query]
            scaled = heatmap.rescale(mine)
            cuts = [
                heatmap.overlaps(m, mask, heatmap.MIOU_CUTS).iou.mean()
                for m in (2 * scaled - 1, mine)
            ]
            contrast = heatmap.contrast_to_noise(mine, mask)
            record.append(i)
            regions.append(region)
            overlap.append(heatmap.overlaps(scaled, mask, heatmap.LEVELS))
            values.append(
                (
                    heatmap.pointing(mine, mask),
                    region.area,
                    float(np.mean(others)) if others else np.nan,
                    contrast,
                    abs(contrast),
                    heatmap.pixel_average_precision(mine, mask),
                    float(mask.mean()),
                    *map(float, cuts),
                )
            )
    return Pairs(
        np.array(record, np.int64),
        regions,
        np.array([r.label for r in regions], np.int64),
        np.array(values, np.float64).reshape(len(record), len(PAIR_METRICS)),
        heatmap.Overlap(
            *np.array(overlap)
            .reshape(len(record), len(OVERLAPS), len(heatmap.LEVELS))
            .swapaxes(0, 1)
        ),
    )
