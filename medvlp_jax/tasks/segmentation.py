"""Segmentation: a binary question a pixel and mask.

Two losses, as published code has them (MGCA and GLoRIA; MedKLIP and MAVL). Both flatten the batch:
their Dice is one ratio over all pixels of a mask in the batch, not a mean over images, so that an
image without the finding still has a gradient.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from medvlp_jax.core.config import agree
from medvlp_jax.core.fields import CountOrAuto
from medvlp_jax.core.state import ModelDef
from medvlp_jax.core.task import Batch, Metrics, Predict, Truth
from medvlp_jax.models.segmenter import resize
from medvlp_jax.tasks.images import PixelConfig
from medvlp_jax.tasks.labelled import LabelledTask
from medvlp_jax.tasks.supervised import bce

#: Added to both sides of the Dice ratio.
_SMOOTH = 1.0
_FOCAL_WEIGHT, _GAMMA = 10.0, 2.0


@dataclasses.dataclass(frozen=True)
class SegmentationConfig(PixelConfig):
    """``config.task`` of a segmentation run.

    Attributes:
      loss: ``focal_dice`` is 10·focal(γ = 2) − log Dice; ``bce_dice`` is BCE + 1 − Dice.
      label_of_mask: for each mask the label that says whether the region exists at all, -1 for
        none (an organ). A record without a mask whose label is negative has an empty one; where
        the label is positive or not known, the mask is unknown and left out.
      num_labels: labels a record, which ``label_of_mask`` counts.
      frozen: see ``SupervisedConfig``.
    """

    loss: Literal["focal_dice", "bce_dice"] = "focal_dice"
    label_of_mask: tuple[CountOrAuto, ...] = ()
    frozen: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.label_of_mask:
            raise ValueError("label_of_mask must have an entry for each mask")


def known_masks(
    given: Bool[Any, "b l"], labels: Any, label_of_mask: tuple[int, ...]
) -> Bool[Any, "b l"]:
    """Which masks of which records are truth: those given, and the empty ones of negatives.

    Works on numpy and JAX arrays.

    Raises:
      ValueError: ``label_of_mask`` names a label that the batch has not.
    """
    if max(label_of_mask) < 0:
        return given
    if max(label_of_mask) >= labels.shape[1]:
        raise ValueError(f"label_of_mask={label_of_mask} exceeds {labels.shape[1]} labels")
    column = np.maximum(label_of_mask, 0)
    return given | ((labels[:, column] == 0) & (np.array(label_of_mask) >= 0))


def flat_dice(
    probability: Float[Array, "b y x l"], truth: Float[Array, "b y x l"], weight: Array
) -> Float[Array, "l"]:
    """(2 Σ p t + 1) / (Σ p + Σ t + 1) over all pixels of the batch, one value a mask.

    Nothing to find and nothing predicted gives 1.
    """
    both = jnp.sum(probability * truth * weight, axis=(0, 1, 2))
    total = jnp.sum((probability + truth) * weight, axis=(0, 1, 2))
    return (2 * both + _SMOOTH) / (total + _SMOOTH)


def focal(
    logits: Float[Array, "b y x l"],
    truth: Float[Array, "b y x l"],
    weight: Array,
    gamma: float = _GAMMA,
) -> Float[Array, ""]:
    """Mean of (1 − p_t)^γ · cross-entropy, p_t the probability of the truth (Lin et al. 2017)."""
    entropy = jax.nn.softplus(logits) - logits * truth
    p_true = jnp.exp(-entropy)
    weight = jnp.broadcast_to(weight, logits.shape)
    return jnp.sum((1 - p_true) ** gamma * entropy * weight) / jnp.maximum(jnp.sum(weight), 1.0)


def segmentation_loss(
    kind: Literal["focal_dice", "bce_dice"],
    logits: Float[Array, "b y x l"],
    truth: Float[Array, "b y x l"],
    known: Float[Array, "b l"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(loss, soft Dice), each mask's Dice averaged over the masks that some record knows."""
    weight = known[:, None, None, :]
    dice = flat_dice(jax.nn.sigmoid(logits), truth, weight)
    there = (jnp.sum(known, axis=0) > 0).astype(jnp.float32)
    count = jnp.maximum(jnp.sum(there), 1.0)
    mean = jnp.sum(dice * there) / count
    if kind == "focal_dice":
        log_dice = jnp.sum(jnp.log(dice) * there) / count
        return _FOCAL_WEIGHT * focal(logits, truth, weight) - log_dice, mean
    full = jnp.broadcast_to(weight, logits.shape)
    return bce(logits, truth, full) + jnp.sum((1 - dice) * there) / count, mean


class SegmentationTask(LabelledTask):
    """For models called as :class:`medvlp_jax.models.segmenter.Segmenter`.

    ``predict["mask"]`` is uint8 [b, s, s, l]: probability in 256ths, to spare the bus; 128 and
    above is a probability of at least one half.
    """

    models: ClassVar = ("segmenter",)
    needs: frozenset[Truth] = frozenset({"masks"})

    def __init__(self, model_def: ModelDef, config: SegmentationConfig):
        self.model_def = model_def
        self.config = config

        def mask(model: Any, batch: Batch) -> jax.Array:
            logits = model(config.prepare(batch["image"]), train=False)
            logits = resize(logits, batch["image"].shape[1:3])
            share = jnp.floor(jax.nn.sigmoid(logits) * 256)
            return jnp.minimum(share, 255).astype(jnp.uint8)

        self.predict: Mapping[str, Predict] = {"mask": mask}

    @classmethod
    def complete(cls, config: dict[str, Any]) -> None:
        super().complete(config)
        data, task = config["data"], config["task"]
        masks, labels = (list(data.get(key, ())) for key in ("masks", "labels"))
        agree(config["model"], "masks", len(masks), "config.model")
        of_mask = [labels.index(name) if name in labels else -1 for name in masks]
        task.setdefault("label_of_mask", of_mask)

    @property
    def columns(self) -> tuple[str, ...]:
        return ("image", "labels", "masks")

    def loss(
        self, model: Any, embeddings: Any, batch: Batch, rng: jax.Array | None = None
    ) -> tuple[Float[Array, ""], Metrics]:
        """Over the batch it is given: with micro-batches, Dice is a ratio over each of them."""
        del embeddings, rng
        c = self.config
        logits = model(c.prepare(batch["image"]), train=True, frozen=c.frozen)
        logits = resize(logits, batch["image"].shape[1:3])  # as it was before ``upsample``
        known = known_masks(batch["mask_given"], batch["labels"], c.label_of_mask)
        known = (known & batch["valid"][:, None]).astype(jnp.float32)
        truth = batch["masks"].astype(jnp.float32)
        loss, dice = segmentation_loss(c.loss, logits, truth, known)
        return loss, {"soft_dice": dice}
