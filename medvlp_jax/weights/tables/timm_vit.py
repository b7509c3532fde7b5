"""The plain ViT as timm saves it, which is also the vision tower of BiomedCLIP."""

import math
from collections.abc import Mapping
from typing import Any

from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.weights import settings
from medvlp_jax.weights.convert import Row, under
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.tables.common import convolution, dense, norm
from medvlp_jax.weights.transforms import identity, leading, linear, split

_QKV = ("attn/q", "attn/k", "attn/v")
_LAYER = (
    *norm("norm1", "norm1"),
    Row("attn.qkv.weight", tuple(f"{p}/kernel" for p in _QKV), split(3, linear)),
    Row("attn.qkv.bias", tuple(f"{p}/bias" for p in _QKV), split(3, identity)),
    *dense("attn.proj", "attn/out"),
    Row("ls1.gamma", "scale1"),
    *norm("norm2", "norm2"),
    *dense("mlp.fc1", "mlp/up"),
    *dense("mlp.fc2", "mlp/down"),
    Row("ls2.gamma", "scale2"),
)
#: timm's ViTs have heads of this width unless their settings say otherwise.
HEAD_WIDTH = 64


def table(config: ViTConfig) -> tuple[Row, ...]:
    """Rows of a ``VisionTransformer`` with a class token."""
    del config
    return (
        Row("cls_token", "class_token", leading(2)),
        Row("pos_embed", "positions", leading(1)),
        *convolution("patch_embed.proj", "embed"),
        *norm("norm_pre", "norm_pre"),
        *under(_LAYER, "blocks.{i}.", "blocks/"),
        *norm("norm", "norm_post"),
        Row("head.*", None),
    )


def config_from(given: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> ViTConfig:
    """Our config; the sizes are those of the tensors, since timm's settings only name a model.

    Args:
      given: ``config.json``; may be empty.
      shapes: of the tensors, by name.

    Raises:
      WeightsError: the tensors are none of a plain ViT with a class token.
    """
    settings.expect(given, {"global_pool": "token"})
    needed = ("cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.mlp.fc1.weight")
    for name in needed:
        if name not in shapes:
            raise WeightsError(f"no plain ViT with a class token: it has no tensor {name}")
    width, channels, patch, _ = shapes["patch_embed.proj.weight"]
    grid = math.isqrt(shapes["pos_embed"][1] - 1)
    layers = {name.split(".")[1] for name in shapes if name.startswith("blocks.")}
    options = given.get("model_args") or {}
    return ViTConfig(
        name="timm_vit",
        image_size=grid * patch,
        patch=patch,
        channels=channels,
        width=width,
        depth=len(layers),
        heads=options.get("num_heads", width // HEAD_WIDTH),
        mlp_width=shapes["blocks.0.mlp.fc1.weight"][0],
        patch_bias="patch_embed.proj.bias" in shapes,
        norm_pre="norm_pre.weight" in shapes,
        layer_scale=1.0 if "blocks.0.ls1.gamma" in shapes else None,
        eps=1e-6,
    )


def config_to(config: ViTConfig) -> dict[str, Any]:
    """Settings with which timm builds the same trunk (``timm.create_model("local-dir:...")``).

    Raises:
      WeightsError: the tower is no plain ViT of timm.
    """
    plain = ViTConfig(
        image_size=config.image_size,
        patch=config.patch,
        channels=config.channels,
        width=config.width,
        depth=config.depth,
        heads=config.heads,
        mlp_width=config.mlp_width,
    )
    settings.expect_same(config, plain, "timm ViT")
    return {
        "architecture": "vit_base_patch16_224",
        "num_classes": 0,
        "num_features": config.width,
        "global_pool": "token",
        "model_args": {
            "img_size": config.image_size,
            "patch_size": config.patch,
            "in_chans": config.channels,
            "embed_dim": config.width,
            "depth": config.depth,
            "num_heads": config.heads,
            "mlp_ratio": config.mlp_width / config.width,
        },
        "pretrained_cfg": {
            "num_classes": 0,
            "input_size": [config.channels, config.image_size, config.image_size],
            "first_conv": "patch_embed.proj",
            "classifier": "head",
        },
    }
