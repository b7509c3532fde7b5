"""Sizes and variants of decoder-only language models, and the published ones."""

import dataclasses
from typing import Literal

from medvlp_jax.core.fields import Depth, Dtype, Extent, ExtentOrNone, NonNegative, Positive, Size
from medvlp_jax.models.attention import Implementation
from medvlp_jax.models.blocks import REMAT, Remat
from medvlp_jax.models.lm.linear import KernelLayout, LoraConfig, Storage
from medvlp_jax.models.lm.rope import RopeConfig


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
      norm: ``rms``; ``rms_unit``, whose gain is ``1 + scale`` (Gemma); ``layer``, a LayerNorm with
        a bias (GPT-2).
      branch_norms: a norm on the output of each branch too (Gemma 2).
      mlp: ``gated``, ``down(f(gate(x)) * up(x))``; ``plain``, ``down(f(up(x)))``.
      activation: f of the MLP.
      positions: ``rotary``, or ``learned``, a table of ``max_length`` rows (GPT-2).
      rope_local: rotation of the layers with a window; None: as the others.
      windows: how many tokens back each layer sees, itself included, one number a layer; 0 is all,
        and an empty tuple is all everywhere.
      query_scale: factor on the scores; 0 for ``head_dim ** -0.5``.
      score_cap, logit_cap: c of ``c * tanh(x / c)`` on scores and logits; 0 without.
      depth_scaled: scores of layer i are divided by i, from 1 (BioMedLM).
      embed_scaled: embeddings are multiplied by ``sqrt(width)`` (Gemma, BioGPT).
      tie_embeddings: the head is the transposed embedding.
      storage: ``int8`` for kernels that :func:`medvlp_jax.models.lm.linear.quantize` made.
      lora: low-rank updates, None without.
      dtype: compute dtype. Parameters are float32 unless loaded in another dtype.
      stacked: whether the layers' parameters are stacked and scanned over, which compiles fast and
        is what trains; ``False`` keeps each layer's own, which XLA for CPUs decodes with faster: it
        copies what is sliced out of a stack.
      kernel_layout: ``out_in`` keeps kernels as checkpoints do, which CPUs decode with faster
        (:func:`medvlp_jax.models.lm.linear.out_in_product`); for float kernels without LoRA.
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
    norm: Literal["rms", "rms_unit", "layer"] = "rms"
    branch_norms: bool = False
    mlp: Literal["gated", "plain"] = "gated"
    activation: Literal["silu", "gelu", "gelu_tanh", "relu"] = "silu"
    positions: Literal["rotary", "learned"] = "rotary"
    rope_local: RopeConfig | None = None
    windows: tuple[ExtentOrNone, ...] = ()
    query_scale: NonNegative = 0.0
    score_cap: NonNegative = 0.0
    logit_cap: NonNegative = 0.0
    depth_scaled: bool = False
    embed_scaled: bool = False
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
        if self.windows and (len(self.windows) != self.depth or min(self.windows) < 0):
            raise ValueError(f"windows={self.windows} must be {self.depth} numbers, none negative")
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
        **sizes,
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
        _llama(
            "smollm2_135m",
            576,
            30,
            9,
            1536,
            vocab=49152,
            kv_heads=3,
            max_length=8192,
            rope=RopeConfig(theta=100000.0),
            tie_embeddings=True,
        ),
        _llama("llama2_7b", 4096, 32, 32, 11008),
        _llama3("llama3.2_1b", 2048, 16, 32, 8192, rope=_LLAMA32, tie_embeddings=True),
        _llama3("llama3.1_8b", 4096, 32, 32, 14336),
        _llama3("llama3.1_70b", 8192, 80, 64, 28672),
        _qwen("qwen2.5_0.5b", 896, 24, 14, 4864, kv_heads=2, tie_embeddings=True),
        _qwen("qwen2.5_7b", 3584, 28, 28, 18944, kv_heads=4, vocab=152064),
        _qwen(
            "qwen3_0.6b",
            1024,
            28,
            16,
            3072,
            kv_heads=8,
            head_dim=128,
            max_length=40960,
            qkv_bias=False,
            qk_norm=True,
            tie_embeddings=True,
        ),
        _qwen(
            "qwen3_8b",
            4096,
            36,
            32,
            12288,
            kv_heads=8,
            max_length=40960,
            qkv_bias=False,
            qk_norm=True,
        ),
    )
}
