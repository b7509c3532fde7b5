"""DenseNet with the names of torchvision, which timm and torchxrayvision share."""

from collections.abc import Mapping
from typing import Any

from medvlp_jax.models.densenet import PRESETS, DenseNetConfig
from medvlp_jax.weights import settings
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.rows import Row, under
from medvlp_jax.weights.tables.common import batch_norm, convolution

#: Torchvision's first files wrote ``norm.1`` for ``norm1``; a wrapped model, ``module.``.
RENAME = (
    (r"^(module|model|densenet121)\.", ""),
    (r"(denselayer\d+)\.(norm|conv)\.([12])\.", r"\1.\2\3."),
)
_LAYER = (
    *batch_norm("norm1", "norm1"),
    *convolution("conv1", "conv1"),
    *batch_norm("norm2", "norm2"),
    *convolution("conv2", "conv2"),
)


def table(config: DenseNetConfig) -> tuple[Row, ...]:
    """Rows of a ``DenseNet``; its classifier is no part of a tower."""
    rows = [*convolution("conv0", "stem_conv"), *batch_norm("norm0", "stem_norm")]
    for stage, size in enumerate(config.stage_sizes):
        for n in range(size):
            source = f"denseblock{stage + 1}.denselayer{n + 1}."
            rows += under(_LAYER, source, f"stages/{stage}/{n}/")
        if stage:
            inner = (*batch_norm("norm", "norm"), *convolution("conv", "conv"))
            rows += under(inner, f"transition{stage}.", f"transitions/{stage - 1}/")
    rows += batch_norm("norm5", "norm_post")
    return (
        *under(rows, "features."),
        Row("classifier.*", None),
        Row("op_threshs", None),  # torchxrayvision: where each finding's output is 0.5
    )


def config_from(given: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> DenseNetConfig:
    """Our config from the tensors; only timm has settings, and they name a model.

    Raises:
      WeightsError: the tensors are none of a DenseNet.
    """
    settings.expect(given, {"global_pool": "avg"})
    first = "features.denseblock1.denselayer1."
    needed = ("features.conv0.weight", f"{first}conv1.weight", f"{first}conv2.weight")
    for name in needed:
        if name not in shapes:
            raise WeightsError(f"no DenseNet with torchvision's names: it has no tensor {name}")
    stages: dict[int, set[str]] = {}
    for name in shapes:
        parts = name.split(".")
        if len(parts) > 2 and parts[1].startswith("denseblock"):
            stage = parts[1].removeprefix("denseblock")
            if not stage.isdigit():
                raise WeightsError(f"no DenseNet with torchvision's names: {name}")
            stages.setdefault(int(stage), set()).add(parts[2])
    width, channels = shapes[needed[0]][:2]
    growth, inner = shapes[needed[2]][:2]
    return DenseNetConfig(
        name="densenet",
        channels=channels,
        width=width,
        growth=growth,
        bottleneck=inner // growth,
        stage_sizes=tuple(len(stages[n]) for n in sorted(stages)),
    )


def config_to(config: DenseNetConfig) -> dict[str, Any]:
    """Settings in timm's form; torchvision needs none.

    Raises:
      WeightsError: timm has no DenseNet of this size.
    """
    for name, preset in PRESETS.items():
        same = (config.width, config.growth, config.bottleneck, config.stage_sizes) == (
            preset.width,
            preset.growth,
            preset.bottleneck,
            preset.stage_sizes,
        )
        if same:
            return {
                "architecture": name,
                "num_classes": 0,
                "num_features": config.features,
                "global_pool": "avg",
                "model_args": {"in_chans": config.channels},
                "pretrained_cfg": {
                    "num_classes": 0,
                    "input_size": [config.channels, config.image_size, config.image_size],
                    "first_conv": "features.conv0",
                    "classifier": "classifier",
                },
            }
    raise WeightsError(
        f"timm has no DenseNet of stages {config.stage_sizes}, only {', '.join(PRESETS)}"
    )
