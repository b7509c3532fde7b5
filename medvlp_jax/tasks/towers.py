"""What the tasks on two towers have in common: pixels in, features out, and predictions."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from medvlp_jax.core.config import ConfigError, agree
from medvlp_jax.core.fields import Count
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
        same text.
      num_labels: labels a record.
      frozen_towers: towers that run as in evaluation (no dropout, no batch statistics) and get no
        gradient; their projections still learn. The optimizer must hold their parameters too, with
        ``config.optim.freeze``: the task only saves the work.
    """

    multi_positive: Literal["none", "labels", "stated", "text"] = "none"
    num_labels: Count = 0
    frozen_towers: tuple[Literal["vision", "text"], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.needs_labels and self.num_labels < 1:
            raise ValueError(
                "multi_positive='labels' or 'stated', and everything else that reads labels, needs "
                "num_labels"
            )

    @property
    def needs_labels(self) -> bool:
        """Whether some part of the loss reads ``labels`` or ``text_labels``."""
        return self.multi_positive in ("labels", "stated")

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
        self.needs: frozenset[Truth] = frozenset({"labels"} if config.needs_labels else ())

        def image(batch: Batch) -> Float[Array, "b y x c"]:
            return config.prepare(batch["image"])

        self.predict: Mapping[str, Predict] = {
            "image_embed": lambda model, batch: model.image_embed(image(batch)),
            "text_embed": lambda model, batch: model.text_embed(batch["text"], batch["text_mask"]),
            "patch_embed": lambda model, batch: model.patch_embed(image(batch)),
        }

    def batch_spec(self, batch_size: int, text_len: int) -> dict[str, jax.ShapeDtypeStruct]:
        """The arrays that ``embed`` and ``loss`` read."""
        c, b, of = self.config, batch_size, jax.ShapeDtypeStruct
        spec = c.batch_spec(b) | {
            "text": of((b, text_len), jnp.int32),
            "text_mask": of((b, text_len), jnp.bool_),
        }
        if c.multi_positive in ("labels", "stated"):
            spec["labels"] = of((b, c.num_labels), jnp.int8)
        if c.reads_statements:
            spec["text_labels"] = of((b, c.num_labels), jnp.uint8)
        if c.multi_positive == "text":
            spec["text_key"] = of((b,), jnp.uint32)
        return spec

    @classmethod
    def complete(cls, config: dict[str, Any]) -> None:
        """Sizes that are said once, and the frozen towers, which the optimizer holds too."""
        task, data = config["task"], config["data"]
        agree(task, "num_labels", len(data.get("labels", ())), "config.task")
        kept = task.get("frozen_towers", ())
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


def hold(config: dict[str, Any], patterns: Sequence[str]) -> None:
    """Adds patterns of parameters to ``config.optim.freeze``."""
    optim = config["optim"]
    optim["freeze"] = list(dict.fromkeys([*optim.get("freeze", ()), *patterns]))


def split_keys(rng: jax.Array | None, count: int = 2) -> list[jax.Array | None]:
    """``count`` keys, or as many None."""
    return [None] * count if rng is None else list(jax.random.split(rng, count))
