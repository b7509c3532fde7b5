"""The autoencoder of Stable Diffusion: images to latents of an eighth of the side, and back.

Rombach et al. 2022 (arXiv:2112.10752, KL-regularised, f = 8); the layout is the one of
``AutoencoderKL`` in diffusers, whose tensor names the parameter paths follow.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from medvlp_jax.core.fields import Channels, Depth, Dtype, Extent, Positive
from medvlp_jax.models.attention import Implementation
from medvlp_jax.models.blocks import Attention
from medvlp_jax.models.layers import Conv
from medvlp_jax.models.stable_diffusion.layers import Downsample, GroupNorm, ResnetBlock, Upsample

_EPS = 1e-6


@dataclasses.dataclass(frozen=True)
class VAEConfig:
    """Sizes of an autoencoder.

    Attributes:
      name: for the reader; presets are keyed by it.
      image_size: side in pixels that it was trained on; other sizes are accepted.
      channels: of the image.
      latent_channels: of the latents.
      widths: channels per level, from the full resolution down; each but the last halves the map.
      layers: residual blocks per level of the encoder; the decoder has one more.
      scaling: latents are multiplied by it, so that their variance is about one.
      groups: of every GroupNorm.
      attention: of the one head in the middle. Plain by default: a head as wide as the level (512)
        is too wide for the fused kernels.
    """

    name: str = "vae"
    image_size: Extent = 512
    channels: Channels = 3
    latent_channels: Channels = 4
    widths: tuple[Extent, ...] = (128, 256, 512, 512)
    layers: Depth = 2
    scaling: Positive = 0.18215
    groups: Extent = 32
    dtype: Dtype = "float32"
    attention: Implementation = "xla"

    def __post_init__(self) -> None:
        if len(self.widths) < 1 or self.layers < 1:
            raise ValueError("an autoencoder has at least one level and one layer")

    @property
    def factor(self) -> int:
        """Pixels per latent along a side."""
        return 2 ** (len(self.widths) - 1)


PRESETS: dict[str, VAEConfig] = {c.name: c for c in (VAEConfig(name="kl_f8"),)}


class Moments(NamedTuple):
    """A normal distribution over latents, already scaled.

    Attributes:
      mean: in float32.
      std: standard deviation in float32.
    """

    mean: Float[Array, "b h w z"]
    std: Float[Array, "b h w z"]

    def sample(self, rng: jax.Array) -> Float[Array, "b h w z"]:
        """One draw."""
        return self.mean + self.std * jax.random.normal(rng, self.mean.shape)


class _Level(nnx.Module):
    """Residual blocks of one level, and what changes the resolution after them."""

    def __init__(
        self,
        config: VAEConfig,
        features_in: int,
        width: int,
        layers: int,
        resize: type[Downsample] | type[Upsample] | None,
        *,
        rngs: nnx.Rngs,
    ):
        inputs = [features_in] + [width] * (layers - 1)
        self.resnets = nnx.List([_resnet(config, i, width, rngs) for i in inputs])
        self.downsample = (
            Downsample(width, border="end", dtype=config.dtype, rngs=rngs)
            if resize is Downsample
            else None
        )
        self.upsample = (
            Upsample(width, dtype=config.dtype, rngs=rngs) if resize is Upsample else None
        )

    def __call__(self, x: Array) -> Array:
        for block in self.resnets:
            x = block(x)
        if self.downsample is not None:
            x = self.downsample(x)
        return x if self.upsample is None else self.upsample(x)


def _resnet(config: VAEConfig, features_in: int, width: int, rngs: nnx.Rngs) -> ResnetBlock:
    return ResnetBlock(
        features_in, width, groups=config.groups, eps=_EPS, dtype=config.dtype, rngs=rngs
    )


class MiddleAttention(nnx.Module):
    """Normalisation and self-attention with one head, added to the map."""

    def __init__(self, config: VAEConfig, width: int, *, rngs: nnx.Rngs):
        self.impl: Implementation = config.attention
        self.norm = GroupNorm(width, config.groups, eps=_EPS, dtype=config.dtype, rngs=rngs)
        self.attn = Attention(width, 1, dtype=config.dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        tokens = self.norm(x).reshape(x.shape[0], -1, x.shape[-1])
        return x + self.attn(tokens, impl=self.impl).reshape(x.shape)


class _Middle(nnx.Module):
    """The lowest level: residual block, attention, residual block."""

    def __init__(self, config: VAEConfig, width: int, *, rngs: nnx.Rngs):
        self.resnets = nnx.List([_resnet(config, width, width, rngs) for _ in range(2)])
        self.attentions = nnx.List([MiddleAttention(config, width, rngs=rngs)])

    def __call__(self, x: Array) -> Array:
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class Encoder(nnx.Module):
    """Image to mean and log-variance, before ``quant_conv``."""

    def __init__(self, config: VAEConfig, *, rngs: nnx.Rngs):
        c = config
        self.conv_in = Conv(c.channels, c.widths[0], 3, bias=True, dtype=c.dtype, rngs=rngs)
        levels, width = [], c.widths[0]
        for n, features in enumerate(c.widths):
            resize = Downsample if n < len(c.widths) - 1 else None
            levels.append(_Level(c, width, features, c.layers, resize, rngs=rngs))
            width = features
        self.down_blocks = nnx.List(levels)
        self.mid_block = _Middle(c, width, rngs=rngs)
        self.conv_norm_out = GroupNorm(width, c.groups, eps=_EPS, dtype=c.dtype, rngs=rngs)
        self.conv_out = Conv(width, 2 * c.latent_channels, 3, bias=True, dtype=c.dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = self.conv_in(x)
        for level in self.down_blocks:
            x = level(x)
        return self.conv_out(jax.nn.silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nnx.Module):
    """Latents after ``post_quant_conv`` to an image."""

    def __init__(self, config: VAEConfig, *, rngs: nnx.Rngs):
        c = config
        width = c.widths[-1]
        self.conv_in = Conv(c.latent_channels, width, 3, bias=True, dtype=c.dtype, rngs=rngs)
        self.mid_block = _Middle(c, width, rngs=rngs)
        levels = []
        for n, features in enumerate(reversed(c.widths)):
            resize = Upsample if n < len(c.widths) - 1 else None
            levels.append(_Level(c, width, features, c.layers + 1, resize, rngs=rngs))
            width = features
        self.up_blocks = nnx.List(levels)
        self.conv_norm_out = GroupNorm(width, c.groups, eps=_EPS, dtype=c.dtype, rngs=rngs)
        self.conv_out = Conv(width, c.channels, 3, bias=True, dtype=c.dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = self.mid_block(self.conv_in(x))
        for level in self.up_blocks:
            x = level(x)
        return self.conv_out(jax.nn.silu(self.conv_norm_out(x)))


class AutoencoderKL(nnx.Module):
    """Encoder and decoder; latents are scaled outside of neither: both sides see unit variance."""

    def __init__(self, config: VAEConfig, *, rngs: nnx.Rngs):
        c = self.config = config
        z = c.latent_channels
        self.encoder = Encoder(c, rngs=rngs)
        self.quant_conv = Conv(2 * z, 2 * z, 1, bias=True, dtype=c.dtype, rngs=rngs)
        self.post_quant_conv = Conv(z, z, 1, bias=True, dtype=c.dtype, rngs=rngs)
        self.decoder = Decoder(c, rngs=rngs)

    def encode(self, image: Float[Array, "b y x c"]) -> Moments:
        """The distribution of an image's latents, multiplied by ``config.scaling``.

        Args:
          image: pixels in [-1, 1]; sides are multiples of ``config.factor``.

        Raises:
          ValueError: a side or the number of channels does not fit.
        """
        c = self.config
        if any(side % c.factor for side in image.shape[1:3]) or image.shape[-1] != c.channels:
            raise ValueError(
                f"image {image.shape[1:]} does not fit {c.name}: sides are multiples of "
                f"{c.factor}, channels {c.channels}"
            )
        moments = self.quant_conv(self.encoder(image)).astype(jnp.float32)
        mean, log_variance = jnp.split(moments, 2, axis=-1)
        std = jnp.exp(0.5 * jnp.clip(log_variance, -30.0, 20.0))
        return Moments(c.scaling * mean, c.scaling * std)

    def decode(self, latents: Float[Array, "b h w z"]) -> Float[Array, "b y x c"]:
        """Images in about [-1, 1], in float32, of scaled latents.

        Raises:
          ValueError: the number of channels does not fit.
        """
        c = self.config
        if latents.shape[-1] != c.latent_channels:
            raise ValueError(f"latents {latents.shape[1:]}: {c.name} has {c.latent_channels}")
        x = self.post_quant_conv(latents / c.scaling)
        return self.decoder(x).astype(jnp.float32)
