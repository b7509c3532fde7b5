"""Image-text contrastive pre-training: CLIP, SigLIP, ConVIRT, LiT.

``losses.py`` has the formulas. Which pairs are positive, where the pairs are visited and which
towers learn is decided here.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from medvlp_jax.core import sharding
from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.fields import AboveOne, Fraction, NonNegative, Positive, Size
from medvlp_jax.core.state import ModelDef
from medvlp_jax.core.task import Batch, Metrics, Predict
from medvlp_jax.losses import embeddings as losses
from medvlp_jax.losses.gathered import gathered_sigmoid_pairs, gathered_softmax_pairs
from medvlp_jax.losses.pairs import PairKeys
from medvlp_jax.losses.positives import pair_keys, same_statement_keys, stated_keys
from medvlp_jax.losses.ring import Ring
from medvlp_jax.losses.ring_sigmoid import ring_sigmoid_pairs
from medvlp_jax.losses.ring_softmax import ring_softmax_pairs
from medvlp_jax.tasks.regions import pool, stated_region
from medvlp_jax.tasks.towers import TowersConfig, TwoTowers, split_keys

#: What ``config.task`` gives when it names neither (Zhang et al. 2020, arXiv:2010.00747, sec. 3.2).
CONVIRT_TEMPERATURE, CONVIRT_IMAGE_WEIGHT = 0.1, 0.75


@dataclasses.dataclass(frozen=True)
class ContrastiveConfig(TowersConfig):
    """``config.task`` of a contrastive run; the other keys are those of :class:`TowersConfig`.

    Attributes:
      loss: ``infonce``; ``sigmoid`` (needs ``config.model.logit_bias``); ``convirt``: InfoNCE with
        other defaults of the two fields that follow.
      image_weight: weight of the image -> text direction; None: 0.5, ConVIRT 0.75.
      temperature: fixed; None: learned, as the model's logit scale; ConVIRT 0.1.
      max_logit_scale: upper bound of a learned logit scale; the lower one is 1.
      impl: ``gathered`` keeps ``local x global batch`` logits a device; ``ring`` keeps one tile of
        them and computes the logits twice. Equal results.
      block: side of a tile of the ring; None: up to 512, chosen to divide.
      text_weight: weight of the same loss between the texts, where those that state the same
        findings are positives. It gives the images something to match from the first steps on,
        where a text tower starts from nothing.
      region_weight: weight of the same loss between texts and the regions they are about (boxes
        of the findings that they state), which makes heat-maps. Texts are positives of regions
        that show all they state.
    """

    loss: Literal["infonce", "sigmoid", "convirt"] = "infonce"
    image_weight: Fraction | None = None
    temperature: Positive | None = None
    max_logit_scale: AboveOne = 100.0
    impl: Literal["gathered", "ring"] = "gathered"
    block: Size | None = None
    text_weight: NonNegative = 0.0
    region_weight: NonNegative = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss == "sigmoid" and self.image_weight is not None:
            raise ValueError("image_weight has no meaning for the sigmoid loss; leave it out")
        if self.image_weight is not None and not 0 <= self.image_weight <= 1:
            raise ValueError(f"image_weight={self.image_weight} must be in [0, 1]")
        if self.temperature is not None and self.temperature <= 0:
            raise ValueError(f"temperature={self.temperature} must be positive")
        if self.max_logit_scale <= 1:
            raise ValueError(f"max_logit_scale={self.max_logit_scale} must be above 1")
        if self.block is not None and (self.block < 1 or self.impl != "ring"):
            raise ValueError(f"block={self.block} must be positive, and goes with impl='ring'")
        if min(self.text_weight, self.region_weight) < 0:
            raise ValueError("text_weight and region_weight must not be negative")
        if self.loss == "sigmoid" and (self.text_weight or self.region_weight):
            raise ValueError("text_weight and region_weight go with the softmax losses")

    @property
    def reads_statements(self) -> bool:
        return self.multi_positive == "stated" or bool(self.text_weight or self.region_weight)

    def resolved_image_weight(self) -> float:
        """``w`` of the InfoNCE formula."""
        if self.image_weight is not None:
            return self.image_weight
        return CONVIRT_IMAGE_WEIGHT if self.loss == "convirt" else 0.5

    def resolved_temperature(self) -> float | None:
        """The fixed temperature, None if it is learned."""
        if self.temperature is None and self.loss == "convirt":
            return CONVIRT_TEMPERATURE
        return self.temperature


class Embeddings(NamedTuple):
    """Unit vectors of the records of a (micro-)batch; ``region`` with ``region_weight`` only."""

    image: Float[Array, "b e"]
    text: Float[Array, "b e"]
    region: Float[Array, "b e"] | None = None


class ContrastiveTask(TwoTowers):
    """The two-phase task of ``core/task.py`` for :class:`medvlp_jax.models.clip.CLIP`.

    The loss is over the global batch on any mesh: it finds the mesh by ``sharding.current_mesh()``.
    Metrics: those of ``losses.infonce``, ``logit_scale`` and, for the sigmoid loss, ``logit_bias``;
    ``pair_loss``, ``text_loss``, ``region_loss`` where there are several.
    """

    may_differ: ClassVar = ("impl", "block")

    def __init__(self, model_def: ModelDef, config: ContrastiveConfig):
        if config.loss == "sigmoid" and "logit_bias" not in model_def.abstract_params:
            raise ConfigError(
                "config.task.loss='sigmoid' needs config.model.logit_bias, the bias of the logits "
                "(SigLIP starts with -10, and with config.model.logit_scale=10)"
            )
        super().__init__(model_def, config)
        self.predict: Mapping[str, Predict] = {
            **self.predict,
            # BioViL's zero-shot protocol averages prompts before it normalises them.
            "text_embed_unnormalised": lambda model, batch: model.project_text(
                model.encode_text(batch["text"], batch["text_mask"]), normalize=False
            ),
        }
        self._clamp = losses.clamp_inward(0.0, math.log(config.max_logit_scale))

    @property
    def columns(self) -> tuple[str, ...]:
        return (*super().columns, "boxes") if self.config.region_weight else super().columns

    def embed(self, model: Any, batch: Batch, rng: jax.Array | None) -> Embeddings:
        """Unit vectors in training mode; ``rng`` drives dropout and patch dropout."""
        image_rng, text_rng = split_keys(rng)
        image_features = self._encode_image(model, batch, image_rng)
        text_features = self._encode_text(model, batch["text"], batch["text_mask"], text_rng)
        region = None
        if self.config.region_weight:
            patches = model.project_patches(image_features, normalize=False)
            where = batch["boxes"], batch["box_label"], batch["text_labels"]
            region = pool(patches, stated_region(*where, *patches.shape[1:3]))
        return Embeddings(
            model.project_image(image_features, train=True),
            model.project_text(text_features, train=True),
            region,
        )

    def loss(
        self, model: Any, embeddings: Embeddings, batch: Batch, rng: jax.Array | None = None
    ) -> tuple[Float[Array, ""], Metrics]:
        """The loss over all records of the global batch, padding left out."""
        del rng  # nothing here is random
        c, mesh = self.config, sharding.current_mesh()
        temperature = c.resolved_temperature()
        scale = (
            jnp.exp(self._clamp(model.logit_scale[...].astype(jnp.float32)))
            if temperature is None
            else jnp.float32(1.0 / temperature)
        )
        ring = Ring(mesh, c.block)
        image, text, region = embeddings
        keys, valid = pair_keys(c.multi_positive, batch), batch["valid"]
        if c.loss == "sigmoid":
            pairs = ring_sigmoid_pairs(ring) if c.impl == "ring" else gathered_sigmoid_pairs(mesh)
            bias = model.logit_bias[...]
            loss, metrics = losses.sigmoid(
                image, text, scale, bias, keys=keys, valid=valid, pairs=pairs
            )
            return loss, metrics | {"logit_scale": scale, "logit_bias": bias}

        pairs = ring_softmax_pairs(ring) if c.impl == "ring" else gathered_softmax_pairs(mesh)
        weight = c.resolved_image_weight()

        def contrast(rows: Any, columns: Any, keys: PairKeys | None, weight: float) -> Any:
            return losses.infonce(
                rows, columns, scale, image_weight=weight, keys=keys, valid=valid, pairs=pairs
            )

        loss, metrics = contrast(image, text, keys, weight)
        parts = {"pair_loss": loss}
        if c.text_weight:
            same = same_statement_keys(batch["text_labels"])
            parts["text_loss"], _ = contrast(text, text, same, 0.5)
            loss = loss + c.text_weight * parts["text_loss"]
        if region is not None:
            shown = batch["text_labels"]
            about = stated_keys(shown.astype(bool), shown)
            parts["region_loss"], _ = contrast(region, text, about, weight)
            loss = loss + c.region_weight * parts["region_loss"]
        return loss, metrics | (parts if len(parts) > 1 else {}) | {"logit_scale": scale}
