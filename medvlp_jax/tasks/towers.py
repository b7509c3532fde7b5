"""What the tasks on two towers have in common: pixels in, features out, and predictions."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import jax
from jax import lax
from jaxtyping import Array, Float

from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.state import ModelDef
from medvlp_jax.core.task import Batch, Predict, Truth
from medvlp_jax.models.features import ImageFeatures, TextFeatures
from medvlp_jax.tasks.images import PixelConfig


@dataclasses.dataclass(frozen=True)
class TowersConfig(PixelConfig):
    """Keys of ``config.task`` that every task on two towers has; those of the pixels among them.

    Attributes:
      multi_positive: which other records are positives of a record: ``none``; ``labels``, those
        with the same value of every label, if one of them is positive or negative at all;
        ``stated``, images that show every finding that the text states; ``text``, those with the
        same text; ``text_or_labels``, those that share the text or the labels.
      frozen_towers: towers that run as in evaluation (no dropout, no batch statistics) and get no
        gradient; their projections still learn. The optimizer must hold their parameters too, with
        ``config.optim.freeze``: the task only saves the work.
    """

    multi_positive: Literal["none", "labels", "stated", "text", "text_or_labels"] = "none"
    frozen_towers: tuple[Literal["vision", "text"], ...] = ()

    @property
    def reads_statements(self) -> bool:
        """Whether the batch must say which labels each text affirms."""
        return self.multi_positive == "stated"


class TwoTowers:
    """Encoding and prediction for :class:`medvlp_jax.models.clip.CLIP`; tasks add their loss."""

    models: ClassVar = ("clip",)
    may_differ: ClassVar[tuple[str, ...]] = ()
    cached = True

    def __init__(self, model_def: ModelDef, config: TowersConfig):
        self.model_def = model_def
        self.config: Any = config
        self.needs = _needs(self.columns)

        def image(batch: Batch) -> Float[Array, "b y x c"]:
            return config.prepare(batch["image"])

        self.predict: Mapping[str, Predict] = {
            "image_embed": lambda model, batch: model.image_embed(image(batch)),
            "text_embed": lambda model, batch: model.text_embed(batch["text"], batch["text_mask"]),
            "patch_embed": lambda model, batch: model.patch_embed(image(batch)),
        }

    @property
    def columns(self) -> tuple[str, ...]:
        """What ``embed`` and ``loss`` read of a batch."""
        c = self.config
        read = ["image", "text"]
        if c.multi_positive in ("labels", "stated", "text_or_labels"):
            read.append("labels")
        if c.reads_statements:
            read.append("statements")
        if c.multi_positive in ("text", "text_or_labels"):
            read.append("text_key")
        return tuple(read)

    @classmethod
    def complete(cls, config: dict[str, Any]) -> None:
        """The frozen towers, which the optimizer holds too."""
        kept = config["task"].get("frozen_towers", ())
        if not isinstance(kept, list | tuple):
            raise ConfigError(f"config.task.frozen_towers={kept!r} must be a list")
        hold(config, [f"{tower}/" for tower in kept])

    def _encode_image(
        self, model: Any, batch: Batch, rng: jax.Array | None, **options: Any
    ) -> ImageFeatures:
        """The vision tower in training mode, or as in evaluation where it is frozen."""
        image = self.config.prepare(batch["image"])
        if "vision" in self.config.frozen_towers:
            return lax.stop_gradient(model.encode_image(image, **options))
        return model.encode_image(image, train=True, rng=rng, **options)

    def _encode_text(
        self,
        model: Any,
        ids: jax.Array,
        mask: jax.Array,
        rng: jax.Array | None,
        **options: Any,
    ) -> TextFeatures:
        """The text tower in training mode, or as in evaluation where it is frozen."""
        if "text" in self.config.frozen_towers:
            return lax.stop_gradient(model.encode_text(ids, mask, **options))
        return model.encode_text(ids, mask, train=True, rng=rng, **options)


def _needs(columns: tuple[str, ...]) -> frozenset[Truth]:
    """What of the ``columns`` training data may lack."""
    found: list[Truth] = []
    if "labels" in columns or "statements" in columns:
        found.append("labels")
    if "boxes" in columns:
        found.append("boxes")
    return frozenset(found)


def hold(config: dict[str, Any], patterns: Sequence[str]) -> None:
    """Adds patterns of parameters to ``config.optim.freeze``."""
    optim = config["optim"]
    optim["freeze"] = list(dict.fromkeys([*optim.get("freeze", ()), *patterns]))


def split_keys(rng: jax.Array | None, count: int = 2) -> list[jax.Array | None]:
    """``count`` keys, or as many None."""
    return [None] * count if rng is None else list(jax.random.split(rng, count))
