"""Classification of a labelled set: full fine-tuning, or a linear layer on a frozen tower."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from medvlp_jax.core.config import agree
from medvlp_jax.core.state import ModelDef
from medvlp_jax.core.task import Batch, Metrics, Predict, Truth
from medvlp_jax.tasks.images import PixelConfig
from medvlp_jax.tasks.labelled import LabelledTask

#: What an uncertain label (-1) is taken for.
Uncertain = Literal["ignore", "positive", "negative"]


@dataclasses.dataclass(frozen=True)
class SupervisedConfig(PixelConfig):
    """``config.task`` of a classification run.

    Attributes:
      frozen: the tower runs as in evaluation (running batch statistics, no dropout) and gets no
        gradient; the optimizer must hold it too (``config.optim.freeze``).
      uncertain: labels of -1 are left out of the loss, or count as positive or negative.
      Others: see :class:`medvlp_jax.tasks.images.PixelConfig`.
    """

    frozen: bool = False
    uncertain: Uncertain = "ignore"


def targets(
    labels: Int[Array, "b k"], uncertain: Uncertain
) -> tuple[Float[Array, "b k"], Bool[Array, "b k"]]:
    """(0 or 1, which labels count): -2, never judged, does not; -1 as ``uncertain`` says."""
    known = (labels == 0) | (labels == 1)
    if uncertain != "ignore":
        known |= labels == -1
    positive = (labels == 1) | ((labels == -1) & (uncertain == "positive"))
    return positive.astype(jnp.float32), known


def bce(
    logits: Float[Array, "*s"], target: Float[Array, "*s"], weight: Float[Array, "*s"]
) -> Float[Array, ""]:
    """Mean of −[y log σ(z) + (1−y) log(1−σ(z))] over what has weight; 0 where nothing has."""
    each = jax.nn.softplus(logits) - logits * target
    return jnp.sum(each * weight) / jnp.maximum(jnp.sum(weight), 1.0)


class SupervisedTask(LabelledTask):
    """Binary cross-entropy a class, over the labels that are known.

    Each label is a question of its own, so an image may have several or none.

    Needs a model that is called as :class:`medvlp_jax.models.heads.Classifier`.
    """

    models: ClassVar = ("classifier",)
    needs: frozenset[Truth] = frozenset({"labels"})

    def __init__(self, model_def: ModelDef, config: SupervisedConfig):
        self.model_def = model_def
        self.config = config
        self.predict: Mapping[str, Predict] = {
            "logits": lambda model, batch: model(config.prepare(batch["image"]), train=False)
        }

    @classmethod
    def complete(cls, config: dict[str, Any]) -> None:
        super().complete(config)
        agree(config["model"], "classes", len(config["data"].get("labels", ())), "config.model")

    @property
    def columns(self) -> tuple[str, ...]:
        return ("image", "labels")

    def loss(
        self, model: Any, embeddings: Any, batch: Batch, rng: jax.Array | None = None
    ) -> tuple[Float[Array, ""], Metrics]:
        del embeddings
        c = self.config
        logits = model(c.prepare(batch["image"]), train=True, frozen=c.frozen, rng=rng)
        target, known = targets(batch["labels"], c.uncertain)
        weight = (known & batch["valid"][:, None]).astype(jnp.float32)
        right = ((logits > 0) == (target > 0.5)) * weight
        accuracy = jnp.sum(right) / jnp.maximum(jnp.sum(weight), 1.0)
        return bce(logits, target, weight), {"accuracy": accuracy}
