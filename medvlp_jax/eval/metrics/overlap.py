"""Dice and IoU of predicted masks, counted per record so that a set needs no memory of pixels."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from medvlp_jax.eval.base import Batch, PredictFn
from medvlp_jax.eval.embedded import GatherFn, apply
from medvlp_jax.eval.metrics.bootstrap import Bootstrap, interval, weighted_mean
from medvlp_jax.eval.metrics.scores import mean_defined
from medvlp_jax.tasks.segmentation import known_masks

#: A probability of one half, as ``SegmentationTask`` writes it.
HALF = 128
MEASURES = ("dice", "dice_positive", "iou_positive")


@dataclasses.dataclass(frozen=True)
class Counts:
    """int64 [n, l, 4]: pixels in both, in the prediction, in the truth; 1 if the truth is known.

    Attributes:
      label_of_mask: see ``tasks.segmentation.SegmentationConfig``.
    """

    label_of_mask: tuple[int, ...]

    def start(self, predict: PredictFn, gather: GatherFn) -> Callable[[Batch], np.ndarray]:
        def read(batch: Batch) -> np.ndarray:
            truth = gather(np.asarray(batch["masks"])).astype(bool)
            given = gather(np.asarray(batch["mask_given"], bool))
            known = known_masks(given, gather(np.asarray(batch["labels"])), self.label_of_mask)
            return pixel_counts(apply(predict, "mask", batch) >= HALF, truth, known)

        return read


def pixel_counts(
    predicted: Bool[np.ndarray, "n y x l"],
    truth: Bool[np.ndarray, "n y x l"],
    known: Bool[np.ndarray, "n l"],
) -> Int[np.ndarray, "n l 4"]:
    """The numbers that Dice and IoU are made of."""
    parts = (predicted & truth, predicted, truth)
    counts = [p.sum((1, 2), dtype=np.int64) for p in parts]
    return np.stack([*counts, known.astype(np.int64)], -1)


def overlap(counts: Int[np.ndarray, "n l 4"]) -> dict[str, Float[np.ndarray, "n l"]]:
    """Per record and mask, NaN where a measure does not count the record.

    ``dice``: 2|A∩B| / (|A|+|B|) over all records; where the truth is empty, 1 if the prediction is
    empty too, else 0, so that it rises with the share of negatives. ``dice_positive`` and
    ``iou_positive``: over the records whose truth is not empty; an empty prediction gives 0.
    Records whose truth is not known count nowhere.
    """
    both, predicted, truth, known = np.moveaxis(counts, -1, 0)
    total, union = predicted + truth, predicted + truth - both
    dice = np.where(total > 0, 2 * both / np.maximum(total, 1), 1.0)
    iou = np.where(union > 0, both / np.maximum(union, 1), 1.0)
    there = known == 1
    positive = there & (truth > 0)
    return {
        "dice": np.where(there, dice, np.nan),
        "dice_positive": np.where(positive, dice, np.nan),
        "iou_positive": np.where(positive, iou, np.nan),
    }


def overlap_table(
    names: Sequence[str],
    values: dict[str, list[dict[str, Float[np.ndarray, "n l"]]]],
    bootstrap: Bootstrap,
    clusters: Int[np.ndarray, "n"] | None,
) -> dict[str, Any]:
    """Means with intervals, and paired differences ``pretrained`` minus ``random``.

    Args:
      names: of the masks.
      values: start -> one result of :func:`overlap` for each seed; records in the same order.

    Returns:
      ``{start: {measure: {"macro": interval, "masks": {name: interval}}}, "difference": same}``.
      A macro mean is over the masks; a mask without a record that counts is left out.
    """
    out: dict[str, Any] = {}
    kept: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for start, runs in values.items():
        out[start], kept[start] = {}, {}
        for measure in MEASURES:
            stacked = np.mean([r[measure] for r in runs], axis=0)  # NaN where it does not count
            point = mean_defined(stacked)
            drawn = [
                weighted_mean(stacked, c) for c in bootstrap.counts(len(stacked), clusters=clusters)
            ]
            samples = np.concatenate(drawn, 1) if drawn else np.full((len(names), 0), np.nan)
            kept[start][measure] = point, samples
            out[start][measure] = _cells(names, point, samples, bootstrap.level)
            means = [mean_defined(mean_defined(r[measure])) for r in runs]
            out[start][measure]["seeds"] = list(map(float, means))
    if {"pretrained", "random"} <= set(values):
        out["difference"] = {}
        for m in MEASURES:
            (a, drawn_a), (b, drawn_b) = kept["pretrained"][m], kept["random"][m]
            out["difference"][m] = _cells(names, a - b, drawn_a - drawn_b, bootstrap.level)
    return out


def _cells(
    names: Sequence[str], point: np.ndarray, samples: np.ndarray, level: float
) -> dict[str, Any]:
    defined = np.isfinite(point)
    macro = interval(float(mean_defined(point)), mean_defined(samples[defined]), level)
    return {
        "macro": macro.to_json(),
        "masks": {n: interval(point[i], samples[i], level).to_json() for i, n in enumerate(names)},
    }


@dataclasses.dataclass(frozen=True)
class Shown:
    """(image, truth, prediction) of the first ``per_mask`` records with each mask; else None.

    A fixed rule, so that pictures are not chosen by how well they came out.

    Attributes:
      label_of_mask: names the column; the masks shown are those of the batch.
    """

    per_mask: int

    def start(self, predict: PredictFn, gather: GatherFn) -> Callable[[Batch], np.ndarray]:
        taken: dict[int, int] = {}

        def read(batch: Batch) -> np.ndarray:
            truth = gather(np.asarray(batch["masks"])).astype(bool)
            valid = gather(np.asarray(batch["valid"], bool))
            has = truth.any((1, 2)) & valid[:, None]
            wanted = []
            for i in np.flatnonzero(valid):
                new = [k for k in np.flatnonzero(has[i]) if taken.get(int(k), 0) < self.per_mask]
                if new:
                    wanted.append(i)
                    for k in map(int, new):
                        taken[k] = taken.get(k, 0) + 1
            out = np.full(len(valid), None, dtype=object)
            if wanted:  # the same on every process: it follows from gathered arrays
                image = gather(np.asarray(batch["image"]))
                predicted: UInt8[np.ndarray, "n y x l"] = apply(predict, "mask", batch)
                for i in wanted:
                    out[i] = (image[i], truth[i], predicted[i] >= HALF)
            return out

        return read
