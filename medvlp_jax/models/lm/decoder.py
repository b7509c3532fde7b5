"""Decoder-only language models: Llama, Mistral, Qwen, Gemma, GPT-2 and BioGPT by options.

A norm before each branch, grouped-query attention, rotary or learned positions. The families differ
in options alone: Qwen2 and 2.5 have biases on q, k and v; Qwen3 has norms on q and k instead and a
head width of its own; Mistral sees a window of tokens; Gemma has windows in most layers, norms
behind the branches and capped scores; GPT-2 has LayerNorms, learned positions and no gate.

Sources: Touvron et al. 2023 (arXiv 2302.13971), Grattafiori et al. 2024 (2407.21783), Yang et al.
2024 (2407.10671) and 2025 (2505.09388), Jiang et al. 2023 (2310.06825), Gemma Team 2024
(2408.00118) and 2025 (2503.19786), Radford et al. 2019, Luo et al. 2022 (2210.10341).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Bool, Float, Int

from medvlp_jax.core.sharding import constrain
from medvlp_jax.models.attention import Segments, cap_scores
from medvlp_jax.models.blocks import REMAT
from medvlp_jax.models.layers import Embedding, param
from medvlp_jax.models.lm.blocks import DecoderBlock, Facts, layer_facts, make_norm, turns
from medvlp_jax.models.lm.config import LMConfig
from medvlp_jax.models.lm.linear import DecoderLinear, out_in_product

#: One array with a leading layer axis, or one array per layer (``LMConfig.stacked``).
Layers = Array | tuple[Array, ...]


class KeyValues(NamedTuple):
    """Rotated keys, and values, [b, t, kv, d] of every layer, for the cache."""

    k: Layers
    v: Layers


class LanguageModel(nnx.Module):
    """Embedding, stacked blocks, final norm and head."""

    def __init__(self, config: LMConfig, *, rngs: nnx.Rngs):
        c = self.config = config
        init = initializers.normal(c.init_std)
        scale = c.width**0.5 if c.embed_scaled else 1.0
        self.embed = Embedding(c.vocab, c.width, init=init, scale=scale, dtype=c.dtype, rngs=rngs)
        self.positions = (
            param(init, rngs, (c.max_length, c.width), ("position", "embed"))
            if c.positions == "learned"
            else None
        )
        keys = jax.random.split(rngs.params(), c.depth)
        self.blocks: Any = (
            jax.vmap(lambda key: DecoderBlock(c, rngs=nnx.Rngs(params=key)))(keys)
            if c.stacked
            else nnx.List([DecoderBlock(c, rngs=nnx.Rngs(params=key)) for key in keys])
        )
        self.norm_final = make_norm(c, c.width, rngs)
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
          rope_length: see :func:`medvlp_jax.models.lm.rope.frequencies`; 0 for the length of x.

        Returns:
          Normalised states for :meth:`logits`, and the keys and values or None.
        """
        c = self.config
        if positions is None:
            positions = jnp.arange(x.shape[1])[None]
        x = self.with_positions(x.astype(c.dtype), positions)
        rotation = turns(c, positions, rope_length or x.shape[1])
        facts = layer_facts(c, x.shape[1])

        def body(
            x: Array, layer: tuple[DecoderBlock, Facts]
        ) -> tuple[Array, tuple[Array, Array] | None]:
            block, own = layer
            x, kv = block(x, rotation, own, mask=mask, segments=segments)
            return constrain(x, "batch", None, None), kv if collect else None

        if c.remat != "none":
            # As in blocks.apply_blocks: unrolled, merging equal expressions would undo the saving.
            body = jax.checkpoint(body, policy=REMAT[c.remat], prevent_cse=c.unroll >= c.depth)
        x = constrain(x, "batch", None, None)
        if c.stacked:
            facts = jax.tree.map(jnp.asarray, facts)
            x, kv = jax.lax.scan(body, x, (self.blocks, facts), unroll=min(c.unroll, c.depth))
            return self.norm_final(x), None if kv is None else KeyValues(*kv)
        collected = []
        for index, block in enumerate(self.blocks):
            x, kv = body(x, (block, facts.layer(index)))
            collected.append(kv)
        return self.norm_final(x), KeyValues(*zip(*collected, strict=True)) if collect else None

    def logits(self, x: Float[Array, "... d"]) -> Float[Array, "... vocab"]:
        """The head on normalised states, in float32."""
        return cap_scores(self._head(x), self.config.logit_cap)

    def with_positions(
        self, x: Float[Array, "b t d"], positions: Int[Array, "#b t"]
    ) -> Float[Array, "b t d"]:
        """Embeddings with the learned vectors of their positions, where the model has such.

        Raises:
          ValueError: the texts are longer than the table.
        """
        if self.positions is None:
            return x
        if x.shape[1] > self.config.max_length:
            raise ValueError(
                f"texts of {x.shape[1]} tokens; {self.config.name} has {self.config.max_length} "
                "positions"
            )
        return x + self.positions[...][positions].astype(x.dtype)

    def _head(self, x: Float[Array, "... d"]) -> Float[Array, "... vocab"]:
        if self.head is not None:
            return self.head(x, out_dtype=jnp.dtype("float32"))
        table = self.embed.table[...].astype(self.config.dtype)
        if self.config.kernel_layout == "out_in":
            return out_in_product(x, table, jnp.dtype("float32"))
        return jnp.einsum("...d,vd->...v", x, table, preferred_element_type=jnp.float32)


def build_lm(config: LMConfig) -> Callable[[nnx.Rngs], LanguageModel]:
    """The factory that ``core.state.ModelDef.of`` wants."""
    return lambda rngs: LanguageModel(config, rngs=rngs)
