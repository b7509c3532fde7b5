"""UNet of Stable Diffusion 1.x and 2.x: noisy latents, a time step and a text to a prediction.

Rombach et al. 2022 (arXiv:2112.10752); the layout is the one of ``UNet2DConditionModel`` in
diffusers, whose tensor names the parameter paths follow.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from medvlp_jax.core.fields import Channels, Depth, Dtype, Extent
from medvlp_jax.core.sharding import constrain
from medvlp_jax.models.attention import Implementation
from medvlp_jax.models.layers import Conv
from medvlp_jax.models.stable_diffusion.attention import SpatialTransformer
from medvlp_jax.models.stable_diffusion.layers import (
    Downsample,
    GroupNorm,
    ResnetBlock,
    TimeEmbedding,
    Upsample,
)


@dataclasses.dataclass(frozen=True)
class UNetConfig:
    """Sizes of a UNet.

    Attributes:
      name: for the reader; presets are keyed by it.
      latent_size: side of the latents that it was trained on; other sizes are accepted.
      channels: of the latents, in and out.
      widths: channels per level, from the full resolution down; each level halves the map.
      layers: residual blocks per level on the way down; one more on the way up.
      heads: attention heads per level.
      attends: whether a level attends to the context.
      context_width: of the text's token vectors.
      groups: of every GroupNorm.
      linear_projection: whether checkpoints store the projections around the transformers as
        matrices (SD 2.x) or as 1×1 convolutions (SD 1.x); the arithmetic is the same.
      remat: recompute every block in the backward pass instead of keeping its insides.
    """

    name: str = "unet"
    latent_size: Extent = 64
    channels: Channels = 4
    widths: tuple[Extent, ...] = (320, 640, 1280, 1280)
    layers: Depth = 2
    heads: tuple[Extent, ...] = (8, 8, 8, 8)
    attends: tuple[bool, ...] = (True, True, True, False)
    context_width: Extent = 768
    groups: Extent = 32
    linear_projection: bool = False
    dtype: Dtype = "float32"
    remat: bool = False
    attention: Implementation = "auto"

    def __post_init__(self) -> None:
        if not len(self.widths) == len(self.heads) == len(self.attends):
            raise ValueError(
                f"widths {self.widths}, heads {self.heads} and attends {self.attends} must have "
                "one entry per level"
            )
        if len(self.widths) < 1 or self.layers < 1:
            raise ValueError("a UNet has at least one level and one layer")

    @property
    def time_width(self) -> int:
        """Width of the time vector."""
        return 4 * self.widths[0]

    @property
    def multiple(self) -> int:
        """Sides of the latents are multiples of this, so that every level halves evenly."""
        return 2 ** (len(self.widths) - 1)


PRESETS: dict[str, UNetConfig] = {
    c.name: c
    for c in (
        UNetConfig(name="sd1"),
        UNetConfig(name="sd2", heads=(5, 10, 20, 20), context_width=1024, linear_projection=True),
    )
}


class _Stage(nnx.Module):
    """Residual blocks of one level, each followed by a transformer where the level attends."""

    def __init__(self, config: UNetConfig, level: int, inputs: list[int], *, rngs: nnx.Rngs):
        c, width = config, config.widths[level]
        self.resnets = nnx.List([resnet(c, i, width, rngs=rngs) for i in inputs])
        self.attentions = nnx.List(
            [transformer(c, level, rngs=rngs) for _ in inputs] if c.attends[level] else []
        )

    def layer(self, n: int, x: Array, time: Array, context: Array) -> Array:
        """The ``n``-th residual block with its transformer."""
        x = self.resnets[n](x, time)
        return self.attentions[n](x, context) if len(self.attentions) else x


class DownStage(_Stage):
    """A level on the way down."""

    def __init__(self, config: UNetConfig, level: int, features_in: int, *, rngs: nnx.Rngs):
        width = config.widths[level]
        super().__init__(config, level, [features_in] + [width] * (config.layers - 1), rngs=rngs)
        last = level == len(config.widths) - 1
        self.downsample = None if last else Downsample(width, dtype=config.dtype, rngs=rngs)


class UpStage(_Stage):
    """A level on the way up; ``inputs`` count the skipped channels too."""

    def __init__(self, config: UNetConfig, level: int, inputs: list[int], *, rngs: nnx.Rngs):
        super().__init__(config, level, inputs, rngs=rngs)
        width = config.widths[level]
        self.upsample = Upsample(width, dtype=config.dtype, rngs=rngs) if level else None


class MiddleStage(nnx.Module):
    """The lowest level: residual block, transformer, residual block."""

    def __init__(self, config: UNetConfig, *, rngs: nnx.Rngs):
        width = config.widths[-1]
        self.resnets = nnx.List([resnet(config, width, width, rngs=rngs) for _ in range(2)])
        level = len(config.widths) - 1
        self.attentions = nnx.List([transformer(config, level, rngs=rngs)])

    def __call__(self, x: Array, time: Array, context: Array) -> Array:
        x = self.attentions[0](self.resnets[0](x, time), context)
        return self.resnets[1](x, time)


def resnet(config: UNetConfig, features_in: int, width: int, *, rngs: nnx.Rngs) -> ResnetBlock:
    """A residual block with a time vector."""
    c = config
    return ResnetBlock(
        features_in,
        width,
        groups=c.groups,
        eps=1e-5,
        time_width=c.time_width,
        dtype=c.dtype,
        rngs=rngs,
    )


def transformer(config: UNetConfig, level: int, *, rngs: nnx.Rngs) -> SpatialTransformer:
    """A transformer of a level's width and heads."""
    c = config
    return SpatialTransformer(
        c.widths[level],
        c.context_width,
        c.heads[level],
        groups=c.groups,
        impl=c.attention,
        dtype=c.dtype,
        rngs=rngs,
    )


