"""ResNet with the names of torchvision, which timm shares, and with those of transformers."""

import re
from collections.abc import Mapping
from typing import Any

from medvlp_jax.models.resnet import ResNetConfig
from medvlp_jax.weights import settings
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.rows import Row, under
from medvlp_jax.weights.tables.common import batch_norm, convolution

RENAME_HF = ((r"^resnet\.", ""),)
#: timm's models that an export names, by block; the stages are given beside the name.
_ARCHITECTURES = {"basic": "resnet18", "bottleneck": "resnet50"}
#: timm's names of the ResNets that are torchvision's.
_NAME = re.compile(r"((tv|ssl|swsl|gluon)_)?resnet(18|26|34|50|101|152|200)(_v1b)?")
_ARGS = ("layers", "in_chans", "num_classes", "drop_rate", "drop_path_rate", "zero_init_last")
_HF_BLOCK = (
    *convolution("layer.{k}.convolution", "convs/{k}"),
    *batch_norm("layer.{k}.normalization", "norms/{k}"),
    *convolution("shortcut.convolution", "shortcut_conv"),
    *batch_norm("shortcut.normalization", "shortcut_norm"),
)


def table(config: ResNetConfig) -> tuple[Row, ...]:
    """Rows of torchvision's and timm's ``ResNet``."""
    convs = 3 if config.block == "bottleneck" else 2
    block = [
        *convolution("downsample.0", "shortcut_conv"),
        *batch_norm("downsample.1", "shortcut_norm"),
    ]
    for n in range(convs):
        block += convolution(f"conv{n + 1}", f"convs/{n}")
        block += batch_norm(f"bn{n + 1}", f"norms/{n}")
    rows = [*convolution("conv1", "stem_conv"), *batch_norm("bn1", "stem_norm")]
    for stage in range(len(config.stage_sizes)):
        rows += under(block, f"layer{stage + 1}.{{i}}.", f"stages/{stage}/{{i}}/")
    return (*rows, Row("fc.*", None))


def hf_table(config: ResNetConfig) -> tuple[Row, ...]:
    """Rows of transformers' ``ResNetModel``."""
    del config
    return (
        *convolution("embedder.embedder.convolution", "stem_conv"),
        *batch_norm("embedder.embedder.normalization", "stem_norm"),
        *under(_HF_BLOCK, "encoder.stages.{i}.layers.{j}.", "stages/{i}/{j}/"),
        Row("classifier.*", None),
    )


def config_from(given: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> ResNetConfig:
    """Our config from the tensors; torchvision has no settings and timm's only name a model.

    Raises:
      WeightsError: the tensors are none of a ResNet.
    """
    settings.expect(given, {"global_pool": "avg"})
    architecture = given.get("architecture")
    if architecture is not None and not _NAME.fullmatch(str(architecture).split(".")[0]):
        # Anti-aliased and blur-pool ResNets have the same tensors and another function.
        raise WeightsError(f"architecture={architecture!r:.60} is no plain ResNet of timm")
    settings.only(settings.group(given, "model_args"), _ARGS, "model_args")
    if "conv1.weight" not in shapes or "layer1.0.conv1.weight" not in shapes:
        raise WeightsError("no ResNet with torchvision's names: conv1, layer1.0.conv1, ...")
    stages: dict[int, set[int]] = {}
    for name in shapes:
        stage, _, rest = name.partition(".")
        if stage.startswith("layer"):
            stages.setdefault(int(stage.removeprefix("layer")), set()).add(int(rest.split(".")[0]))
    width, channels = shapes["conv1.weight"][:2]
    return ResNetConfig(
        name="resnet",
        channels=channels,
        width=width,
        stage_sizes=tuple(len(stages[n]) for n in sorted(stages)),
        block="bottleneck" if "layer1.0.conv3.weight" in shapes else "basic",
    )


def hf_config_from(given: Mapping[str, Any]) -> ResNetConfig:
    """Our config from the ``config.json`` of transformers' ResNet.

    Raises:
      WeightsError: a variant that we do not have.
    """
    settings.expect(
        given,
        {
            "hidden_act": "relu",
            "downsample_in_first_stage": False,
            "downsample_in_bottleneck": False,
        },
    )
    block = given.get("layer_type", "bottleneck")
    width = given.get("embedding_size", 64)
    depths = tuple(given.get("depths", (3, 4, 6, 3)))
    found = ResNetConfig(
        name="resnet",
        channels=given.get("num_channels", 3),
        width=width,
        stage_sizes=depths,
        block=block,
    )
    widths = [found.stage_width(n) for n in range(len(depths))]
    if given.get("hidden_sizes", [256, 512, 1024, 2048]) != widths:
        raise WeightsError(
            f"hidden_sizes={given.get('hidden_sizes')} is not supported: with embedding_size="
            f"{width} it must be {widths}"
        )
    return found


def config_to(config: ResNetConfig) -> dict[str, Any]:
    """Settings in timm's form; torchvision needs none.

    Raises:
      WeightsError: the tower is no ResNet of torchvision and timm.
    """
    expect_plain(config, "torchvision")
    if config.width != 64:
        raise WeightsError(f"timm has no ResNet of width {config.width}, only 64")
    return {
        "architecture": _ARCHITECTURES[config.block],
        "num_classes": 0,
        "num_features": config.features,
        "global_pool": "avg",
        "model_args": {"layers": list(config.stage_sizes), "in_chans": config.channels},
        "pretrained_cfg": {
            "num_classes": 0,
            "input_size": [config.channels, config.image_size, config.image_size],
            "first_conv": "conv1",
            "classifier": "fc",
        },
    }


def hf_config_to(config: ResNetConfig) -> dict[str, Any]:
    """Settings with which transformers builds the same ``ResNetModel``.

    Raises:
      WeightsError: the tower is none that it can build.
    """
    expect_plain(config, "ResNet")
    return {
        "architectures": ["ResNetModel"],
        "model_type": "resnet",
        "num_channels": config.channels,
        "embedding_size": config.width,
        "hidden_sizes": [config.stage_width(n) for n in range(len(config.stage_sizes))],
        "depths": list(config.stage_sizes),
        "layer_type": config.block,
        "hidden_act": "relu",
        "downsample_in_first_stage": False,
        "downsample_in_bottleneck": False,
    }


def expect_plain(config: ResNetConfig, layout: str) -> None:
    """Refuses what is no ResNet of torchvision's kind.

    Raises:
      WeightsError: naming every field that differs.
    """
    plain = ResNetConfig(
        image_size=config.image_size,
        channels=config.channels,
        width=config.width,
        stage_sizes=config.stage_sizes,
        block=config.block,
    )
    settings.expect_same(config, plain, layout)
