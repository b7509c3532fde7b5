"""U-Net (Ronneberger et al. 2015) whose contracting path is a pre-trained vision tower."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from medvlp_jax.core.fields import Dtype, Extent, Size
from medvlp_jax.models.base import parameters
from medvlp_jax.models.flops import conv_flops
from medvlp_jax.models.heads import Pyramid
from medvlp_jax.models.layers import BatchNorm, Conv
from medvlp_jax.models.towers import VisionConfig, build_vision
from medvlp_jax.models.vit import ViTConfig

#: Channels of the expanding path, from the coarsest step on, as the common U-Nets on ResNets have.
WIDTHS = (256, 128, 64, 32, 16)


class UpBlock(nnx.Module):
    """Twice the resolution, beside the skip of that resolution, through two 3×3 convolutions."""

    def __init__(self, features_in: int, skip: int, features_out: int, *, dtype: str, rngs):
        self.convs = nnx.List(
            [
                Conv(features_in + skip, features_out, 3, dtype=dtype, rngs=rngs),
                Conv(features_out, features_out, 3, dtype=dtype, rngs=rngs),
            ]
        )
        self.norms = nnx.List([BatchNorm(features_out, dtype=dtype, rngs=rngs) for _ in range(2)])

    def __call__(
        self, x: Float[Array, "b h w c"], skip: Float[Array, "b y x s"] | None, *, train: bool
    ) -> Float[Array, "b y x o"]:
        size = (2 * x.shape[1], 2 * x.shape[2]) if skip is None else skip.shape[1:3]
        x = resize(x, size)
        if skip is not None:
            x = jnp.concatenate([x, skip.astype(x.dtype)], axis=-1)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = jax.nn.relu(norm(conv(x), train=train))
        return x


def resize(x: Float[Array, "b h w c"], size: Sequence[int]) -> Float[Array, "b y x c"]:
    """Each position repeated where the size doubles; bilinear otherwise (odd maps, ViT patches)."""
    h, w = x.shape[1:3]
    if (h, w) == tuple(size):
        return x
    if (2 * h, 2 * w) == tuple(size):
        return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
    return jax.image.resize(x, (x.shape[0], *size, x.shape[3]), "bilinear")


@dataclasses.dataclass(frozen=True)
class SegmenterConfig:
    """A U-Net whose contracting path is a vision tower.

    Attributes:
      vision: the tower.
      masks: number of regions; they may overlap, so each is a binary question. Said once, by
        ``config.data.masks``.
      widths: channels after each step up; the last one is used for all that follow.
      stride: pixels a side of a position of the last map; 1 is the resolution of the image.
      dtype: of the computation; logits are float32.
    """

    TOWERS: ClassVar[tuple[str, ...]] = ("vision",)

    vision: VisionConfig = dataclasses.field(default_factory=ViTConfig)
    masks: Size = 1
    widths: tuple[Extent, ...] = WIDTHS
    stride: Size = 1
    dtype: Dtype = "float32"

    def build(self, *, rngs: nnx.Rngs) -> "Segmenter":
        return Segmenter(self, rngs=rngs)

    def steps(self) -> list[tuple[int, int, int]]:
        """(channels in, channels of the skip or 0, channels out) of each step up."""
        levels = Pyramid.levels(self.vision)
        skips = [c for c, _ in levels[:-1]][::-1]
        reached = levels[0][1]
        while reached >= 2 * self.stride:
            skips.append(0)
            reached /= 2
        channels, steps = levels[-1][0], []
        for i, skip in enumerate(skips):
            out = self.widths[min(i, len(self.widths) - 1)]
            steps.append((channels, skip, out))
            channels = out
        return steps

    def flops(self, rows: int, text_len: int, *, train: bool = True) -> int:
        del text_len  # there is no text
        levels = Pyramid.levels(self.vision)
        sides = [math.ceil(self.vision.image_size / stride) for _, stride in levels[-2::-1]]
        total = self.vision.flops(train=train) + Pyramid.flops(self.vision)
        side, channels = math.ceil(self.vision.image_size / levels[-1][1]), levels[-1][0]
        for i, (before, skip, channels) in enumerate(self.steps()):
            side = sides[i] if i < len(sides) else 2 * side
            total += conv_flops(side, 3, before + skip, channels)
            total += conv_flops(side, 3, channels, channels)
        return rows * (total + conv_flops(side, 1, channels, self.masks))

    def summary(self, params: Mapping[str, Any]) -> str:
        return parameters(params, self.TOWERS)


class Segmenter(nnx.Module):
    """Images to one logit a pixel and mask, at the resolution of the image.

    The expanding path follows the maps of the tower up to its finest, then doubles the resolution
    without a skip until it reaches ``stride``; the logits are enlarged the rest of the way.
    """

    def __init__(self, config: SegmenterConfig, *, rngs: nnx.Rngs):
        c = config
        self.vision = build_vision(c.vision, rngs=rngs)
        self.pyramid = Pyramid(c.vision, rngs=rngs)
        self.blocks = nnx.List(
            [UpBlock(*step, dtype=c.dtype, rngs=rngs) for step in c.steps()],
        )
        channels = c.steps()[-1][-1] if c.steps() else Pyramid.levels(c.vision)[-1][0]
        self.out = Conv(channels, c.masks, 1, bias=True, rngs=rngs)
        # Few pixels belong to a finding; sigmoid(-4) is about the share that does.
        assert self.out.bias is not None
        self.out.bias.set_value(jnp.full((c.masks,), -4.0))

    def __call__(
        self,
        image: Float[Array, "b y x c"],
        *,
        train: bool,
        frozen: bool = False,
    ) -> Float[Array, "b y x l"]:
        """Logits in float32; ``frozen`` keeps the tower as in evaluation (``heads.encode``)."""
        maps = self.pyramid(self.vision, image, train=train, frozen=frozen)
        x, skips = maps[-1], maps[-2::-1]
        for i, block in enumerate(self.blocks):
            x = block(x, skips[i] if i < len(skips) else None, train=train)
        return resize(self.out(x).astype(jnp.float32), image.shape[1:3])
