"""BLIP (Li et al. 2022, arXiv:2201.12086): a ViT, and a BERT that reads, matches and writes."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Bool, Float, Int

from medvlp_jax.core.fields import Dtype, Extent, ExtentOrNone, Positive
from medvlp_jax.models.base import parameters
from medvlp_jax.models.blip.momentum import Momentum, Queue, project, tokens_of
from medvlp_jax.models.blip.text import BlipText, Branch, run_traced
from medvlp_jax.models.layers import ACTIVATIONS, LayerNorm, Linear, param
from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.models.vit import ViTConfig

#: Rows of the word table behind those of the tokenizer: [DEC] begins what the decoder reads, [ENC]
#: what the encoder reads beside an image.
EXTRA_TOKENS = 2
#: Bounds of the learned temperature.
TEMPERATURES = (0.001, 0.5)

_TEXT = TextConfig(name="bert_base", types=0, dropout=0.1)


@dataclasses.dataclass(frozen=True)
class BlipConfig:
    """The whole model.

    Attributes:
      vision: a ViT with a class token; texts look at all its tokens.
      text: a BERT without token types. ``vocab`` is that of the tokenizer; [DEC] and [ENC] are two
        rows more.
      branches: ``encoder`` (contrast and matching) and ``decoder`` (captions); they share all but
        their self-attention. Weights published for one of the two have that one alone.
      embed_dim: width of the joint space.
      temperature: at the start, then learned within 0.001 and 0.5; None: no such parameter (weights
        that were published without it).
      queue: image and text vectors of earlier batches that the contrast is over, a multiple of the
        batch; 0: no queue and no momentum encoder, for a model that is not trained by contrast.
      dtype: compute dtype of projections and heads; the towers have their own.
    """

    TOWERS: ClassVar[tuple[str, ...]] = ("vision", "text")
    #: Keys that published weights of a whole model decide.
    JOINT: ClassVar[tuple[str, ...]] = ("embed_dim", "branches")

    vision: ViTConfig = dataclasses.field(default_factory=ViTConfig)
    text: TextConfig = _TEXT
    branches: tuple[Branch, ...] = ("encoder", "decoder")
    embed_dim: Extent = 256
    temperature: Positive | None = 0.07
    queue: ExtentOrNone = 57_600
    dtype: Dtype = "float32"

    def __post_init__(self) -> None:
        if not self.branches or len(set(self.branches)) != len(self.branches):
            raise ValueError(f"branches={self.branches} must name encoder, decoder or both, once")
        wanted = {
            "types": 0,
            "norm": "post",
            "norm_embed": True,
            "norm_final": False,
            "causal": False,
            "pool": "class",
            "see_padding": False,
        }
        for name, value in wanted.items():
            if getattr(self.text, name) != value:
                raise ValueError(
                    f"text.{name}={getattr(self.text, name)!r}: the text side of BLIP is a BERT "
                    f"without token types, {name}={value!r}"
                )
        if self.vision.pool != "class":
            raise ValueError(f"vision.pool={self.vision.pool!r}: BLIP needs the class token")
        if self.vision.patch_dropout:
            raise ValueError("vision.patch_dropout: texts look at every patch; leave it out")
        if self.temperature is not None and not TEMPERATURES[0] <= self.temperature <= 0.5:
            raise ValueError(f"temperature={self.temperature} must be in {TEMPERATURES}")
        if self.queue and "encoder" not in self.branches:
            raise ValueError(f"queue={self.queue} belongs to the branch 'encoder'; set it to 0")

    @property
    def rows(self) -> int:
        """Of the word table."""
        return self.text.vocab + EXTRA_TOKENS

    @property
    def dec_id(self) -> int:
        """The token that a caption begins with, in place of [CLS]."""
        return self.text.vocab

    @property
    def enc_id(self) -> int:
        """The token that a text beside an image begins with, in place of [CLS]."""
        return self.text.vocab + 1

    def build(self, *, rngs: nnx.Rngs) -> "Blip":
        return Blip(self, rngs=rngs)

    def flops(self, rows: int, text_len: int, *, train: bool = True) -> int:
        """Forward operations on ``rows`` pairs: both towers, three pairs a row through the cross
        attention, one caption, and in training both momentum towers, which have no backward pass
        (a step counts three times this)."""
        image = self.vision.flops(train=train)
        text = self.text.flops(text_len)
        total = image
        if "encoder" in self.branches:
            total += text + 3 * (text + self._cross(text_len))
            total += (image + text) // 3 if self.queue and train else 0
        if "decoder" in self.branches:
            total += text + self._cross(text_len) + self._words(text_len)
        return rows * total

    def _cross(self, text_len: int) -> int:
        """Cross-attention of one text on one image."""
        c, (h, w) = self.text, self.vision.grid
        tokens = h * w + 1
        maps = 2 * 2 * text_len * c.width**2 + 2 * 2 * tokens * self.vision.width * c.width
        return c.depth * (maps + 2 * 2 * text_len * tokens * c.width)

    def _words(self, text_len: int) -> int:
        return text_len * (2 * self.text.width**2 + 2 * self.text.width * self.rows)

    def summary(self, params: Mapping[str, Any]) -> str:
        return parameters(params, self.TOWERS)


class WordHead(nnx.Module):
    """Hidden states to logits of words, by the word table itself (BERT's head of masked words)."""

    def __init__(self, config: TextConfig, rows: int, *, rngs: nnx.Rngs):
        c = self.config = config
        init = initializers.truncated_normal(c.init_std)
        self.transform = Linear(
            c.width, c.width, axes=("embed", "mlp"), init=init, dtype=c.dtype, rngs=rngs
        )
        self.norm = LayerNorm(c.width, eps=c.eps, dtype=c.dtype, rngs=rngs)
        self.bias = param(initializers.zeros, rngs, (rows,), ("vocab",))

    def __call__(
        self, x: Float[Array, "... d"], table: Float[Array, "v d"]
    ) -> Float[Array, "... v"]:
        """Logits in float32."""
        x = self.norm(ACTIVATIONS[self.config.activation](self.transform(x)))
        logits = jnp.einsum(
            "...d,vd->...v", x, table.astype(x.dtype), preferred_element_type=jnp.float32
        )
        return logits + self.bias[...]


class Blip(nnx.Module):
    """Images and texts to vectors, pairs to match logits, images to captions."""

    def __init__(self, config: BlipConfig, *, rngs: nnx.Rngs):
        c = self.config = config
        reads, writes = ("encoder" in c.branches), ("decoder" in c.branches)
        self.vision = c.vision.build(rngs=rngs)
        self.text = BlipText(c.text, c.rows, c.vision.width, c.branches, rngs=rngs)

        def linear(i: int, o: int, axis: str | None) -> Linear:
            return Linear(i, o, axes=("embed", axis), dtype=c.dtype, rngs=rngs)

        self.vision_proj = linear(c.vision.width, c.embed_dim, "joint") if reads else None
        self.text_proj = linear(c.text.width, c.embed_dim, "joint") if reads else None
        self.itm = linear(c.text.width, 2, None) if reads else None
        self.lm = WordHead(c.text, c.rows, rngs=rngs) if writes else None
        self.temperature = (
            nnx.Param(jnp.asarray(c.temperature, jnp.float32), logical_axes=())
            if reads and c.temperature is not None
            else None
        )
        self.momentum = (
            Momentum(self.vision, self.text, self.vision_proj, self.text_proj) if c.queue else None
        )
        self.queue = Queue(c.queue, c.embed_dim, rngs=rngs) if c.queue else None

    def image_tokens(
        self, image: Float[Array, "b y x c"], *, rng: jax.Array | None = None
    ) -> Float[Array, "b n d"]:
        """The class token and the patches, row by row, that texts look at."""
        return tokens_of(self.vision, image, rng)

    def project_image(self, tokens: Float[Array, "b n d"]) -> Float[Array, "b e"]:
        """Unit vectors of whole images."""
        return project(self.vision_proj, tokens[:, 0])

    def project_text(self, hidden: Float[Array, "b t d"]) -> Float[Array, "b e"]:
        """Unit vectors of whole texts."""
        return project(self.text_proj, hidden[:, 0])

    def image_embed(self, image: Float[Array, "b y x c"]) -> Float[Array, "b e"]:
        """Unit vectors of whole images."""
        return self.project_image(self.image_tokens(image))

    def text_embed(
        self,
        ids: Int[Array, "b t"],
        mask: Bool[Array, "b t"],
        *,
        rng: jax.Array | None = None,
    ) -> Float[Array, "b e"]:
        """Unit vectors of whole texts, read without an image."""
        return self.project_text(self.text(ids, mask, rng=rng))

    def patch_embed(self, image: Float[Array, "b y x c"]) -> Float[Array, "b h w e"]:
        """Unit vectors of patches by the projection of whole images, for heat-maps."""
        tokens = self.image_tokens(image)[:, 1:]
        b, (h, w) = tokens.shape[0], self._grid(image.shape)
        return project(self.vision_proj, tokens).reshape(b, h, w, -1)

    def match(
        self,
        ids: Int[Array, "b t"],
        mask: Bool[Array, "b t"],
        tokens: Float[Array, "b n d"],
        *,
        rng: jax.Array | None = None,
    ) -> Float[Array, "b 2"]:
        """Logits of "no match" and "match" of each text with the image beside it."""
        hidden = self.text(first(ids, self.config.enc_id), mask, tokens, rng=rng)
        return self._head(hidden[:, 0])

    def caption_logits(
        self,
        ids: Int[Array, "b t"],
        mask: Bool[Array, "b t"],
        tokens: Float[Array, "b n d"],
        *,
        rng: jax.Array | None = None,
    ) -> Float[Array, "b t v"]:
        """Logits of the word behind every word of a caption."""
        ids = first(ids, self.config.dec_id)
        return self.words(self.text(ids, mask, tokens, branch="decoder", rng=rng))

    def words(self, hidden: Float[Array, "... d"]) -> Float[Array, "... v"]:
        """Logits of words from the decoder's hidden states.

        Raises:
          ValueError: the model has no decoder.
        """
        if self.lm is None:
            raise ValueError("this BLIP writes no captions; see config.model.branches")
        return self.lm(hidden, self.text.embed.words.table[...])

    def match_maps(
        self,
        ids: Int[Array, "b t"],
        mask: Bool[Array, "b t"],
        image: Float[Array, "b y x c"],
        block: int,
    ) -> Float[Array, "b s t h w"]:
        """Where each word looks in an image, weighed by what that does to the match (Grad-CAM).

        The probabilities of the cross-attention of layer ``block`` times the positive part of the
        gradient of the loss ``-log p(match)`` by them (first) and of ``log p(match)`` (second),
        averaged over the heads, without the class token.
        """
        tokens = self.image_tokens(image)
        c, (b, n) = self.config, tokens.shape[:2]
        ids = first(ids, c.enc_id)

        def loss(nudge: Array) -> tuple[Array, Array]:
            found = run_traced(self.text, ids, mask, tokens, block, nudge)
            logits = self._head(found.hidden[:, 0])
            return -jnp.sum(jax.nn.log_softmax(logits)[:, 1]), found.attention

        nudge = jnp.zeros((b, c.text.heads, ids.shape[1], n), jnp.float32)
        slope, attention = jax.grad(loss, has_aux=True)(nudge)
        signs = jnp.stack([slope, -slope], 1)  # [B, 2, H, T, N]
        cam = jnp.mean(attention[:, None] * jax.nn.relu(signs), axis=2)[..., 1:]
        return cam.reshape(b, 2, ids.shape[1], *self._grid(image.shape))

    def _head(self, x: Float[Array, "b d"]) -> Float[Array, "b 2"]:
        if self.itm is None:
            raise ValueError("this BLIP matches no pairs; see config.model.branches")
        return self.itm(x, out_dtype=jnp.dtype("float32"))

    def _grid(self, shape: tuple[int, ...]) -> tuple[int, int]:
        patch = self.config.vision.patch
        return shape[1] // patch, shape[2] // patch


def first(ids: Int[Array, "b t"], token: int) -> Int[Array, "b t"]:
    """The same texts with ``token`` in the first place."""
    return ids.at[:, 0].set(token)
