"""Convolutional parts that UNet and autoencoder of Stable Diffusion share. Maps are NHWC."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Float

from medvlp_jax.core.sharding import constrain
from medvlp_jax.models.layers import Conv, Linear, param

#: For the layers that carry the time step: a smaller start would hide it from the blocks.
_TIME_INIT = initializers.lecun_normal()


class GroupNorm(nnx.Module):
    """Normalises groups of neighbouring channels over the whole map (Wu & He 2018), in float32."""

    def __init__(
        self,
        features: int,
        groups: int,
        *,
        eps: float = 1e-5,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        if features % groups:
            raise ValueError(f"{features} channels do not fall into {groups} groups")
        self.groups = groups
        self.eps = eps
        self.dtype = jnp.dtype(dtype)
        self.scale = param(initializers.ones, rngs, (features,), ("norm",))
        self.bias = param(initializers.zeros, rngs, (features,), ("norm",))

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        x = x.astype(jnp.float32)
        centred = x - self._group_mean(x)
        gain = self.scale[...] * jax.lax.rsqrt(self._group_mean(centred * centred) + self.eps)
        return (centred * gain + self.bias[...]).astype(self.dtype)

    def _group_mean(self, x: Float[Array, "b h w c"]) -> Float[Array, "b 1 1 c"]:
        # Over positions first: the channels then stay the vectorised, innermost axis.
        b, c = x.shape[0], x.shape[-1]
        per_channel = jnp.mean(x, axis=(1, 2)).reshape(b, self.groups, -1)
        per_group = jnp.mean(per_channel, axis=-1, keepdims=True)
        return jnp.broadcast_to(per_group, per_channel.shape).reshape(b, 1, 1, c)


class ResnetBlock(nnx.Module):
    """Two normalised 3×3 convolutions with a shortcut; a time vector is added between them.

    Args:
      time_width: width of the time vector; 0 without one (the autoencoder).
    """

    def __init__(
        self,
        features_in: int,
        features_out: int,
        *,
        groups: int,
        eps: float,
        time_width: int = 0,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        i, o = features_in, features_out
        self.norm1 = GroupNorm(i, groups, eps=eps, dtype=dtype, rngs=rngs)
        self.conv1 = Conv(i, o, 3, bias=True, dtype=dtype, rngs=rngs)
        self.time_proj = (
            Linear(
                time_width, o, axes=("embed", "conv_out"), init=_TIME_INIT, dtype=dtype, rngs=rngs
            )
            if time_width
            else None
        )
        self.norm2 = GroupNorm(o, groups, eps=eps, dtype=dtype, rngs=rngs)
        self.conv2 = Conv(o, o, 3, bias=True, dtype=dtype, rngs=rngs)
        self.shortcut = Conv(i, o, 1, bias=True, dtype=dtype, rngs=rngs) if i != o else None

    def __call__(
        self, x: Float[Array, "b h w i"], time: Float[Array, "b e"] | None = None
    ) -> Float[Array, "b h w o"]:
        """``time`` has passed its activation already: all blocks share that one."""
        y = self.conv1(jax.nn.silu(self.norm1(x)))
        if self.time_proj is not None:
            if time is None:
                raise ValueError("this block adds a time vector and was given none")
            y = y + self.time_proj(time)[:, None, None]
        y = self.conv2(jax.nn.silu(self.norm2(y)))
        x = x if self.shortcut is None else self.shortcut(x)
        return constrain(x.astype(y.dtype) + y, "batch", None, None, None)


class Downsample(nnx.Module):
    """Halves the map by a 3×3 convolution.

    Args:
      border: ``both`` pads one zero on every side (UNet), ``end`` one below and one to the right
        (the autoencoder's encoder).
    """

    def __init__(
        self, features: int, *, border: str = "both", dtype: str = "float32", rngs: nnx.Rngs
    ):
        if border not in ("both", "end"):
            raise ValueError(f"border {border!r} is not one of both, end")
        self.padding = (1, 1) if border == "both" else (0, 1)
        self.conv = Conv(features, features, 3, stride=2, bias=True, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
        conv = self.conv
        if self.padding == (1, 1):
            return conv(x)
        assert conv.bias is not None
        y = jax.lax.conv_general_dilated(
            x.astype(conv.dtype),
            conv.kernel[...].astype(conv.dtype),
            (2, 2),
            (self.padding, self.padding),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return y + conv.bias[...].astype(conv.dtype)


class Upsample(nnx.Module):
    """Doubles the map by repetition, then a 3×3 convolution."""

    def __init__(self, features: int, *, dtype: str = "float32", rngs: nnx.Rngs):
        self.conv = Conv(features, features, 3, bias=True, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
        b, h, w, c = x.shape
        x = jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c))
        return self.conv(x.reshape(b, 2 * h, 2 * w, c))


class TimeEmbedding(nnx.Module):
    """Sinusoids of the time step (Ho et al. 2020), cosines first, through a two-layer network."""

    def __init__(self, features: int, width: int, *, dtype: str = "float32", rngs: nnx.Rngs):
        self.features = features

        def linear(i: int) -> Linear:
            axes = (None, "embed")
            return Linear(i, width, axes=axes, init=_TIME_INIT, dtype=dtype, rngs=rngs)

        self.linear1 = linear(features)
        self.linear2 = linear(width)

    def __call__(self, t: Float[Array, " b"]) -> Float[Array, "b e"]:
        """``t`` counts training steps, 0 the least noisy; fractions are allowed."""
        return self.linear2(jax.nn.silu(self.linear1(sinusoids(t, self.features))))


def sinusoids(t: Float[Array, " b"], features: int) -> Float[Array, "b d"]:
    """``[cos(t f_k), sin(t f_k)]`` with ``f_k = 10000^(-k / (features / 2))``, in float32."""
    half = features // 2
    frequency = jnp.exp(-math.log(10_000.0) / half * jnp.arange(half, dtype=jnp.float32))
    angle = t.astype(jnp.float32)[:, None] * frequency
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)
