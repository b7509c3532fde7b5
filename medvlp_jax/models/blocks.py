"""Transformer blocks with stacked parameters, applied by one ``lax.scan``."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Bool, Float

from medvlp_jax.core.fields import Decay, Depth, Dtype, Extent, Finite, NonNegative, Positive, Size
from medvlp_jax.core.sharding import constrain
from medvlp_jax.models.attention import SAVED_NAME, Implementation, Segments, attention
from medvlp_jax.models.layers import (
    Activation,
    GatedMlp,
    Initializer,
    LayerNorm,
    Linear,
    Mlp,
    dropout,
    param,
    subkey,
)

Remat = Literal["none", "full", "dots", "dots_no_batch", "save_attention"]

_POLICIES = jax.checkpoint_policies
#: What a block keeps for its backward pass. ``none`` keeps everything that autodiff wants, the
#: others recompute all but: nothing (``full``), every matrix product (``dots``), the products with
#: weights but not the attention scores (``dots_no_batch``), the attention output
#: (``save_attention``).
REMAT: dict[str, Any] = {
    "full": _POLICIES.nothing_saveable,
    "dots": _POLICIES.dots_saveable,
    "dots_no_batch": _POLICIES.dots_with_no_batch_dims_saveable,
    "save_attention": _POLICIES.save_only_these_names(SAVED_NAME),
}


@dataclasses.dataclass(frozen=True)
class BlockConfig:
    """A stack of equal transformer blocks.

    Attributes:
      width: of the residual stream.
      depth: blocks.
      heads: of the attention; they divide ``width``.
      mlp_width: hidden width of the MLP.
      activation: of the MLP.
      norm: ``pre`` normalises the input of each branch, ``post`` the sum after it (BERT).
      eps: of the LayerNorms.
      bias: whether the linear maps of attention and MLP have one.
      layer_scale: initial value of a learned gain per channel on each branch, None without.
      gated: the MLP is a :class:`medvlp_jax.models.layers.GatedMlp`; ``activation`` is not used.
      dropout: rate on the output of each branch, active only where a key is given.
      causal: positions see only themselves and earlier ones.
      init_std: deviation of the initial weights.
      dtype: of the computation; parameters are float32.
      remat: see :data:`REMAT`.
      unroll: blocks per iteration of the scan; ``depth`` unrolls it all.
      attention: which implementation computes it; ``auto`` chooses by device and shapes.
    """

    width: Extent
    depth: Depth
    heads: Extent
    mlp_width: Extent
    activation: Activation = "gelu"
    norm: Literal["pre", "post"] = "pre"
    eps: Positive = 1e-6
    bias: bool = True
    layer_scale: Finite | None = None
    gated: bool = False
    dropout: Decay = 0.0
    causal: bool = False
    init_std: NonNegative = 0.02
    dtype: Dtype = "float32"
    remat: Remat = "none"
    unroll: Size = 1
    attention: Implementation = "auto"

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise ValueError(f"depth must be at least 1, not {self.depth}")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.remat != "none" and self.remat not in REMAT:
            raise ValueError(f"remat {self.remat!r} is not one of none, {', '.join(REMAT)}")

    @classmethod
    def of(cls, tower: Any) -> "BlockConfig":
        """Those of a tower, whose config has fields of the same names; others keep defaults."""
        names = {f.name for f in dataclasses.fields(tower)}
        shared = [f.name for f in dataclasses.fields(cls) if f.name in names]
        return cls(**{name: getattr(tower, name) for name in shared})


class Attention(nnx.Module):
    """Multi-head attention of ``x`` on ``context`` (on itself by default).

    ``context_width`` is the width of the context, where it is another than that of ``x``.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        context_width: int | None = None,
        bias: bool = True,
        init: Initializer | None = None,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        def linear(axes: tuple[str, str], inputs: int = width) -> Linear:
            return Linear(inputs, width, axes=axes, bias=bias, init=init, dtype=dtype, rngs=rngs)

        self.heads = heads
        self.q = linear(("embed", "heads"))
        self.k = linear(("embed", "heads"), context_width or width)
        self.v = linear(("embed", "heads"), context_width or width)
        self.out = linear(("heads", "embed"))

    def __call__(
        self,
        x: Float[Array, "b t d"],
        context: Float[Array, "b s d"] | None = None,
        *,
        mask: Bool[Array, "b s"] | None = None,
        segments: Segments | None = None,
        causal: bool = False,
        impl: Implementation = "auto",
    ) -> Float[Array, "b t d"]:
        context = x if context is None else context
        q, k, v = (
            y.reshape(*y.shape[:2], self.heads, -1)
            for y in (self.q(x), self.k(context), self.v(context))
        )
        mixed = attention(q, k, v, mask=mask, segments=segments, causal=causal, impl=impl)
        return self.out(mixed.reshape(*x.shape[:2], -1))


