"""MedCLIP's semantic matching (Wang et al. 2022, arXiv:2210.10163, sec. 3.2): pairs whose labels
agree are not each other's negatives.

The targets of an image are the softmax of the inner products of its labels with those of all texts,
``scores.match_scores``; labels are 1 (positive), 0 (negative or unknown) and -1 (uncertain). A
text's vector is made of the first two and the last hidden states.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from medvlp_jax.core.config import agree
from medvlp_jax.core.fields import AboveOne, Positive
from medvlp_jax.core.sharding import constrain
from medvlp_jax.core.state import ModelDef
from medvlp_jax.core.task import Batch, Metrics, Predict
from medvlp_jax.losses import embeddings as losses
from medvlp_jax.losses.pairs import matmul
from medvlp_jax.losses.scores import match_scores
from medvlp_jax.models.features import TextFeatures
from medvlp_jax.models.text_encoder import pool_tokens
from medvlp_jax.tasks.towers import TowersConfig, TwoTowers, split_keys


@dataclasses.dataclass(frozen=True)
class MedclipConfig(TowersConfig):
    """``config.task`` of MedCLIP; the other keys are those of :class:`TowersConfig`.

    Attributes:
      text_side: where a text's labels come from: ``stated``, what it affirms; ``record``, those of
        its record, uncertain ones included.
      label_scale: factor on the inner products of labels. 1, as published, is nearly uniform where
        records have a label or two: among ``n`` records a match weighs ``e`` against ``n - 1``.
      variant: the mean with the same loss on a second version of every text, which
        ``config.data.text.variant`` makes.
      text_states: ``first_last``: the mean of the first two hidden states and the last one, over
        all tokens; ``pooled``: the tower's own vector.
      max_logit_scale: upper bound of the learned logit scale; the lower one is 1.
    """

    text_side: Literal["stated", "record"] = "stated"
    label_scale: Positive = 1.0
    variant: bool = False
    text_states: Literal["first_last", "pooled"] = "first_last"
    max_logit_scale: AboveOne = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.multi_positive != "none":
            raise ValueError("multi_positive has no meaning for soft targets; leave it out")
        if self.label_scale <= 0:
            raise ValueError(f"label_scale={self.label_scale} must be positive")
        if self.max_logit_scale <= 1:
            raise ValueError(f"max_logit_scale={self.max_logit_scale} must be above 1")


class Embeddings(NamedTuple):
    """Unit vectors; ``variant`` where texts have a second version."""

    image: Float[Array, "b e"]
    text: Float[Array, "b e"]
    variant: Float[Array, "b e"] | None = None


class MedclipTask(TwoTowers):
    """The two-phase task of ``core/task.py``.

    Metrics: accuracies of the own pair, ``logit_scale``, and ``text_loss``, ``variant_loss`` where
    there are two.
    """

    def __init__(self, model_def: ModelDef, config: MedclipConfig):
        super().__init__(model_def, config)
        self.predict: Mapping[str, Predict] = {
            **self.predict,
            "text_embed": self._text_embed,
        }
        self._clamp = losses.clamp_inward(0.0, math.log(config.max_logit_scale))

    @classmethod
    def complete(cls, config: dict[str, Any]) -> None:
        super().complete(config)
        share = config["data"].get("text", {}).get("variant", 0.0)
        agree(config["task"], "variant", share > 0, "config.task")

    @property
    def columns(self) -> tuple[str, ...]:
        c = self.config
        texts = ("statements",) if c.text_side == "stated" else ()
        variant = ("text_variant",) if c.variant else ()
        return (*super().columns, "labels", *texts, *variant)

    def embed(self, model: Any, batch: Batch, rng: jax.Array | None) -> Embeddings:
        """Unit vectors in training mode."""
        image_rng, text_rng, variant_rng = split_keys(rng, 3)
        image = self._encode_image(model, batch, image_rng)

        def text(name: str, rng: jax.Array | None) -> Array:
            ids, mask = batch[name], batch[f"{name}_mask"]
            features = self._encode_text(model, ids, mask, rng, hidden=self._hidden(model))
            return model.project_text(self._features(features, mask), train=True)

        return Embeddings(
            model.project_image(image, train=True),
            text("text", text_rng),
            text("text_variant", variant_rng) if self.config.variant else None,
        )

    def loss(
        self, model: Any, embeddings: Embeddings, batch: Batch, rng: jax.Array | None = None
    ) -> tuple[Float[Array, ""], Metrics]:
        """The loss over all records of the global batch, padding left out."""
        del rng  # nothing here is random
        scale = jnp.exp(self._clamp(model.logit_scale[...].astype(jnp.float32)))
        image, text, variant = embeddings
        shown = signed_labels(batch["labels"])
        said = shown
        if self.config.text_side == "stated":
            said = batch["text_labels"].astype(jnp.float32)
        affinity = matmul(self.config.label_scale * shown, _everywhere(said).T)

        def match(text: Array) -> tuple[Array, Metrics]:
            logits = matmul(scale * image, _everywhere(text).T)
            return match_scores(logits, affinity, batch["valid"])

        loss, metrics = match(text)
        if variant is not None:
            other, _ = match(variant)
            metrics = metrics | {"text_loss": loss, "variant_loss": other}
            loss = (loss + other) / 2
        return loss, metrics | {"logit_scale": scale}

    def _hidden(self, model: Any) -> int:
        return model.text.config.depth if self.config.text_states == "first_last" else 0

    def _features(self, text: TextFeatures, mask: Array) -> TextFeatures:
        if text.hidden is None:
            return text
        states = [*text.hidden[:2].astype(jnp.float32), text.tokens.astype(jnp.float32)]
        if len(text.hidden) < 3:  # the last one is among the first two
            states = [*states[: len(text.hidden) - 1], states[-1]]
        mask = mask | (jnp.arange(mask.shape[1]) == 0)
        tokens = sum(states[1:], states[0]) / len(states)
        return text._replace(pooled=pool_tokens(tokens, mask, "mean"))

    def _text_embed(self, model: Any, batch: Batch) -> Array:
        mask = batch["text_mask"]
        features = model.encode_text(batch["text"], mask, hidden=self._hidden(model))
        return model.project_text(self._features(features, mask))


def signed_labels(labels: Float[Array, "b k"]) -> Float[Array, "b k"]:
    """Labels of a batch (1, 0, -1 uncertain, -2 absent) as 1, 0, -1 and 0."""
    return jnp.where(labels == -2, 0, labels).astype(jnp.float32)


def _everywhere(x: Float[Array, "b d"]) -> Float[Array, "b d"]:
    """The rows of all devices on every device."""
    return constrain(x, None, None)
