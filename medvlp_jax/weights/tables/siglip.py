"""SigLIP as transformers saves it: ``SiglipModel`` (SigLIP, SigLIP 2 of fixed size, MedSigLIP).

The SigLIP 2 of variable size (``model_type: siglip2``) packs patches and is another model.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from medvlp_jax.models.clip import CLIPConfig, ProjectionConfig
from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.weights import settings
from medvlp_jax.weights.convert import Row, under
from medvlp_jax.weights.tables.common import (
    convolution,
    dense,
    encoder_layer,
    fused_attention,
    norm,
)
from medvlp_jax.weights.transforms import leading

RENAME_TOWER = ((r"^vision_model\.", ""),)

_VISION = (
    *convolution("embeddings.patch_embedding", "embed"),
    Row("embeddings.position_embedding.weight", "positions"),
    Row("embeddings.position_ids", None),
    *encoder_layer("encoder.layers.{i}.", "blocks/"),
    *norm("post_layernorm", "norm_post"),
    Row("head.probe", "pool/probe", leading(2)),
    *fused_attention("head.attention", "pool/attn"),
    *norm("head.layernorm", "pool/norm"),
    *dense("head.mlp.fc1", "pool/mlp/up"),
    *dense("head.mlp.fc2", "pool/mlp/down"),
)
_TEXT = (
    Row("embeddings.token_embedding.weight", "embed/words/table"),
    Row("embeddings.position_embedding.weight", "embed/positions"),
    Row("embeddings.position_ids", None),
    *encoder_layer("encoder.layers.{i}.", "blocks/"),
    *norm("final_layer_norm", "norm_final"),
)


def vision_table(config: ViTConfig) -> tuple[Row, ...]:
    """Rows of a vision tower that is saved alone."""
    del config
    return _VISION


def table(config: CLIPConfig) -> tuple[Row, ...]:
    """Rows of a whole ``SiglipModel``."""
    del config
    return (
        *under(_VISION, "vision_model.", "vision/"),
        *under(_TEXT, "text_model.", "text/"),
        *dense("text_model.head", "text_proj/out"),
        Row("logit_scale", "logit_scale", leading(1)),
        Row("logit_bias", "logit_bias", leading(1)),
    )


def vision_config_from(given: Mapping[str, Any]) -> ViTConfig:
    """Our config from ``config.json`` (or its ``vision_config``)."""
    settings.expect(given, {"vision_use_head": True})
    return ViTConfig(
        name="siglip_vision",
        image_size=settings.whole_patches(
            given.get("image_size", 224), given.get("patch_size", 16)
        ),
        patch=settings.side(given.get("patch_size", 16)),
        channels=given.get("num_channels", 3),
        width=given.get("hidden_size", 768),
        depth=given.get("num_hidden_layers", 12),
        heads=given.get("num_attention_heads", 12),
        mlp_width=given.get("intermediate_size", 3072),
        pool="map",
        class_token=False,
        activation=settings.activation_from(given.get("hidden_act", "gelu_pytorch_tanh")),
        eps=given.get("layer_norm_eps", 1e-6),
    )


def _text_config_from(given: Mapping[str, Any]) -> TextConfig:
    return TextConfig(
        name="siglip_text",
        vocab=given.get("vocab_size", 32000),
        max_length=given.get("max_position_embeddings", 64),
        types=0,
        width=given.get("hidden_size", 768),
        depth=given.get("num_hidden_layers", 12),
        heads=given.get("num_attention_heads", 12),
        mlp_width=given.get("intermediate_size", 3072),
        norm="pre",
        norm_embed=False,
        norm_final=True,
        pool="last",
        see_padding=True,
        activation=settings.activation_from(given.get("hidden_act", "gelu_pytorch_tanh")),
        eps=given.get("layer_norm_eps", 1e-6),
    )


def config_from(given: Mapping[str, Any]) -> CLIPConfig:
    """Our config from a ``SiglipModel``'s ``config.json``.

    Raises:
      WeightsError: a variant that we do not have.
    """
    text = given.get("text_config") or {}
    vision = vision_config_from(given.get("vision_config") or {})
    embed = text.get("projection_size") or text.get("hidden_size", 768)
    return CLIPConfig(
        vision=vision,
        text=_text_config_from(text),
        embed_dim=embed,
        vision_proj=ProjectionConfig(kind="none"),
        text_proj=ProjectionConfig(kind="linear", bias=True),
        logit_bias=-10.0,  # where training starts (Zhai et al. 2023); the file has its own
    )


def vision_config_to(config: ViTConfig) -> dict[str, Any]:
    """Settings with which transformers builds the same vision tower.

    Raises:
      WeightsError: the tower is none of SigLIP's.
    """
    found = {
        "architectures": ["SiglipVisionModel"],
        "model_type": "siglip_vision_model",
        "image_size": config.image_size,
        "patch_size": config.patch,
        "num_channels": config.channels,
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.mlp_width,
        "hidden_act": settings.activation_to(config.activation),
        "layer_norm_eps": config.eps,
    }
    settings.expect_same(config, vision_config_from(found), "SigLIP")
    return found


def config_to(config: CLIPConfig) -> dict[str, Any]:
    """Settings with which transformers builds the same ``SiglipModel``.

    Raises:
      WeightsError: a tower or projection is none of SigLIP's.
    """
    if not isinstance(config.vision, ViTConfig):
        settings.expect_same(config.vision, ViTConfig(), "SigLIP")
    assert isinstance(config.vision, ViTConfig)
    text = config.text
    found = {
        "architectures": ["SiglipModel"],
        "model_type": "siglip",
        "vision_config": vision_config_to(config.vision),
        "text_config": {
            "model_type": "siglip_text_model",
            "vocab_size": text.vocab,
            "max_position_embeddings": text.max_length,
            "hidden_size": text.width,
            "num_hidden_layers": text.depth,
            "num_attention_heads": text.heads,
            "intermediate_size": text.mlp_width,
            "hidden_act": settings.activation_to(text.activation),
            "layer_norm_eps": text.eps,
            "projection_size": config.embed_dim,
        },
    }
    biased = config if config.logit_bias is None else dataclasses.replace(config, logit_bias=-10.0)
    settings.expect_same(biased, config_from(found), "SigLIP")
    return found
