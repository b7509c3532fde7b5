"""Phrase grounding: does the heat-map of a finding's phrase lie where the finding is."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from medvlp_jax.eval import heatmap
from medvlp_jax.eval.bootstrap import Bootstrap, finite, interval, weighted_mean
from medvlp_jax.eval.embedded import Embedded, FromBatch, Rows
from medvlp_jax.eval.promptbank import PromptBank
from medvlp_jax.eval.protocol import EvalResult, PredictFn, TokenizeFn
from medvlp_jax.eval.regions import PatchMaps, Pictures, RegionMasks
from medvlp_jax.eval.scores import mean_defined

#: Scores of one (image, class) pair, in the order of the columns of ``Pairs.values``.
PAIR_METRICS = (
    "pointing", "pointing_chance", "pointing_other_phrase", "cnr", "auprc", "auprc_chance", "miou",
)  # fmt: skip


class Pairs(NamedTuple):
    """All (record, class) pairs of a set whose class has a region in the record."""

    record: Int[np.ndarray, "p"]
    label: Int[np.ndarray, "p"]  # column of the evaluator's classes
    values: Float[np.ndarray, "p m"]  # PAIR_METRICS
    dice: Float[np.ndarray, "p l"]  # at heatmap.LEVELS
    iou: Float[np.ndarray, "p l"]
    where: Float[np.ndarray, "k s s"]  # how often each pixel is in a region of the class


class Grounding:
    """Heat-maps of class phrases against boxes or masks.

    The map of a class is (patch embedding . text embedding) on the patch grid, smoothed and
    interpolated; the text embedding is the ensemble of the affirming prompts of the bank.

    Reported over all (record, class) pairs with a region, and per class:
    ``pointing`` (largest pixel inside) beside ``pointing_chance`` (area of the union, exact),
    ``pointing_other_phrase`` (the same region under the maps of the other classes: what a map that
    does not listen to the phrase would score) and, with validation data,
    ``pointing_prior`` (always pointing where the class is most often found there);
    ``cnr`` signed; ``auprc`` over pixels beside its chance; ``miou`` over fixed cuts of the map
    rescaled to [-1, 1]; ``dice`` and ``iou`` of the map rescaled to [0, 1] at the threshold with
    the best mean Dice on validation data, ``dice_oracle`` at the best threshold on the set itself.
    An empty prediction scores 0.

    Args:
      test: the set; its batches carry ``boxes`` and ``box_label``, or ``masks``.
      classes: those that are scored; a class without any region is undefined.
      bank, tokenize: the phrases.
      validation: another set, for the threshold and the prior.
      truth: ``boxes`` or ``masks``.
      query: ``positive``, or ``difference`` to subtract the denying ensemble.
      sigma: of the smoothing, in patches.
      size: side in pixels at which maps and regions are compared.
      pictures: heat-maps per class that are kept for the report.
      bootstrap: of the intervals; resamples records (patients), not pairs.
    """

    def __init__(
        self,
        test: Embedded,
        classes: Sequence[str],
        bank: PromptBank,
        tokenize: TokenizeFn,
        *,
        validation: Embedded | None = None,
        truth: Literal["boxes", "masks"] = "boxes",
        query: Literal["positive", "difference"] = "positive",
        sigma: float = 1.5,
        size: int = 128,
        pictures: int = 2,
        bootstrap: Bootstrap | None = None,
    ):
        if truth not in ("boxes", "masks"):
            raise ValueError(f"truth {truth!r} must be 'boxes' or 'masks'")
        if query not in ("positive", "difference"):
            raise ValueError(f"query {query!r} must be 'positive' or 'difference'")
        prompts = bank.select(classes)
        self.test, self.validation = test, validation
        self.classes = tuple(classes)
        self.truth, self.query, self.sigma, self.size = truth, query, sigma, size
        self.bootstrap = bootstrap or Bootstrap()
        self._phrase = [p.positive[0] for p in prompts]
        negative = tuple(p.negative for p in prompts) if query == "difference" else ()
        if not all(negative):
            raise ValueError(f"prompt bank {bank.name!r}: query='difference' needs denying prompts")
        self._maps = PatchMaps(tuple(p.positive for p in prompts), negative, tokenize)
        self._regions = (
            (FromBatch("boxes"), FromBatch("box_label"))
            if truth == "boxes"
            else (RegionMasks(size),)
        )
        self._pictures = Pictures(pictures) if truth == "boxes" and pictures else None
        for data in filter(None, (test, validation)):
            data.label_columns(self.classes)
            for column in (self._maps, *self._regions):
                data.want(column)
        if self._pictures:
            test.want(self._pictures)

    def __call__(self, predict: PredictFn) -> EvalResult:
        rows = self.test.rows(predict)
        pairs = self._pairs(self.test, rows)
        if not len(pairs.record):
            raise ValueError(
                f"set {self.test.name!r} has no {self.truth} of {', '.join(self.classes)}"
            )
        known = None
        if self.validation is not None:
            known = self._pairs(self.validation, self.validation.rows(predict))
        values, names, thresholds = self._values(self.test, rows, pairs, known)
        metrics, details = self._summary(rows, pairs, values, names)
        details |= thresholds | {
            "set": self.test.name,
            "split": self.test.split,
            "validation": self.validation
            and f"{self.validation.name}, split {self.validation.split}",
            "truth": self.truth,
            "query": self.query,
            "sigma": self.sigma,
            "size": self.size,
            "phrases": dict(zip(self.classes, self._phrase, strict=True)),
            "bootstrap": dataclasses.asdict(self.bootstrap),
        }
        arrays = {"pair_record": rows.ids[pairs.record].astype(str), "pair_values": values}
        return EvalResult(metrics, details, arrays | self._shown(rows, pairs))

    def _pairs(self, data: Embedded, rows: Rows) -> Pairs:
        columns = data.label_columns(self.classes)
        where = np.zeros((len(self.classes), self.size, self.size))
        record, label, values, dice, iou = [], [], [], [], []
        for i in range(len(rows)):
            if rows[self._maps][i] is None:
                continue
            found = {
                k: region
                for k in range(len(self.classes))
                if (region := self._region(rows, i, columns[k])) is not None
            }
            if not found:
                continue
            pixels = heatmap.to_pixels(
                rows[self._maps][i].astype(np.float64), self.size, self.sigma
            )
            if not np.isfinite(pixels).all():
                raise ValueError(f"the heat-map of record {str(rows.ids[i])!r} is not finite")
            for k, (region, area) in found.items():
                where[k] += region
                scaled = heatmap.rescale(pixels[k])
                others = [heatmap.pointing(p, region) for j, p in enumerate(pixels) if j != k]
                at, over = heatmap.overlaps(scaled, region, heatmap.LEVELS)
                cuts = heatmap.overlaps(2 * scaled - 1, region, heatmap.MIOU_CUTS)[1]
                record.append(i)
                label.append(k)
                dice.append(at)
                iou.append(over)
                values.append(
                    (
                        heatmap.pointing(pixels[k], region),
                        area,
                        float(np.mean(others)) if others else np.nan,
                        heatmap.contrast_to_noise(pixels[k], region),
                        heatmap.pixel_average_precision(pixels[k], region),
                        float(region.mean()),
                        float(cuts.mean()),
                    )
                )
        return Pairs(
            np.array(record, np.int64),
            np.array(label, np.int64),
            np.array(values, np.float64).reshape(len(record), len(PAIR_METRICS)),
            np.array(dice).reshape(len(record), len(heatmap.LEVELS)),
            np.array(iou).reshape(len(record), len(heatmap.LEVELS)),
            where,
        )

    def _region(self, rows: Rows, i: int, column: int) -> tuple[np.ndarray, float] | None:
        """(mask, area as a fraction) of one label in one record, or ``None``."""
        if self.truth == "masks":
            masks = rows[self._regions[0]][i]
            if masks is None or not masks[column].any():
                return None
            return masks[column], float(masks[column].mean())
        boxes = rows[FromBatch("boxes")][i][rows[FromBatch("box_label")][i] == column]
        if not len(boxes):
            return None
        return heatmap.box_mask(boxes, self.size), heatmap.union_area(boxes)

    def _values(
        self, data: Embedded, rows: Rows, pairs: Pairs, known: Pairs | None
    ) -> tuple[Float[np.ndarray, "p m"], tuple[str, ...], dict[str, Any]]:
        """All per-pair metrics, their names, and the thresholds."""
        oracle = int(pairs.dice.mean(0).argmax())
        columns = [pairs.values, pairs.dice[:, oracle, None], pairs.iou[:, oracle, None]]
        names = (*PAIR_METRICS, "dice_oracle", "iou_oracle")
        thresholds: dict[str, Any] = {"threshold_oracle": float(heatmap.LEVELS[oracle])}
        if known is not None and len(known.record):
            best = int(known.dice.mean(0).argmax())
            thresholds["threshold"] = float(heatmap.LEVELS[best])
            prior = np.full(len(pairs.record), np.nan)
            labels = data.label_columns(self.classes)
            for p, (i, k) in enumerate(zip(pairs.record, pairs.label, strict=True)):
                if known.where[k].any():
                    found = self._region(rows, i, labels[k])
                    assert found is not None
                    prior[p] = heatmap.pointing(known.where[k], found[0])
            columns += [pairs.dice[:, best, None], pairs.iou[:, best, None], prior[:, None]]
            names += ("dice", "iou", "pointing_prior")
        names += ("pointing_gain",)
        columns.append(pairs.values[:, [0]] - pairs.values[:, [1]])
        return np.concatenate(columns, 1), names, thresholds

    def _summary(
        self, rows: Rows, pairs: Pairs, values: Float[np.ndarray, "p m"], names: Sequence[str]
    ) -> tuple[dict[str, float], dict[str, Any]]:
        k = len(self.classes)
        of_class = [pairs.label == c for c in range(k)]
        drawn: list[list[np.ndarray]] = [[] for _ in range(k + 1)]
        for counts in self.bootstrap.counts(len(rows), clusters=self.test.clusters(rows)):
            weight = counts[pairs.record]
            for c, member in enumerate(of_class):
                drawn[c].append(weighted_mean(values[member], weight[member]))
            drawn[k].append(weighted_mean(values, weight))
        empty = np.zeros((len(names), 0))
        samples = [np.concatenate(d, 1) if d else empty for d in drawn]
        means = np.stack([mean_defined(values[m]) if m.any() else np.full(len(names), np.nan)
                          for m in of_class])  # fmt: skip
        overall, macro = mean_defined(values), mean_defined(means)
        level = self.bootstrap.level
        metrics: dict[str, float] = {"pairs": float(len(values))}
        table: dict[str, Any] = {"pairs": len(values), "overall": {}, "macro": {}}
        for m, name in enumerate(names):
            whole = interval(float(overall[m]), samples[k][m], level)
            table["overall"][name] = whole.to_json()
            table["macro"][name] = finite(macro[m])
            metrics[name] = whole.value
            metrics[f"{name}_macro"] = float(macro[m])
            if name in ("pointing", "pointing_gain"):
                metrics[f"{name}_low"], metrics[f"{name}_high"] = whole.low, whole.high
        table["classes"] = [
            {"name": name, "pairs": int(of_class[c].sum())}
            | {
                n: interval(means[c, m], samples[c][m], level).to_json()
                for m, n in enumerate(names)
            }
            for c, name in enumerate(self.classes)
        ]
        return metrics, table

    def _shown(self, rows: Rows, pairs: Pairs) -> dict[str, np.ndarray]:
        """Pictures for the report: images, maps in [0, 1], boxes, and which pair each one is."""
        if self._pictures is None:
            return {}
        per_class: dict[int, int] = {}
        images, maps, boxes, chosen = [], [], [], []
        columns = self.test.label_columns(self.classes)
        for p, (i, k) in enumerate(zip(pairs.record, pairs.label, strict=True)):
            image = rows[self._pictures][i]
            if image is None or per_class.get(k, 0) >= self._pictures.per_class:
                continue
            per_class[k] = per_class.get(k, 0) + 1
            patch = rows[self._maps][i][k].astype(np.float64)
            images.append(image)
            maps.append(heatmap.rescale(heatmap.to_pixels(patch, self.size, self.sigma)))
            mine = rows[FromBatch("box_label")][i] == columns[k]
            boxes.append(np.where(mine[:, None], rows[FromBatch("boxes")][i], np.nan))
            chosen.append(p)
        if not chosen:
            return {}
        return {
            "shown_image": np.stack(images),
            "shown_map": np.stack(maps).astype(np.float32),
            "shown_boxes": np.stack(boxes),
            "shown_label": np.array([self.classes[pairs.label[p]] for p in chosen]),
            "shown_id": np.array([str(rows.ids[pairs.record[p]]) for p in chosen]),
            "shown_hit": pairs.values[chosen, 0],
        }