class UNet(nnx.Module):
    """Predicts the noise, the velocity or the clean latents, by what it was trained for."""

    def __init__(self, config: UNetConfig, *, rngs: nnx.Rngs):
        c = self.config = config
        self.conv_in = Conv(c.channels, c.widths[0], 3, bias=True, dtype=c.dtype, rngs=rngs)
        self.time_embedding = TimeEmbedding(c.widths[0], c.time_width, dtype=c.dtype, rngs=rngs)
        down, skips, width = [], [c.widths[0]], c.widths[0]
        for level, features in enumerate(c.widths):
            down.append(DownStage(c, level, width, rngs=rngs))
            width = features
            skips += [width] * (c.layers + (down[-1].downsample is not None))
        self.down_blocks = nnx.List(down)
        self.mid_block = MiddleStage(c, rngs=rngs)
        up = []
        for level in reversed(range(len(c.widths))):
            inputs = []
            for _ in range(c.layers + 1):
                inputs.append(width + skips.pop())
                width = c.widths[level]
            up.append(UpStage(c, level, inputs, rngs=rngs))
        self.up_blocks = nnx.List(up)
        self.conv_norm_out = GroupNorm(width, c.groups, eps=1e-5, dtype=c.dtype, rngs=rngs)
        self.conv_out = Conv(width, c.channels, 3, bias=True, dtype=c.dtype, rngs=rngs)

    def __call__(
        self,
        latents: Float[Array, "b h w c"],
        t: Float[Array, "*b"],
        context: Float[Array, "b s e"],
    ) -> Float[Array, "b h w c"]:
        """One evaluation.

        Args:
          latents: noisy latents of unit variance at full noise; sides are multiples of
            ``config.multiple``.
          t: time step of training per row, or one for all; fractions are allowed.
          context: token vectors of the text, one or more per row.

        Returns:
          The prediction in float32.

        Raises:
          ValueError: a side or a width does not fit the config.
        """
        c = self.config
        b, h, w, channels = latents.shape
        if h % c.multiple or w % c.multiple or channels != c.channels:
            raise ValueError(
                f"latents {latents.shape[1:]} do not fit {c.name}: sides are multiples of "
                f"{c.multiple}, channels {c.channels}"
            )
        if context.shape[0] != b or context.shape[-1] != c.context_width:
            raise ValueError(
                f"context {context.shape} for {b} rows of {c.name}: its width is {c.context_width}"
            )
        # The activation of the time vector is the same in every block: taken once.
        time = jax.nn.silu(self.time_embedding(jnp.broadcast_to(t, (b,))))
        context = context.astype(c.dtype)
        x = constrain(self.conv_in(latents), "batch", None, None, None)
        skips = [x]
        for stage in self.down_blocks:
            for n in range(c.layers):
                x = self._run(stage, n, x, time, context)
                skips.append(x)
            if stage.downsample is not None:
                x = stage.downsample(x)
                skips.append(x)
        x = self.mid_block(x, time, context)
        for stage in self.up_blocks:
            for n in range(c.layers + 1):
                x = jnp.concatenate([x, skips.pop()], axis=-1)
                x = self._run(stage, n, x, time, context)
            if stage.upsample is not None:
                x = stage.upsample(x)
        x = self.conv_out(jax.nn.silu(self.conv_norm_out(x)))
        return x.astype(jnp.float32)

    def _run(self, stage: _Stage, n: int, x: Array, time: Array, context: Array) -> Array:
        if not self.config.remat:
            return stage.layer(n, x, time, context)
        return jax.checkpoint(lambda *a: stage.layer(n, *a))(x, time, context)
