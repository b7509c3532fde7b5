"""Linear probe: a logistic regression on the frozen tower's pooled vectors."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jax
import numpy as np
import scipy.optimize
from jaxtyping import Float, Int

from medvlp_jax.core import sharding
from medvlp_jax.core.predict import Predictor
from medvlp_jax.core.state import ModelDef
from medvlp_jax.data.config import SourceConfig
from medvlp_jax.data.labelled import LabelIndex
from medvlp_jax.eval.base import EvalError, EvalResult, Evaluator, PredictFn
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.downstream.config import ProbeConfig
from medvlp_jax.eval.downstream.efficiency import Collected, Shares, macro_auc
from medvlp_jax.eval.downstream.sets import Sets
from medvlp_jax.eval.downstream.tower import Tower, Towers
from medvlp_jax.eval.embedded import FromBatch, Predicted
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.models.heads import TowerOnly

_FEATURES = Predicted("features")
#: What a pass over a set reads.
COLUMNS = ("image", "labels")


class Linear:
    """``x @ kernel + bias`` of standardised features; ``kernel`` [d, k]."""

    def __init__(self, mean: np.ndarray, scale: np.ndarray, kernel: np.ndarray, bias: np.ndarray):
        self.mean, self.scale, self.kernel, self.bias = mean, scale, kernel, bias

    def __call__(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        return ((x - self.mean) / self.scale) @ self.kernel + self.bias


def fit_logistic(
    x: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, "n k"],
    strengths: Sequence[float],
) -> list[Linear]:
    """L2-regularised logistic regressions, one a class and strength.

    Minimises, for each class over its n records with label 0 or 1, mean cross-entropy
    + ½ λ ‖w‖² (scikit-learn's ``C`` is 1 / (n λ)); the bias is not penalised. A class of one value
    gets the kernel 0 and a bias that says so.

    Raises:
      EvalError: a feature is not finite.
    """
    x = np.asarray(x, np.float64)
    if not np.isfinite(x).all():
        raise EvalError("a feature of the tower is not finite: its parameters are broken")
    mean, scale = x.mean(0), x.std(0)
    scale = np.where(scale > 1e-6 * np.abs(scale).max(initial=1e-12), scale, 1.0)
    # In the axes of the features' spread, as many as there are directions with any: fewer than the
    # features where these are more than the records, whose span holds the solution.
    u, spread, axes = np.linalg.svd((x - mean) / scale, full_matrices=False)
    z = u * spread
    known = (labels == 0) | (labels == 1)
    y = (labels == 1).astype(np.float64)
    weight = known / np.maximum(known.sum(0), 1)
    k = labels.shape[1]
    positive = (y * known).sum(0)
    # Far beyond any score, yet finite: one value is all this class has shown.
    lopsided = np.where(positive == 0, -30.0, np.where(positive == known.sum(0), 30.0, 0.0))
    learns = lopsided == 0
    theta = np.zeros((z.shape[1] + 1, k))
    out = []
    for strength in sorted(strengths, reverse=True):  # each starts where a stiffer one ended
        theta = _minimise(z, y, weight * learns, strength, theta)
        kernel = axes.T @ theta[:-1]
        out.append(Linear(mean, scale, kernel * learns, np.where(learns, theta[-1], lopsided)))
    order = np.argsort(np.argsort(-np.asarray(strengths), kind="stable"), kind="stable")
    return [out[i] for i in order]


def _minimise(
    z: np.ndarray, y: np.ndarray, weight: np.ndarray, strength: float, start: np.ndarray
) -> np.ndarray:
    """L-BFGS on all classes at once; their problems are independent.

    The axes of ``z`` are orthogonal: scaled by the root of what their curvature can be at most,
    they are all alike to L-BFGS, which then needs a fraction of the steps.
    """
    shape = start.shape
    curvature = np.append((z * z).sum(0) / (4 * len(z)) + strength, 0.25)[:, None] ** 0.5

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        theta = flat.reshape(shape) / curvature
        w, b = theta[:-1], theta[-1]
        logits = z @ w + b
        tail = np.exp(-np.abs(logits))  # of the softplus and of the sigmoid
        softplus = np.maximum(logits, 0) + np.log1p(tail)
        value = (weight * (softplus - logits * y)).sum()
        residual = weight * (np.where(logits >= 0, 1.0, tail) / (1 + tail) - y)
        grad = np.concatenate([z.T @ residual + strength * w, residual.sum(0)[None]]) / curvature
        return value + 0.5 * strength * (w * w).sum(), grad.ravel()

    found = scipy.optimize.minimize(
        objective, (start * curvature).ravel(), jac=True, method="L-BFGS-B",
        options={"maxiter": 300, "ftol": 1e-11, "gtol": 1e-6, "maxcor": 20},
    )  # fmt: skip
    return found.x.reshape(shape) / curvature


class Probe:
    """The probe at every share of the labels, from the trained and from a random tower.

    Args:
      tower: of a predict function.
      plan: which shares of which classes' labels.
      config: see :class:`ProbeConfig`.
    """

    reads: ClassVar[tuple[str, ...]] = ()
    trains: ClassVar = True
    headline: ClassVar = "auc_macro"

    def __init__(
        self,
        sets: Sets,
        plan: Shares,
        *,
        tower: Callable[[PredictFn], Tower],
        config: ProbeConfig | None = None,
        bootstrap: Bootstrap | None = None,
    ):
        self.sets, self.plan, self.tower = sets, plan, tower
        self.config = config or ProbeConfig()
        self.bootstrap = bootstrap or Bootstrap()

    @classmethod
    def build(cls, context: Context) -> dict[str, Evaluator]:
        c, sets = context.config.downstream, context.sets()
        classes = c.classes or context.chosen.labelled
        sets.require("label", classes, classes)
        one = cls(
            sets,
            context.shares("probe", classes, c.fractions),
            tower=context.tower,
            config=c.probe,
            bootstrap=context.config.bootstrap,
        )
        return {"probe": one}

    def __call__(self, predict: PredictFn) -> EvalResult:
        classes = self.plan.classes
        towers = Towers(self.tower(predict), self.sets, classes)
        held = {w: self.sets.embedded(w, COLUMNS, labels=classes) for w in ("validation", "test")}
        for embedded in held.values():
            embedded.want(_FEATURES)
        results = Collected()
        for start in self.plan.starts:
            bound = feature_predictor(towers.start(start), self.sets)
            train = _training_features(self.sets, classes, bound, towers.indices)
            validation, test = (held[w].rows(bound) for w in ("validation", "test"))
            results.test(held["test"], test)
            for fraction, seed in self.plan.subsets():
                x, labels = train(towers.rows(fraction, seed))
                models = fit_logistic(x, labels, self.config.l2)
                merit = [
                    macro_auc(validation[FromBatch("labels")], m(validation[_FEATURES]))
                    for m in models
                ]
                best = int(np.nanargmax(merit)) if np.isfinite(merit).any() else 0
                results.add(
                    start, fraction, len(x), models[best](test[_FEATURES]), self.config.l2[best]
                )
        return results.result(
            classes,
            self.bootstrap,
            self.sets.describe() | {"kind": "probe", "l2": list(self.config.l2)},
        )


def feature_predictor(tower: Tower, sets: Sets) -> Predictor:
    """``features``: the pooled vectors of a tower, in evaluation mode."""
    model_def = ModelDef.of(lambda rngs: TowerOnly(tower.config, rngs=rngs))

    def features(model: Any, batch: Any) -> Any:
        pooled = model.vision(tower.pixels.prepare(batch["image"])).pooled
        return pooled.astype("float32")

    held = ({"vision": tower.params}, {"vision": tower.buffers} if tower.buffers else {})
    params, buffers = jax.device_put(held, sharding.replicated(sets.mesh))
    return Predictor(model_def, {"features": features}, sets.mesh).with_arrays(params, buffers)


def _training_features(
    sets: Sets, classes: Sequence[str], predict: Predictor, indices: Sequence[LabelIndex]
) -> Callable[[Sequence[Int[np.ndarray, "m"]]], tuple[np.ndarray, np.ndarray]]:
    """``rows -> (features, labels)`` of the training sources, embedded once."""
    parts: list[tuple[np.ndarray, np.ndarray, dict[str, int]]] = []
    for source in sets.data.sources:
        one = dataclasses.replace(sets, test=SourceConfig(source.path, source.split))
        embedded = one.embedded("test", COLUMNS, labels=tuple(classes))
        embedded.want(_FEATURES)
        rows = embedded.rows(predict)
        at = {str(name): i for i, name in enumerate(rows.ids)}
        parts.append((rows[_FEATURES], rows[FromBatch("labels")], at))

    def take(rows: Sequence[Int[np.ndarray, "m"]]) -> tuple[np.ndarray, np.ndarray]:
        xs, ys = [], []
        for (x, labels, at), index, chosen in zip(parts, indices, rows, strict=True):
            # A record that cannot be read is in the index, but has no features.
            found = [at[name] for name in map(str, index.ids[chosen]) if name in at]
            xs.append(x[found])
            ys.append(labels[found])
        return np.concatenate(xs), np.concatenate(ys)

    return take
