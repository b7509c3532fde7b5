"""Decoder-only language models of the Llama and Qwen families.

RMSNorm before each branch, rotary positions, grouped-query attention, SwiGLU. The families differ
in options alone: Qwen2 and 2.5 have biases on q, k and v; Qwen3 has norms on q and k instead and a
head width of its own; some tie the head to the embedding. Sliding windows are not built: the
published checkpoints have them switched off.

Sources: Touvron et al. 2023 (arXiv 2302.13971), Grattafiori et al. 2024 (2407.21783), Yang et al.
2024 (2407.10671) and 2025 (2505.09388).
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Bool, Float, Int

from medvlp_jax.core.fields import Depth, Dtype, Extent, NonNegative, Positive, Size
from medvlp_jax.core.sharding import constrain
from medvlp_jax.core.state import flatten, unflatten
from medvlp_jax.models.attention import Implementation, Segments, attention
from medvlp_jax.models.blocks import REMAT, Remat
from medvlp_jax.models.layers import Embedding, param
from medvlp_jax.models.lm_linear import (
    DecoderLinear,
    KernelLayout,
    LoraConfig,
    Storage,
    out_in_product,
)
from medvlp_jax.models.lm_rope import RopeConfig, angles, frequencies, rotate


@dataclasses.dataclass(frozen=True)
class LMConfig:
    """Sizes and variants of a decoder.

    Attributes:
      name: for the reader; presets are keyed by it.
      vocab: rows of the embedding.
      heads, kv_heads: query heads, and key-value heads that they share in equal groups.
      head_dim: channels of a head; ``heads * head_dim`` need not be ``width``.
      max_length: positions that the model was made for.
      qkv_bias, out_bias, mlp_bias: biases on q, k, v; on the attention's output; in the MLP.
      qk_norm: RMSNorm over each head of q and k, before the rotation.
      tie_embeddings: the head is the transposed embedding.
      storage: ``int8`` for kernels that :func:`medvlp_jax.models.lm_linear.quantize` made.
      lora: low-rank updates, None without.
      dtype: compute dtype. Parameters are float32 unless loaded in another dtype.
      stacked: whether the layers' parameters are stacked and scanned over, which compiles fast and
        is what trains; ``False`` keeps each layer's own, which XLA for CPUs decodes with faster: it
        copies what is sliced out of a stack.
      kernel_layout: ``out_in`` keeps kernels as checkpoints do, which CPUs decode with faster
        (:func:`medvlp_jax.models.lm_linear.out_in_product`); for float kernels without LoRA.
      remat, unroll, attention: see :class:`medvlp_jax.models.blocks.BlockConfig`.
    """

    name: str = "llama"
    vocab: Extent = 32000
    width: Extent = 4096
    depth: Depth = 32
    heads: Extent = 32
    kv_heads: Extent = 32
    head_dim: Extent = 128
    mlp_width: Extent = 11008
    max_length: Size = 4096
    rope: RopeConfig = dataclasses.field(default_factory=RopeConfig)
    eps: Positive = 1e-5
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    tie_embeddings: bool = False
    init_std: NonNegative = 0.02
    storage: Storage = "float"
    lora: LoraConfig | None = None
    dtype: Dtype = "float32"
    stacked: bool = True
    kernel_layout: KernelLayout = "in_out"
    remat: Remat = "none"
    unroll: Size = 1
    attention: Implementation = "auto"

    def __post_init__(self) -> None:
        sizes = (self.vocab, self.width, self.depth, self.heads, self.kv_heads, self.mlp_width)
        if min(sizes) < 1 or self.max_length < 1:
            raise ValueError("all sizes of a language model must be positive")
        if self.heads % self.kv_heads:
            raise ValueError(
                f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}; every "
                "key-value head serves as many query heads"
            )
        if self.head_dim < 4 or self.head_dim % 2:
            raise ValueError(f"head_dim {self.head_dim} must be even and at least 4")
        if self.kernel_layout == "out_in" and (self.storage != "float" or self.lora is not None):
            raise ValueError('kernel_layout="out_in" is for float kernels without LoRA')
        if self.remat != "none" and self.remat not in REMAT:
            raise ValueError(f"remat {self.remat!r} is not one of none, {', '.join(REMAT)}")


_LLAMA31 = RopeConfig(theta=500000.0, scaling="llama3", factor=8.0, original_length=8192)
_LLAMA32 = dataclasses.replace(_LLAMA31, factor=32.0)


def _llama(name: str, width: int, depth: int, heads: int, mlp: int, **other: object) -> LMConfig:
    sizes = {"head_dim": width // heads, "kv_heads": heads, **other}
    return LMConfig(
        name=name,
        width=width,
        depth=depth,
        heads=heads,
        mlp_width=mlp,
        **sizes,  # type: ignore[arg-type]
    )


def _llama3(name: str, width: int, depth: int, heads: int, mlp: int, **other: object) -> LMConfig:
    sizes = {"vocab": 128256, "kv_heads": 8, "max_length": 131072, "rope": _LLAMA31, **other}
    return _llama(name, width, depth, heads, mlp, **sizes)


def _qwen(name: str, width: int, depth: int, heads: int, mlp: int, **other: object) -> LMConfig:
    sizes = {
        "vocab": 151936,
        "max_length": 32768,
        "rope": RopeConfig(theta=1e6),
        "eps": 1e-6,
        "qkv_bias": True,
        **other,
    }
    return _llama(name, width, depth, heads, mlp, **sizes)


#: Published sizes, for programs that are compiled or trained without a checkpoint. A checkpoint
#: brings its own config (``weights.tables``).
PRESETS: dict[str, LMConfig] = {
    c.name: c
    for c in (
        _llama("smollm2_135m", 576, 30, 9, 1536, vocab=49152, kv_heads=3, max_length=8192,
               rope=RopeConfig(theta=100000.0), tie_embeddings=True),
        _llama("llama2_7b", 4096, 32, 32, 11008),
        _llama3("llama3.2_1b", 2048, 16, 32, 8192, rope=_LLAMA32, tie_embeddings=True),
        _llama3("llama3.1_8b", 4096, 32, 32, 14336),
        _llama3("llama3.1_70b", 8192, 80, 64, 28672),
        _qwen("qwen2.5_0.5b", 896, 24, 14, 4864, kv_heads=2, tie_embeddings=True),
        _qwen("qwen2.5_7b", 3584, 28, 28, 18944, kv_heads=4, vocab=152064),
        _qwen("qwen3_0.6b", 1024, 28, 16, 3072, kv_heads=8, head_dim=128, max_length=40960,
              qkv_bias=False, qk_norm=True, tie_embeddings=True),
        _qwen("qwen3_8b", 4096, 36, 32, 12288, kv_heads=8, max_length=40960, qkv_bias=False,
              qk_norm=True),
    )
}  # fmt: skip


#: One array with a leading layer axis, or one array per layer (``LMConfig.stacked``).
Layers = Array | tuple[Array, ...]


class KeyValues(NamedTuple):
    """Rotated keys, and values, [b, t, kv, d] of every layer, for the cache."""

    k: Layers
    v: Layers


class RMSNorm(nnx.Module):
    """``x / rms(x) * scale`` over the last axis, in float32 (Zhang & Sennrich 2019)."""

    def __init__(self, features: int, *, eps: float, dtype: str, rngs: nnx.Rngs):
        self.eps = eps
        self.dtype = jnp.dtype(dtype)
        self.scale = param(initializers.ones, rngs, (features,), ("norm",))

    def __call__(self, x: Float[Array, "... d"]) -> Float[Array, "... d"]:
        x = x.astype(jnp.float32)
        mean_square = jnp.mean(x * x, axis=-1, keepdims=True)
        y = x * jax.lax.rsqrt(mean_square + self.eps) * self.scale[...].astype(jnp.float32)
        return y.astype(self.dtype)


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
        self.q_norm = self._head_norm(rngs)
        self.k_norm = self._head_norm(rngs)

    def _head_norm(self, rngs: nnx.Rngs) -> RMSNorm | None:
        c = self.config
        return RMSNorm(c.head_dim, eps=c.eps, dtype=c.dtype, rngs=rngs) if c.qk_norm else None

    def qkv(self, x: Float[Array, "b t d"], cos: Array, sin: Array) -> tuple[Array, Array, Array]:
        """Rotated queries [b, t, h, d], rotated keys and plain values [b, t, kv, d]."""
        q, k, v = (
            constrain(
                y.reshape(*y.shape[:2], -1, self.config.head_dim), "batch", None, "heads", None
            )
            for y in (self.q(x), self.k(x), self.v(x))
        )
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    def finish(self, mixed: Float[Array, "b t h d"]) -> Float[Array, "b t d"]:
        return self.out(mixed.reshape(*mixed.shape[:2], -1))


class SwiGLU(nnx.Module):
    """``down(silu(gate(x)) * up(x))`` (Shazeer 2020)."""

    def __init__(self, config: LMConfig, *, rngs: nnx.Rngs):
        c = config

        def widen(name: str) -> DecoderLinear:
            return _linear(c, name, c.width, c.mlp_width, ("embed", "mlp"), c.mlp_bias, rngs)

        self.gate = widen("gate")
        self.up = widen("up")
        self.down = _linear(c, "down", c.mlp_width, c.width, ("mlp", "embed"), c.mlp_bias, rngs)

    def __call__(self, x: Float[Array, "... d"]) -> Float[Array, "... d"]:
        return self.down(jax.nn.silu(self.gate(x)) * self.up(x))


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
    """One layer: attention and SwiGLU, each on a normalised input and added to it."""

    def __init__(self, config: LMConfig, *, rngs: nnx.Rngs):
        c = self.config = config
        self.norm1 = RMSNorm(c.width, eps=c.eps, dtype=c.dtype, rngs=rngs)
        self.attn = DecoderAttention(c, rngs=rngs)
        self.norm2 = RMSNorm(c.width, eps=c.eps, dtype=c.dtype, rngs=rngs)
        self.mlp = SwiGLU(c, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b t d"],
        cos: Array,
        sin: Array,
        *,
        mask: Bool[Array, "b t"] | None = None,
        segments: Segments | None = None,
    ) -> tuple[Float[Array, "b t d"], tuple[Array, Array]]:
        """The layer's output, and its rotated keys and values."""
        c = self.config
        q, k, v = self.attn.qkv(self.norm1(x), cos, sin)
        groups = c.heads // c.kv_heads
        mixed = attention(
            q,
            jnp.repeat(k, groups, axis=2),
            jnp.repeat(v, groups, axis=2),
            mask=mask,
            segments=segments,
            causal=True,
            impl=c.attention,
        )
        x = x + self.attn.finish(mixed)
        return x + self.mlp(self.norm2(x)), (k, v)


