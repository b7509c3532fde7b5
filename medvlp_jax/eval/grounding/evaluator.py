"""Phrase grounding: does the heat-map of a finding's phrase lie where the finding is."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float

from medvlp_jax.eval.base import EvalError, EvalResult, Evaluator, PredictFn, TokenizeFn
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.embedded import Column, Embedded, FromBatch, Rows
from medvlp_jax.eval.grounding import heatmap
from medvlp_jax.eval.grounding.pairs import (
    OVERLAPS,
    PAIR_METRICS,
    FindRegions,
    Pairs,
    boxes_of_classes,
    boxes_of_phrases,
    masks_of_classes,
    score_pairs,
)
from medvlp_jax.eval.grounding.regions import (
    PhraseMaps,
    Pictures,
    RegionMasks,
    class_maps,
    distinct,
)
from medvlp_jax.eval.metrics.bootstrap import Bootstrap, finite, interval, weighted_mean
from medvlp_jax.eval.metrics.scores import mean_defined
from medvlp_jax.eval.zeroshot.prompt_tokens import check_cut, cut_texts
from medvlp_jax.eval.zeroshot.promptbank import PromptBank

#: What an untrained network is scored by, beside the trained one.
AGAINST_UNTRAINED = ("pointing", "cnr", "auprc", "miou", "dice", "iou", "dice_oracle")
#: Whose intervals stand among the flat metrics too.
WITH_ENDS = ("pointing", "pointing_gain", "pointing_random", "pointing_gain_random")


class Grounding:
    """Heat-maps of phrases against boxes or masks.

    The map of a phrase is (patch embedding . text embedding) on the patch grid, smoothed and
    interpolated (Boecking et al. 2022, arXiv:2204.09817, sec. 4.3). What is asked (``query``):
    ``positive``, the ensemble of the affirming prompts of each class; ``difference``, that minus
    the denying ensemble; ``contrast``, that minus its mean over the classes ``among``;
    ``phrases``, the words that the record itself gives its boxes.

    Reported over all (record, class or phrase) pairs with a region, where all regions of one pair
    are joined, and per class:
    ``pointing`` (largest pixel inside) beside ``pointing_chance`` (area of the union, exact),
    ``pointing_other_phrase`` (the same region under the other maps of that image: what a map that
    does not listen to the phrase would score) and, with validation data,
    ``pointing_prior`` (always pointing where the class is most often found there);
    ``cnr`` signed, and its absolute value ``cnr_absolute``, which also rewards a map that avoids
    the region; ``auprc`` over pixels beside its chance; the mean IoU over fixed cuts (0.1 to 0.5)
    of the cosines themselves (``miou_raw``, BioViL) and of the map rescaled to [-1, 1] (``miou``,
    MaCo);
    ``dice``, ``iou``, ``precision`` and ``recall`` of the map rescaled to [0, 1] at the threshold
    with the best mean Dice on validation data; ``dice_oracle`` and its like at the best threshold
    on the set itself, which is what zero-shot segmentation tables of MedKLIP's kind report.
    With ``untrained``, ``pointing_random`` and its like are the same network from random
    initialisation (its threshold from the same validation data), and ``pointing_gain_random`` the
    paired difference.
    An empty prediction scores 0. Records without a region are not looked at: with masks, this is
    segmentation of the positives. What a crop of the film leaves out is not compared.

    Args:
      test: the set; its batches carry ``boxes`` and ``box_label``, or ``masks``.
      classes: those that are scored; a class without any region is undefined.
      bank, tokenize: the prompts; the bank is not used by ``query="phrases"``.
      validation: another set with regions, for the threshold and the prior.
      truth: ``boxes`` or ``masks``.
      query: see above.
      among: classes of a contrast; by default ``classes``.
      maps: from patches to pixels; ``heatmap.MAPS`` has those of the protocols by name.
      pictures: heat-maps per class that are kept for the report.
      untrained: gives the predict function of the same network from random initialisation, for a
        set; None: the comparison is left out.
      bootstrap: of the intervals; resamples records (patients), not pairs.
      not_scored: other findings of the set -> why they are not looked for, for the result.
      column: makes the maps of ``query``, in place of those above.

    Raises:
      EvalError: the set or the bank lacks a class.
      ValueError: unknown settings.
    """

    reads: ClassVar[tuple[str, ...]] = ("patch_embed", "text_embed")
    trains: ClassVar = False
    headline: ClassVar = "pointing"

    def __init__(
        self,
        test: Embedded,
        classes: Sequence[str],
        bank: PromptBank,
        tokenize: TokenizeFn,
        *,
        validation: Embedded | None = None,
        truth: Literal["boxes", "masks"] = "boxes",
        query: Literal["positive", "difference", "contrast", "phrases"] = "positive",
        among: Sequence[str] = (),
        maps: heatmap.MapConfig | None = None,
        pictures: int = 2,
        untrained: Callable[[PredictFn, Embedded], PredictFn] | None = None,
        bootstrap: Bootstrap | None = None,
        not_scored: Mapping[str, str] | None = None,
        column: Column | None = None,
    ):
        if truth not in ("boxes", "masks"):
            raise ValueError(f"truth {truth!r} must be 'boxes' or 'masks'")
        if query not in ("positive", "difference", "contrast", "phrases"):
            raise ValueError(
                f"query {query!r} must be 'positive', 'difference', 'contrast' or 'phrases'"
            )
        if query == "phrases" and truth != "boxes":
            raise ValueError("query='phrases' needs truth='boxes': masks carry no phrase")
        self.test, self.validation = test, validation
        self.classes = tuple(classes)
        self.truth, self.query = truth, query
        self.maps = maps or heatmap.MAPS["default"]
        self.bootstrap = bootstrap or Bootstrap()
        self.not_scored = dict(not_scored or {})
        self._said: dict[str, str] = {}
        self._tokenize, self._among = tokenize, tuple(among or classes)
        self._cut_prompts: dict[str, Any] = {}
        self._maps: Column
        if column is not None:
            self._maps = column
        elif query == "phrases":
            self._maps = PhraseMaps(tokenize)
        else:
            self._maps = class_maps(bank, self.classes, tokenize, query, among)
            said = bank.select(self.classes)
            self._said = {c: p.positive[0] for c, p in zip(classes, said, strict=True)}
            asked = dict(zip(classes, said, strict=True))
            self._cut_prompts = check_cut(tokenize, asked, bank.name)
        columns: list[Column] = [self._maps]
        if truth == "masks":
            columns.append(RegionMasks(self.maps.size))
        else:
            columns += [FromBatch("boxes"), FromBatch("box_label")]
        if query == "phrases":
            columns.append(FromBatch("box_phrase"))
        self._pictures = Pictures(pictures) if truth == "boxes" and pictures else None
        self._untrained = untrained
        # The untrained network's columns must not drive those of the trained one from the cache.
        self._twins = [d and untrained and d.alike() for d in (test, validation)]
        for data in filter(None, (test, validation, *self._twins)):
            data.label_columns(self.classes)
            if truth == "masks":
                data.mask_columns(self.classes)
            for column in columns:
                data.want(column)
        if self._pictures:
            test.want(self._pictures)

    @classmethod
    def build(cls, context: Context) -> dict[str, Evaluator]:
        asked = context.config.heatmap
        query = "positive" if (asked, context.set.truth) == ("phrases", "masks") else asked
        one = cls(
            context.test,
            context.chosen.shown,
            context.map_prompts,
            context.tokenize,
            validation=context.validation,
            truth=context.set.truth,
            query=query,
            among=context.known,
            maps=context.maps,
            untrained=context.untrained,
            bootstrap=context.config.bootstrap,
            not_scored=context.chosen.unseen,
        )
        return {"grounding": one}

    def __call__(self, predict: PredictFn) -> EvalResult:
        rows = self.test.rows(predict)
        pairs = self._score(self.test, rows)
        if not len(pairs.record):
            raise EvalError(
                f"set {self.test.name!r} has no {self.truth} of "
                f"{', '.join(self.classes) or 'any finding'}"
            )
        known = None
        if self.validation is not None:
            known = self._score(self.validation, self.validation.rows(predict))
        values, names, thresholds = self._values(pairs, known)
        if self._untrained is not None:
            values, names = self._beside_untrained(values, names, predict)
        metrics, details = self._summary(rows, pairs, values, names)
        validation = self.validation and f"{self.validation.name}, split {self.validation.split}"
        origin = {
            "kind": "grounding",
            "set": self.test.name,
            "split": self.test.split,
            "validation": validation,
            "truth": self.truth,
            "query": self.query,
            "maps": dataclasses.asdict(self.maps),
            "phrases": self._said,
            "not_scored": self.not_scored,
            **self._depends(),
            **self._cut(rows),
            "bootstrap": dataclasses.asdict(self.bootstrap),
        }
        arrays = {"pair_record": rows.ids[pairs.record].astype(str), "pair_values": values}
        return EvalResult(metrics, origin | thresholds | details, arrays | self._shown(rows, pairs))

    def _depends(self) -> dict[str, str]:
        """How the maps depend on which classes were named; empty where they do not."""
        if self.query != "contrast":
            return {}
        named = f"{len(self._among)} classes ({', '.join(self._among)})"
        return {
            "depends_on_classes": f"Every map is what a phrase has over the mean of {named}; of "
            "other classes, another map."
        }

    def _cut(self, rows: Rows) -> dict[str, Any]:
        """The phrases of the records that are longer than the text tower reads."""
        if self.query != "phrases":
            return self._cut_prompts
        phrases = {p for of_record in rows[FromBatch("box_phrase")] for p in of_record if p}
        return cut_texts(self._tokenize, sorted(phrases))

    def _score(self, data: Embedded, rows: Rows) -> Pairs:
        size = self.maps.size
        find: FindRegions
        if self.truth == "masks":
            find = masks_of_classes(data.mask_columns(self.classes), size)
        elif self.query == "phrases":
            find = boxes_of_phrases(data.label_columns(self.classes), size)
        else:
            find = boxes_of_classes(data.label_columns(self.classes), size)
        return score_pairs(rows, rows[self._maps], find, self.maps)

    def _values(
        self, pairs: Pairs, known: Pairs | None
    ) -> tuple[Float[np.ndarray, "p m"], tuple[str, ...], dict[str, Any]]:
        """All per-pair metrics, their names, and the thresholds."""
        oracle = pairs.best_level()
        columns = [pairs.values, pairs.at_level(oracle)]
        names = (*PAIR_METRICS, *(f"{name}_oracle" for name in OVERLAPS))
        thresholds: dict[str, Any] = {"threshold_oracle": float(heatmap.LEVELS[oracle])}
        if known is not None and len(known.record):
            best = known.best_level()
            thresholds["threshold"] = float(heatmap.LEVELS[best])
            where = {k: known.where(k) for k in range(len(self.classes))}
            prior = [
                np.nan if (w := where[r.label]) is None else heatmap.pointing(w, r.mask)
                for r in pairs.regions
            ]
            columns += [pairs.at_level(best), np.c_[prior]]
            names += (*OVERLAPS, "pointing_prior")
        columns.append(pairs.values[:, [0]] - pairs.values[:, [1]])
        return np.concatenate(columns, 1), (*names, "pointing_gain"), thresholds

    def _beside_untrained(
        self, values: Float[np.ndarray, "p m"], names: Sequence[str], predict: PredictFn
    ) -> tuple[Float[np.ndarray, "p n"], tuple[str, ...]]:
        """The values with those of the untrained network, and the differences, as more columns."""
        test, validation = self._twins
        assert self._untrained is not None
        assert test is not None
        untrained = self._untrained(predict, validation or test)
        pairs = self._score(test, test.rows(untrained))
        known = validation and self._score(validation, validation.rows(untrained))
        theirs, called, _ = self._values(pairs, known)
        columns = [called.index(name) for name in AGAINST_UNTRAINED if name in called]
        random = theirs[:, columns]
        said = [called[c] for c in columns]
        return (
            np.concatenate([values, random, values[:, columns] - random], 1),
            (*names, *(f"{n}_random" for n in said), *(f"{n}_gain_random" for n in said)),
        )

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
            if name in WITH_ENDS:
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
        """Pictures for the report: images, maps in [0, 1], boxes, and what was asked."""
        if self._pictures is None:
            return {}
        taken: dict[int, int] = {}
        images, maps, boxes, said, chosen = [], [], [], [], []
        for p, (i, region) in enumerate(zip(pairs.record, pairs.regions, strict=True)):
            image = rows[self._pictures][i]
            if image is None or taken.get(region.label, 0) >= self._pictures.per_class:
                continue
            taken[region.label] = taken.get(region.label, 0) + 1
            images.append(image)
            pixels = heatmap.to_pixels(rows[self._maps][i][region.query], self.maps)
            maps.append(heatmap.rescale(pixels))
            boxes.append(np.where(region.boxes[:, None], rows[FromBatch("boxes")][i], np.nan))
            if self.query == "phrases":
                said.append(distinct(rows[FromBatch("box_phrase")][i])[region.query])
            else:
                said.append(self._said[self.classes[region.label]])
            chosen.append(p)
        if not chosen:
            return {}
        return {
            "shown_image": np.stack(images),
            "shown_map": np.stack(maps).astype(np.float32),
            "shown_boxes": np.stack(boxes),
            "shown_label": np.array([self.classes[pairs.label[p]] for p in chosen]),
            "shown_phrase": np.array(said),
            "shown_id": np.array([str(rows.ids[pairs.record[p]]) for p in chosen]),
            "shown_hit": pairs.values[chosen, 0],
        }
