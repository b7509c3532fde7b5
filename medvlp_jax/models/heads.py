"""A vision tower with something small behind it: what fine-tuning trains.

The tower is called ``vision`` in every model here, as in ``models.clip``, so that the parameters of
a pre-training run fit by name.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Float

from medvlp_jax.core.fields import Dtype, Size
from medvlp_jax.models.base import parameters
from medvlp_jax.models.features import ImageFeatures
from medvlp_jax.models.flops import conv_flops
from medvlp_jax.models.layers import Conv, LayerNorm, Linear
from medvlp_jax.models.towers import Vision, VisionConfig, build_vision
from medvlp_jax.models.vit import ViTConfig

#: Shares of a plain map's stride at which :class:`SimplePyramid` gives one (ViTDet).
_SCALES = (4, 2, 1, 0.5)


class TowerOnly(nnx.Module):
    """The tower alone, for features."""

    def __init__(self, vision: VisionConfig, *, rngs: nnx.Rngs):
        self.vision = build_vision(vision, rngs=rngs)


@dataclasses.dataclass(frozen=True)
class ClassifierConfig:
    """A vision tower with a linear layer.

    Attributes:
      vision: the tower.
      classes: each is a question of its own; said once, by ``config.data.labels``.
      dtype: compute dtype of the linear layer; the tower has its own.
    """

    TOWERS: ClassVar[tuple[str, ...]] = ("vision",)

    vision: VisionConfig = dataclasses.field(default_factory=ViTConfig)
    classes: Size = 1
    dtype: Dtype = "float32"

    def build(self, *, rngs: nnx.Rngs) -> "Classifier":
        return Classifier(self, rngs=rngs)

    def flops(self, rows: int, text_len: int, *, train: bool = True) -> int:
        del text_len  # there is no text
        return rows * (self.vision.flops(train=train) + 2 * self.vision.features * self.classes)

    def summary(self, params: Mapping[str, Any]) -> str:
        return parameters(params, self.TOWERS)


class Classifier(nnx.Module):
    """A linear layer on the pooled vector; its kernel starts at zero, as in BEiT and big_vision."""

    def __init__(self, config: ClassifierConfig, *, rngs: nnx.Rngs):
        self.vision = build_vision(config.vision, rngs=rngs)
        self.head = Linear(
            config.vision.features,
            config.classes,
            axes=("embed", None),
            init=initializers.zeros,
            dtype=config.dtype,
            rngs=rngs,
        )

    def __call__(
        self,
        image: Float[Array, "b y x c"],
        *,
        train: bool,
        frozen: bool = False,
        rng: jax.Array | None = None,
    ) -> Float[Array, "b k"]:
        """Logits in float32. ``frozen``: see :func:`encode`."""
        features = encode(
            lambda t: self.vision(image, train=t, rng=rng if t else None), train, frozen
        )
        return self.head(features.pooled, out_dtype=jnp.dtype("float32"))


def encode(tower: Callable[[bool], ImageFeatures], train: bool, frozen: bool) -> ImageFeatures:
    """``tower(train)``, or, of a frozen tower, what it gives in evaluation, without a gradient.

    A frozen tower normalises by its running statistics and leaves them alone: with statistics of
    the batch its features would change from batch to batch, and with the fine-tuning data.
    """
    return jax.lax.stop_gradient(tower(False)) if frozen else tower(train)


class Upsample(nnx.Module):
    """A transposed convolution with kernel and stride 2: a linear map to 2×2 positions each."""

    def __init__(self, features_in: int, features_out: int, *, dtype: str, rngs: nnx.Rngs):
        self.map = Conv(features_in, 4 * features_out, 1, bias=True, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b h2 w2 o"]:
        y = self.map(x)
        b, h, w, c = y.shape
        y = y.reshape(b, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5)
        return y.reshape(b, 2 * h, 2 * w, c // 4)


class SimplePyramid(nnx.Module):
    """Maps at a quarter, half, once and twice the stride of the one map that a ViT has.

    The simple feature pyramid of ViTDet (Li et al. 2022, arXiv:2203.16527, sec. 3): each level is
    made from the last map alone by transposed convolutions, nothing, or pooling. It belongs to the
    head: it is trained where the tower is frozen.
    """

    def __init__(self, width: int, *, dtype: str, rngs: nnx.Rngs):
        half, quarter = width // 2, width // 4
        self.up4_first = Upsample(width, half, dtype=dtype, rngs=rngs)
        self.up4_norm = LayerNorm(half, dtype=dtype, rngs=rngs)
        self.up4_second = Upsample(half, quarter, dtype=dtype, rngs=rngs)
        self.up2 = Upsample(width, half, dtype=dtype, rngs=rngs)

    @staticmethod
    def widths(width: int) -> tuple[int, ...]:
        """Channels of the four maps, the finest first."""
        return width // 4, width // 2, width, width

    def __call__(self, x: Float[Array, "b h w d"]) -> list[Float[Array, "b h2 w2 c"]]:
        fine = self.up4_second(jax.nn.gelu(self.up4_norm(self.up4_first(x))))
        _, h, w, _ = x.shape
        even = jnp.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), mode="edge")
        coarse = nnx.max_pool(even, (2, 2), strides=(2, 2))
        return [fine, self.up2(x), x, coarse]


class Pyramid(nnx.Module):
    """Feature maps of a tower from fine to coarse, whichever kind it is.

    A ResNet gives the maps it has; a ViT those of :class:`SimplePyramid`.
    """

    def __init__(self, vision: VisionConfig, *, rngs: nnx.Rngs):
        self.simple = (
            SimplePyramid(vision.width, dtype=vision.dtype, rngs=rngs)
            if vision.levels() is None
            else None
        )

    @staticmethod
    def levels(vision: VisionConfig) -> list[tuple[int, float]]:
        """(channels, stride in pixels) of each map, the finest first."""
        own = vision.levels()
        if own is not None:
            return own
        widths = SimplePyramid.widths(vision.width)
        return [(c, vision.stride / s) for c, s in zip(widths, _SCALES, strict=True)]

    @staticmethod
    def flops(vision: VisionConfig) -> int:
        """Forward operations of the maps beyond the tower's own, for one image."""
        if vision.levels() is not None:
            return 0
        side, width = vision.image_size // vision.stride, vision.width
        half, quarter = width // 2, width // 4
        fine = conv_flops(side, 1, width, 4 * half) + conv_flops(2 * side, 1, half, 4 * quarter)
        return fine + conv_flops(side, 1, width, 4 * half)

    def __call__(
        self,
        tower: Vision,
        image: Float[Array, "b y x c"],
        *,
        train: bool,
        frozen: bool,
    ) -> list[Float[Array, "b h w c"]]:
        """The maps of :meth:`levels`. A ViT's dropout is off: a map with holes is no map."""
        if self.simple is None:
            native: Any = tower  # has several maps
            maps = native.maps(image, train=train and not frozen)
            maps = maps[-len(self.levels(tower.config)) :]
            return jax.lax.stop_gradient(maps) if frozen else maps
        features = encode(lambda t: tower(image, train=t), train, frozen)
        assert features.patches is not None
        return self.simple(features.patches)
