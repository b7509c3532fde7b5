"""Image-text contrastive pre-training: CLIP, SigLIP, ConVIRT, LiT.

``losses.py`` has the formulas. Which pairs are positive, where the pairs are visited and which
towers learn is decided here.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from medvlp_jax.core import sharding
from medvlp_jax.core.config import ConfigError, parse
from medvlp_jax.core.state import ModelDef
from medvlp_jax.tasks import losses
from medvlp_jax.tasks.base import Batch, Metrics, Predict
from medvlp_jax.tasks.gathered_pairs import gathered_sigmoid_pairs, gathered_softmax_pairs
from medvlp_jax.tasks.images import normalise, standardise
from medvlp_jax.tasks.pairs import PairKeys
from medvlp_jax.tasks.positives import pair_keys, same_statement_keys, stated_keys
from medvlp_jax.tasks.regions import pool, stated_region
from medvlp_jax.tasks.ring import Ring
from medvlp_jax.tasks.ring_sigmoid import ring_sigmoid_pairs
from medvlp_jax.tasks.ring_softmax import ring_softmax_pairs

#: What ``config.task`` gives when it names neither (Zhang et al. 2020, arXiv:2010.00747, sec. 3.2).
CONVIRT_TEMPERATURE, CONVIRT_IMAGE_WEIGHT = 0.1, 0.75


@dataclasses.dataclass(frozen=True)
class ContrastiveConfig:
    """``config.task`` of a contrastive run.

    Attributes:
      loss: ``infonce``; ``sigmoid`` (needs ``config.model.logit_bias``); ``convirt``: InfoNCE with
        other defaults of the two fields that follow.
      image_weight: weight of the image -> text direction; None: 0.5, ConVIRT 0.75.
      temperature: fixed; None: learned, as the model's logit scale; ConVIRT 0.1.
      max_logit_scale: upper bound of a learned logit scale; the lower one is 1.
      impl: ``gathered`` keeps ``local x global batch`` logits a device; ``ring`` keeps one tile of
        them and computes the logits twice. Equal results.
      block: side of a tile of the ring; None: up to 512, chosen to divide.
      multi_positive: which other records are positives of a record: ``none``; ``labels``, those
        with the same value of every label, if one of them is positive or negative at all;
        ``stated``, images that show every finding that the text states; ``text``, those with the
        same text.
      text_weight: weight of the same loss between the texts, where those that state the same
        findings are positives. It gives the images something to match from the first steps on,
        where a text tower starts from nothing.
      region_weight: weight of the same loss between texts and the regions they are about (boxes
        of the findings that they state), which makes heat-maps. Texts are positives of regions
        that show all they state.
      num_labels: labels a record; needed by ``labels``, ``stated`` and the two weights.
      max_boxes: boxes a record; needed by ``region_weight``.
      frozen_towers: towers that run as in evaluation (no dropout, no batch statistics) and get no
        gradient; their projections still learn. The optimizer must hold their parameters too, with
        ``config.optim.freeze``: the task only saves the work.
      image_size: side of the square images of a batch, in pixels.
      channels: 1 or 3.
      pixels: ``fixed`` subtracts ``mean`` and divides by ``std``, as published weights expect;
        ``image`` gives every image mean 0 and deviation 1, against differences of exposure.
      mean: of the pixels on the scale 0..1; one value or one a channel.
      std: the same.
    """

    loss: Literal["infonce", "sigmoid", "convirt"] = "infonce"
    image_weight: float | None = None
    temperature: float | None = None
    max_logit_scale: float = 100.0
    impl: Literal["gathered", "ring"] = "gathered"
    block: int | None = None
    multi_positive: Literal["none", "labels", "stated", "text"] = "none"
    text_weight: float = 0.0
    region_weight: float = 0.0
    num_labels: int = 0
    max_boxes: int = 0
    frozen_towers: tuple[Literal["vision", "text"], ...] = ()
    image_size: int = 224
    channels: int = 1
    pixels: Literal["fixed", "image"] = "fixed"
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.25,)

    def __post_init__(self) -> None:
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
        if (self.multi_positive == "labels" or self.reads_statements) and self.num_labels < 1:
            raise ValueError(
                "multi_positive='labels' or 'stated', or a text_weight or region_weight, needs "
                "num_labels"
            )
        if self.region_weight and self.max_boxes < 1:
            raise ValueError("region_weight needs max_boxes")
        if self.loss == "sigmoid" and (self.text_weight or self.region_weight):
            raise ValueError("text_weight and region_weight go with the softmax losses")
        if self.channels not in (1, 3) or self.image_size < 1:
            raise ValueError(
                f"images of {self.image_size} pixels with {self.channels} channels: the side must "
                "be positive and channels 1 or 3"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.channels):
                raise ValueError(f"{name}={values} must have 1 or {self.channels} values")
        if min(self.std) <= 0:
            raise ValueError(f"std={self.std} must be positive")

    @property
    def reads_statements(self) -> bool:
        """Whether the batch must say which labels each text affirms."""
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


class ContrastiveTask:
    """The two-phase task of ``tasks/base.py`` for :class:`medvlp_jax.models.clip.CLIP`.

    The loss is over the global batch on any mesh: it finds the mesh by ``sharding.current_mesh()``.
    Metrics: those of ``losses.infonce``, ``logit_scale`` and, for the sigmoid loss, ``logit_bias``;
    ``pair_loss``, ``text_loss``, ``region_loss`` where there are several.
    """

    cached = True

    def __init__(self, model_def: ModelDef, config: ContrastiveConfig):
        if config.loss == "sigmoid" and "logit_bias" not in model_def.abstract_params:
            raise ConfigError(
                "config.task.loss='sigmoid' needs config.model.logit_bias, the bias of the logits "
                "(SigLIP starts with -10, and with config.model.logit_scale=10)"
            )
        self.model_def = model_def
        self.config = config
        self.predict: Mapping[str, Predict] = {
            "image_embed": lambda model, batch: model.image_embed(self._image(batch)),
            "text_embed": lambda model, batch: model.text_embed(batch["text"], batch["text_mask"]),
            "patch_embed": lambda model, batch: model.patch_embed(self._image(batch)),
        }
        self._clamp = losses.clamp_inward(0.0, math.log(config.max_logit_scale))

    def batch_spec(self, batch_size: int, text_len: int) -> dict[str, jax.ShapeDtypeStruct]:
        """The arrays that :meth:`embed` and :meth:`loss` read."""
        c, b, of = self.config, batch_size, jax.ShapeDtypeStruct
        spec = {
            "image": of((b, c.image_size, c.image_size, c.channels), jnp.uint8),
            "text": of((b, text_len), jnp.int32),
            "text_mask": of((b, text_len), jnp.bool_),
            "valid": of((b,), jnp.bool_),
        }
        if c.multi_positive in ("labels", "stated"):
            spec["labels"] = of((b, c.num_labels), jnp.int8)
        if c.reads_statements:
            spec["text_labels"] = of((b, c.num_labels), jnp.uint8)
        if c.region_weight:
            spec["boxes"] = of((b, c.max_boxes, 4), jnp.float32)
            spec["box_label"] = of((b, c.max_boxes), jnp.int32)
        if c.multi_positive == "text":
            spec["text_key"] = of((b,), jnp.uint32)
        return spec

    def embed(self, model: Any, batch: Batch, rng: jax.Array | None) -> Embeddings:
        """Unit vectors in training mode; ``rng`` drives dropout and patch dropout."""
        image_rng, text_rng = (None, None) if rng is None else jax.random.split(rng)
        image, text, mask = self._image(batch), batch["text"], batch["text_mask"]
        if "vision" in self.config.frozen_towers:
            image_features = lax.stop_gradient(model.encode_image(image))
        else:
            image_features = model.encode_image(image, train=True, rng=image_rng)
        if "text" in self.config.frozen_towers:
            text_features = lax.stop_gradient(model.encode_text(text, mask))
        else:
            text_features = model.encode_text(text, mask, train=True, rng=text_rng)
        region = None
        if self.config.region_weight:
            patches = model.project_patches(image_features, normalize=False)
            where = batch["boxes"], batch["box_label"], batch["text_labels"]
            region = pool(patches, stated_region(*where, *patches.shape[1:3]))
        return Embeddings(
            model.project_image(image_features), model.project_text(text_features), region
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

    def _image(self, batch: Batch) -> Float[Array, "b y x c"]:
        if self.config.pixels == "image":
            return standardise(batch["image"])
        return normalise(batch["image"], self.config.mean, self.config.std)


def make_contrastive(model_def: ModelDef, config: Mapping[str, Any]) -> ContrastiveTask:
    """The factory behind ``TASKS["contrastive"]``.

    Raises:
      ConfigError: a key of ``config`` is unknown or its value does not fit.
    """
    return ContrastiveTask(model_def, parse(ContrastiveConfig, config, "config.task"))
