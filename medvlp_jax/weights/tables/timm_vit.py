"""The plain ViT as timm saves it, which is also the vision tower of BiomedCLIP."""

import math
import re
from collections.abc import Mapping
from typing import Any

from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.weights import settings
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.rows import Row, under
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
#: Heads of ViTs up to "large" are this wide; the larger ones of timm have 16 heads.
HEAD_WIDTH = 64
_LARGE_HEADS = {"huge": 16, "giant": 16, "gigantic": 16}
#: timm's names of plain ViTs; a word more is another function (reg4, gap, rope, siglip ...).
_NAME = re.compile(
    r"vit_(?P<size>xsmall|tiny|small|medium|base|large|huge|giant|gigantic)_patch\d+"
    r"_(?P<clip>clip_)?(?P<quick>quickgelu_)?(\d+|dinov2)(_in21k)?"
)
#: What ``model_args`` may say: sizes, which the tensors say as well, and what training alone uses.
_ARGS = (
    *("img_size", "patch_size", "in_chans", "embed_dim", "depth", "num_heads", "mlp_ratio"),
    *("num_classes", "class_token", "init_values", "dynamic_img_size", "pre_norm", "fc_norm"),
    *("drop_rate", "pos_drop_rate", "patch_drop_rate", "proj_drop_rate", "attn_drop_rate"),
    *("drop_path_rate", "weight_init", "global_pool", "qkv_bias", "act_layer"),
)


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
    name = _variant(given)
    options = settings.group(given, "model_args")
    settings.only(options, _ARGS, "model_args")
    expected = {"qkv_bias": True, "class_token": True, "fc_norm": False, "global_pool": "token"}
    settings.expect(options, expected)
    width, channels, patch, _ = shapes["patch_embed.proj.weight"]
    grid = math.isqrt(shapes["pos_embed"][1] - 1)
    layers = {name.split(".")[1] for name in shapes if name.startswith("blocks.")}
    act = options.get("act_layer") or ("quick_gelu" if name and name["quick"] else "gelu")
    return ViTConfig(
        name="timm_vit",
        image_size=grid * patch,
        patch=patch,
        channels=channels,
        width=width,
        depth=len(layers),
        heads=options.get("num_heads") or _heads(width, name),
        mlp_width=shapes["blocks.0.mlp.fc1.weight"][0],
        patch_bias="patch_embed.proj.bias" in shapes,
        norm_pre="norm_pre.weight" in shapes,
        activation=settings.activation_from(act),
        layer_scale=1.0 if "blocks.0.ls1.gamma" in shapes else None,
        # timm builds CLIP's towers with the norms of CLIP.
        eps=1e-5 if name and name["clip"] else 1e-6,
    )


def _variant(given: Mapping[str, Any]) -> re.Match[str] | None:
    """What timm's name of a model says; None where there is no name."""
    architecture = given.get("architecture")
    if architecture is None:
        return None
    found = _NAME.fullmatch(str(architecture).split(".")[0])
    if found is None:
        raise WeightsError(f"architecture={architecture!r:.60} is no plain ViT of timm")
    return found


def _heads(width: int, name: re.Match[str] | None) -> int:
    size = name["size"] if name else ""
    if size in _LARGE_HEADS and "dinov2" not in (name.string if name else ""):
        return _LARGE_HEADS[size]
    if width % HEAD_WIDTH or (width > 1024 and width != 1536):
        raise WeightsError(
            f"a ViT of width {width} whose number of heads is not said: give num_heads in "
            "model_args of a config.json beside it"
        )
    return width // HEAD_WIDTH


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
