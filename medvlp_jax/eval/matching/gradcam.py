"""Where a model looks while it matches a phrase with an image: Grad-CAM on cross-attention.

As BLIP's authors and their followers draw it (salesforce/LAVIS ``gradcam.py``): of every word the
probabilities of one layer's cross-attention times the positive part of a gradient, the mean over
the heads; the maps of all pieces of the phrase are added up.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from medvlp_jax.core.config import ConfigError
from medvlp_jax.eval.base import Batch, EvalError, EvalResult, Evaluator, PredictFn
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.embedded import GatherFn, apply, gather_strings
from medvlp_jax.eval.grounding.evaluator import Grounding
from medvlp_jax.eval.grounding.regions import distinct
from medvlp_jax.eval.zeroshot.prompt_tokens import PromptTokenizer

#: What the gradient is of -> which of the two maps of ``match_map`` that is.
SIGNS = {"loss": 0, "match": 1}
#: Phrases that go through the model at a time.
_ROWS = 16


@dataclasses.dataclass(frozen=True)
class MatchMaps:
    """The map of every distinct phrase of the record's own boxes [q, h, w]; ``None`` without any.

    Attributes:
      tokenize: of the text side.
      sign: a key of :data:`SIGNS`.
    """

    tokenize: PromptTokenizer = dataclasses.field(compare=False)
    sign: str = "loss"

    def start(self, predict: PredictFn, gather: GatherFn) -> Callable[[Batch], np.ndarray]:
        def read(batch: Batch) -> np.ndarray:
            if "box_phrase" not in batch:
                raise EvalError("the batches carry no 'box_phrase'")
            valid = gather(np.asarray(batch["valid"], bool))
            written = gather_strings(np.asarray(batch["box_phrase"]), gather)
            phrases = [distinct(row) if v else [] for row, v in zip(written, valid, strict=True)]
            out = np.full(len(valid), None, dtype=object)
            pairs = [(i, p) for i, row in enumerate(phrases) for p in row]
            if pairs:
                images = gather(np.asarray(batch["image"]))
                maps = self._maps(predict, images, pairs)
                for i, row in enumerate(phrases):
                    own = [m for (at, _), m in zip(pairs, maps, strict=True) if at == i]
                    out[i] = np.stack(own) if row else None
            return out

        return read

    def _maps(
        self, predict: PredictFn, images: np.ndarray, pairs: list[tuple[int, str]]
    ) -> list[np.ndarray]:
        texts = [phrase for _, phrase in pairs]
        ids, mask = self.tokenize(texts)
        words = self.tokenize.word_ids(texts) > 0  # neither [ENC] nor [SEP]
        found: list[np.ndarray] = []
        for start in range(0, len(pairs), _ROWS):
            take = np.minimum(np.arange(start, start + _ROWS), len(pairs) - 1)
            rows = images[[pairs[i][0] for i in take]]
            batch = {"image": rows, "text": ids[take], "text_mask": mask[take]}
            maps = apply(predict, "match_map", batch)[:_ROWS, SIGNS[self.sign]]
            found += list(np.einsum("bthw,bt->bhw", maps, words[take].astype(np.float32)))
        return found[: len(pairs)]


class GradCam(Grounding):
    """Grounding of the records' own phrases by the cross-attention of ``config.task.cam_block``.

    The scores are those of :class:`Grounding`. The gradient is that of the loss ``-log p(match)``,
    as published; ``match_pointing`` and its like are those of the gradient of ``log p(match)``,
    which shows what speaks for the match instead of what speaks against it.
    """

    reads: ClassVar[tuple[str, ...]] = ("match_map",)

    @classmethod
    def build(cls, context: Context) -> dict[str, Evaluator]:
        if context.set.truth != "boxes":
            raise ConfigError(f"{context.where}: gradcam asks for the phrases of boxes; set truth")

        def one(sign: str) -> Evaluator:
            return cls(
                context.test,
                context.chosen.shown,
                context.map_prompts,
                context.tokenize,
                validation=context.validation,
                query="phrases",
                maps=context.maps,
                untrained=context.untrained if sign == "loss" else None,
                bootstrap=context.config.bootstrap,
                not_scored=context.chosen.unseen,
                column=MatchMaps(context.tokenize, sign),
            )

        return {"gradcam": Both(one("loss"), one("match"))}


class Both:
    """The published sign, and some numbers of the other one beside it."""

    def __init__(self, loss: Evaluator, match: Evaluator):
        self._loss, self._match = loss, match

    def __call__(self, predict: PredictFn) -> EvalResult:
        result, other = self._loss(predict), self._match(predict)
        beside = {k: v for k, v in other.metrics.items() if k.split("_")[0] in ("pointing", "cnr")}
        details: dict[str, Any] = {
            **result.details,
            "kind": "gradcam",
            "gradient_of": "-log p(match)",
            "pictures_of": f"{result.details['set']}, by cross-attention",
            "of_match": {"overall": other.details["overall"]},
        }
        metrics = result.metrics | {f"match_{k}": v for k, v in beside.items()}
        return EvalResult(metrics, details, result.arrays)
