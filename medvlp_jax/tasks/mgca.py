"""MGCA (Wang et al. 2022, arXiv:2210.06044): three alignments of images and reports.

``L = ita_weight * ITA + cta_weight * CTA + cpa_weight * CPA``:

* ITA: whole images against whole texts, the sum of the cross-entropies of both directions;
* CTA: words against patches and patches against words of one pair, ``alignment.py``. Words weigh
  as the text tower's first token attends to them, patches as the class token of a ViT does, all
  alike for a ResNet;
* CPA: assignments to prototypes, each side's predicted from the other, ``prototypes.py``.

``config.model`` has the table of prototypes and projections of their own for patches and words
(``prototypes``, ``patch_map``, ``token_map``, ``local_proj``). ``config.optim.unit_norm`` keeps the
rows of the table at length one, and ``config.optim.hold`` keeps it still at the start.
"""

import dataclasses
import logging
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from medvlp_jax.core import sharding
from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.fields import NonNegative, Positive, Size
from medvlp_jax.core.state import ModelDef
from medvlp_jax.core.task import Batch, Metrics
from medvlp_jax.core.vectors import l2_normalize
from medvlp_jax.losses import embeddings as losses
from medvlp_jax.losses.alignment import alignment_loss
from medvlp_jax.losses.gathered import gathered_softmax_pairs
from medvlp_jax.losses.positives import pair_keys
from medvlp_jax.losses.prototypes import swapped_prediction
from medvlp_jax.losses.words import clipped_weights, merge_pieces, merge_weights, present
from medvlp_jax.tasks.towers import TowersConfig, TwoTowers, split_keys

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class MgcaConfig(TowersConfig):
    """``config.task`` of MGCA; the other keys are those of :class:`TowersConfig`.

    Attributes:
      temperature: of ITA.
      local_temperature: of CTA, of its attention and of its logits.
      prototype_temperature, epsilon, iterations: of CPA; see ``prototypes.py``.
      ita_weight, cta_weight, cpa_weight: of the three parts. Without ``cpa_weight`` the model needs
        no prototypes.
    """

    temperature: Positive = 0.07
    local_temperature: Positive = 0.1
    prototype_temperature: Positive = 0.2
    epsilon: Positive = 0.05
    iterations: Size = 3
    ita_weight: NonNegative = 1.0
    cta_weight: NonNegative = 1.0
    cpa_weight: NonNegative = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        scales = (self.temperature, self.local_temperature, self.prototype_temperature)
        if min(*scales, self.epsilon) <= 0:
            raise ValueError("temperatures and epsilon must be positive")
        if min(self.ita_weight, self.cta_weight, self.cpa_weight) < 0 or self.iterations < 1:
            raise ValueError("weights must not be negative, and iterations at least 1")


class Embeddings(NamedTuple):
    """Unit vectors of images, texts, patches and words, and the weights of the last two."""

    image: Float[Array, "b e"]
    text: Float[Array, "b e"]
    patches: Float[Array, "b r e"]
    words: Float[Array, "b t e"]
    patch_weights: Float[Array, "b r"]
    word_weights: Float[Array, "b t"]


