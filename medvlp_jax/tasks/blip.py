"""BLIP (Li et al. 2022, arXiv:2201.12086): contrast, matching and captions on image-text pairs.

``L = itc_weight * ITC + itm_weight * ITM + lm_weight * LM``:

* ITC: images against texts by vectors of a momentum encoder, those of the batch and of a queue,
  with its softmax as part of the targets;
* ITM: a text beside an image, does it belong there; beside every pair stand a hard negative image
  and a hard negative text, drawn from the batch by the similarities of ITC;
* LM: the text of an image, word by word.

A record is never a negative of itself (as copies in the queue are), of a record with the same text,
or of one of its group (``config.data.group_by``: panels of one figure).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.fields import Count, Decay, Fraction, NonNegative, Size
from medvlp_jax.core.sharding import constrain
from medvlp_jax.core.state import ModelDef
from medvlp_jax.core.task import Batch, Metrics, Predict, Truth
from medvlp_jax.generation.text.captions import captions
from medvlp_jax.losses.embeddings import clamp_inward
from medvlp_jax.losses.queued import (
    Keys,
    hard_negatives,
    joined,
    match_loss,
    relate,
    soft_contrast,
    word_loss,
)
from medvlp_jax.models.blip.blip import TEMPERATURES
from medvlp_jax.tasks.images import PixelConfig
from medvlp_jax.tasks.towers import split_keys


@dataclasses.dataclass(frozen=True)
class BlipTaskConfig(PixelConfig):
    """``config.task`` of BLIP; those of the pixels among them.

    Attributes:
      itc_weight, itm_weight, lm_weight: of the three parts. What is 0 is not computed, and needs no
        such branch of the model.
      momentum: share of the old value that an average keeps in every step.
      alpha: share of the momentum encoder's softmax in the targets of ITC, once it has risen.
      alpha_steps: steps over which it rises from 0; published: those of two epochs.
      label_smoothing: of LM.
      cam_block: layer, counted from 0, whose cross-attention heat-maps are made of.
      caption_length: most tokens of a caption that is written.
      caption_beams: captions that are followed at a time; 1 takes the likeliest word (greedy).
      caption_penalty: exponent of the length that a caption's log-probability is divided by.
    """

    itc_weight: NonNegative = 1.0
    itm_weight: NonNegative = 1.0
    lm_weight: NonNegative = 1.0
    momentum: Decay = 0.995
    alpha: Fraction = 0.4
    alpha_steps: Count = 0
    label_smoothing: Fraction = 0.1
    cam_block: Count = 8
    caption_length: Size = 40
    caption_beams: Size = 3
    caption_penalty: NonNegative = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.itc_weight or self.itm_weight or self.lm_weight):
            raise ValueError("itc_weight, itm_weight and lm_weight are all 0; nothing is learnt")


class BlipTask:
    """The task of ``core/task.py`` for :class:`medvlp_jax.models.blip.blip.Blip`; not ``cached``:
    the towers run once, on the whole batch.

    Metrics: ``itc_loss``, ``itm_loss``, ``itm_accuracy``, ``lm_loss``, ``temperature``, ``alpha``.
    """

    models: ClassVar = ("blip",)
    may_differ: ClassVar[tuple[str, ...]] = (
        "cam_block",
        "caption_length",
        "caption_beams",
        "caption_penalty",
    )
    cached = False

    def __init__(self, model_def: ModelDef, config: BlipTaskConfig):
        self.model_def = model_def
        self.config = c = config
        self.needs: frozenset[Truth] = frozenset()
        params, buffers = model_def.abstract_params, model_def.abstract_buffers
        for name, branch, part in (
            ("itc_weight", "encoder", "itm"),
            ("itm_weight", "encoder", "itm"),
            ("lm_weight", "decoder", "lm"),
        ):
            if getattr(c, name) and part not in params:
                raise ConfigError(
                    f"config.task.{name} needs {branch!r} in config.model.branches; or set it to 0"
                )
        if c.itc_weight and "queue" not in buffers:
            raise ConfigError(
                "config.task.itc_weight needs config.model.queue, vectors of earlier batches "
                "(57600 as published); or set it to 0"
            )
        if c.itc_weight and "temperature" not in params:
            raise ConfigError("config.task.itc_weight needs config.model.temperature (0.07)")
        if "encoder" in params.get("text", {}):
            depth = params["text"]["ff"]["norm"]["scale"].shape[0]
            if c.cam_block >= depth:
                raise ConfigError(
                    f"config.task.cam_block={c.cam_block}: the text side has {depth} layers, "
                    "counted from 0"
                )
        self.predict: Mapping[str, Predict] = self._predict(params)
        self._clamp = clamp_inward(*TEMPERATURES)

    def _predict(self, params: Mapping[str, Any]) -> dict[str, Predict]:
        """What the branches of the model can tell."""
        c = self.config

        def image(batch: Batch) -> Float[Array, "b y x c"]:
            return c.prepare(batch["image"])

        def match(model: Any, batch: Batch) -> Array:
            logits = model.match(batch["text"], batch["text_mask"], batch["image_tokens"])
            return logits[:, 1]

        def write(model: Any, batch: Batch) -> Array:
            tokens = model.image_tokens(image(batch))
            how = (c.caption_length, c.caption_beams, c.caption_penalty)
            return captions(model, tokens, batch["end"], *how)

        found: dict[str, Predict] = {
            "image_tokens": lambda model, batch: model.image_tokens(image(batch)).astype(
                jnp.float32
            )
        }
        if "itm" in params:
            found |= {
                "image_embed": lambda model, batch: model.image_embed(image(batch)),
                "text_embed": lambda model, b: model.text_embed(b["text"], b["text_mask"]),
                "patch_embed": lambda model, batch: model.patch_embed(image(batch)),
                "match_logit": match,
                "match_map": lambda model, b: model.match_maps(
                    b["text"], b["text_mask"], image(b), c.cam_block
                ),
            }
        if "lm" in params:
            found["caption"] = write
        return found

    @property
    def columns(self) -> tuple[str, ...]:
        return ("image", "text", "text_key", "record_keys")

    @classmethod
    def complete(cls, config: dict[str, Any]) -> None:
        """Refuses what the losses cannot do.

        Raises:
          ConfigError: the queue is no multiple of the batch, or batches are cut into pieces.
        """
        rows, queue = config["data"].get("batch_size"), config["model"].get("queue", 57_600)
        if isinstance(rows, int) and isinstance(queue, int) and rows > 0 and queue % rows:
            nearest = max(round(queue / rows), 1) * rows
            raise ConfigError(
                f"config.model.queue={queue} must be a multiple of config.data.batch_size={rows}: "
                f"{nearest} would do"
            )
        if config.get("micro_batches", 1) != 1:
            raise ConfigError(
                f"config.micro_batches={config['micro_batches']}: BLIP draws negatives from the "
                "whole batch and moves its averages once a step; use config.model.remat='full', a "
                "smaller config.data.batch_size, or more devices"
            )

    def embed(self, model: Any, batch: Batch, rng: jax.Array | None) -> Any:
        """Is never called; see ``cached``."""
        raise NotImplementedError("BLIP embeds within its loss")

    def loss(
        self, model: Any, embeddings: Any, batch: Batch, rng: jax.Array | None = None
    ) -> tuple[Float[Array, ""], Metrics]:
        """The weighted sum over all records of the global batch, padding left out; moves the
        averages and the queue of ``model``."""
        del embeddings
        c = self.config
        drop = split_keys(rng, 4)  # dropout of three readings, and the negatives
        ids, mask = batch["text"], batch["text_mask"]
        tokens = constrain(model.image_tokens(c.prepare(batch["image"])), "batch", None, None)
        total, metrics = jnp.float32(0.0), {}
        if c.itc_weight or c.itm_weight:
            keys = Keys(batch["record_key"], batch["text_key"], batch["group_key"])
            relation = relate(keys, keys, batch["valid"])
            image, text = model.project_image(tokens), model.text_embed(ids, mask, rng=drop[0])
            if c.itc_weight:
                part, found, logits = self._contrast(model, batch, keys, image, text)
                total, metrics = total + c.itc_weight * part, metrics | found
            else:
                logits = (image @ text.T) / _DEFAULT_TEMPERATURE
                logits = logits, logits.T
            if c.itm_weight:
                allowed = ~relation.positive & ~relation.left_out & batch["valid"][:, None]
                part, right = self._match(model, batch, tokens, logits, allowed, drop[1:3])
                total = total + c.itm_weight * part
                metrics |= {"itm_loss": part, "itm_accuracy": right}
        if c.lm_weight:
            words = model.caption_logits(ids, mask, tokens, rng=drop[3])
            real = mask & batch["valid"][:, None]
            metrics["lm_loss"] = word_loss(words, ids, real, c.label_smoothing)
            total = total + c.lm_weight * metrics["lm_loss"]
        return total, metrics

    def _contrast(
        self, model: Any, batch: Batch, keys: Keys, image: Array, text: Array
    ) -> tuple[Array, Metrics, tuple[Array, Array]]:
        """ITC; the averages move first, the queue last, as published."""
        c, valid, momentum, queue = self.config, batch["valid"], model.momentum, model.queue
        temperature = self._clamp(model.temperature[...].astype(jnp.float32))
        done = momentum.batches[...]
        rise = jnp.minimum(done / c.alpha_steps, 1.0) if c.alpha_steps else jnp.float32(1.0)
        alpha = c.alpha * rise
        momentum.follow(model, c.momentum)
        image_m = jax.lax.stop_gradient(momentum.image_embed(c.prepare(batch["image"])))
        text_m = jax.lax.stop_gradient(momentum.text_embed(batch["text"], batch["text_mask"]))
        earlier = Keys(queue.record[...], queue.text_key[...], queue.group[...])
        relation = relate(keys, joined(keys, earlier), jnp.concatenate([valid, queue.valid[...]]))

        def one_way(rows: Array, rows_m: Array, others_m: Array, memory: Any) -> Any:
            columns = jnp.concatenate([others_m, memory[...]])
            return soft_contrast(rows, rows_m, columns, relation, valid, temperature, alpha)

        to_text, image_logits = one_way(image, image_m, text_m, queue.text)
        to_image, text_logits = one_way(text, text_m, image_m, queue.image)
        queue.push(image_m, text_m, keys, valid)
        loss = (to_text + to_image) / 2
        rows = len(valid)
        return (
            loss,
            {"itc_loss": loss, "temperature": temperature, "alpha": alpha},
            (image_logits[:, :rows], text_logits[:, :rows]),
        )

    def _match(
        self,
        model: Any,
        batch: Batch,
        tokens: Float[Array, "b n d"],
        logits: tuple[Array, Array],
        allowed: Array,
        keys: list[jax.Array | None],
    ) -> tuple[Array, Array]:
        """ITM: every pair, its text beside another image, and its image beside another text."""
        ids, mask, valid = batch["text"], batch["text_mask"], batch["valid"]
        draws = split_keys(keys[1])
        other_text, has_text = hard_negatives(logits[0], allowed, draws[0])
        other_image, has_image = hard_negatives(logits[1], allowed, draws[1])

        def three(own: Array, first: Array, second: Array) -> Array:
            return constrain(jnp.concatenate([own, first, second]), "batch")

        found = model.match(
            three(ids, ids, ids[other_text]),
            three(mask, mask, mask[other_text]),
            three(tokens, tokens[other_image], tokens),
            rng=keys[0],
        )
        rows = len(valid)
        match = jnp.arange(3 * rows) < rows
        counts = jnp.concatenate([valid, valid & has_image, valid & has_text])
        return match_loss(found, match, counts)


#: What negatives are drawn by where nothing is contrasted.
_DEFAULT_TEMPERATURE = 0.07
