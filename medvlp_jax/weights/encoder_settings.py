"""The settings that transformers' encoders share (CLIP, SigLIP, ViT, DINOv2), in both directions.

What one of them does differently is given as a keyword by its table.
"""

from collections.abc import Mapping
from typing import Any

from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.weights import settings


def vit_from(
    given: Mapping[str, Any], *, patch: int, activation: str, eps: float, **ours: Any
) -> ViTConfig:
    """A vision tower from its settings.

    Args:
      given: of ``config.json``, or its ``vision_config``.
      patch, activation, eps: what absent settings mean, in the origin's words.
      ours: fields of our config that this architecture fixes.
    """
    side = settings.side(given.get("patch_size", patch))
    fields = {
        "image_size": settings.whole_patches(given.get("image_size", 224), side),
        "patch": side,
        "channels": given.get("num_channels", 3),
        **_encoder_from(given, width=768, heads=12, mlp_width=3072),
        "activation": settings.activation_from(given.get("hidden_act", activation)),
        "eps": given.get("layer_norm_eps", eps),
    }
    return ViTConfig(**fields | ours)


def vit_to(config: ViTConfig) -> dict[str, Any]:
    """The settings of a vision tower."""
    return {
        "image_size": config.image_size,
        "patch_size": config.patch,
        "num_channels": config.channels,
        **_encoder_to(config),
    }


def text_from(
    given: Mapping[str, Any],
    *,
    vocab: int,
    max_length: int,
    width: int,
    heads: int,
    activation: str,
    eps: float,
    **ours: Any,
) -> TextConfig:
    """A pre-norm text tower from its settings; arguments as of :func:`vit_from`."""
    fields = {
        "vocab": given.get("vocab_size", vocab),
        "max_length": given.get("max_position_embeddings", max_length),
        "types": 0,
        **_encoder_from(given, width=width, heads=heads, mlp_width=4 * width),
        "norm": "pre",
        "norm_embed": False,
        "norm_final": True,
        "pool": "last",
        "activation": settings.activation_from(given.get("hidden_act", activation)),
        "eps": given.get("layer_norm_eps", eps),
    }
    return TextConfig(**fields | ours)


def text_to(config: TextConfig) -> dict[str, Any]:
    """The settings of a text tower."""
    return {
        "vocab_size": config.vocab,
        "max_position_embeddings": config.max_length,
        **_encoder_to(config),
    }


def _encoder_from(
    given: Mapping[str, Any], *, width: int, heads: int, mlp_width: int
) -> dict[str, Any]:
    return {
        "width": given.get("hidden_size", width),
        "depth": given.get("num_hidden_layers", 12),
        "heads": given.get("num_attention_heads", heads),
        "mlp_width": given.get("intermediate_size", mlp_width),
    }


def _encoder_to(config: ViTConfig | TextConfig) -> dict[str, Any]:
    return {
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.mlp_width,
        "hidden_act": settings.activation_to(config.activation),
        "layer_norm_eps": config.eps,
    }
