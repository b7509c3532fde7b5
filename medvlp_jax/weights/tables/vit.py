"""DINOv2 (RAD-DINO and kin) and the plain ViT, as transformers saves them."""

from collections.abc import Mapping
from typing import Any

from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.weights import settings
from medvlp_jax.weights.convert import Row, under
from medvlp_jax.weights.encoder_settings import vit_from, vit_to
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
    return vit_from(
        given,
        patch=14,
        activation="gelu",
        eps=1e-6,
        name="dinov2",
        mlp_width=int(width * given.get("mlp_ratio", 4)),
        layer_scale=given.get("layerscale_value", 1.0),
    )


def vit_config_from(given: Mapping[str, Any]) -> ViTConfig:
    """Our config from a ViT's ``config.json``.

    Raises:
      WeightsError: a variant that we do not have.
    """
    settings.expect(given, {"qkv_bias": True})
    return vit_from(given, patch=16, activation="gelu", eps=1e-12, name="vit")


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
    shared = vit_to(config)
    del shared["intermediate_size"]  # said as a ratio
    found = {
        "architectures": ["Dinov2Model"],
        "model_type": "dinov2",
        **shared,
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
        **vit_to(config),
    }
    settings.expect_same(config, vit_config_from(found), "ViT")
    return found