class Block(nnx.Module):
    """One transformer block, before (Xiong et al. 2020) or after (BERT) normalised."""

    def __init__(self, config: BlockConfig, *, rngs: nnx.Rngs):
        c = self.config = config
        init = initializers.truncated_normal(c.init_std)
        self.norm1 = LayerNorm(c.width, eps=c.eps, dtype=c.dtype, rngs=rngs)
        self.attn = Attention(c.width, c.heads, bias=c.bias, init=init, dtype=c.dtype, rngs=rngs)
        self.norm2 = LayerNorm(c.width, eps=c.eps, dtype=c.dtype, rngs=rngs)
        mlp = {"bias": c.bias, "init": init, "dtype": c.dtype, "rngs": rngs}
        self.mlp: Mlp | GatedMlp = (
            GatedMlp(c.width, c.mlp_width, **mlp)
            if c.gated
            else Mlp(c.width, c.mlp_width, activation=c.activation, **mlp)
        )
        self.scale1 = self._layer_scale(rngs)
        self.scale2 = self._layer_scale(rngs)

    def _layer_scale(self, rngs: nnx.Rngs) -> nnx.Param | None:
        value = self.config.layer_scale
        if value is None:
            return None
        return param(initializers.constant(value), rngs, (self.config.width,), ("norm",))

    def __call__(
        self,
        x: Float[Array, "b t d"],
        *,
        mask: Bool[Array, "b t"] | None = None,
        segments: Segments | None = None,
        rng: jax.Array | None = None,
    ) -> Float[Array, "b t d"]:
        c = self.config

        def attend(y: Array) -> Array:
            y = self.attn(y, mask=mask, segments=segments, causal=c.causal, impl=c.attention)
            return dropout(_gain(y, self.scale1), c.dropout, subkey(rng, 0))

        def feed(y: Array) -> Array:
            return dropout(_gain(self.mlp(y), self.scale2), c.dropout, subkey(rng, 1))

        if c.norm == "pre":
            x = x + attend(self.norm1(x))
            return x + feed(self.norm2(x))
        x = self.norm1(x + attend(x))
        return self.norm2(x + feed(x))


def _gain(x: Array, scale: nnx.Param | None) -> Array:
    return x if scale is None else x * scale[...].astype(x.dtype)


def first_attention(
    blocks: Block,
    x: Float[Array, "b t d"],
    mask: Bool[Array, "b t"] | None = None,
) -> Float[Array, "b t"]:
    """How much the first token looks at each token in the last block, averaged over the heads.

    Computed beside the block from its input, one query a row, so that the block itself may use a
    fused kernel that keeps no probabilities.

    Args:
      blocks: what :func:`stack_blocks` made.
      x: the input of the last block, which is the output of the one before it.
      mask: True for real tokens; the others get 0.

    Returns:
      Probabilities in float32; rows sum to 1.
    """
    config = blocks.config
    last = jax.tree.map(lambda leaf: leaf[-1], blocks)
    y = x.astype(config.dtype)
    y = last.norm1(y) if config.norm == "pre" else y
    q = last.attn.q(y[:, :1]).reshape(y.shape[0], config.heads, -1)
    k = last.attn.k(y).reshape(*y.shape[:2], config.heads, -1)
    scores = jnp.einsum("bhd,bthd->bht", q, k, preferred_element_type=jnp.float32)
    scores = scores * q.shape[-1] ** -0.5
    if config.causal:
        raise ValueError("the first token of a causal tower sees nothing but itself")
    if mask is not None:
        scores = jnp.where(mask[:, None], scores, -jnp.inf)
    return jnp.mean(jax.nn.softmax(scores, axis=-1), axis=1)


def stack_blocks(config: BlockConfig, *, rngs: nnx.Rngs) -> Block:
    """``depth`` blocks as one :class:`Block` whose every parameter has a leading layer axis."""
    keys = jax.random.split(rngs.params(), config.depth)
    return jax.vmap(lambda key: Block(config, rngs=nnx.Rngs(params=key)))(keys)


def apply_blocks(
    blocks: Block,
    x: Float[Array, "b t d"],
    *,
    mask: Bool[Array, "b t"] | None = None,
    segments: Segments | None = None,
    rng: jax.Array | None = None,
    collect: bool = False,
) -> tuple[Float[Array, "b t d"], Float[Array, "layers b t d"] | None]:
    """Runs stacked blocks in order.

    Args:
      blocks: what :func:`stack_blocks` made.
      x: activations; cast to the compute dtype.
      mask: True for real tokens.
      segments: see :func:`medvlp_jax.models.attention.attention`.
      rng: key for dropout, folded with the layer's index; None turns dropout off.
      collect: whether to return the output of every block too.

    Returns:
      The last block's output, and the stack of all outputs or None.
    """
    config = blocks.config

    def body(x: Array, layer: tuple[Block, Array]) -> tuple[Array, Array | None]:
        block, index = layer
        key = None if rng is None else jax.random.fold_in(rng, index)
        x = block(x, mask=mask, segments=segments, rng=key)
        x = constrain(x, "batch", None, None)
        return x, x if collect else None

    if config.remat != "none":
        # Inside a loop nothing can merge the recomputation with the forward pass; unrolled,
        # common-subexpression elimination would, and undo the saving.
        body = jax.checkpoint(
            body, policy=REMAT[config.remat], prevent_cse=config.unroll >= config.depth
        )
    x = constrain(x.astype(config.dtype), "batch", None, None)
    layers = (blocks, jnp.arange(config.depth))
    return jax.lax.scan(body, x, layers, unroll=min(config.unroll, config.depth))
