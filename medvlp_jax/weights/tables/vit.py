"""DINOv2 (RAD-DINO and kin) and the plain ViT, as transformers saves them."""

from collections.abc import Mapping
from typing import Any

from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.weights import settings
from medvlp_jax.weights.encoder_settings import vit_from, vit_to
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.rows import Row, under
from medvlp_jax.weights.tables.common import convolution, dense, norm
from medvlp_jax.weights.transforms import leading, linear, split

RENAME = ((r"^(dinov2|dinov2_with_registers|vit)\.", ""),)

_EMBEDDINGS = (
    Row("cls_token", "class_token", leading(2)),
    Row("register_tokens", "registers", leading(1)),
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
_GATED = (
    Row("mlp.weights_in.weight", ("mlp/gate/kernel", "mlp/up/kernel"), split(2, linear)),
    Row("mlp.weights_in.bias", ("mlp/gate/bias", "mlp/up/bias"), split(2)),
    *dense("mlp.weights_out", "mlp/down"),
)
_VIT_LAYER = (
    *_ATTENTION,
    *norm("layernorm_before", "norm1"),
    *norm("layernorm_after", "norm2"),
    *dense("intermediate.dense", "mlp/up"),
    *dense("output.dense", "mlp/down"),
)


def dinov2_table(config: ViTConfig) -> tuple[Row, ...]:
    """Rows of a ``Dinov2Model`` and a ``Dinov2WithRegistersModel``."""
    mlp = {row.source for row in (*dense("mlp.fc1", ""), *dense("mlp.fc2", ""))}
    plain = tuple(row for row in _DINOV2_LAYER if row.source not in mlp)
    return _table((*plain, *_GATED) if config.gated else _DINOV2_LAYER)


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
      WeightsError: a variant that we do not have.
    """
    settings.expect(given, {"qkv_bias": True})
    width = given.get("hidden_size", 768)
    hidden = int(width * given.get("mlp_ratio", 4))
    gated = bool(given.get("use_swiglu_ffn"))
    # Two thirds, in eights: a gated MLP then costs what a plain one does.
    hidden = (int(hidden * 2 / 3) + 7) // 8 * 8 if gated else hidden
    registers = given.get("num_register_tokens", 4) if _with_registers(given) else 0
    return vit_from(
        given,
        patch=14,
        activation="gelu",
        eps=1e-6,
        name="dinov2",
        mlp_width=hidden,
        gated=gated,
        registers=registers,
        layer_scale=given.get("layerscale_value", 1.0),
    )


def _with_registers(given: Mapping[str, Any]) -> bool:
    return given.get("model_type") == "dinov2_with_registers"


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
    # A gated MLP is two thirds as wide as the ratio says.
    ratio = round(config.mlp_width * (1.5 if config.gated else 1.0) / config.width)
    if not config.gated and ratio * config.width != config.mlp_width:
        raise WeightsError(
            f"the DINOv2 layout cannot hold this model: its mlp_width={config.mlp_width} is no "
            f"multiple of its width={config.width}"
        )
    shared = vit_to(config)
    del shared["intermediate_size"]  # said as a ratio
    kind = ("Dinov2WithRegistersModel", "dinov2_with_registers")
    architecture, model_type = kind if config.registers else ("Dinov2Model", "dinov2")
    found = {
        "architectures": [architecture],
        "model_type": model_type,
        **shared,
        "mlp_ratio": ratio,
        "layerscale_value": config.layer_scale,
        "use_swiglu_ffn": config.gated,
        "use_mask_token": False,
    }
    if config.registers:
        found["num_register_tokens"] = config.registers
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
