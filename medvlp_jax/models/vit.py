"""Vision transformer (Dosovitskiy et al. 2021) with the options of CLIP, SigLIP and DINOv2."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Float

from medvlp_jax.core.fields import (
    Channels,
    Decay,
    Depth,
    Dtype,
    Extent,
    ExtentOrNone,
    Finite,
    NonNegative,
    Positive,
    Size,
)
from medvlp_jax.models.attention import Implementation
from medvlp_jax.models.blocks import (
    Attention,
    BlockConfig,
    Remat,
    apply_blocks,
    first_attention,
    stack_blocks,
)
from medvlp_jax.models.features import ImageFeatures
from medvlp_jax.models.flops import blocks_flops, conv_flops, mlp_flops
from medvlp_jax.models.layers import (
    Activation,
    Conv,
    LayerNorm,
    Mlp,
    gelu,
    param,
    rowwise,
    subkey,
)
from medvlp_jax.models.positions import Grid, resize_positions


@dataclasses.dataclass(frozen=True)
class ViTConfig:
    """Sizes and variants of a ViT.

    Attributes:
      name: for the reader; presets are keyed by it.
      image_size: side in pixels of the images that the position table is made for. Other sizes
        are accepted by a forward pass, which then resizes the table (bicubic).
      patch: side of a patch in pixels.
      channels: of the image, 1 or 3.
      pool: ``class`` token, ``mean`` of the patches, or ``map``, an attention pool.
      class_token: whether there is one; ``pool="class"`` needs it.
      registers: learned tokens without a position beside the class token, which the images' own
        tokens may use and nothing reads (Darcet et al. 2023, arXiv:2309.16588).
      stem: ``patch`` is one strided convolution, ``conv`` a stack of 3×3 stride-2 convolutions
        (Xiao et al. 2021), which trains better on small images; the patch is then a power of 2.
      patch_bias: bias of the patch embedding (CLIP has none).
      norm_pre: LayerNorm before the blocks (CLIP).
      patch_dropout: share of the patches dropped in training (Li et al. 2023), 0 ≤ p < 1.
      Others: see :class:`medvlp_jax.models.blocks.BlockConfig`.
    """

    name: str = "vit"
    image_size: Extent = 224
    patch: Extent = 16
    channels: Channels = 3
    width: Extent = 384
    depth: Depth = 12
    heads: Extent = 6
    mlp_width: Extent = 1536
    pool: Literal["class", "mean", "map"] = "class"
    class_token: bool = True
    registers: ExtentOrNone = 0
    stem: Literal["patch", "conv"] = "patch"
    patch_bias: bool = True
    norm_pre: bool = False
    patch_dropout: Decay = 0.0
    activation: Activation = "gelu"
    eps: Positive = 1e-6
    bias: bool = True
    layer_scale: Finite | None = None
    gated: bool = False
    dropout: Decay = 0.0
    init_std: NonNegative = 0.02
    dtype: Dtype = "float32"
    remat: Remat = "none"
    unroll: Size = 1
    attention: Implementation = "auto"

    def __post_init__(self) -> None:
        if self.image_size % self.patch:
            raise ValueError(
                f"image_size {self.image_size} is not a multiple of patch {self.patch}"
            )
        if self.pool == "class" and not self.class_token:
            raise ValueError('pool="class" needs class_token=True')
        if self.registers and not self.class_token:
            raise ValueError(
                f"registers={self.registers} stand behind a class token, and there is none"
            )
        if not 0.0 <= self.patch_dropout < 1.0:
            raise ValueError(f"patch_dropout {self.patch_dropout} is not in [0, 1)")
        if self.stem == "conv" and self.patch & (self.patch - 1):
            raise ValueError(f'stem="conv" needs a patch that is a power of two, not {self.patch}')
        self.blocks()

    def blocks(self) -> BlockConfig:
        return BlockConfig.of(self)

    @property
    def grid(self) -> Grid:
        side = self.image_size // self.patch
        return side, side

    def positions_for(self, table: Float[Array, "n d"], grid: Grid) -> Float[Array, "m d"]:
        """The position table for another grid, resized as its origin does: DINOv2's models with
        registers smooth before they shrink, all others do not."""
        return resize_positions(table, self.grid, grid, antialias=self.registers > 0)

    @property
    def features(self) -> int:
        """Width of the pooled vector."""
        return self.width

    def kept(self, patches: int) -> int:
        """How many of so many patches survive patch dropout."""
        return max(1, round(patches * (1.0 - self.patch_dropout)))

    @property
    def stride(self) -> int:
        """Pixels a side of a position of the map."""
        return self.patch

    def build(self, *, rngs: nnx.Rngs) -> "ViT":
        return ViT(self, rngs=rngs)

    def map_width(self, which: Literal["last", "middle"]) -> int:
        if which == "middle":
            raise ValueError("patch_map='middle' needs a ResNet; a ViT has one map")
        return self.width

    def levels(self) -> None:
        """A ViT has one map; ``models.heads.SimplePyramid`` makes others of it."""
        return

    def flops(self, *, train: bool = True) -> int:
        """Forward operations on one image of ``image_size``; ``train``: with patch dropout."""
        width, (rows, columns) = self.width, self.grid
        patches = rows * columns
        tokens = (self.kept(patches) if train else patches) + self.class_token + self.registers
        if self.stem == "conv":
            total, side, channels = 0, self.image_size, self.channels
            for out in ConvStem.widths(self):
                side //= 2
                total += conv_flops(side, 3, channels, out)
                channels = out
            total += conv_flops(side, 1, channels, width)
        else:
            total = 2 * patches * self.patch**2 * self.channels * width
        total += blocks_flops(self.blocks(), tokens)
        if self.pool == "map":
            projections = 2 * width * width * (2 + 2 * tokens)  # q and out of one query, k and v
            scores = 2 * 2 * tokens * width
            total += projections + scores + mlp_flops(width, self.mlp_width)
        return total


def _preset(name: str, patch: int, width: int, depth: int, heads: int) -> ViTConfig:
    return ViTConfig(
        name=name, patch=patch, width=width, depth=depth, heads=heads, mlp_width=4 * width
    )


PRESETS: dict[str, ViTConfig] = {
    c.name: c
    for c in (
        _preset("vit_ti16", 16, 192, 12, 3),
        _preset("vit_s16", 16, 384, 12, 6),
        _preset("vit_b16", 16, 768, 12, 12),
        _preset("vit_b32", 32, 768, 12, 12),
        _preset("vit_l14", 14, 1024, 24, 16),
        _preset("vit_l16", 16, 1024, 24, 16),
    )
}


class PatchEmbed(nnx.Module):
    """Non-overlapping patches, one linear map each; the kernel is [patch, patch, in, out]."""

    def __init__(self, config: ViTConfig, *, rngs: nnx.Rngs):
        p, c, d = config.patch, config.channels, config.width
        self.dtype = jnp.dtype(config.dtype)
        self.kernel = param(
            initializers.lecun_normal(in_axis=(0, 1, 2), out_axis=3),
            rngs,
            (p, p, c, d),
            (None, None, "conv_in", "conv_out"),
        )
        self.bias = param(initializers.zeros, rngs, (d,), ("norm",)) if config.patch_bias else None

    def __call__(self, image: Float[Array, "b y x c"]) -> Float[Array, "b h w d"]:
        b, y, x, c = image.shape
        p, _, _, d = self.kernel.shape
        patches = image.astype(self.dtype).reshape(b, y // p, p, x // p, p, c)
        patches = patches.transpose(0, 1, 3, 2, 4, 5).reshape(b, y // p, x // p, p * p * c)
        kernel = self.kernel[...].astype(self.dtype).reshape(p * p * c, d)
        out = rowwise(patches, kernel, self.dtype)
        return out if self.bias is None else out + self.bias[...].astype(self.dtype)


class ConvStem(nnx.Module):
    """3×3 stride-2 convolutions, each with LayerNorm over channels and GELU, then a 1×1.

    The width halves from stage to stage counted from the end, so that the cost stays near that of
    one block.
    """

    def __init__(self, config: ViTConfig, *, rngs: nnx.Rngs):
        widths = self.widths(config)
        inputs = (config.channels, *widths[:-1])
        dtype = config.dtype
        self.convs = nnx.List(
            [
                Conv(i, o, 3, stride=2, dtype=dtype, rngs=rngs)
                for i, o in zip(inputs, widths, strict=True)
            ]
        )
        self.norms = nnx.List(
            [LayerNorm(o, eps=config.eps, dtype=dtype, rngs=rngs) for o in widths]
        )
        self.project = Conv(widths[-1], config.width, 1, bias=True, dtype=dtype, rngs=rngs)

    @staticmethod
    def widths(config: ViTConfig) -> tuple[int, ...]:
        """Channels after each stride-2 convolution."""
        stages = config.patch.bit_length() - 1
        return tuple(max(8, config.width >> (stages - i)) for i in range(stages))

    def __call__(self, image: Float[Array, "b y x c"]) -> Float[Array, "b h w d"]:
        x = image
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = gelu(norm(conv(x)))
        return self.project(x)


class AttentionPool(nnx.Module):
    """Attention of one learned query on all tokens, then a residual MLP (SigLIP's MAP head)."""

    def __init__(self, config: ViTConfig, *, rngs: nnx.Rngs):
        c = config
        init = initializers.truncated_normal(c.init_std)
        self.impl: Implementation = "xla"  # one query: a fused kernel has nothing to save
        self.probe = param(init, rngs, (c.width,), ("norm",))
        self.attn = Attention(c.width, c.heads, bias=c.bias, init=init, dtype=c.dtype, rngs=rngs)
        self.norm = LayerNorm(c.width, eps=c.eps, dtype=c.dtype, rngs=rngs)
        self.mlp = Mlp(
            c.width,
            c.mlp_width,
            activation=c.activation,
            bias=c.bias,
            init=init,
            dtype=c.dtype,
            rngs=rngs,
        )

    def __call__(self, tokens: Float[Array, "b n d"]) -> Float[Array, "b d"]:
        b, _, d = tokens.shape
        probe = jnp.broadcast_to(self.probe[...].astype(tokens.dtype), (b, 1, d))
        return self._head(self.attn(probe, tokens, impl=self.impl))[:, 0]

    def each(self, tokens: Float[Array, "... d"]) -> Float[Array, "... d"]:
        """What the pool would give if a token were the only one: attention is then its value."""
        return self._head(self.attn.out(self.attn.v(tokens)))

    def _head(self, x: Array) -> Array:
        return x + self.mlp(self.norm(x))


class ViT(nnx.Module):
    """Images to a pooled vector and a map of patch vectors, both after the last LayerNorm."""

    def __init__(self, config: ViTConfig, *, rngs: nnx.Rngs):
        c = self.config = config
        n = c.grid[0] * c.grid[1] + c.class_token
        init = initializers.truncated_normal(c.init_std)
        self.embed = (ConvStem if c.stem == "conv" else PatchEmbed)(c, rngs=rngs)
        self.class_token = param(init, rngs, (c.width,), ("norm",)) if c.class_token else None
        self.registers = (
            param(init, rngs, (c.registers, c.width), (None, "embed")) if c.registers else None
        )
        # Row 0 belongs to the class token, if there is one; the rest is the grid, row-major.
        self.positions = param(init, rngs, (n, c.width), ("position", "embed"))
        self.norm_pre = (
            LayerNorm(c.width, eps=c.eps, dtype=c.dtype, rngs=rngs) if c.norm_pre else None
        )
        self.blocks = stack_blocks(c.blocks(), rngs=rngs)
        self.norm_post = LayerNorm(c.width, eps=c.eps, dtype=c.dtype, rngs=rngs)
        self.pool = AttentionPool(c, rngs=rngs) if c.pool == "map" else None

    def __call__(
        self,
        image: Float[Array, "b y x c"],
        *,
        train: bool = False,
        rng: jax.Array | None = None,
        attend: bool = False,
    ) -> ImageFeatures:
        """Encodes normalised images.

        Args:
          image: normalised pixels; sides are multiples of the patch.
          train: accepted for the common signature; a ViT has no batch statistics.
          rng: key for patch dropout and dropout; None turns both off.
          attend: also return the class token's attention, where there is a class token.

        Raises:
          ValueError: the image does not fit the patch or the channels.
        """
        del train
        c = self.config
        b, height, width, channels = image.shape
        if height % c.patch or width % c.patch or channels != c.channels:
            raise ValueError(
                f"image {image.shape[1:]} does not fit {c.name}: sides must be multiples of "
                f"{c.patch}, channels {c.channels}"
            )
        grid = height // c.patch, width // c.patch
        table = self.positions[...]
        x = self.embed(image).reshape(b, -1, c.width)
        x = x + c.positions_for(table[int(c.class_token) :], grid).astype(x.dtype)
        if rng is not None:
            x = drop_patches(x, c.kept(x.shape[1]), jax.random.fold_in(rng, 0))
        dropped = x.shape[1] < grid[0] * grid[1]
        if self.class_token is not None:
            first = (self.class_token[...] + table[0])[None]
            if self.registers is not None:
                first = jnp.concatenate([first, self.registers[...]])
            first = jnp.broadcast_to(first.astype(x.dtype), (b, *first.shape))
            x = jnp.concatenate([first, x], axis=1)
        prefix = c.class_token + c.registers
        if self.norm_pre is not None:
            x = self.norm_pre(x)
        attend = attend and self.class_token is not None and not dropped
        start = x
        x, states = apply_blocks(self.blocks, x, rng=subkey(rng, 1), collect=attend)
        attention = None
        if attend:
            assert states is not None
            attention = first_attention(self.blocks, states[-2] if c.depth > 1 else start)
            attention = attention[:, prefix:].reshape(b, *grid)
        x = self.norm_post(x)
        if self.pool is not None:
            pooled = self.pool(x)
        elif c.pool == "mean":
            pooled = jnp.mean(x[:, prefix:].astype(jnp.float32), axis=1).astype(x.dtype)
        else:
            pooled = x[:, 0]
        patches = None if dropped else x[:, prefix:].reshape(b, *grid, c.width)
        return ImageFeatures(pooled, patches, attention=attention)

    def local(self, features: ImageFeatures) -> Float[Array, "b h w d"]:
        """Patch vectors that live in the space of the pooled vector."""
        if features.patches is None:
            raise ValueError("there is no patch map under patch dropout; pass rng=None")
        return features.patches if self.pool is None else self.pool.each(features.patches)


def drop_patches(x: Float[Array, "b n d"], keep: int, rng: jax.Array) -> Float[Array, "b keep d"]:
    """Keeps ``keep`` patches of each image, chosen uniformly and independently per image."""
    if keep == x.shape[1]:
        return x
    noise = jax.random.uniform(rng, x.shape[:2])
    index = jnp.argsort(noise, axis=1)[:, :keep]
    return jnp.take_along_axis(x, index[:, :, None], axis=1)
