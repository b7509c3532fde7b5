"""Heat-maps to look at, for sets without boxes: there is nothing to score them by."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from medvlp_jax.eval.base import EvalResult, Evaluator, PredictFn, TokenizeFn
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.embedded import Embedded, FromBatch, Predicted
from medvlp_jax.eval.grounding import heatmap
from medvlp_jax.eval.grounding.regions import ClassQuery, PositiveMaps, class_maps
from medvlp_jax.eval.vectors import cosine
from medvlp_jax.eval.zeroshot.promptbank import PromptBank


class PhrasePictures:
    """Keeps the map of each class on the first records that are positive for it.

    A record without any label (a folder of films that nobody has read) gets the map of the class
    whose prompts are nearest to its image among the classes, the first ``unlabelled`` of them.

    The arrays are those that ``Grounding`` keeps for the report, with no box and a hit of NaN.

    Args:
      test: the set.
      classes: labels of the set and entries of the bank.
      bank, tokenize: the prompts.
      query, among, maps: as for ``Grounding``.
      per_class: pictures of each class.
      unlabelled: pictures of records without any label.

    Raises:
      EvalError: the set or the bank lacks a class.
    """

    reads: ClassVar[tuple[str, ...]] = ("image_embed", "patch_embed", "text_embed")
    trains: ClassVar = False
    headline: ClassVar = ""

    def __init__(
        self,
        test: Embedded,
        classes: Sequence[str],
        bank: PromptBank,
        tokenize: TokenizeFn,
        *,
        query: ClassQuery = "positive",
        among: Sequence[str] = (),
        maps: heatmap.MapConfig | None = None,
        per_class: int = 2,
        unlabelled: int = 6,
    ):
        self.test, self.classes = test, tuple(classes)
        self.query, self.per_class, self.unlabelled = query, per_class, unlabelled
        self.maps = maps or heatmap.MAPS["default"]
        asked = class_maps(bank, self.classes, tokenize, query, among)
        self._said = [p.positive[0] for p in bank.select(self.classes)]
        self._column = test.want(
            PositiveMaps(asked, tuple(test.label_columns(self.classes)), per_class, unlabelled)
        )
        self._image = test.want(Predicted("image_embed"))
        self._asked = asked

    @classmethod
    def build(cls, context: Context) -> dict[str, Evaluator]:
        asked = context.config.heatmap
        one = cls(
            context.test,
            context.chosen.shown or context.known,
            context.map_prompts,
            context.tokenize,
            query="positive" if asked == "phrases" else asked,
            among=context.known,
            maps=context.maps,
        )
        return {"pictures": one}

    def __call__(self, predict: PredictFn) -> EvalResult:
        rows = self.test.rows(predict)
        labels = rows[FromBatch("labels")]
        positive = labels[:, self.test.label_columns(self.classes)] == 1
        chosen = [
            (k, i)
            for k in range(len(self.classes))
            for i in np.flatnonzero(positive[:, k])[: self.per_class]
        ]
        unread = np.flatnonzero((labels == -2).all(1))[: self.unlabelled]
        if len(unread):
            near = cosine(rows[self._image][unread], self._asked.queries(predict)).argmax(1)
            chosen += list(zip(near.tolist(), unread.tolist(), strict=True))
        images, maps, classes, ids = [], [], [], []
        for k, i in chosen:
            image, patches = rows[self._column][i]
            images.append(image)
            maps.append(heatmap.rescale(heatmap.to_pixels(patches[k], self.maps)))
            classes.append(k)
            ids.append(str(rows.ids[i]))
        details = {
            "kind": "pictures",
            "set": self.test.name,
            "split": self.test.split,
            "query": self.query,
            "maps": dataclasses.asdict(self.maps),
            "pictures": len(images),
            "unlabelled": len(unread),
        }
        if not images:
            return EvalResult({}, details)
        arrays = {
            "shown_image": np.stack(images),
            "shown_map": np.stack(maps).astype(np.float32),
            "shown_boxes": np.full((len(images), 0, 4), np.nan),
            "shown_label": np.array([self.classes[k] for k in classes]),
            "shown_phrase": np.array([self._said[k] for k in classes]),
            "shown_id": np.array(ids),
            "shown_hit": np.full(len(images), np.nan),
        }
        return EvalResult({}, details, arrays)
