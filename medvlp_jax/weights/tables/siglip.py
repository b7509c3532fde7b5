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
from medvlp_jax.weights.encoder_settings import text_from, text_to, vit_from, vit_to
from medvlp_jax.weights.inputs import UNKNOWN, Inputs
from medvlp_jax.weights.rows import Row, under
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
    return vit_from(
        given,
        patch=16,
        activation="gelu_pytorch_tanh",
        eps=1e-6,
        name="siglip_vision",
        pool="map",
        class_token=False,
    )


def _text_config_from(given: Mapping[str, Any]) -> TextConfig:
    return text_from(
        given,
        vocab=32000,
        max_length=64,
        width=768,
        heads=12,
        activation="gelu_pytorch_tanh",
        eps=1e-6,
        name="siglip_text",
        see_padding=True,
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
        **vit_to(config),
    }
    settings.expect_same(config, vision_config_from(found), "SigLIP")
    return found


def config_to(config: CLIPConfig, inputs: Inputs = UNKNOWN) -> dict[str, Any]:
    """Settings with which transformers builds the same ``SiglipModel``.

    Every text is pooled at its last place, padded or not, so no end token is needed.

    Raises:
      WeightsError: a tower or projection is none of SigLIP's.
    """
    if not isinstance(config.vision, ViTConfig):
        settings.expect_same(config.vision, ViTConfig(), "SigLIP")
    assert isinstance(config.vision, ViTConfig)
    ids = {"bos_token_id": inputs.start, "eos_token_id": inputs.end, "pad_token_id": inputs.pad}
    found = {
        "architectures": ["SiglipModel"],
        "model_type": "siglip",
        "vision_config": vision_config_to(config.vision),
        "text_config": {
            "model_type": "siglip_text_model",
            **text_to(config.text),
            "projection_size": config.embed_dim,
            **{name: i for name, i in ids.items() if i is not None and i >= 0},
        },
    }
    biased = config if config.logit_bias is None else dataclasses.replace(config, logit_bias=-10.0)
    settings.expect_same(biased, config_from(found), "SigLIP")
    return found
