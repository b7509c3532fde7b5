"""An anchor-free detector on the pyramid of a vision tower (FCOS, Tian et al. 2019).

Every position of every level predicts a box and what is in it; there are no anchors to choose, so
the same head serves boxes of a nodule and of a lung. arXiv:1904.01355.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from medvlp_jax.core.fields import Depth, Dtype, Extent, Size
from medvlp_jax.models.base import parameters
from medvlp_jax.models.flops import conv_flops
from medvlp_jax.models.heads import Pyramid
from medvlp_jax.models.layers import Conv, LayerNorm
from medvlp_jax.models.segmenter import resize
from medvlp_jax.models.towers import VisionConfig, build_vision
from medvlp_jax.models.vit import ViTConfig

#: Finer maps than this (pixels a position) cost much and hold no whole finding.
_FINEST = 3.0
#: Probability of every class at every position before training (Lin et al. 2017, sec. 3.3).
_PRIOR = 0.01


class Points(NamedTuple):
    """The positions of all levels, as constants.

    Attributes:
      centre: x, y in fractions of the image.
      stride: the side of a position, in fractions of the image.
      level: 0 for the finest.
    """

    centre: Float[np.ndarray, "n 2"]
    stride: Float[np.ndarray, "n"]
    level: np.ndarray


class Detections(NamedTuple):
    """What the head says at every position.

    Attributes:
      logits: of each class.
      box: x0, y0, x1, y1 in fractions of the image, not clipped to it.
      centred: logit of how close the position is to the middle of its box (centre-ness).
    """

    logits: Float[Array, "b n k"]
    box: Float[Array, "b n 4"]
    centred: Float[Array, "b n"]


def points_of(sizes: Sequence[int]) -> Points:
    """The positions of square maps of ``sizes`` positions a side, the finest first, row by row."""
    centre, stride, level = [], [], []
    for number, size in enumerate(sizes):
        at = (np.arange(size) + 0.5) / size
        y, x = np.meshgrid(at, at, indexing="ij")
        centre.append(np.stack([x.ravel(), y.ravel()], 1))
        stride.append(np.full(size * size, 1 / size))
        level.append(np.full(size * size, number))
    return Points(
        np.concatenate(centre).astype(np.float32),
        np.concatenate(stride).astype(np.float32),
        np.concatenate(level),
    )


@dataclasses.dataclass(frozen=True)
class DetectorConfig:
    """A detector on a vision tower.

    Attributes:
      vision: the tower.
      classes: number of classes; a position may belong to several. Said once, by
        ``config.data.labels``.
      width: channels of the pyramid and of the head.
      convs: 3×3 convolutions of each of the head's two branches.
      dtype: of the computation; predictions are float32.
    """

    TOWERS: ClassVar[tuple[str, ...]] = ("vision",)

    vision: VisionConfig = dataclasses.field(default_factory=ViTConfig)
    classes: Size = 1
    width: Extent = 128
    convs: Depth = 2
    dtype: Dtype = "float32"

    def build(self, *, rngs: nnx.Rngs) -> "Detector":
        return Detector(self, rngs=rngs)

    def levels(self) -> list[tuple[int, float]]:
        """(channels, stride) of the maps that boxes are predicted from, the finest first."""
        return [(c, s) for c, s in Pyramid.levels(self.vision) if s >= _FINEST]

    def flops(self, rows: int, text_len: int, *, train: bool = True) -> int:
        del text_len  # there is no text
        total = self.vision.flops(train=train) + Pyramid.flops(self.vision)
        for channels, stride in self.levels():
            side = math.ceil(self.vision.image_size / stride)
            total += conv_flops(side, 1, channels, self.width)
            total += 2 * self.convs * conv_flops(side, 3, self.width, self.width)
            total += conv_flops(side, 1, self.width, self.classes + 5)
        return rows * total

    def summary(self, params: Mapping[str, Any]) -> str:
        return parameters(params, self.TOWERS)


class Detector(nnx.Module):
    """Tower, top-down pyramid (Lin et al. 2017, arXiv:1612.03144), and one head for all levels."""

    def __init__(self, config: DetectorConfig, *, rngs: nnx.Rngs):
        width, classes, dtype = config.width, config.classes, config.dtype
        self.vision = build_vision(config.vision, rngs=rngs)
        self.pyramid = Pyramid(config.vision, rngs=rngs)
        used = config.levels()
        self.skip = len(Pyramid.levels(config.vision)) - len(used)

        def conv(i: int, o: int, size: int, bias: bool = False) -> Conv:
            return Conv(i, o, size, bias=bias, dtype=dtype, rngs=rngs)

        def norm() -> LayerNorm:
            return LayerNorm(width, dtype=dtype, rngs=rngs)

        self.lateral = nnx.List([conv(c, width, 1, True) for c, _ in used])
        self.lateral_norm = nnx.List([norm() for _ in used])
        self.class_convs = nnx.List([conv(width, width, 3) for _ in range(config.convs)])
        self.class_norms = nnx.List([norm() for _ in range(config.convs)])
        self.box_convs = nnx.List([conv(width, width, 3) for _ in range(config.convs)])
        self.box_norms = nnx.List([norm() for _ in range(config.convs)])
        self.class_out = conv(width, classes, 1, True)
        self.box_out = conv(width, 5, 1, True)  # four distances and the centre-ness
        # He's scale is for hidden layers; here it would scatter the first boxes over the image.
        self.box_out.kernel.set_value(self.box_out.kernel[...] * 0.1)
        self.class_out.kernel.set_value(self.class_out.kernel[...] * 0.1)
        assert self.class_out.bias is not None
        self.class_out.bias.set_value(jnp.full((classes,), -math.log((1 - _PRIOR) / _PRIOR)))
        # What a level expects before training: a box of four strides.
        self.scale = nnx.Param(jnp.full((len(used),), math.log(2.0)), logical_axes=("norm",))

    def __call__(
        self, image: Float[Array, "b y x c"], *, train: bool, frozen: bool = False
    ) -> tuple[Detections, Points]:
        """Raw predictions and the positions that they belong to; all float32.

        Raises:
          ValueError: the image is not square.
        """
        if image.shape[1] != image.shape[2]:
            raise ValueError(f"images must be square, not {image.shape[1:3]}")
        maps = self.pyramid(self.vision, image, train=train, frozen=frozen)[self.skip :]
        merged: list[jax.Array] = []
        for lateral, norm, x in zip(
            self.lateral[::-1], self.lateral_norm[::-1], maps[::-1], strict=True
        ):
            y = norm(lateral(x))
            merged.append(y if not merged else y + resize(merged[-1], y.shape[1:3]))
        merged = merged[::-1]
        points = points_of([m.shape[1] for m in merged])
        logits, distances, centred = [], [], []
        for level, x in enumerate(merged):
            seen, placed = x, x
            for conv, norm in zip(self.class_convs, self.class_norms, strict=True):
                seen = jax.nn.relu(norm(conv(seen)))
            for conv, norm in zip(self.box_convs, self.box_norms, strict=True):
                placed = jax.nn.relu(norm(conv(placed)))
            b = x.shape[0]
            box = self.box_out(placed).astype(jnp.float32).reshape(b, -1, 5)
            logits.append(self.class_out(seen).astype(jnp.float32).reshape(b, box.shape[1], -1))
            distances.append(jnp.exp(jnp.clip(box[..., :4] + self.scale[level], -6.0, 6.0)))
            centred.append(box[..., 4])
        reach = jnp.concatenate(distances, 1) * points.stride[:, None]
        centre = jnp.asarray(points.centre)
        box = jnp.concatenate([centre - reach[..., :2], centre + reach[..., 2:]], -1)
        found = Detections(jnp.concatenate(logits, 1), box, jnp.concatenate(centred, 1))
        return found, points
