"""U-Net (Ronneberger et al. 2015) whose contracting path is a pre-trained vision tower."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from medvlp_jax.models.heads import Pyramid, VisionConfig, build_vision
from medvlp_jax.models.layers import BatchNorm, Conv

#: Channels of the expanding path, from the coarsest step on, as the common U-Nets on ResNets have.
WIDTHS = (256, 128, 64, 32, 16)


class UpBlock(nnx.Module):
    """Twice the resolution, beside the skip of that resolution, through two 3×3 convolutions."""

    def __init__(self, features_in: int, skip: int, features_out: int, *, dtype: str, rngs):
        self.convs = nnx.List(
            [
                Conv(features_in + skip, features_out, 3, dtype=dtype, rngs=rngs),
                Conv(features_out, features_out, 3, dtype=dtype, rngs=rngs),
            ]
        )
        self.norms = nnx.List([BatchNorm(features_out, dtype=dtype, rngs=rngs) for _ in range(2)])

    def __call__(
        self, x: Float[Array, "b h w c"], skip: Float[Array, "b y x s"] | None, *, train: bool
    ) -> Float[Array, "b y x o"]:
        size = (2 * x.shape[1], 2 * x.shape[2]) if skip is None else skip.shape[1:3]
        x = resize(x, size)
        if skip is not None:
            x = jnp.concatenate([x, skip.astype(x.dtype)], axis=-1)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = jax.nn.relu(norm(conv(x), train=train))
        return x


def resize(x: Float[Array, "b h w c"], size: Sequence[int]) -> Float[Array, "b y x c"]:
    """Each position repeated where the size doubles; bilinear otherwise (odd maps, ViT patches)."""
    h, w = x.shape[1:3]
    if (h, w) == tuple(size):
        return x
    if (2 * h, 2 * w) == tuple(size):
        return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
    return jax.image.resize(x, (x.shape[0], *size, x.shape[3]), "bilinear")


class Segmenter(nnx.Module):
    """Images to one logit a pixel and mask, at the resolution of the image.

    The expanding path follows the maps of the tower up to its finest, then doubles the resolution
    without a skip until it reaches ``stride``; the logits are enlarged the rest of the way.

    Args:
      masks: number of regions; they may overlap, so each is a binary question.
      widths: channels after each step up; the last one is used for all that follow.
      stride: pixels a side of a position of the last map; 1 is the resolution of the image.
    """

    def __init__(
        self,
        vision: VisionConfig,
        masks: int,
        *,
        widths: Sequence[int] = WIDTHS,
        stride: int = 1,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        self.vision = build_vision(vision, rngs=rngs)
        self.pyramid = Pyramid(vision, rngs=rngs)
        levels = Pyramid.levels(vision)
        skips = [c for c, _ in levels[:-1]][::-1]
        reached = levels[0][1]
        while reached >= 2 * stride:
            skips.append(0)
            reached /= 2
        channels, blocks = levels[-1][0], []
        for i, skip in enumerate(skips):
            out = widths[min(i, len(widths) - 1)]
            blocks.append(UpBlock(channels, skip, out, dtype=dtype, rngs=rngs))
            channels = out
        self.blocks = nnx.List(blocks)
        self.out = Conv(channels, masks, 1, bias=True, rngs=rngs)
        # Few pixels belong to a finding; sigmoid(-4) is about the share that does.
        assert self.out.bias is not None
        self.out.bias.set_value(jnp.full((masks,), -4.0))

    def __call__(
        self,
        image: Float[Array, "b y x c"],
        *,
        train: bool,
        frozen: bool = False,
    ) -> Float[Array, "b y x l"]:
        """Logits in float32; ``frozen`` keeps the tower as in evaluation (``heads.encode``)."""
        maps = self.pyramid(self.vision, image, train=train, frozen=frozen)
        x, skips = maps[-1], maps[-2::-1]
        for i, block in enumerate(self.blocks):
            x = block(x, skips[i] if i < len(skips) else None, train=train)
        return resize(self.out(x).astype(jnp.float32), image.shape[1:3])
