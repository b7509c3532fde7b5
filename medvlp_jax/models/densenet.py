"""DenseNet (Huang et al. 2017, arXiv:1608.06993) with bottlenecks and compression, as torchvision.

CheXNet's network, and what torchxrayvision publishes for radiographs.
"""

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
from medvlp_jax.models.layers import BatchNorm, Conv
from medvlp_jax.models.resnet import max_pool


@dataclasses.dataclass(frozen=True)
class DenseNetConfig:
    """Sizes of a DenseNet.

    Attributes:
      name: for the reader; presets are keyed by it.
      image_size: side in pixels, for the FLOP count only; any size is accepted.
      channels: of the image, 1 or 3.
      width: channels of the stem.
      growth: channels that each layer adds.
      bottleneck: channels of a layer's 1×1 convolution, in units of ``growth``.
      stage_sizes: layers per dense block; between two blocks channels and side are halved.
      momentum: weight of a new batch in the running statistics.
      eps: of the BatchNorms.
      dtype: of the computation; parameters are float32.
    """

    name: str = "densenet"
    image_size: Extent = 224
    channels: Channels = 3
    width: Extent = 64
    growth: Extent = 32
    bottleneck: Extent = 4
    stage_sizes: tuple[Depth, ...] = (6, 12, 24, 16)
    momentum: Fraction = 0.1
    eps: Positive = 1e-5
    dtype: Dtype = "float32"

    def __post_init__(self) -> None:
        if len(self.stage_sizes) < 2 or min(self.stage_sizes) < 1:
            raise ValueError(f"stage_sizes {self.stage_sizes}: two stages or more, none empty")
        if min(self.width, self.growth, self.bottleneck) < 1:
            raise ValueError("width, growth and bottleneck must be positive")

    def stage_width(self, stage: int) -> int:
        """Output channels of a dense block."""
        channels = self.width
        for n in range(stage + 1):
            channels = (channels if n == 0 else channels // 2) + self.stage_sizes[n] * self.growth
        return channels

    @property
    def features(self) -> int:
        """Width of the pooled vector."""
        return self.stage_width(len(self.stage_sizes) - 1)

    @property
    def stride(self) -> int:
        """Pixels a side of a position of the last map."""
        return 4 * 2 ** (len(self.stage_sizes) - 1)

    def build(self, *, rngs: nnx.Rngs) -> "DenseNet":
        return DenseNet(self, rngs=rngs)

    def map_width(self, which: Literal["last", "middle"]) -> int:
        return self.stage_width(len(self.stage_sizes) - (2 if which == "middle" else 1))

    def levels(self) -> list[tuple[int, float]]:
        """(channels, stride) of each map, the finest first."""
        stages = [(self.stage_width(i), 4.0 * 2**i) for i in range(len(self.stage_sizes))]
        return [(self.width, 2.0), *stages]

    def flops(self, *, train: bool = True) -> int:
        """Forward operations on one image of ``image_size``."""
        del train  # the same
        side, inner = (self.image_size + 1) // 2, self.bottleneck * self.growth
        total = conv_flops(side, 7, self.channels, self.width)
        side, channels = (side + 1) // 2, self.width
        for stage, size in enumerate(self.stage_sizes):
            if stage:
                total += conv_flops(side, 1, channels, channels // 2)
                side, channels = side // 2, channels // 2
            for _ in range(size):
                total += conv_flops(side, 1, channels, inner)
                total += conv_flops(side, 3, inner, self.growth)
                channels += self.growth
        return total


PRESETS: dict[str, DenseNetConfig] = {
    c.name: c
    for c in (
        DenseNetConfig(name="densenet121"),
        DenseNetConfig(name="densenet169", stage_sizes=(6, 12, 32, 32)),
    )
}


class DenseLayer(nnx.Module):
    """Two normalised convolutions, 1×1 and 3×3, whose output is put behind their input."""

    def __init__(self, config: DenseNetConfig, channels: int, *, rngs: nnx.Rngs):
        c, inner = config, config.bottleneck * config.growth
        self.norm1 = _norm(c, channels, rngs)
        self.conv1 = Conv(channels, inner, 1, dtype=c.dtype, rngs=rngs)
        self.norm2 = _norm(c, inner, rngs)
        self.conv2 = Conv(inner, c.growth, 3, dtype=c.dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c2"]:
        y = self.conv1(jax.nn.relu(self.norm1(x, train=train)))
        y = self.conv2(jax.nn.relu(self.norm2(y, train=train)))
        return jnp.concatenate([x, y], axis=-1)


class Transition(nnx.Module):
    """Half of the channels by a 1×1 convolution, half of the side by the mean of 2×2."""

    def __init__(self, config: DenseNetConfig, channels: int, *, rngs: nnx.Rngs):
        self.norm = _norm(config, channels, rngs)
        self.conv = Conv(channels, channels // 2, 1, dtype=config.dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        y = self.conv(jax.nn.relu(self.norm(x, train=train)))
        return nnx.avg_pool(y, (2, 2), strides=(2, 2))


def _norm(c: DenseNetConfig, features: int, rngs: nnx.Rngs) -> BatchNorm:
    return BatchNorm(features, momentum=c.momentum, eps=c.eps, dtype=c.dtype, rngs=rngs)


class DenseNet(nnx.Module):
    """Images to the mean of the last map, that map, and the map one stage below."""

    def __init__(self, config: DenseNetConfig, *, rngs: nnx.Rngs):
        c = self.config = config
        self.stem_conv = Conv(c.channels, c.width, 7, stride=2, dtype=c.dtype, rngs=rngs)
        self.stem_norm = _norm(c, c.width, rngs)
        stages, transitions, channels = [], [], c.width
        for stage, size in enumerate(c.stage_sizes):
            if stage:
                transitions.append(Transition(c, channels, rngs=rngs))
                channels //= 2
            inputs = [channels + n * c.growth for n in range(size)]
            stages.append(nnx.List([DenseLayer(c, i, rngs=rngs) for i in inputs]))
            channels += size * c.growth
        self.stages = nnx.List(stages)
        self.transitions = nnx.List(transitions)
        self.norm_post = _norm(c, channels, rngs)

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
          rng: accepted for the common signature; nothing is drawn.
          attend: accepted for the common signature; there is no class token.

        Raises:
          ValueError: the number of channels differs from the config's.
        """
        del rng, attend
        maps = self.maps(image, train=train)
        last = maps[-1]
        pooled = jnp.mean(last.astype(jnp.float32), axis=(1, 2)).astype(last.dtype)
        return ImageFeatures(pooled, last, maps[-2])

    def maps(
        self, image: Float[Array, "b y x c"], *, train: bool = False
    ) -> list[Float[Array, "b h w c"]]:
        """The stem's map, before pooling, and that of every dense block, the last one normalised;
        arguments and errors as for a call."""
        if image.shape[-1] != self.config.channels:
            raise ValueError(
                f"image {image.shape[1:]} does not fit {self.config.name}: "
                f"channels {self.config.channels}"
            )
        x = jax.nn.relu(self.stem_norm(self.stem_conv(image), train=train))
        maps = [x]
        x = max_pool(x)
        for stage, layers in enumerate(self.stages):
            if stage:
                x = self.transitions[stage - 1](x, train=train)
            for layer in layers:
                x = constrain(layer(x, train=train), "batch", None, None, None)
            maps.append(x)
        maps[-1] = jax.nn.relu(self.norm_post(x, train=train))
        return maps

    def local(self, features: ImageFeatures) -> Float[Array, "b h w d"]:
        """Patch vectors in the space of the pooled vector; their mean is that vector."""
        assert features.patches is not None
        return features.patches
