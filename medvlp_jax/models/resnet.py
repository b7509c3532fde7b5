"""ResNet (He et al. 2016), v1.5 as in torchvision: the stride sits on the 3×3 convolution."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from medvlp_jax.core.fields import Channels, Depth, Dtype, Extent, Fraction, Positive
from medvlp_jax.core.sharding import constrain
from medvlp_jax.models.features import ImageFeatures
from medvlp_jax.models.flops import conv_flops
from medvlp_jax.models.layers import BatchNorm, Conv, largest


@dataclasses.dataclass(frozen=True)
class ResNetConfig:
    """Sizes of a ResNet.

    Attributes:
      name: for the reader; presets are keyed by it.
      image_size: side in pixels, for the FLOP count only; any size is accepted.
      channels: of the image, 1 or 3.
      width: channels of the stem; stage ``i`` has ``width·2^i`` (times 4 behind a bottleneck).
      stage_sizes: blocks per stage.
      stem: ``v1`` is the 7×7 convolution and max pool of the paper; ``fold`` turns 4×4 pixels into
        channels and applies a 3×3 convolution (Ridnik et al. 2021, arXiv:2003.13630, sec. 2.1):
        the same stride at a fraction of the cost. Image sides are then multiples of 4.
      block: ``basic`` is two 3×3 convolutions, ``bottleneck`` 1×1, 3×3, 1×1.
      pool: of the last map: ``mean``; ``mean_max``, mean and maximum side by side, which keeps a
        finding that covers one position from being averaged away.
      momentum: weight of a new batch in the running statistics.
      eps: of the BatchNorms.
      zero_init: start each residual branch at zero by its last BatchNorm scale (Goyal et al. 2017).
      dtype: of the computation; parameters are float32.
    """

    name: str = "resnet"
    image_size: Extent = 224
    channels: Channels = 3
    width: Extent = 64
    stage_sizes: tuple[Depth, ...] = (3, 4, 6, 3)
    stem: Literal["v1", "fold"] = "v1"
    block: Literal["basic", "bottleneck"] = "bottleneck"
    pool: Literal["mean", "mean_max"] = "mean"
    momentum: Fraction = 0.1
    eps: Positive = 1e-5
    zero_init: bool = True
    dtype: Dtype = "float32"

    def __post_init__(self) -> None:
        if len(self.stage_sizes) < 2 or min(self.stage_sizes) < 1:
            raise ValueError(f"stage_sizes {self.stage_sizes}: two stages or more, none empty")

    @property
    def expansion(self) -> int:
        """Output channels of a block over its inner channels."""
        return 4 if self.block == "bottleneck" else 1

    def stage_width(self, stage: int) -> int:
        """Output channels of a stage."""
        return self.width * 2**stage * self.expansion

    @property
    def features(self) -> int:
        """Width of the pooled vector."""
        return self.stage_width(len(self.stage_sizes) - 1) * (2 if self.pool == "mean_max" else 1)

    @property
    def stride(self) -> int:
        """Pixels a side of a position of the last map."""
        return 4 * 2 ** (len(self.stage_sizes) - 1)

    def build(self, *, rngs: nnx.Rngs) -> "ResNet":
        return ResNet(self, rngs=rngs)

    def map_width(self, which: Literal["last", "middle"]) -> int:
        return self.stage_width(len(self.stage_sizes) - (2 if which == "middle" else 1))

    def levels(self) -> list[tuple[int, float]]:
        """(channels, stride) of each map, the finest first.

        A folded stem is as coarse as the first stage, which sees more, and is left out.
        """
        stages = [(self.stage_width(i), 4.0 * 2**i) for i in range(len(self.stage_sizes))]
        return ([(self.width, 2.0)] if self.stem == "v1" else []) + stages

    def flops(self, *, train: bool = True) -> int:
        """Forward operations on one image of ``image_size``."""
        del train  # the same
        if self.stem == "fold":
            side = self.image_size // FOLD
            total = conv_flops(side, 3, self.channels * FOLD**2, self.width)
        else:
            side = (self.image_size + 1) // 2
            total = conv_flops(side, 7, self.channels, self.width)
            side = (side + 1) // 2
        channels = self.width
        for stage, size in enumerate(self.stage_sizes):
            inner, out = self.width * 2**stage, self.stage_width(stage)
            for n in range(size):
                before = side
                strided = stage > 0 and n == 0
                if strided:
                    side = (side + 1) // 2
                if self.block == "bottleneck":
                    total += conv_flops(before, 1, channels, inner)
                    total += conv_flops(side, 3, inner, inner) + conv_flops(side, 1, inner, out)
                else:
                    total += conv_flops(side, 3, channels, inner) + conv_flops(side, 3, inner, out)
                if strided or channels != out:
                    total += conv_flops(side, 1, channels, out)
                channels = out
        return total


PRESETS: dict[str, ResNetConfig] = {
    c.name: c
    for c in (
        ResNetConfig(name="resnet18", stage_sizes=(2, 2, 2, 2), block="basic"),
        ResNetConfig(name="resnet50"),
        ResNetConfig(
            name="resnet_narrow",
            width=32,
            stage_sizes=(1, 1, 1, 1),
            stem="fold",
            block="basic",
            pool="mean_max",
            zero_init=False,
        ),
        ResNetConfig(name="resnet_tiny", width=16, stage_sizes=(1, 1, 1, 1), block="basic"),
    )
}


#: Side of the square of pixels that ``stem="fold"`` turns into channels.
FOLD = 4


class ResidualBlock(nnx.Module):
    """``relu(shortcut(x) + branch(x))``; the branch is a list of convolutions and norms."""

    def __init__(
        self, config: ResNetConfig, channels: int, inner: int, stride: int, *, rngs: nnx.Rngs
    ):
        c = config
        out = inner * c.expansion
        # (in, out, kernel, stride) of each convolution of the branch
        if c.block == "bottleneck":
            plan = [(channels, inner, 1, 1), (inner, inner, 3, stride), (inner, out, 1, 1)]
        else:
            plan = [(channels, inner, 3, stride), (inner, out, 3, 1)]
        self.convs = nnx.List(
            [Conv(i, o, k, stride=s, dtype=c.dtype, rngs=rngs) for i, o, k, s in plan]
        )
        self.norms = nnx.List(
            [_norm(c, o, rngs, last=n == len(plan) - 1) for n, (_, o, _, _) in enumerate(plan)]
        )
        project = stride != 1 or channels != out
        self.shortcut_conv = (
            Conv(channels, out, 1, stride=stride, dtype=c.dtype, rngs=rngs) if project else None
        )
        self.shortcut_norm = _norm(c, out, rngs) if project else None

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 o"]:
        y = x
        for n, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = norm(conv(y), train=train)
            if n < len(self.convs) - 1:
                y = jax.nn.relu(y)
        if self.shortcut_conv is not None and self.shortcut_norm is not None:
            x = self.shortcut_norm(self.shortcut_conv(x), train=train)
        return jax.nn.relu(x + y)


def _norm(c: ResNetConfig, features: int, rngs: nnx.Rngs, last: bool = False) -> BatchNorm:
    return BatchNorm(
        features,
        momentum=c.momentum,
        eps=c.eps,
        scale_init=0.0 if last and c.zero_init else 1.0,
        dtype=c.dtype,
        rngs=rngs,
    )


class ResNet(nnx.Module):
    """Images to the mean of the last map, that map, and the map one stage below."""

    def __init__(self, config: ResNetConfig, *, rngs: nnx.Rngs):
        c = self.config = config
        self.stem_conv = (
            Conv(c.channels, c.width, 7, stride=2, dtype=c.dtype, rngs=rngs)
            if c.stem == "v1"
            else Conv(c.channels * FOLD**2, c.width, 3, dtype=c.dtype, rngs=rngs)
        )
        self.stem_norm = _norm(c, c.width, rngs)
        stages = []
        channels = c.width
        for stage, size in enumerate(c.stage_sizes):
            blocks = []
            for n in range(size):
                stride = 2 if stage > 0 and n == 0 else 1
                blocks.append(ResidualBlock(c, channels, c.width * 2**stage, stride, rngs=rngs))
                channels = c.stage_width(stage)
            stages.append(nnx.List(blocks))
        self.stages = nnx.List(stages)

    def __call__(
        self,
        image: Float[Array, "b y x c"],
        *,
        train: bool = False,
        rng: jax.Array | None = None,
        attend: bool = False,
    ) -> ImageFeatures:
        """Encodes normalised images.

        Args:
          image: normalised pixels.
          train: normalise by the batch and update the running statistics in place.
          rng: accepted for the common signature; a ResNet draws nothing.
          attend: accepted for the common signature; a ResNet has no class token.

        Raises:
          ValueError: the number of channels differs from the config's, or ``stem="fold"`` and a
            side is no multiple of 4.
        """
        del rng, attend
        maps = self.maps(image, train=train)
        x = maps[-1]
        pooled = jnp.mean(x.astype(jnp.float32), axis=(1, 2)).astype(x.dtype)
        if self.config.pool == "mean_max":
            flat = x.reshape(x.shape[0], -1, x.shape[-1])
            pooled = jnp.concatenate([pooled, largest(flat)], axis=-1)
        return ImageFeatures(pooled, maps[-1], maps[-2])

    def maps(
        self, image: Float[Array, "b y x c"], *, train: bool = False
    ) -> list[Float[Array, "b h w c"]]:
        """The stem's map, before pooling, and that of every stage, each at most as fine as the
        one before it; arguments and errors as for a call."""
        if image.shape[-1] != self.config.channels:
            raise ValueError(
                f"image {image.shape[1:]} does not fit {self.config.name}: "
                f"channels {self.config.channels}"
            )
        x = image if self.config.stem == "v1" else fold(image)
        x = jax.nn.relu(self.stem_norm(self.stem_conv(x), train=train))
        maps = [x]
        if self.config.stem == "v1":
            x = max_pool(x)
        for blocks in self.stages:
            for block in blocks:
                x = constrain(block(x, train=train), "batch", None, None, None)
            maps.append(x)
        return maps

    def local(self, features: ImageFeatures) -> Float[Array, "b h w d"]:
        """Patch vectors in the space of the pooled vector: what an image of this patch alone,
        repeated everywhere, would be pooled to. With ``pool="mean"`` their mean is that vector."""
        assert features.patches is not None
        if self.config.pool == "mean_max":
            return jnp.concatenate([features.patches, features.patches], axis=-1)
        return features.patches


def fold(image: Float[Array, "b y x c"]) -> Float[Array, "b h w k"]:
    """Every 4×4 square of pixels as one position of 16 times the channels."""
    b, y, x, c = image.shape
    if y % FOLD or x % FOLD:
        raise ValueError(f"stem='fold' needs sides that are multiples of {FOLD}, not {y} x {x}")
    squares = image.reshape(b, y // FOLD, FOLD, x // FOLD, FOLD, c).transpose(0, 1, 3, 2, 4, 5)
    return squares.reshape(b, y // FOLD, x // FOLD, FOLD * FOLD * c)


def max_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """3×3 maximum with stride 2 and a border of one, rows first, then columns.

    Maxima of strided slices instead of ``reduce_window``: the gradient is then a handful of
    selects where ``reduce_window`` has a scatter.
    """
    for axis in (1, 2):
        size = (x.shape[axis] + 1) // 2
        border = [(0, 0)] * 4
        border[axis] = (1, 1)
        padded = jnp.pad(x, border, constant_values=-jnp.inf)
        slices = [
            jax.lax.slice_in_dim(padded, start, start + 2 * size - 1, 2, axis) for start in range(3)
        ]
        x = jnp.maximum(jnp.maximum(slices[0], slices[1]), slices[2])
    return x
