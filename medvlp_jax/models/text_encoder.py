"""Text transformer: BERT's layout by default, CLIP's and SigLIP's text towers by options."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Bool, Float, Int

from medvlp_jax.core.fields import (
    Decay,
    Depth,
    Dtype,
    Extent,
    ExtentOrNone,
    NonNegative,
    Positive,
    Size,
)
from medvlp_jax.models.attention import Implementation
from medvlp_jax.models.blocks import (
    BlockConfig,
    Remat,
    apply_blocks,
    first_attention,
    stack_blocks,
)
from medvlp_jax.models.features import TextFeatures
from medvlp_jax.models.flops import blocks_flops
from medvlp_jax.models.layers import (
    Activation,
    Embedding,
    LayerNorm,
    dropout,
    largest,
    param,
    subkey,
)


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """Sizes and variants of a text tower.

    Attributes:
      name: for the reader; presets are keyed by it.
      vocab: rows of the word table; at least the tokenizer's size.
      max_length: rows of the position table; longer texts are an error.
      types: rows of the token-type table, 0 without one. All tokens have type 0.
      norm: ``post`` (BERT) or ``pre`` (CLIP).
      norm_embed: LayerNorm and dropout on the embeddings (BERT).
      norm_final: LayerNorm after the blocks (CLIP).
      causal: tokens see only earlier ones (CLIP).
      pool: ``class`` is the first token, ``last`` the last real one, ``mean`` and ``max`` run over
        the real tokens.
      see_padding: padded places count as real tokens (SigLIP, which is trained with all texts
        padded to ``max_length`` and without a mask).
      Others: see :class:`medvlp_jax.models.blocks.BlockConfig`.
    """

    name: str = "bert"
    vocab: Extent = 30522
    max_length: Extent = 512
    types: ExtentOrNone = 2
    width: Extent = 768
    depth: Depth = 12
    heads: Extent = 12
    mlp_width: Extent = 3072
    norm: Literal["pre", "post"] = "post"
    norm_embed: bool = True
    norm_final: bool = False
    causal: bool = False
    pool: Literal["class", "mean", "last", "max"] = "class"
    see_padding: bool = False
    activation: Activation = "gelu"
    eps: Positive = 1e-12
    bias: bool = True
    dropout: Decay = 0.0
    init_std: NonNegative = 0.02
    dtype: Dtype = "float32"
    remat: Remat = "none"
    unroll: Size = 1
    attention: Implementation = "auto"

    def __post_init__(self) -> None:
        if self.vocab < 1 or self.max_length < 1 or self.types < 0:
            raise ValueError("vocab and max_length must be positive, types must not be negative")
        self.blocks()

    @property
    def prompt_length(self) -> int:
        """Tokens that prompts are padded to: a sentence or two, but where padding is seen, always
        the full length, because there the length says at which place a text is pooled."""
        return self.max_length if self.see_padding else min(64, self.max_length)

    def build(self, *, rngs: nnx.Rngs) -> "TextEncoder":
        return TextEncoder(self, rngs=rngs)

    def flops(self, text_len: int) -> int:
        """Forward operations on one text of ``text_len`` tokens, padding included."""
        return blocks_flops(self.blocks(), text_len)

    def blocks(self) -> BlockConfig:
        return BlockConfig.of(self)


def _bert(name: str, width: int, depth: int, heads: int) -> TextConfig:
    return TextConfig(name=name, width=width, depth=depth, heads=heads, mlp_width=4 * width)


#: Sizes of BERT as published by Devlin et al. 2019 and Turc et al. 2019, and CLIP's text tower.
PRESETS: dict[str, TextConfig] = {
    c.name: c
    for c in (
        _bert("bert_tiny", 128, 2, 2),
        _bert("bert_mini", 256, 4, 4),
        _bert("bert_small", 512, 4, 8),
        _bert("bert_base", 768, 12, 12),
        _bert("bert_large", 1024, 24, 16),
        TextConfig(
            name="clip_text",
            vocab=49408,
            max_length=77,
            types=0,
            width=512,
            heads=8,
            mlp_width=2048,
            norm="pre",
            norm_embed=False,
            norm_final=True,
            causal=True,
            pool="last",
            eps=1e-5,
        ),
    )
}


class TextEmbed(nnx.Module):
    """Sum of word, position and type vectors, then LayerNorm where the config has one.

    ``rows`` of the word table are more than ``config.vocab`` where a model has tokens of its own.
    """

    def __init__(self, config: TextConfig, *, rows: int | None = None, rngs: nnx.Rngs):
        c = config
        init = initializers.truncated_normal(c.init_std)
        self.words = Embedding(rows or c.vocab, c.width, init=init, dtype=c.dtype, rngs=rngs)
        self.positions = param(init, rngs, (c.max_length, c.width), ("position", "embed"))
        self.types = param(init, rngs, (c.types, c.width), (None, "embed")) if c.types else None
        self.norm = (
            LayerNorm(c.width, eps=c.eps, dtype=c.dtype, rngs=rngs) if c.norm_embed else None
        )

    def __call__(self, ids: Int[Array, "b t"]) -> Float[Array, "b t d"]:
        return self._sum(self.words(ids), self.positions[: ids.shape[1]])

    def at(self, ids: Int[Array, " b"], position: Int[Array, ""]) -> Float[Array, "b d"]:
        """Of one token a row, all at the same place."""
        return self._sum(self.words(ids), self.positions[...][position])

    def _sum(self, x: Array, positions: Array) -> Array:
        x = x + positions.astype(x.dtype)
        if self.types is not None:
            x = x + self.types[0].astype(x.dtype)
        return x if self.norm is None else self.norm(x)


class TextEncoder(nnx.Module):
    """Token ids to one vector per text and one per token."""

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs):
        c = self.config = config
        self.embed = TextEmbed(c, rngs=rngs)
        self.blocks = stack_blocks(c.blocks(), rngs=rngs)
        self.norm_final = (
            LayerNorm(c.width, eps=c.eps, dtype=c.dtype, rngs=rngs) if c.norm_final else None
        )

    def __call__(
        self,
        ids: Int[Array, "b t"],
        mask: Bool[Array, "b t"],
        *,
        train: bool = False,
        rng: jax.Array | None = None,
        hidden: int = 0,
        attend: bool = False,
    ) -> TextFeatures:
        """Encodes texts.

        Args:
          ids: token ids in [0, vocab).
          mask: True for real tokens. The first token counts as real even where the mask is all
            False, so that the padding rows of a last batch stay finite.
          train: accepted for the common signature; a text tower has no batch statistics.
          rng: key for dropout; None turns it off.
          hidden: how many of the last hidden states to return; the embeddings are not counted,
            so at most ``depth``.
          attend: also return the first token's attention; not for a causal tower.

        Raises:
          ValueError: the texts are longer than the position table, or ``hidden`` is out of range.
        """
        del train
        c = self.config
        if ids.shape[1] > c.max_length:
            raise ValueError(
                f"texts of {ids.shape[1]} tokens; {c.name} has {c.max_length} positions"
            )
        if not 0 <= hidden <= c.depth:
            raise ValueError(f"hidden={hidden} states of {c.depth} blocks")
        mask = jnp.ones_like(mask) if c.see_padding else mask | (jnp.arange(ids.shape[1]) == 0)
        x = dropout(self.embed(ids), c.dropout, subkey(rng, 0))
        start = x
        x, states = apply_blocks(
            self.blocks, x, mask=mask, rng=subkey(rng, 1), collect=hidden > 0 or attend
        )
        attention = None
        if attend:
            assert states is not None
            attention = first_attention(self.blocks, states[-2] if c.depth > 1 else start, mask)
        if self.norm_final is not None:
            x = self.norm_final(x)
        if states is not None and self.norm_final is not None:
            states = jnp.concatenate([states[:-1], x[None]])  # the last state is the output
        return TextFeatures(
            pool_tokens(x, mask, c.pool),
            x,
            None if states is None or not hidden else states[-hidden:],
            attention,
        )


def pool_tokens(
    x: Float[Array, "b t d"],
    mask: Bool[Array, "b t"],
    how: Literal["class", "mean", "last", "max"],
) -> Float[Array, "b d"]:
    """One vector per row from its real tokens; every row must have one."""
    if how == "class":
        return x[:, 0]
    if how == "last":
        last = jnp.max(jnp.where(mask, jnp.arange(mask.shape[1]), 0), axis=1)
        return jnp.take_along_axis(x, last[:, None, None], axis=1)[:, 0]
    if how == "max":
        return largest(jnp.where(mask[..., None], x, -jnp.inf))
    weights = mask.astype(jnp.float32)
    total = jnp.einsum("btd,bt->bd", x.astype(jnp.float32), weights)
    return (total / jnp.sum(weights, axis=1, keepdims=True)).astype(x.dtype)
