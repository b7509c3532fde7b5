"""CLIP (Radford et al. 2021): a vision and a text tower, projected into one space."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Bool, Float, Int

from medvlp_jax.core.config import parse
from medvlp_jax.core.fields import Dtype, Extent, ExtentOrNone, Finite, Positive
from medvlp_jax.core.vectors import l2_normalize
from medvlp_jax.models.base import parameters
from medvlp_jax.models.features import ImageFeatures, TextFeatures
from medvlp_jax.models.layers import ACTIVATIONS, Activation, BatchNorm, Linear, param, unit_rows
from medvlp_jax.models.text_encoder import TextConfig, TextEncoder
from medvlp_jax.models.towers import VisionConfig, build_vision, spell_out
from medvlp_jax.models.vit import ViTConfig


@dataclasses.dataclass(frozen=True)
class ProjectionConfig:
    """Map from a tower's width to the joint space.

    Attributes:
      kind: ``linear``; ``mlp``, two layers; ``mlp_bn``, two layers with batch normalisation behind
        each, the second without scale and bias (as MGCA's heads); ``none``, for a tower that
        already has the width.
      hidden: width of the hidden layer, 0 for ``(in + out) // 2`` (UniMed-CLIP).
      activation: of the hidden layer: ``gelu`` for UniMed-CLIP, ``relu`` for ConVIRT.
      bias: on every layer.
    """

    kind: Literal["linear", "mlp", "mlp_bn", "none"] = "linear"
    hidden: ExtentOrNone = 0
    activation: Activation = "gelu"
    bias: bool = False

    def hidden_width(self, features_in: int, features_out: int) -> int:
        return self.hidden or (features_in + features_out) // 2

    def flops(self, features_in: int, features_out: int) -> int:
        """Forward operations on one vector."""
        if self.kind == "none":
            return 0
        if self.kind == "linear":
            return 2 * features_in * features_out
        hidden = self.hidden_width(features_in, features_out)
        return 2 * hidden * (features_in + features_out)


@dataclasses.dataclass(frozen=True)
class CLIPConfig:
    """The whole model.

    Attributes:
      vision: the vision tower.
      text: the text tower.
      embed_dim: width of the joint space.
      patch_map: where patch vectors come from: ``last``, the last map, by the projection of whole
        images; ``middle``, the finer map below it (layer3 of a ResNet, as in GLoRIA, Huang et al.
        2021), by a projection of its own that only a local loss trains; ``own``, the last map by a
        projection of its own.
      token_map: where token vectors come from: ``shared``, the projection of whole texts; ``own``,
        one that only a local loss trains.
      local_proj: form of the projections of their own.
      prototypes: rows of a table of unit vectors in the joint space that a loss may cluster by (as
        SwAV, Caron et al. 2020, arXiv:2006.09882); 0: no such table.
      vision_proj: projection of whole images into the joint space.
      text_proj: projection of whole texts.
      logit_scale: initial factor on the cosines (1/τ); its logarithm is the parameter.
      logit_bias: initial bias of the logits for the sigmoid loss; None: no such parameter.
      dtype: compute dtype of the projections; the towers have their own.
    """

    TOWERS: ClassVar[tuple[str, ...]] = ("vision", "text")
    #: Keys that published weights of a whole model decide.
    JOINT: ClassVar[tuple[str, ...]] = ("embed_dim", "vision_proj", "text_proj", "logit_bias")

    vision: VisionConfig = dataclasses.field(default_factory=ViTConfig)
    text: TextConfig = dataclasses.field(default_factory=TextConfig)
    embed_dim: Extent = 512
    patch_map: Literal["last", "middle", "own"] = "last"
    token_map: Literal["shared", "own"] = "shared"
    local_proj: ProjectionConfig = ProjectionConfig()
    prototypes: ExtentOrNone = 0
    vision_proj: ProjectionConfig = ProjectionConfig()
    text_proj: ProjectionConfig = ProjectionConfig()
    logit_scale: Positive = 1 / 0.07
    logit_bias: Finite | None = None
    dtype: Dtype = "float32"

    def __post_init__(self) -> None:
        maps = [
            ("vision", self.vision_proj, self.vision.features),
            ("text", self.text_proj, self.text.width),
        ]
        if self.patch_width is not None:
            maps.append(("local", self.local_proj, self.patch_width))
        if self.token_map == "own":
            maps.append(("local", self.local_proj, self.text.width))
        for side, proj, width in maps:
            if proj.kind == "none" and width != self.embed_dim:
                raise ValueError(
                    f"{side}_proj.kind='none' needs embed_dim {self.embed_dim} to be the tower's "
                    f"width {width}"
                )

    @property
    def patch_width(self) -> int | None:
        """Width of what the patches' own projection reads; None without one."""
        if self.patch_map == "last":
            return None
        return self.vision.map_width("middle" if self.patch_map == "middle" else "last")

    def build(self, *, rngs: nnx.Rngs) -> "CLIP":
        return CLIP(self, rngs=rngs)

    def flops(self, rows: int, text_len: int, *, train: bool = True) -> int:
        """Forward operations of ``rows`` pairs, each embedded into the joint space."""
        image = self.vision_proj.flops(self.vision.features, self.embed_dim)
        text = self.text_proj.flops(self.text.width, self.embed_dim)
        towers = self.vision.flops(train=train) + self.text.flops(text_len)
        return rows * (towers + image + text)

    def summary(self, params: Mapping[str, Any]) -> str:
        return parameters(params, self.TOWERS)


def clip_config(config: Mapping[str, Any], where: str = "config.model") -> CLIPConfig:
    """A :class:`CLIPConfig` from a group of config keys; see ``models.towers.spell_out``."""
    return parse(CLIPConfig, spell_out(config, CLIPConfig.TOWERS, where), where)


class Projection(nnx.Module):
    """Tower width to joint space; the result is float32."""

    def __init__(
        self,
        config: ProjectionConfig,
        features_in: int,
        features_out: int,
        *,
        dtype: str,
        rngs: nnx.Rngs,
    ):
        def linear(i: int, o: int, axes: tuple[str, str]) -> Linear:
            init = initializers.normal(i**-0.5)
            return Linear(i, o, axes=axes, bias=config.bias, init=init, dtype=dtype, rngs=rngs)

        hidden = config.hidden_width(features_in, features_out)
        two, one = config.kind in ("mlp", "mlp_bn"), config.kind == "linear"
        norms = config.kind == "mlp_bn"
        self.activation = config.activation
        self.hidden = linear(features_in, hidden, ("embed", "mlp")) if two else None
        self.out = (
            linear(hidden, features_out, ("mlp", "joint"))
            if two
            else linear(features_in, features_out, ("embed", "joint"))
            if one
            else None
        )
        self.hidden_norm = BatchNorm(hidden, dtype=dtype, rngs=rngs) if norms else None
        self.out_norm = BatchNorm(features_out, affine=False, rngs=rngs) if norms else None

    def __call__(
        self,
        x: Float[Array, "... d"],
        *,
        train: bool = False,
        where: Bool[Array, "..."] | None = None,
    ) -> Float[Array, "... e"]:
        """Projects vectors.

        Args:
          x: vectors of the tower.
          train: normalise by the batch and update the running statistics, with ``mlp_bn``.
          where: which vectors count in these statistics; None: all.
        """
        if self.hidden is not None:
            x = self.hidden(x)
            if self.hidden_norm is not None:
                x = self.hidden_norm(x, train=train, where=where)
            x = ACTIVATIONS[self.activation](x)
        if self.out is None:
            return x.astype(jnp.float32)
        x = self.out(x, out_dtype=jnp.dtype("float32"))
        return x if self.out_norm is None else self.out_norm(x, train=train, where=where)


class CLIP(nnx.Module):
    """Two towers, two projections, and the loss's scale and bias.

    ``logit_scale`` is the logarithm of the factor on the cosines; ``logit_bias`` is None unless
    the config gives it a value. Embeddings are float32 unit vectors.
    """

    def __init__(self, config: CLIPConfig, *, rngs: nnx.Rngs):
        c = self.config = config
        self.vision = build_vision(c.vision, rngs=rngs)
        self.text = TextEncoder(c.text, rngs=rngs)
        self.vision_proj = Projection(
            c.vision_proj, c.vision.features, c.embed_dim, dtype=c.dtype, rngs=rngs
        )
        self.text_proj = Projection(
            c.text_proj, c.text.width, c.embed_dim, dtype=c.dtype, rngs=rngs
        )
        self.patch_proj = (
            None
            if c.patch_width is None
            else Projection(c.local_proj, c.patch_width, c.embed_dim, dtype=c.dtype, rngs=rngs)
        )
        self.token_proj = (
            Projection(c.local_proj, c.text.width, c.embed_dim, dtype=c.dtype, rngs=rngs)
            if c.token_map == "own"
            else None
        )
        self.prototypes = (
            param(unit_rows, rngs, (c.prototypes, c.embed_dim), (None, "joint"))
            if c.prototypes
            else None
        )
        self.logit_scale = nnx.Param(
            jnp.asarray(math.log(c.logit_scale), jnp.float32), logical_axes=()
        )
        self.logit_bias = (
            None
            if c.logit_bias is None
            else nnx.Param(jnp.asarray(c.logit_bias, jnp.float32), logical_axes=())
        )

    def encode_image(
        self,
        image: Float[Array, "b y x c"],
        *,
        train: bool = False,
        rng: jax.Array | None = None,
        attend: bool = False,
    ) -> ImageFeatures:
        """The vision tower on normalised images; ``rng=None`` turns all randomness off.

        ``attend`` asks for the class token's attention on the patches, where there is one.
        """
        return self.vision(image, train=train, rng=rng, attend=attend)

    def encode_text(
        self,
        ids: Int[Array, "b t"],
        mask: Bool[Array, "b t"],
        *,
        train: bool = False,
        rng: jax.Array | None = None,
        hidden: int = 0,
        attend: bool = False,
    ) -> TextFeatures:
        """The text tower; ``hidden`` asks for the last so many hidden states too, ``attend`` for
        the first token's attention on the others."""
        return self.text(ids, mask, train=train, rng=rng, hidden=hidden, attend=attend)

    def image_embed(
        self,
        image: Float[Array, "b y x c"],
        *,
        train: bool = False,
        rng: jax.Array | None = None,
    ) -> Float[Array, "b e"]:
        """Unit vectors of whole images."""
        return self.project_image(self.encode_image(image, train=train, rng=rng), train=train)

    def text_embed(
        self,
        ids: Int[Array, "b t"],
        mask: Bool[Array, "b t"],
        *,
        train: bool = False,
        rng: jax.Array | None = None,
    ) -> Float[Array, "b e"]:
        """Unit vectors of whole texts."""
        return self.project_text(self.encode_text(ids, mask, train=train, rng=rng), train=train)

    def patch_embed(
        self,
        image: Float[Array, "b y x c"],
        *,
        normalize: bool = True,
        train: bool = False,
        rng: jax.Array | None = None,
    ) -> Float[Array, "b h w e"]:
        """Vectors of image patches in the joint space, for heat-maps; see ``project_patches``."""
        return self.project_patches(
            self.encode_image(image, train=train, rng=rng), normalize=normalize, train=train
        )

    def token_embed(
        self,
        ids: Int[Array, "b t"],
        mask: Bool[Array, "b t"],
        *,
        train: bool = False,
        rng: jax.Array | None = None,
    ) -> Float[Array, "b t e"]:
        """Unit vectors of tokens; those of padding are meaningless."""
        features = self.encode_text(ids, mask, train=train, rng=rng)
        return l2_normalize(self.project_tokens(features.tokens, train=train, where=mask))

    def project_image(self, features: ImageFeatures, *, train: bool = False) -> Float[Array, "b e"]:
        """Unit vectors of whole images from the tower's output."""
        return l2_normalize(self.vision_proj(features.pooled, train=train))

    def project_patches(
        self, features: ImageFeatures, *, normalize: bool = True, train: bool = False
    ) -> Float[Array, "b h w e"]:
        """Vectors of patches from the tower's output.

        With ``patch_map="last"``, ``normalize=False``, a linear projection and a tower that
        averages its patches (``pool="mean"``), the mean over the patches is the image's vector
        before its normalisation, so the mean of the patches' logits is the image's logit.
        """
        if self.patch_proj is None:
            patches = self.vision_proj(self.vision.local(features))
        else:
            found = features.middle if self.config.patch_map == "middle" else features.patches
            if found is None:
                raise ValueError("there is no patch map under patch dropout; pass rng=None")
            patches = self.patch_proj(found, train=train)
        return l2_normalize(patches) if normalize else patches

    def project_text(
        self, features: TextFeatures, *, normalize: bool = True, train: bool = False
    ) -> Float[Array, "b e"]:
        """Unit vectors of whole texts from the tower's output."""
        texts = self.text_proj(features.pooled, train=train)
        return l2_normalize(texts) if normalize else texts

    def project_tokens(
        self,
        tokens: Float[Array, "b t d"],
        *,
        train: bool = False,
        where: Bool[Array, "b t"] | None = None,
    ) -> Float[Array, "b t e"]:
        """Vectors of tokens (or of words made of them), not normalised.

        Args:
          tokens: of the text tower's width.
          train, where: see :class:`Projection`.
        """
        own = self.token_proj
        if own is None:
            return self.text_proj(tokens)
        return own(tokens, train=train, where=where)


def build_clip(config: CLIPConfig) -> Callable[[nnx.Rngs], CLIP]:
    """The factory that ``core.state.ModelDef.of`` wants."""
    return lambda rngs: CLIP(config, rngs=rngs)
