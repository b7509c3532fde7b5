"""GLoRIA (Huang et al. 2021): words against regions, beside whole texts against whole images.

``L = local_weight * local + global_weight * global``, each the *sum* of the cross-entropies of both
directions with scale ``tau3``; the local logits are ``tau3 R_ji`` of ``word_region.py``, the global
ones ``tau3 cos(g_j, u_i)``. A text's vector is the mean of its tokens, and tokens are the sum of
the last hidden states. The word in front of all ([CLS]) counts as a word in training and not in
inference, whose score is ``(local + global) / 2`` with the largest word in place of their sum.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from medvlp_jax.core import sharding
from medvlp_jax.core.fields import Depth, NonNegative, Positive, Size
from medvlp_jax.core.state import ModelDef
from medvlp_jax.core.task import Batch, Metrics, Predict
from medvlp_jax.losses import embeddings as losses
from medvlp_jax.losses.gathered import gathered_softmax_pairs
from medvlp_jax.losses.positives import pair_keys
from medvlp_jax.losses.scores import contrast_scores
from medvlp_jax.losses.word_region import gathered_word_region_scores, word_region_scores
from medvlp_jax.losses.words import merge_pieces, present
from medvlp_jax.models.features import TextFeatures
from medvlp_jax.models.text_encoder import pool_tokens
from medvlp_jax.tasks.towers import TowersConfig, TwoTowers, split_keys


@dataclasses.dataclass(frozen=True)
class GloriaConfig(TowersConfig):
    """``config.task`` of GLoRIA; the other keys are those of :class:`TowersConfig`.

    Attributes:
      attention_scale, word_scale, pair_scale: ``tau1``, ``tau2``, ``tau3``.
      words: ``sum`` is the log-sum-exp over words, ``mean`` divides inside of the logarithm.
      local_weight, global_weight: of the two parts.
      hidden_states: how many of the text tower's last states are summed.
      block: texts whose words are held against all images at once; see ``word_region.py``.
    """

    attention_scale: Positive = 4.0
    word_scale: Positive = 5.0
    pair_scale: Positive = 10.0
    words: Literal["sum", "mean"] = "sum"
    local_weight: NonNegative = 1.0
    global_weight: NonNegative = 1.0
    hidden_states: Depth = 4
    block: Size = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.attention_scale, self.word_scale, self.pair_scale) <= 0:
            raise ValueError("attention_scale, word_scale and pair_scale must be positive")
        if min(self.local_weight, self.global_weight) < 0:
            raise ValueError("local_weight and global_weight must not be negative")
        if self.hidden_states < 1 or self.block < 1:
            raise ValueError("hidden_states and block must be at least 1")


class Embeddings(NamedTuple):
    """Unit vectors of images and texts; vectors of regions and words, not normalised."""

    image: Float[Array, "b e"]
    text: Float[Array, "b e"]
    patches: Float[Array, "b r e"]
    words: Float[Array, "b t e"]


class GloriaTask(TwoTowers):
    """The two-phase task of ``core/task.py``; batches hold ``word_ids``.

    Metrics: ``local_loss``, ``global_loss``, the accuracies and similarities of the global part as
    ``losses.infonce``, ``local_image_to_text_accuracy``, ``local_text_to_image_accuracy``.

    Beside the usual predictions:

    * ``word_embed``: text, text_mask, word_ids -> [k, t, e], the words without the one in front;
      zero where there is none;
    * ``pair_scores``: image, and shared by all rows ``text_embed`` [k, e], ``word_embed``
      [k, t, e] -> [b, k], the inference score of every image with every text.
    """

    may_differ: ClassVar = ("block",)

    def __init__(self, model_def: ModelDef, config: GloriaConfig):
        super().__init__(model_def, config)
        self.predict: Mapping[str, Predict] = {
            **self.predict,
            "text_embed": self._text_embed,
            "word_embed": self._word_embed,
            "pair_scores": self._pair_scores,
        }

    @property
    def columns(self) -> tuple[str, ...]:
        return (*super().columns, "words")

    def embed(self, model: Any, batch: Batch, rng: jax.Array | None) -> Embeddings:
        """Vectors of images, texts, regions and words in training mode."""
        image_rng, text_rng = split_keys(rng)
        image = self._encode_image(model, batch, image_rng)
        hidden = self._hidden()
        text = self._encode_text(model, batch["text"], batch["text_mask"], text_rng, hidden=hidden)
        tokens = summed_states(text)
        patches = model.project_patches(image, normalize=False, train=True)
        exists = present(batch["word_ids"])
        return Embeddings(
            model.project_image(image, train=True),
            self._project_text(model, tokens, batch["text_mask"], train=True),
            patches.reshape(patches.shape[0], -1, patches.shape[-1]),
            model.project_tokens(merge_pieces(tokens, batch["word_ids"]), train=True, where=exists),
        )

    def loss(
        self, model: Any, embeddings: Embeddings, batch: Batch, rng: jax.Array | None = None
    ) -> tuple[Float[Array, ""], Metrics]:
        """The loss over all records of the global batch, padding left out."""
        del model, rng  # no loss parameters, nothing random
        c, mesh = self.config, sharding.current_mesh()
        keys, valid = pair_keys(c.multi_positive, batch), batch["valid"]
        image, text, patches, words = embeddings
        whole, metrics = losses.infonce(
            image,
            text,
            c.pair_scale,
            keys=keys,
            valid=valid,
            pairs=gathered_softmax_pairs(mesh),
        )
        scores = gathered_word_region_scores(
            mesh,
            patches,
            words,
            present(batch["word_ids"]),
            attention_scale=c.attention_scale,
            word_scale=c.word_scale,
            reduce=c.words,
            block=c.block,
        )
        local, found = contrast_scores(c.pair_scale * scores, keys=keys, valid=valid)
        metrics = metrics | {f"local_{name}": value for name, value in found.items()}
        # The sum of both directions, not their mean.
        metrics = metrics | {"local_loss": 2 * local, "global_loss": 2 * whole}
        return 2 * (c.local_weight * local + c.global_weight * whole), metrics

    def _hidden(self) -> int:
        """0 for the last state alone: the tower gives it behind its last norm."""
        return self.config.hidden_states if self.config.hidden_states > 1 else 0

    def _project_text(self, model: Any, tokens: Array, mask: Array, train: bool = False) -> Array:
        mask = mask | (jnp.arange(mask.shape[1]) == 0)
        return model.project_text(
            TextFeatures(pool_tokens(tokens, mask, "mean"), tokens), train=train
        )

    def _text_embed(self, model: Any, batch: Batch) -> Array:
        mask = batch["text_mask"]
        text = model.encode_text(batch["text"], mask, hidden=self._hidden())
        return self._project_text(model, summed_states(text), mask)

    def _word_embed(self, model: Any, batch: Batch) -> Array:
        text = model.encode_text(batch["text"], batch["text_mask"], hidden=self._hidden())
        words = merge_pieces(summed_states(text), batch["word_ids"])
        there = present(batch["word_ids"]) & (jnp.arange(words.shape[1]) > 0)
        return jnp.where(there[..., None], model.project_tokens(words), 0.0)

    def _pair_scores(self, model: Any, batch: Batch) -> Array:
        c = self.config
        image = model.encode_image(self.config.prepare(batch["image"]))
        patches = model.project_patches(image, normalize=False)
        words = batch["word_embed"]
        there = jnp.any(words != 0, axis=-1)
        local = word_region_scores(
            patches.reshape(patches.shape[0], -1, patches.shape[-1]),
            words,
            there,
            attention_scale=c.attention_scale,
            word_scale=c.word_scale,
            reduce="max",
            block=c.block,
        )
        local = jnp.where(jnp.any(there, axis=1), local, 0.0)  # a text without any word
        return (local + model.project_image(image) @ batch["text_embed"].T) / 2


def summed_states(text: TextFeatures) -> Float[Array, "b t d"]:
    """The sum of the hidden states that were asked for, the last one if none was; float32."""
    tokens = text.tokens if text.hidden is None else jnp.sum(text.hidden.astype(jnp.float32), 0)
    return tokens.astype(jnp.float32)
