"""A vision tower with something small behind it: what fine-tuning trains.

The tower is called ``vision`` in every model here, as in ``models.clip``, so that the parameters of
a pre-training run fit by name.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Float

from medvlp_jax.models.densenet import DenseNet, DenseNetConfig
from medvlp_jax.models.features import ImageFeatures
from medvlp_jax.models.layers import Conv, LayerNorm, Linear
from medvlp_jax.models.resnet import ResNet, ResNetConfig
from medvlp_jax.models.vit import ViT, ViTConfig

VisionConfig = ViTConfig | ResNetConfig | DenseNetConfig
Vision = ViT | ResNet | DenseNet
#: Shares of a plain map's stride at which :class:`SimplePyramid` gives one (ViTDet).
_SCALES = (4, 2, 1, 0.5)


def build_vision(config: VisionConfig, *, rngs: nnx.Rngs) -> Vision:
    """The tower that a config describes."""
    if isinstance(config, ViTConfig):
        return ViT(config, rngs=rngs)
    if isinstance(config, DenseNetConfig):
        return DenseNet(config, rngs=rngs)
    return ResNet(config, rngs=rngs)


class TowerOnly(nnx.Module):
    """The tower alone, for features."""

    def __init__(self, vision: VisionConfig, *, rngs: nnx.Rngs):
        self.vision = build_vision(vision, rngs=rngs)


class Classifier(nnx.Module):
    """A linear layer on the pooled vector; its kernel starts at zero, as in BEiT and big_vision."""

    def __init__(self, vision: VisionConfig, classes: int, *, rngs: nnx.Rngs):
        self.vision = build_vision(vision, rngs=rngs)
        self.head = Linear(
            vision.features, classes, axes=("embed", None), init=initializers.zeros, rngs=rngs
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


def _has_stem_map(config: ResNetConfig | DenseNetConfig) -> bool:
    # A folded stem is as coarse as the first stage, which sees more.
    return not isinstance(config, ResNetConfig) or config.stem == "v1"


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
            if isinstance(vision, ViTConfig)
            else None
        )

    @staticmethod
    def levels(vision: VisionConfig) -> list[tuple[int, float]]:
        """(channels, stride in pixels) of each map, the finest first."""
        if isinstance(vision, ViTConfig):
            widths = SimplePyramid.widths(vision.width)
            return [(c, vision.patch / s) for c, s in zip(widths, _SCALES, strict=True)]
        stages = [(vision.stage_width(i), 4.0 * 2**i) for i in range(len(vision.stage_sizes))]
        return ([(vision.width, 2.0)] if _has_stem_map(vision) else []) + stages

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
            assert not isinstance(tower, ViT)
            maps = tower.maps(image, train=train and not frozen)
            maps = maps if _has_stem_map(tower.config) else maps[1:]
            return jax.lax.stop_gradient(maps) if frozen else maps
        features = encode(lambda t: tower(image, train=t), train, frozen)
        assert features.patches is not None
        return self.simple(features.patches)