class LanguageModel(nnx.Module):
    """Embedding, stacked blocks, final norm and head."""

    def __init__(self, config: LMConfig, *, rngs: nnx.Rngs):
        c = self.config = config
        init = initializers.normal(c.init_std)
        self.embed = Embedding(c.vocab, c.width, init=init, dtype=c.dtype, rngs=rngs)
        keys = jax.random.split(rngs.params(), c.depth)
        self.blocks: Any = (
            jax.vmap(lambda key: DecoderBlock(c, rngs=nnx.Rngs(params=key)))(keys)
            if c.stacked
            else nnx.List([DecoderBlock(c, rngs=nnx.Rngs(params=key)) for key in keys])
        )
        self.norm_final = RMSNorm(c.width, eps=c.eps, dtype=c.dtype, rngs=rngs)
        self.head = (
            None
            if c.tie_embeddings
            else DecoderLinear(
                c.width,
                c.vocab,
                axes=("embed", "vocab"),
                init=init,
                dtype=c.dtype,
                storage=c.storage,
                layout=c.kernel_layout,
                rngs=rngs,
            )
        )

    def __call__(
        self,
        ids: Int[Array, "b t"],
        *,
        mask: Bool[Array, "b t"] | None = None,
        positions: Int[Array, "b t"] | None = None,
        segments: Segments | None = None,
    ) -> Float[Array, "b t vocab"]:
        """Float32 logits of the next token at every place; see :meth:`hidden` for the arguments."""
        x, _ = self.hidden(self.embed(ids), mask=mask, positions=positions, segments=segments)
        return self.logits(x)

    def hidden(
        self,
        x: Float[Array, "b t d"],
        *,
        mask: Bool[Array, "b t"] | None = None,
        positions: Int[Array, "b t"] | None = None,
        segments: Segments | None = None,
        collect: bool = False,
        rope_length: int = 0,
    ) -> tuple[Float[Array, "b t d"], KeyValues | None]:
        """Runs the blocks and the final norm on embeddings (``model.embed(ids)``, or spliced).

        Args:
          x: embeddings.
          mask: True for real tokens; none means all. What stands at the others is meaningless.
          positions: of every token, 0, 1, 2 ... by default. Texts padded on the left need
            ``cumsum(mask) - 1``.
          segments: ids of the texts packed in a row; tokens see their own text only.
          collect: whether to return keys and values of every layer too.
          rope_length: see :func:`medvlp_jax.models.lm_rope.frequencies`; 0 for the length of x.

        Returns:
          Normalised states for :meth:`logits`, and the keys and values or None.
        """
        c = self.config
        if positions is None:
            positions = jnp.arange(x.shape[1])[None]
        length = rope_length or x.shape[1]
        cos, sin = angles(frequencies(c.rope, c.head_dim, length), positions)

        def body(x: Array, block: DecoderBlock) -> tuple[Array, tuple[Array, Array] | None]:
            x, kv = block(x, cos, sin, mask=mask, segments=segments)
            return constrain(x, "batch", None, None), kv if collect else None

        if c.remat != "none":
            # As in blocks.apply_blocks: unrolled, merging equal expressions would undo the saving.
            body = jax.checkpoint(body, policy=REMAT[c.remat], prevent_cse=c.unroll >= c.depth)
        x = constrain(x.astype(c.dtype), "batch", None, None)
        if c.stacked:
            x, kv = jax.lax.scan(body, x, self.blocks, unroll=min(c.unroll, c.depth))
            return self.norm_final(x), None if kv is None else KeyValues(*kv)
        collected = []
        for block in self.blocks:
            x, kv = body(x, block)
            collected.append(kv)
        return self.norm_final(x), KeyValues(*zip(*collected, strict=True)) if collect else None

    def logits(self, x: Float[Array, "... d"]) -> Float[Array, "... vocab"]:
        """The head on normalised states, in float32."""
        if self.head is not None:
            return self.head(x, out_dtype=jnp.dtype("float32"))
        table = self.embed.table[...].astype(self.config.dtype)
        if self.config.kernel_layout == "out_in":
            return out_in_product(x, table, jnp.dtype("float32"))
        return jnp.einsum("...d,vd->...v", x, table, preferred_element_type=jnp.float32)


def unstack(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a model with ``stacked=False`` from those of the same model with True."""
    flat: dict[tuple[str, ...], Any] = {}
    for path, leaf in flatten(params).items():
        if path[0] == "blocks":
            flat |= {("blocks", str(i), *path[1:]): leaf[i] for i in range(leaf.shape[0])}
        else:
            flat[path] = leaf
    return unflatten(flat)


def build_lm(config: LMConfig) -> Callable[[nnx.Rngs], LanguageModel]:
    """The factory that ``core.state.ModelDef.of`` wants."""
    return lambda rngs: LanguageModel(config, rngs=rngs)