class MgcaTask(TwoTowers):
    """The two-phase task of ``core/task.py``; batches hold ``word_ids``.

    Metrics: ``ita_loss``, ``cta_word_loss``, ``cta_patch_loss``, ``cpa_loss``, ``prototypes_used``
    and those of ``losses.infonce``.
    """

    def __init__(self, model_def: ModelDef, config: MgcaConfig):
        if config.cpa_weight and "prototypes" not in model_def.abstract_params:
            raise ConfigError(
                "config.task.cpa_weight needs config.model.prototypes, the number of rows of the "
                "table (MGCA has 500); or set it to 0"
            )
        super().__init__(model_def, config)
        self._warned = False

    @classmethod
    def complete(cls, config: dict[str, Any]) -> None:
        """Prototypes that stay unit vectors."""
        super().complete(config)
        if config["model"].get("prototypes"):
            optim = config["optim"]
            kept = (*optim.get("unit_norm", ()), "prototypes")
            optim["unit_norm"] = list(dict.fromkeys(kept))

    @property
    def columns(self) -> tuple[str, ...]:
        return (*super().columns, "words")

    def embed(self, model: Any, batch: Batch, rng: jax.Array | None) -> Embeddings:
        """Vectors and weights in training mode."""
        image_rng, text_rng = split_keys(rng)
        image = self._encode_image(model, batch, image_rng, attend=True)
        text = self._encode_text(model, batch["text"], batch["text_mask"], text_rng, attend=True)
        patches = model.project_patches(image, train=True)
        b, h, w, e = patches.shape
        if image.attention is None:
            patch_weights = jnp.full((b, h * w), 1 / (h * w), jnp.float32)
        else:
            patch_weights = clipped_weights(image.attention.reshape(b, -1))
        word_ids = batch["word_ids"]
        exists = self._words(batch)
        assert text.attention is not None  # asked for above
        words = merge_pieces(text.tokens, word_ids)
        weights = jnp.where(exists, merge_weights(text.attention, word_ids), 0.0)
        return Embeddings(
            model.project_image(image, train=True),
            model.project_text(text, train=True),
            patches.reshape(b, -1, e),
            l2_normalize(model.project_tokens(words, train=True, where=exists)),
            lax.stop_gradient(patch_weights),
            lax.stop_gradient(clipped_weights(weights)),
        )

    def loss(
        self, model: Any, embeddings: Embeddings, batch: Batch, rng: jax.Array | None = None
    ) -> tuple[Float[Array, ""], Metrics]:
        """The loss over all records of the global batch, padding left out."""
        del rng  # nothing here is random
        c, mesh, valid = self.config, sharding.current_mesh(), batch["valid"]
        image, text, patches, words, patch_weights, word_weights = embeddings
        whole, metrics = losses.infonce(
            image,
            text,
            1 / c.temperature,
            keys=pair_keys(c.multi_positive, batch),
            valid=valid,
            pairs=gathered_softmax_pairs(mesh),
        )
        parts = {"ita_loss": 2 * whole}  # the sum of both directions
        loss = c.ita_weight * parts["ita_loss"]
        if c.cta_weight:
            exists, tau = self._words(batch), c.local_temperature
            of_words = alignment_loss(
                words, patches, word_weights, temperature=tau, queries_present=exists
            )
            of_patches = alignment_loss(
                patches, words, patch_weights, temperature=tau, keys_present=exists
            )
            # A text without words says nothing about any patch.
            some = valid & jnp.any(exists, axis=1)
            number = jnp.maximum(jnp.sum(valid), 1)
            for name, values in (("word", of_words), ("patch", of_patches)):
                part = jnp.sum(jnp.where(some, values, 0.0)) / number
                parts[f"cta_{name}_loss"] = part
                loss = loss + c.cta_weight * part
        if c.cpa_weight:
            self._warn(model, len(valid))
            parts["cpa_loss"], used = swapped_prediction(
                image,
                text,
                model.prototypes[...],
                valid,
                epsilon=c.epsilon,
                iterations=c.iterations,
                temperature=c.prototype_temperature,
            )
            loss = loss + c.cpa_weight * parts["cpa_loss"]
            metrics = metrics | used
        return loss, metrics | parts

    def _words(self, batch: Batch) -> Array:
        """The words without the one in front ([CLS])."""
        word_ids = batch["word_ids"]
        return present(word_ids) & (jnp.arange(word_ids.shape[1]) > 0)

    def _warn(self, model: Any, records: int) -> None:
        count = model.prototypes.shape[0]
        if records < count and not self._warned:
            self._warned = True
            _log.warning(
                "a global batch of %d records for %d prototypes: all of them being used alike "
                "spreads every record over several, and the part that predicts assignments "
                "(cpa_weight) says little; lower config.model.prototypes or raise the batch",
                records,
                count,
            )
