"""What the parts of Stable Diffusion share in the layout of diffusers."""

from collections.abc import Mapping
from typing import Any

from medvlp_jax.core.errors import UserError
from medvlp_jax.weights.rows import Row, under
from medvlp_jax.weights.tables.common import convolution, dense, norm

RESNET: tuple[Row, ...] = (
    *norm("norm1", "norm1"),
    *convolution("conv1", "conv1"),
    *dense("time_emb_proj", "time_proj"),
    *norm("norm2", "norm2"),
    *convolution("conv2", "conv2"),
    *convolution("conv_shortcut", "shortcut"),
)


def resnets(stage: str) -> tuple[Row, ...]:
    """The residual blocks ``{j}`` of a stage, whose name is our path but for the dots."""
    place = f"{stage}.resnets.{{j}}."
    return under(RESNET, place, place.replace(".", "/"))


def required(config: Mapping[str, Any], key: str) -> Any:
    """``config[key]``, or a :class:`UserError`."""
    if key not in config:
        raise UserError(f"config.json has no {key!r}: is it the config of this part?")
    return config[key]


def differ(config: Mapping[str, Any], fixed: Mapping[str, Any]) -> list[str]:
    """Keys of ``config`` that have another value than the only one that is supported."""
    return [f"{k}={config[k]}" for k, v in fixed.items() if k in config and config[k] != v]


def refuse(file: str, faults: list[str]) -> None:
    """Raises :class:`UserError` if there are any faults."""
    if faults:
        raise UserError(
            f"{file} asks for what is not implemented: {', '.join(faults)}. Stable Diffusion 1.x "
            "and 2.x are"
        )
