"""DINOv2 (RAD-DINO and kin) and the plain ViT, as transformers saves them."""

from collections.abc import Mapping
from typing import Any

from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.weights import settings
from medvlp_jax.weights.convert import Row, under
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.tables.common import convolution, dense, norm
from medvlp_jax.weights.transforms import leading

RENAME = ((r"^(dinov2|vit)\.", ""),)

_EMBEDDINGS = (
    Row("cls_token", "class_token", leading(2)),
    Row("mask_token", None),  # stands for hidden patches in self-supervised training
    Row("position_embeddings", "positions", leading(1)),
    *convolution("patch_embeddings.projection", "embed"),
)
_ATTENTION = (
    *dense("attention.attention.query", "attn/q"),
    *dense("attention.attention.key", "attn/k"),
    *dense("attention.attention.value", "attn/v"),
    *dense("attention.output.dense", "attn/out"),
)
_DINOV2_LAYER = (
    *_ATTENTION,
    *norm("norm1", "norm1"),
    *norm("norm2", "norm2"),
    Row("layer_scale1.lambda1", "scale1"),
    Row("layer_scale2.lambda1", "scale2"),
    *dense("mlp.fc1", "mlp/up"),
    *dense("mlp.fc2", "mlp/down"),
)
_VIT_LAYER = (
    *_ATTENTION,
    *norm("layernorm_before", "norm1"),
    *norm("layernorm_after", "norm2"),
    *dense("intermediate.dense", "mlp/up"),
    *dense("output.dense", "mlp/down"),
)


def dinov2_table(config: ViTConfig) -> tuple[Row, ...]:
    """Rows of a ``Dinov2Model``."""
    del config
    return _table(_DINOV2_LAYER)


def vit_table(config: ViTConfig) -> tuple[Row, ...]:
    """Rows of a ``ViTModel``."""
    del config
    return _table(_VIT_LAYER)


def _table(layer: tuple[Row, ...]) -> tuple[Row, ...]:
    return (
        *under(_EMBEDDINGS, "embeddings.", ""),
        *under(layer, "encoder.layer.{i}.", "blocks/"),
        *norm("layernorm", "norm_post"),
        Row("pooler.*", None),
        Row("classifier.*", None),
    )


def dinov2_config_from(given: Mapping[str, Any]) -> ViTConfig:
    """Our config from a DINOv2's ``config.json``.

    Raises:
      WeightsError: a variant that we do not have (DINOv2-giant's gated MLP).
    """
    settings.expect(given, {"use_swiglu_ffn": False})
    width = given.get("hidden_size", 768)
    return ViTConfig(
        name="dinov2",
        image_size=settings.whole_patches(
            given.get("image_size", 224), given.get("patch_size", 14)
        ),
        patch=settings.side(given.get("patch_size", 14)),
        channels=given.get("num_channels", 3),
        width=width,
        depth=given.get("num_hidden_layers", 12),
        heads=given.get("num_attention_heads", 12),
        mlp_width=int(width * given.get("mlp_ratio", 4)),
        activation=settings.activation_from(given.get("hidden_act", "gelu")),
        eps=given.get("layer_norm_eps", 1e-6),
        layer_scale=given.get("layerscale_value", 1.0),
    )


def vit_config_from(given: Mapping[str, Any]) -> ViTConfig:
    """Our config from a ViT's ``config.json``.

    Raises:
      WeightsError: a variant that we do not have.
    """
    settings.expect(given, {"qkv_bias": True})
    return ViTConfig(
        name="vit",
        image_size=settings.whole_patches(
            given.get("image_size", 224), given.get("patch_size", 16)
        ),
        patch=settings.side(given.get("patch_size", 16)),
        channels=given.get("num_channels", 3),
        width=given.get("hidden_size", 768),
        depth=given.get("num_hidden_layers", 12),
        heads=given.get("num_attention_heads", 12),
        mlp_width=given.get("intermediate_size", 3072),
        activation=settings.activation_from(given.get("hidden_act", "gelu")),
        eps=given.get("layer_norm_eps", 1e-12),
    )


def dinov2_config_to(config: ViTConfig) -> dict[str, Any]:
    """Settings with which transformers builds the same ``Dinov2Model``.

    Raises:
      WeightsError: the tower is no DINOv2.
    """
    if config.mlp_width % config.width:
        raise WeightsError(
            f"the DINOv2 layout cannot hold this model: its mlp_width={config.mlp_width} is no "
            f"multiple of its width={config.width}"
        )
    found = {
        "architectures": ["Dinov2Model"],
        "model_type": "dinov2",
        **_common(config),
        "mlp_ratio": config.mlp_width // config.width,
        "layerscale_value": config.layer_scale,
        "use_mask_token": False,
    }
    settings.expect_same(config, dinov2_config_from(found), "DINOv2")
    return found


def vit_config_to(config: ViTConfig) -> dict[str, Any]:
    """Settings with which transformers builds the same ``ViTModel``.

    Raises:
      WeightsError: the tower is no plain ViT.
    """
    found = {
        "architectures": ["ViTModel"],
        "model_type": "vit",
        **_common(config),
        "intermediate_size": config.mlp_width,
    }
    settings.expect_same(config, vit_config_from(found), "ViT")
    return found


def _common(config: ViTConfig) -> dict[str, Any]:
    return {
        "image_size": config.image_size,
        "patch_size": config.patch,
        "num_channels": config.channels,
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "hidden_act": settings.activation_to(config.activation),
        "layer_norm_eps": config.eps,
    }
