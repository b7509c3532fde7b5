"""BLIP's text transformer: one BERT that reads texts alone, reads them beside an image, and writes.

Reading and writing have self-attention of their own; embeddings, cross-attention and MLPs are
shared (Li et al. 2022, arXiv:2201.12086, sec. 3.1).
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Bool, Float, Int

from medvlp_jax.core.sharding import constrain
from medvlp_jax.models.attention import MASKED
from medvlp_jax.models.blocks import REMAT, Attention
from medvlp_jax.models.layers import LayerNorm, Mlp, dropout, subkey
from medvlp_jax.models.text_encoder import TextConfig, TextEmbed

Branch = Literal["encoder", "decoder"]


class Attend(nnx.Module):
    """Attention and the LayerNorm behind its residual."""

    def __init__(self, c: TextConfig, context_width: int | None = None, *, rngs: nnx.Rngs):
        self.config = c
        self.attn = Attention(
            c.width,
            c.heads,
            context_width=context_width,
            bias=c.bias,
            init=initializers.truncated_normal(c.init_std),
            dtype=c.dtype,
            rngs=rngs,
        )
        self.norm = LayerNorm(c.width, eps=c.eps, dtype=c.dtype, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b t d"],
        context: Float[Array, "b s e"] | None = None,
        *,
        mask: Bool[Array, "b s"] | None = None,
        causal: bool = False,
        rng: jax.Array | None = None,
    ) -> Float[Array, "b t d"]:
        c = self.config
        y = self.attn(x, context, mask=mask, causal=causal, impl=c.attention)
        return self.norm(x + dropout(y, c.dropout, rng))


class FeedForward(nnx.Module):
    """The MLP and the LayerNorm behind its residual."""

    def __init__(self, c: TextConfig, *, rngs: nnx.Rngs):
        self.config = c
        self.mlp = Mlp(
            c.width,
            c.mlp_width,
            activation=c.activation,
            bias=c.bias,
            init=initializers.truncated_normal(c.init_std),
            dtype=c.dtype,
            rngs=rngs,
        )
        self.norm = LayerNorm(c.width, eps=c.eps, dtype=c.dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "b t d"], *, rng: jax.Array | None = None) -> Array:
        return self.norm(x + dropout(self.mlp(x), self.config.dropout, rng))


class Layer(NamedTuple):
    """The parts of one layer, or of all of them stacked; ``cross`` None: without an image."""

    self_: Attend
    cross: Attend | None
    ff: FeedForward


class BlipText(nnx.Module):
    """The stack; ``encoder`` and ``decoder`` are the self-attention of either branch.

    Args:
      config: sizes.
      rows: of the word table.
      image_width: of the image's tokens; None: without cross-attention.
      branches: which self-attention there is.
    """

    def __init__(
        self,
        config: TextConfig,
        rows: int,
        image_width: int | None,
        branches: Sequence[Branch],
        *,
        rngs: nnx.Rngs,
    ):
        c = self.config = config
        self.embed = TextEmbed(c, rows=rows, rngs=rngs)

        def stacked(make: Callable[[nnx.Rngs], nnx.Module]) -> Any:
            keys = jax.random.split(rngs.params(), c.depth)
            return jax.vmap(lambda key: make(nnx.Rngs(params=key)))(keys)

        def own(branch: Branch) -> Any:
            return stacked(lambda r: Attend(c, rngs=r)) if branch in branches else None

        self.encoder = own("encoder")
        self.decoder = own("decoder")
        self.cross = (
            None if image_width is None else stacked(lambda r: Attend(c, image_width, rngs=r))
        )
        self.ff = stacked(lambda r: FeedForward(c, rngs=r))

    def stack(self, branch: Branch, beside_image: bool) -> Layer:
        """The stacked layers of a branch.

        Raises:
          ValueError: the model does not have it.
        """
        own = self.encoder if branch == "encoder" else self.decoder
        if own is None or (beside_image and self.cross is None):
            raise ValueError(f"this BLIP has no {branch}; see config.model.branches")
        return Layer(own, self.cross if beside_image else None, self.ff)

    def start(self, ids: Int[Array, "b t"], rng: jax.Array | None = None) -> Float[Array, "b t d"]:
        """What the first layer reads.

        Raises:
          ValueError: the texts are longer than the position table.
        """
        c = self.config
        if ids.shape[1] > c.max_length:
            raise ValueError(
                f"texts of {ids.shape[1]} tokens; {c.name} has {c.max_length} positions"
            )
        return dropout(self.embed(ids), c.dropout, subkey(rng, 0)).astype(c.dtype)

    def __call__(
        self,
        ids: Int[Array, "b t"],
        mask: Bool[Array, "b t"],
        image: Float[Array, "b n e"] | None = None,
        *,
        branch: Branch = "encoder",
        rng: jax.Array | None = None,
    ) -> Float[Array, "b t d"]:
        """The last hidden states.

        Args:
          ids: token ids; the first one says what is asked ([CLS], [ENC] or [DEC]).
          mask: True for real tokens; the first one always counts as real.
          image: tokens of the image that each text is beside; None: the text alone.
          branch: ``decoder`` tokens see only earlier ones.
          rng: key for dropout; None turns it off.
        """
        mask = _with_first(mask)
        x = constrain(self.start(ids, rng), "batch", None, None)
        layers = self.stack(branch, image is not None)
        return run_layers(layers, x, image, mask, branch == "decoder", self.config, rng)


def run_layers(
    layers: Layer,
    x: Float[Array, "b t d"],
    image: Float[Array, "b n e"] | None,
    mask: Bool[Array, "b t"],
    causal: bool,
    config: TextConfig,
    rng: jax.Array | None = None,
) -> Float[Array, "b t d"]:
    """Stacked layers in order, by one scan."""
    depth = jax.tree.leaves(layers.ff)[0].shape[0]

    def body(x: Array, one: tuple[Layer, Array]) -> tuple[Array, None]:
        layer, index = one
        key = subkey(rng, 1)
        key = None if key is None else jax.random.fold_in(key, index)
        x = layer.self_(x, mask=mask, causal=causal, rng=subkey(key, 0))
        if layer.cross is not None:
            x = layer.cross(x, image, rng=subkey(key, 1))
        x = layer.ff(x, rng=subkey(key, 2))
        return constrain(x, "batch", None, None), None

    if config.remat != "none":
        body = jax.checkpoint(
            body, policy=REMAT[config.remat], prevent_cse=config.unroll >= config.depth
        )
    unroll = max(1, min(config.unroll, depth))
    return jax.lax.scan(body, x, (layers, jnp.arange(depth)), unroll=unroll)[0]


class Traced(NamedTuple):
    """Hidden states, and how much each token looks at each token of the image in one layer."""

    hidden: Float[Array, "b t d"]
    attention: Float[Array, "b h t n"]


def run_traced(
    text: BlipText,
    ids: Int[Array, "b t"],
    mask: Bool[Array, "b t"],
    image: Float[Array, "b n e"],
    block: int,
    nudge: Float[Array, "b h t n"],
) -> Traced:
    """The encoder beside an image, with ``nudge`` added to the probabilities of the cross-attention
    of layer ``block`` (from 0): the gradient by a nudge of zeros is that by the probabilities."""
    c, mask = text.config, _with_first(mask)
    if not 0 <= block < c.depth:
        raise ValueError(f"block {block} of a text side with {c.depth}; they count from 0")
    layers = text.stack("encoder", True)

    def part(cut: slice) -> Layer:
        return jax.tree.map(lambda leaf: leaf[cut], layers)

    x = text.start(ids)
    if block:
        x = run_layers(part(slice(block)), x, image, mask, False, c)
    one: Layer = jax.tree.map(lambda leaf: leaf[block], layers)
    x = one.self_(x, mask=mask)
    assert one.cross is not None
    x, attention = _open_cross(one.cross, x, image, nudge)
    x = one.ff(x)
    if block + 1 < c.depth:
        x = run_layers(part(slice(block + 1, None)), x, image, mask, False, c)
    return Traced(x, attention)


def _open_cross(
    cross: Attend, x: Float[Array, "b t d"], image: Float[Array, "b n e"], nudge: Array
) -> tuple[Array, Array]:
    """Cross-attention with its probabilities in the open."""
    attn = cross.attn
    q, k, v = (
        y.reshape(*y.shape[:2], attn.heads, -1) for y in (attn.q(x), attn.k(image), attn.v(image))
    )
    scores = jnp.einsum("bthd,bshd->bhts", q, k, preferred_element_type=jnp.float32)
    attention = jax.nn.softmax(scores * q.shape[-1] ** -0.5, axis=-1) + nudge
    mixed = jnp.einsum("bhts,bshd->bthd", attention.astype(v.dtype), v)
    return cross.norm(x + attn.out(mixed.reshape(*x.shape[:2], -1))), attention


class Cache(NamedTuple):
    """Keys and values of every layer: of what is written so far, and of the image."""

    k: Float[Array, "l b s h d"]
    v: Float[Array, "l b s h d"]
    image_k: Float[Array, "l b n h d"]
    image_v: Float[Array, "l b n h d"]


def empty_cache(text: BlipText, image: Float[Array, "b n e"], places: int) -> Cache:
    """A cache for captions of ``places`` tokens, with the image's keys and values in it."""
    c, b = text.config, image.shape[0]
    cross = text.stack("decoder", True).cross
    assert cross is not None

    def project(layer: Attend) -> tuple[Array, Array]:
        found = (m(image).reshape(b, -1, c.heads, c.width // c.heads) for m in
                 (layer.attn.k, layer.attn.v))  # fmt: skip
        return tuple(found)  # type: ignore[return-value]

    image_k, image_v = jax.lax.map(project, cross)
    shape = (c.depth, b, places, c.heads, c.width // c.heads)
    zeros = jnp.zeros(shape, jnp.dtype(c.dtype))
    return Cache(zeros, zeros, image_k, image_v)


def write_step(
    text: BlipText, tokens: Int[Array, " b"], position: Int[Array, ""], cache: Cache
) -> tuple[Float[Array, "b d"], Cache]:
    """One token further: the last hidden state of each row, and the cache with the token in it.

    Args:
      tokens: the newest token of each row.
      position: its place, the same in all rows.
    """
    c = text.config
    x = text.embed.at(tokens, position)[:, None].astype(c.dtype)  # [B, 1, D]
    seen = jnp.arange(cache.k.shape[2]) <= position

    def attend(q: Array, k: Array, v: Array, allowed: Array | None) -> Array:
        scores = jnp.einsum("bhd,bshd->bhs", q, k, preferred_element_type=jnp.float32)
        scores = scores * q.shape[-1] ** -0.5
        if allowed is not None:
            scores = jnp.where(allowed, scores, MASKED)
        weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
        return jnp.einsum("bhs,bshd->bhd", weights, v)

    def body(x: Array, one: tuple[Layer, Cache]) -> tuple[Array, tuple[Array, Array]]:
        layer, own = one
        b = x.shape[0]

        def heads(y: Array) -> Array:
            return y.reshape(b, c.heads, -1)

        attn = layer.self_.attn
        k = jax.lax.dynamic_update_slice_in_dim(own.k, heads(attn.k(x))[:, None], position, 1)
        v = jax.lax.dynamic_update_slice_in_dim(own.v, heads(attn.v(x))[:, None], position, 1)
        mixed = attend(heads(attn.q(x)), k, v, seen)
        x = layer.self_.norm(x + attn.out(mixed.reshape(b, 1, -1)))
        assert layer.cross is not None
        attn = layer.cross.attn
        mixed = attend(heads(attn.q(x)), own.image_k, own.image_v, None)
        x = layer.cross.norm(x + attn.out(mixed.reshape(b, 1, -1)))
        return layer.ff(x), (k, v)

    x, (k, v) = jax.lax.scan(body, x, (text.stack("decoder", True), cache))
    return x[:, 0], cache._replace(k=k, v=v)


def _with_first(mask: Bool[Array, "b t"]) -> Bool[Array, "b t"]:
    """The first token counts as real, so that the padding rows of a last batch stay finite."""
    return mask | (jnp.arange(mask.shape[1]) == 0)
