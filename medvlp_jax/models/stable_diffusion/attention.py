"""The transformer of the UNet: one block of self-attention, attention on a context, and GEGLU."""

import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Float

from medvlp_jax.core.sharding import constrain
from medvlp_jax.models.attention import Implementation, attention
from medvlp_jax.models.layers import LayerNorm, Linear, gelu, param
from medvlp_jax.models.stable_diffusion.layers import GroupNorm


class ContextAttention(nnx.Module):
    """Multi-head attention on a context of another width; only the output has a bias."""

    def __init__(
        self,
        width: int,
        context_width: int,
        heads: int,
        *,
        impl: Implementation = "auto",
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        def linear(features: int) -> Linear:
            axes = ("embed", "heads")
            return Linear(features, width, axes=axes, bias=False, dtype=dtype, rngs=rngs)

        self.heads = heads
        self.impl: Implementation = impl
        self.q = linear(width)
        self.k = linear(context_width)
        self.v = linear(context_width)
        self.out = Linear(width, width, axes=("heads", "embed"), dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b t d"], context: Float[Array, "b s e"]
    ) -> Float[Array, "b t d"]:
        q, k, v = (
            y.reshape(*y.shape[:2], self.heads, -1)
            for y in (self.q(x), self.k(context), self.v(context))
        )
        mixed = attention(q, k, v, impl=self.impl)
        return self.out(mixed.reshape(x.shape))


class GatedMlp(nnx.Module):
    """``out(value · gelu(gate))`` (GEGLU, Shazeer 2020), hidden width four times the input's.

    Value and gate are one product with a kernel [in, 2, hidden], so that splitting the hidden
    width over a mesh leaves the two halves of a unit together.
    """

    def __init__(self, width: int, *, dtype: str = "float32", rngs: nnx.Rngs):
        self.dtype = jnp.dtype(dtype)
        init = initializers.truncated_normal(0.02)
        self.kernel = param(init, rngs, (width, 2, 4 * width), ("embed", None, "mlp"))
        self.bias = param(initializers.zeros, rngs, (2, 4 * width), (None, "mlp"))
        self.out = Linear(4 * width, width, axes=("mlp", "embed"), dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "b t d"]) -> Float[Array, "b t d"]:
        kernel, bias = self.kernel[...].astype(self.dtype), self.bias[...].astype(self.dtype)
        y = jnp.tensordot(x.astype(self.dtype), kernel, 1) + bias
        return self.out(y[..., 0, :] * gelu(y[..., 1, :]))


class SpatialTransformer(nnx.Module):
    """A map to tokens, one transformer block on them, and back onto the map.

    The block of Rombach et al. 2022 (arXiv:2112.10752, appendix E.2.1). Published checkpoints
    project into and out of it by 1×1 convolutions (SD 1.x) or matrix products (SD 2.x), which is
    the same arithmetic.
    """

    def __init__(
        self,
        width: int,
        context_width: int,
        heads: int,
        *,
        groups: int,
        impl: Implementation = "auto",
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}")

        def norm() -> LayerNorm:
            return LayerNorm(width, eps=1e-5, dtype=dtype, rngs=rngs)

        def attend(on: int) -> ContextAttention:
            return ContextAttention(width, on, heads, impl=impl, dtype=dtype, rngs=rngs)

        self.norm = GroupNorm(width, groups, eps=1e-6, dtype=dtype, rngs=rngs)
        self.proj_in = Linear(width, width, axes=(None, "embed"), dtype=dtype, rngs=rngs)
        self.norm1 = norm()
        self.attn1 = attend(width)
        self.norm2 = norm()
        self.attn2 = attend(context_width)
        self.norm3 = norm()
        self.mlp = GatedMlp(width, dtype=dtype, rngs=rngs)
        self.proj_out = Linear(width, width, axes=(None, "embed"), dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b h w d"], context: Float[Array, "b s e"]
    ) -> Float[Array, "b h w d"]:
        """``context`` may be of any length from 1."""
        b, h, w, d = x.shape
        y = self.proj_in(self.norm(x).reshape(b, h * w, d))
        normed = self.norm1(y)
        y = y + self.attn1(normed, normed)
        y = y + self.attn2(self.norm2(y), context)
        y = y + self.mlp(self.norm3(y))
        y = constrain(self.proj_out(y), "batch", None, None)
        return x.astype(y.dtype) + y.reshape(b, h, w, d)
