"""The layers of a decoder: norms, attention, MLPs, and the block that they make."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Bool, Float, Int

from medvlp_jax.core.sharding import constrain
from medvlp_jax.models.attention import Segments, attention
from medvlp_jax.models.layers import ACTIVATIONS, LayerNorm, param
from medvlp_jax.models.lm.config import LMConfig
from medvlp_jax.models.lm.linear import DecoderLinear
from medvlp_jax.models.lm.rope import angles, frequencies, rotate

_ACTIVATIONS = {**ACTIVATIONS, "silu": jax.nn.silu}


class Facts(NamedTuple):
    """What differs from layer to layer beside the parameters: one value a layer, or None.

    Attributes:
      window: tokens that a query sees, 0 for all.
      local: whether the layer rotates by ``rope_local``.
      divisor: of the scores.
    """

    window: Any = None
    local: Any = None
    divisor: Any = None

    def layer(self, index: int) -> "Facts":
        """Those of one layer."""
        return Facts(*(None if x is None else jnp.asarray(x[index]) for x in self))


def layer_facts(config: LMConfig, length: int) -> Facts:
    """The facts of all layers.

    Args:
      config: of the model.
      length: tokens that the program may see; a window that none of them leaves is no window, and
        the attention may then be a fused one.
    """
    windows = np.asarray(config.windows, np.int32)
    narrow = windows[windows > 0]
    return Facts(
        window=windows if narrow.size and length > narrow.min() else None,
        local=windows > 0 if config.windows and config.rope_local is not None else None,
        divisor=np.arange(1, config.depth + 1, dtype=np.float32) if config.depth_scaled else None,
    )


class Turns(NamedTuple):
    """Cosines and sines of the positions, and those of the layers with a window."""

    whole: tuple[Array, Array]
    local: tuple[Array, Array] | None

    def of(self, facts: Facts) -> tuple[Array, Array]:
        """Those of one layer."""
        if self.local is None or facts.local is None:
            return self.whole
        return jax.tree.map(lambda a, b: jnp.where(facts.local, a, b), self.local, self.whole)


def turns(config: LMConfig, positions: Int[Array, "b t"], length: int) -> Turns | None:
    """The rotations of a model; None for one that has learned positions.

    Args:
      config: of the model.
      positions: of the tokens.
      length: see :func:`medvlp_jax.models.lm.rope.frequencies`.
    """
    if config.positions == "learned":
        return None

    def of(rope) -> tuple[Array, Array]:
        return angles(frequencies(rope, config.head_dim, length), positions)

    local = config.rope_local
    return Turns(of(config.rope), None if local is None else of(local))


class RMSNorm(nnx.Module):
    """``x / rms(x) * gain`` over the last axis, in float32 (Zhang & Sennrich 2019).

    The gain is ``scale``, or ``1 + scale`` with ``unit``.
    """

    def __init__(
        self, features: int, *, eps: float, dtype: str, rngs: nnx.Rngs, unit: bool = False
    ):
        self.eps = eps
        self.unit = unit
        self.dtype = jnp.dtype(dtype)
        init = initializers.zeros if unit else initializers.ones
        self.scale = param(init, rngs, (features,), ("norm",))

    def __call__(self, x: Float[Array, "... d"]) -> Float[Array, "... d"]:
        x = x.astype(jnp.float32)
        mean_square = jnp.mean(x * x, axis=-1, keepdims=True)
        gain = self.scale[...].astype(jnp.float32)
        y = x * jax.lax.rsqrt(mean_square + self.eps) * (1.0 + gain if self.unit else gain)
        return y.astype(self.dtype)


def make_norm(c: LMConfig, features: int, rngs: nnx.Rngs) -> RMSNorm | LayerNorm:
    """The norm that a config asks for."""
    if c.norm == "layer":
        return LayerNorm(features, eps=c.eps, dtype=c.dtype, rngs=rngs)
    return RMSNorm(features, eps=c.eps, dtype=c.dtype, rngs=rngs, unit=c.norm == "rms_unit")


class DecoderAttention(nnx.Module):
    """Projections of grouped-query attention; :meth:`qkv` and :meth:`finish` share a cache path."""

    def __init__(self, config: LMConfig, *, rngs: nnx.Rngs):
        c = self.config = config
        queries, keys = c.heads * c.head_dim, c.kv_heads * c.head_dim

        def project(name: str, size: int) -> DecoderLinear:
            return _linear(c, name, c.width, size, ("embed", "heads"), c.qkv_bias, rngs)

        self.q = project("q", queries)
        self.k = project("k", keys)
        self.v = project("v", keys)
        self.out = _linear(c, "out", queries, c.width, ("heads", "embed"), c.out_bias, rngs)
        self.q_norm = make_norm(c, c.head_dim, rngs) if c.qk_norm else None
        self.k_norm = make_norm(c, c.head_dim, rngs) if c.qk_norm else None

    def qkv(
        self, x: Float[Array, "b t d"], turns: Turns | None, facts: Facts
    ) -> tuple[Array, Array, Array]:
        """Rotated queries [b, t, h, d], rotated keys and plain values [b, t, kv, d].

        Attention divides scores by the root of the head's width; another factor goes into q.
        """
        c = self.config
        q, k, v = (
            constrain(y.reshape(*y.shape[:2], -1, c.head_dim), "batch", None, "heads", None)
            for y in (self.q(x), self.k(x), self.v(x))
        )
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if turns is not None:
            cos, sin = turns.of(facts)
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if c.query_scale:
            q = q * jnp.asarray(c.query_scale * c.head_dim**0.5, q.dtype)
        if facts.divisor is not None:
            q = q / facts.divisor.astype(q.dtype)
        return q, k, v

    def finish(self, mixed: Float[Array, "b t h d"]) -> Float[Array, "b t d"]:
        return self.out(mixed.reshape(*mixed.shape[:2], -1))


class DecoderMlp(nnx.Module):
    """``down(f(gate(x)) * up(x))`` (Shazeer 2020), or ``down(f(up(x)))`` without a gate."""

    def __init__(self, config: LMConfig, *, rngs: nnx.Rngs):
        c = config

        def widen(name: str) -> DecoderLinear:
            return _linear(c, name, c.width, c.mlp_width, ("embed", "mlp"), c.mlp_bias, rngs)

        self.activation = c.activation
        self.gate = widen("gate") if c.mlp == "gated" else None
        self.up = widen("up")
        self.down = _linear(c, "down", c.mlp_width, c.width, ("mlp", "embed"), c.mlp_bias, rngs)

    def __call__(self, x: Float[Array, "... d"]) -> Float[Array, "... d"]:
        f = _ACTIVATIONS[self.activation]
        if self.gate is None:
            return self.down(f(self.up(x)))
        return self.down(f(self.gate(x)) * self.up(x))


def _linear(
    c: LMConfig,
    name: str,
    features_in: int,
    features_out: int,
    axes: tuple[str, str],
    bias: bool,
    rngs: nnx.Rngs,
) -> DecoderLinear:
    return DecoderLinear(
        features_in,
        features_out,
        axes=axes,
        bias=bias,
        init=initializers.normal(c.init_std),
        dtype=c.dtype,
        storage=c.storage,
        layout=c.kernel_layout,
        lora=c.lora if c.lora is not None and name in c.lora.targets else None,
        rngs=rngs,
    )


class DecoderBlock(nnx.Module):
    """One layer: attention and MLP, each on a normalised input and added to it."""

    def __init__(self, config: LMConfig, *, rngs: nnx.Rngs):
        c = self.config = config
        self.norm1 = make_norm(c, c.width, rngs)
        self.attn = DecoderAttention(c, rngs=rngs)
        self.norm2 = make_norm(c, c.width, rngs)
        self.mlp = DecoderMlp(c, rngs=rngs)
        self.norm1_out = make_norm(c, c.width, rngs) if c.branch_norms else None
        self.norm2_out = make_norm(c, c.width, rngs) if c.branch_norms else None

    def __call__(
        self,
        x: Float[Array, "b t d"],
        turns: Turns | None,
        facts: Facts,
        *,
        mask: Bool[Array, "b t"] | None = None,
        segments: Segments | None = None,
    ) -> tuple[Float[Array, "b t d"], tuple[Array, Array]]:
        """The layer's output, and its rotated keys and values."""
        c = self.config
        q, k, v = self.qkv(x, turns, facts)
        groups = c.heads // c.kv_heads
        mixed = attention(
            q,
            jnp.repeat(k, groups, axis=2),
            jnp.repeat(v, groups, axis=2),
            mask=mask,
            segments=segments,
            causal=True,
            window=facts.window,
            cap=c.score_cap,
            impl=c.attention,
        )
        return self.finish(x, mixed), (k, v)

    def qkv(
        self, x: Float[Array, "b t d"], turns: Turns | None, facts: Facts
    ) -> tuple[Array, Array, Array]:
        """The layer up to its attention; see :meth:`DecoderAttention.qkv`."""
        return self.attn.qkv(self.norm1(x), turns, facts)

    def finish(self, x: Float[Array, "b t d"], mixed: Array) -> Float[Array, "b t d"]:
        """The layer from its attention's mixture [b, t, h, d] of values on."""
        y = self.attn.finish(mixed)
        x = x + (y if self.norm1_out is None else self.norm1_out(y))
        y = self.mlp(self.norm2(x))
        return x + (y if self.norm2_out is None else self.norm2_out(y))
