"""Any plain ViT beside any BERT: transformers' ``VisionTextDualEncoderModel``.

The layout for runs whose towers no published CLIP has. It needs no hub id, since one file holds the
settings of both towers. The vision tower is written as a DINOv2, whose output is the class token
itself; for the pooler that the library puts on a BERT see ``weights.fold.straight_pooler``, which
is why such a folder is written and not read.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NoReturn

from medvlp_jax.models.clip import CLIPConfig, ProjectionConfig
from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.weights import settings
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.inputs import Inputs
from medvlp_jax.weights.rows import Row, under
from medvlp_jax.weights.tables import bert, vit
from medvlp_jax.weights.tables.common import dense
from medvlp_jax.weights.transforms import linear


def table(config: CLIPConfig) -> tuple[Row, ...]:
    """Rows of the model that :func:`config_to` describes."""
    assert isinstance(config.vision, ViTConfig)
    return (
        *under(dense("pooler.dense", "pooler"), "text_model.", "text/"),
        *under(bert.table(config.text), "text_model.", "text/"),
        *under(vit.dinov2_table(config.vision), "vision_model.", "vision/"),
        Row("visual_projection.weight", "vision_proj/out/kernel", linear),
        Row("text_projection.weight", "text_proj/out/kernel", linear),
        Row("logit_scale", "logit_scale"),
    )


def config_from(given: Mapping[str, Any]) -> NoReturn:
    """Such folders are not read.

    Raises:
      WeightsError: always.
    """
    del given
    raise WeightsError(
        "a vision-text-dual-encoder can be written, not read: its towers end in poolers that ours "
        "do not have; start from its towers' own folders instead"
    )


def config_to(config: CLIPConfig, inputs: Inputs) -> dict[str, Any]:
    """Settings with which transformers builds the same model.

    Raises:
      WeightsError: a tower or projection does not fit, or padding would be read as text.
    """
    vision, text = config.vision, config.text
    if not isinstance(vision, ViTConfig):
        raise WeightsError(
            "the dual encoder layout cannot hold this model: its vision tower is no ViT"
        )
    if text.pool != "class":
        raise WeightsError(
            f"the dual encoder layout cannot hold this model: its texts are pooled by "
            f"{text.pool!r}, not by their first token"
        )
    plain = ProjectionConfig(kind="linear", bias=False)
    wanted = dataclasses.replace(config, vision_proj=plain, text_proj=plain, logit_bias=None)
    settings.expect_same(config, wanted, "dual encoder")
    return {
        "architectures": ["VisionTextDualEncoderModel"],
        "model_type": "vision-text-dual-encoder",
        "projection_dim": config.embed_dim,
        "vision_config": vit.dinov2_config_to(vision),
        "text_config": bert.config_to(text, inputs),
    }
