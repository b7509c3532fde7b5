"""Rules that need no training, scored exactly like the model.

Bright images are more often ill: films are exposed differently at the bedside, and most findings
whiten the lungs. A model that does not beat these rules has not been shown to see a finding.
The rules and their signs were fixed before any result was seen, and have nothing to tune.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float, UInt8

from medvlp_jax.eval.base import Batch, EvalResult, Evaluator, PredictFn
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.embedded import Embedded, FromBatch, GatherFn
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.metrics.scores import ThresholdRule
from medvlp_jax.eval.zeroshot.compare import classification_result

#: Findings that darken the lungs, and the absence of findings: a LOW value speaks for them.
DARKER = frozenset({"pneumothorax", "emphysema", "no finding"})

#: (x0, y0, x1, y1) as fractions of the image: where the middle of each lung is on a frontal film.
LUNG_BOXES = ((0.15, 0.22, 0.40, 0.68), (0.60, 0.22, 0.85, 0.68))
#: The body is what lies between and below the lungs and in the shoulders: all but the lung boxes
#: inside this frame. The rim outside of it is collimation and background on many films.
BODY_FRAME = (0.06, 0.06, 0.94, 0.94)


def mean_brightness(image: UInt8[np.ndarray, "b h w c"]) -> Float[np.ndarray, "b"]:
    """Mean grey value, 0 (black) to 1 (white)."""
    return image.mean((1, 2, 3), dtype=np.float64) / 255


def lung_to_body_contrast(image: UInt8[np.ndarray, "b h w c"]) -> Float[np.ndarray, "b"]:
    """(mean of the lung boxes - mean of the body around them) / standard deviation of both.

    Unlike brightness it does not change with exposure (any a + b x with b > 0 leaves it alone).
    Aerated lungs are darker than the body: about -1; opaque lungs: near or above 0.
    """
    grey = image.mean(3, dtype=np.float64)
    lungs, body = regions(*grey.shape[1:])
    inside, outside = grey[:, lungs], grey[:, body]
    spread = grey[:, lungs | body].std(1)
    return (inside.mean(1) - outside.mean(1)) / np.maximum(spread, 1e-6)


def regions(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(lungs, body): disjoint boolean masks [h, w]; a pixel belongs to a box by its centre."""
    y = ((np.arange(height) + 0.5) / height)[:, None]
    x = ((np.arange(width) + 0.5) / width)[None, :]

    def box(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
        return (x >= x0) & (x < x1) & (y >= y0) & (y < y1)

    lungs = box(*LUNG_BOXES[0]) | box(*LUNG_BOXES[1])
    return lungs, box(*BODY_FRAME) & ~lungs


#: A config's word -> the rule.
RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean brightness": mean_brightness,
    "lung-to-body contrast": lung_to_body_contrast,
}


@dataclasses.dataclass(frozen=True)
class RuleColumn:
    """One number per image."""

    rule: str

    def start(self, predict: PredictFn, gather: GatherFn) -> Callable[[Batch], np.ndarray]:
        return lambda batch: gather(RULES[self.rule](np.asarray(batch["image"])))


class Baseline:
    """One rule as a classifier of every class; the table has the form of a zero-shot one.

    Args:
      test, classes, validation, threshold_rule, bootstrap, subgroups: as for ``ZeroShot``; give
        the same, so that intervals are paired.
      rule: a key of :data:`RULES`.
    """

    reads: ClassVar[tuple[str, ...]] = ()
    trains: ClassVar = False
    headline: ClassVar = ""

    def __init__(
        self,
        test: Embedded,
        classes: Sequence[str],
        *,
        rule: str,
        validation: Embedded | None = None,
        threshold_rule: ThresholdRule = "youden",
        bootstrap: Bootstrap | None = None,
        subgroups: Sequence[str] = ("view",),
    ):
        if rule not in RULES:
            raise ValueError(f"no rule {rule!r}; there are {', '.join(map(repr, RULES))}")
        self.test, self.validation, self.rule = test, validation, rule
        self.classes = tuple(classes)
        self.threshold_rule: ThresholdRule = threshold_rule
        self.bootstrap = bootstrap or Bootstrap()
        self.subgroups = tuple(subgroups)
        self._column = RuleColumn(rule)
        self._sign = np.array([-1.0 if c in DARKER else 1.0 for c in self.classes])
        for data in filter(None, (test, validation)):
            data.label_columns(self.classes)
            data.want(self._column)

    @classmethod
    def build(cls, context: Context) -> dict[str, Evaluator]:
        """Every rule."""
        return {
            rule: cls(context.test, context.chosen.scored, rule=rule, **context.scoring)
            for rule in RULES
        }

    def __call__(self, predict: PredictFn) -> EvalResult:
        rows = self.test.rows(predict)
        labels, scores = self._score(self.test, predict)
        return classification_result(
            self.test,
            rows,
            self.classes,
            labels,
            scores,
            bootstrap=self.bootstrap,
            subgroups=self.subgroups,
            threshold_rule=self.threshold_rule,
            validation=self.validation,
            validation_scores=self._score(self.validation, predict) if self.validation else None,
            protocol={
                "kind": "baseline",
                "rule": self.rule,
                "low_speaks_for": [c for c in self.classes if c in DARKER],
            },
        )

    def _score(self, data: Embedded, predict: PredictFn) -> tuple[np.ndarray, np.ndarray]:
        rows = data.rows(predict)
        labels = rows[FromBatch("labels")][:, data.label_columns(self.classes)]
        return labels, rows[self._column][:, None] * self._sign
