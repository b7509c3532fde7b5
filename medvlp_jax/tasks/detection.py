"""Detection without anchors: FCOS's losses on :class:`medvlp_jax.models.detector.Detector`.

Tian et al. 2019, arXiv:1904.01355, with two simplifications that spare its tuning: a box belongs to
the level that its size chooses, and to the positions around its centre; the nearest one
always belongs to it, so that no finding is too small to be learnt.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from medvlp_jax.core.config import agree
from medvlp_jax.core.fields import Size
from medvlp_jax.core.state import ModelDef
from medvlp_jax.core.task import Batch, Metrics, Predict, Truth
from medvlp_jax.models.detector import Points
from medvlp_jax.tasks.images import PixelConfig
from medvlp_jax.tasks.labelled import LabelledTask

#: Balance and focus of the class loss (Lin et al. 2017, arXiv:1708.02002).
_ALPHA, _GAMMA = 0.25, 2.0
#: Positions within so many strides of a box's centre learn it.
_RADIUS = 1.5
#: The size of a level's boxes, in strides; the finest level has no lower bound, the coarsest no
#: upper one.
_LONGEST = 8.0


@dataclasses.dataclass(frozen=True)
class DetectionConfig(PixelConfig):
    """``config.task`` of a detection run.

    Attributes:
      candidates: predictions that an image keeps before non-maximum suppression.
      level: what chooses the level of a box: its ``longer`` side, or the root of its ``area``,
        which keeps thin boxes that lie close together on a level that tells them apart.
      frozen: see ``SupervisedConfig``.
    """

    candidates: Size = 100
    level: Literal["longer", "area"] = "longer"
    frozen: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.candidates < 1:
            raise ValueError("candidates must be at least 1")


class Assignment(NamedTuple):
    """What every position has to say; see :func:`assign`.

    Attributes:
      label: index of the class, -1 where there is no box.
      box: the box to give, where there is one.
      centred: centre-ness in (0, 1].
    """

    label: Int[Array, "b n"]
    box: Float[Array, "b n 4"]
    centred: Float[Array, "b n"]


def assign(
    points: Points,
    boxes: Float[Array, "b m 4"],
    box_label: Int[Array, "b m"],
    level: Literal["longer", "area"] = "longer",
) -> Assignment:
    """The box that each position learns; of several the smallest.

    Args:
      boxes: x0, y0, x1, y1 in fractions; ``box_label`` is -1 for padding.
      level: see :class:`DetectionConfig`.
    """
    x, y = points.centre[:, 0][:, None], points.centre[:, 1][:, None]
    stride = points.stride[:, None]
    x0, y0, x1, y1 = (boxes[:, None, :, i] for i in range(4))
    last = points.level == points.level.max()
    low = np.where(points.level == 0, 0.0, _LONGEST / 2 * points.stride)[:, None]
    high = np.where(last, np.inf, _LONGEST * points.stride)[:, None]
    width, height = x1 - x0, y1 - y0
    size = jnp.maximum(width, height) if level == "longer" else jnp.sqrt(width * height)
    dx, dy = jnp.abs(x - (x0 + x1) / 2), jnp.abs(y - (y0 + y1) / 2)
    away = jnp.maximum(dx, dy)
    inside = (x > x0) & (x < x1) & (y > y0) & (y < y1)
    near = (inside & (away <= _RADIUS * stride)) | (away <= 0.5 * stride)
    mine = near & (size > low) & (size <= high) & (box_label >= 0)[:, None]
    area = jnp.where(mine, (x1 - x0) * (y1 - y0), jnp.inf)
    which = jnp.argmin(area, axis=2)
    found = jnp.take_along_axis(mine, which[..., None], 2)[..., 0]
    box = jnp.take_along_axis(boxes, which[..., None], 1)
    label = jnp.where(found, jnp.take_along_axis(box_label, which, 1), -1)
    left, right = points.centre[:, 0] - box[..., 0], box[..., 2] - points.centre[:, 0]
    up, down = points.centre[:, 1] - box[..., 1], box[..., 3] - points.centre[:, 1]
    centred = jnp.sqrt(_balance(left, right) * _balance(up, down))
    return Assignment(label, box, centred)


def _balance(a: Any, b: Any) -> Array:
    """Shorter over longer distance; a position just outside of a tiny box keeps a little."""
    return jnp.clip(jnp.minimum(a, b) / jnp.maximum(jnp.maximum(a, b), 1e-6), 1e-2, 1.0)


def giou(a: Float[Array, "*s 4"], b: Float[Array, "*s 4"]) -> Float[Array, "*s"]:
    """Generalised intersection over union, -1 to 1 (Rezatofighi et al. 2019, arXiv:1902.09630)."""

    def area(x0: Array, y0: Array, x1: Array, y1: Array) -> Array:
        return jnp.maximum(x1 - x0, 0) * jnp.maximum(y1 - y0, 0)

    pa, pb = [a[..., i] for i in range(4)], [b[..., i] for i in range(4)]
    low = [jnp.maximum(pa[i], pb[i]) for i in range(2)]
    high = [jnp.minimum(pa[i], pb[i]) for i in range(2, 4)]
    both = area(low[0], low[1], high[0], high[1])
    union = area(*pa) + area(*pb) - both
    hull = area(
        jnp.minimum(pa[0], pb[0]),
        jnp.minimum(pa[1], pb[1]),
        jnp.maximum(pa[2], pb[2]),
        jnp.maximum(pa[3], pb[3]),
    )
    return both / jnp.maximum(union, 1e-9) - (hull - union) / jnp.maximum(hull, 1e-9)


class DetectionTask(LabelledTask):
    """``predict["boxes"]`` is float32 [b, candidates, 6]: x0, y0, x1, y1 in fractions, clipped to
    the image, score in [0, 1], class; best first, before non-maximum suppression."""

    models: ClassVar = ("detector",)
    needs: frozenset[Truth] = frozenset({"boxes"})

    def __init__(self, model_def: ModelDef, config: DetectionConfig):
        self.model_def = model_def
        self.config = config
        self.predict: Mapping[str, Predict] = {"boxes": self._boxes}

    @classmethod
    def complete(cls, config: dict[str, Any]) -> None:
        super().complete(config)
        agree(config["model"], "classes", len(config["data"].get("labels", ())), "config.model")

    @property
    def columns(self) -> tuple[str, ...]:
        return ("image", "labels", "boxes")

    def loss(
        self, model: Any, embeddings: Any, batch: Batch, rng: jax.Array | None = None
    ) -> tuple[Float[Array, ""], Metrics]:
        """Class, box and centre-ness loss, each over the positions of the whole batch."""
        del embeddings, rng
        c = self.config
        found, points = model(c.prepare(batch["image"]), train=True, frozen=c.frozen)
        valid = batch["valid"]
        box_label = jnp.where(valid[:, None], batch["box_label"], -1)
        want = assign(points, batch["boxes"], box_label, c.level)
        positive = (want.label >= 0).astype(jnp.float32)
        count = jnp.maximum(jnp.sum(positive), 1.0)

        classes = found.logits.shape[-1]
        target = jax.nn.one_hot(want.label, classes)  # -1 is a row of zeros
        # Known of a record: a class of which it has a box, or whose label is negative.
        known = known_classes(batch["labels"], box_label, classes) & valid[:, None]
        entropy = jax.nn.softplus(found.logits) - found.logits * target
        balance = _ALPHA * target + (1 - _ALPHA) * (1 - target)
        each = balance * (1 - jnp.exp(-entropy)) ** _GAMMA * entropy
        class_loss = jnp.sum(each * known[:, None, :]) / count

        weight = positive * want.centred
        box_loss = jnp.sum((1 - giou(found.box, want.box)) * weight)
        box_loss = box_loss / jnp.maximum(jnp.sum(weight), 1e-6)
        centre = jax.nn.softplus(found.centred) - found.centred * want.centred
        centre_loss = jnp.sum(centre * positive) / count
        parts = {"class_loss": class_loss, "box_loss": box_loss, "centre_loss": centre_loss}
        return class_loss + box_loss + centre_loss, parts

    def _boxes(self, model: Any, batch: Batch) -> jax.Array:
        c = self.config
        found, _ = model(c.prepare(batch["image"]), train=False)
        # FCOS ranks by the product; its root keeps scores on the scale of a probability.
        score = jnp.sqrt(jax.nn.sigmoid(found.logits) * jax.nn.sigmoid(found.centred)[..., None])
        b, n, k = score.shape
        best, at = jax.lax.top_k(score.reshape(b, n * k), min(c.candidates, n * k))
        box = jnp.take_along_axis(jnp.clip(found.box, 0, 1), (at // k)[..., None], 1)
        label = (at % k).astype(jnp.float32)
        return jnp.concatenate([box, best[..., None], label[..., None]], -1)


def known_classes(
    labels: Int[Array, "b k"], box_label: Int[Array, "b m"], classes: int
) -> Bool[Array, "b k"]:
    """Classes of which all boxes are known: those with a box, and those that are absent."""
    boxed = (box_label[:, :, None] == np.arange(classes)).any(1)
    return boxed | (labels == 0)
