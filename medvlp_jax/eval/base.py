"""What an evaluator is given and what it returns."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import Bool, Int

from medvlp_jax.core.errors import UserError

#: A batch of ``data/pipeline.py``: arrays and host strings with a common leading dimension.
Batch = Mapping[str, np.ndarray]

#: ``predict(name, batch)`` -> the GLOBAL rows of one predict function of the task, for instance
#: ``image_embed`` [b, e], ``text_embed`` [b, e] or ``patch_embed`` [b, h, w, e], all fp32.
#: One predict object stands for one fixed set of parameters: the cache of ``Embedded`` asks ``is``.
PredictFn = Callable[[str, Batch], np.ndarray]

#: ``tokenize(texts)`` -> (ids int32 [n, t], mask bool [n, t], True where a token is real).
TokenizeFn = Callable[[Sequence[str]], tuple[Int[np.ndarray, "n t"], Bool[np.ndarray, "n t"]]]


class EvalError(UserError, ValueError):
    """A set, a bank or a model cannot be evaluated; the message names the record or the class."""


@dataclasses.dataclass(frozen=True)
class EvalResult:
    """The outcome of one evaluator on one set.

    Attributes:
      metrics: flat numbers for a log, keyed ``auc_macro`` or ``auc/edema``; NaN where undefined.
      details: what ``results.json`` holds: tables with intervals, protocol, counts. JSON-able.
      arrays: what is too large for JSON: scores, ROC bands, pictures for the report.
    """

    metrics: dict[str, float]
    details: dict[str, Any]
    arrays: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


class Evaluator(Protocol):
    """Anything that turns a predict function into an :class:`EvalResult`."""

    def __call__(self, predict: PredictFn) -> EvalResult: ...
