"""CLIP as transformers saves it: ``CLIPModel`` and its towers (OpenAI, MetaCLIP, PLIP ...)."""

from collections.abc import Mapping
from typing import Any

from medvlp_jax.models.clip import CLIPConfig, ProjectionConfig
from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.weights import settings
from medvlp_jax.weights.encoder_settings import text_from, text_to, vit_from, vit_to
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.inputs import LARGEST, UNKNOWN, Inputs
from medvlp_jax.weights.rows import Row, under
from medvlp_jax.weights.tables.common import encoder_layer, norm
from medvlp_jax.weights.transforms import conv, linear

#: Towers that are saved alone carry the whole model's prefix, or (transformers 5.6) none.
RENAME_TOWER = ((r"^(vision_model|text_model)\.", ""),)
#: The ``eos_token_id`` for which transformers pools at the largest id.
_FOR_LARGEST = 2

_VISION = (
    Row("embeddings.class_embedding", "class_token"),
    Row("embeddings.patch_embedding.weight", "embed/kernel", conv),
    Row("embeddings.position_embedding.weight", "positions"),
    Row("embeddings.position_ids", None),
    *norm("pre_layrnorm", "norm_pre"),  # the origin's spelling
    *encoder_layer("encoder.layers.{i}.", "blocks/"),
    *norm("post_layernorm", "norm_post"),
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
    return (*_VISION, Row("visual_projection.weight", None))


def text_table(config: TextConfig) -> tuple[Row, ...]:
    """Rows of a text tower that is saved alone."""
    del config
    return (*_TEXT, Row("text_projection.weight", None))


def table(config: CLIPConfig) -> tuple[Row, ...]:
    """Rows of a whole ``CLIPModel``."""
    del config
    return (
        *under(_VISION, "vision_model.", "vision/"),
        *under(_TEXT, "text_model.", "text/"),
        Row("visual_projection.weight", "vision_proj/out/kernel", linear),
        Row("text_projection.weight", "text_proj/out/kernel", linear),
        Row("logit_scale", "logit_scale"),
    )


def vision_config_from(given: Mapping[str, Any]) -> ViTConfig:
    """Our config from ``config.json`` (or its ``vision_config``)."""
    return vit_from(
        given,
        patch=32,
        activation="quick_gelu",
        eps=1e-5,
        name="clip_vision",
        patch_bias=False,
        norm_pre=True,
    )


def text_config_from(given: Mapping[str, Any]) -> TextConfig:
    """Our config from ``config.json`` (or its ``text_config``)."""
    return text_from(
        given,
        vocab=49408,
        max_length=77,
        width=512,
        heads=8,
        activation="quick_gelu",
        eps=1e-5,
        name="clip_text",
        causal=True,
    )


def config_from(given: Mapping[str, Any]) -> CLIPConfig:
    """Our config from a ``CLIPModel``'s ``config.json``."""

    def tower(name: str) -> dict[str, Any]:
        # Old files hold the towers' settings twice; the second group wins, as in transformers.
        return {**(given.get(name) or {}), **(given.get(f"{name}_dict") or {})}

    projection = ProjectionConfig(kind="linear", bias=False)
    return CLIPConfig(
        vision=vision_config_from(tower("vision_config")),
        text=text_config_from(tower("text_config")),
        embed_dim=given.get("projection_dim", 512),
        vision_proj=projection,
        text_proj=projection,
    )


def vision_config_to(config: ViTConfig) -> dict[str, Any]:
    """Settings with which transformers builds the same vision tower.

    Raises:
      WeightsError: the tower is none of CLIP's.
    """
    found = {
        "architectures": ["CLIPVisionModel"],
        "model_type": "clip_vision_model",
        **vit_to(config),
    }
    settings.expect_same(config, vision_config_from(found), "CLIP")
    return found


def text_config_to(config: TextConfig, inputs: Inputs = UNKNOWN) -> dict[str, Any]:
    """Settings with which transformers builds the same text tower.

    Args:
      config: of the tower.
      inputs: the ids that start and end a text; where they are not known, the last two of the
        vocabulary, as in CLIP's own.

    Raises:
      WeightsError: the tower is none of CLIP's, or transformers would pool it at another token.
    """
    start, end, pad = inputs.start, inputs.end, inputs.pad
    if end == _FOR_LARGEST:
        raise WeightsError(
            f"the CLIP layout cannot hold this model: its texts end in id {end}, which transformers"
            " takes for a mark of old files and pools where the largest id stands"
        )
    found = {
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        **text_to(config),
        "bos_token_id": config.vocab - 2 if start is None else start,
        "eos_token_id": {None: config.vocab - 1, LARGEST: _FOR_LARGEST}.get(end, end),
        "pad_token_id": 1 if pad is None else pad,
    }
    settings.expect_same(config, text_config_from(found), "CLIP")
    return found


def config_to(config: CLIPConfig, inputs: Inputs = UNKNOWN) -> dict[str, Any]:
    """Settings with which transformers builds the same ``CLIPModel``; ``inputs`` as above.

    Raises:
      WeightsError: a tower or projection is none of CLIP's.
    """
    if not isinstance(config.vision, ViTConfig):
        settings.expect_same(config.vision, ViTConfig(), "CLIP")
    assert isinstance(config.vision, ViTConfig)
    shared = {"projection_dim": config.embed_dim}
    found = {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        **shared,
        "vision_config": vision_config_to(config.vision) | shared,
        "text_config": text_config_to(config.text, inputs) | shared,
    }
    settings.expect_same(config, config_from(found), "CLIP")
    return found
