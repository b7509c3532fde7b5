"""The settings of an export that open_clip builds, and what is changed so that it can."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from medvlp_jax.models.clip import CLIPConfig, ProjectionConfig
from medvlp_jax.models.densenet import DenseNetConfig
from medvlp_jax.models.resnet import ResNetConfig
from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.models.towers import VisionConfig
from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.weights import settings
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.fold import patch_bias_into_positions
from medvlp_jax.weights.inputs import LARGEST, UNKNOWN, Inputs, open_clip_preprocess
from medvlp_jax.weights.tables import bert, densenet, open_clip, resnet, timm_vit


def fold_vision(config: CLIPConfig, params: Mapping[str, Any]) -> tuple[CLIPConfig, dict[str, Any]]:
    """A ViT that timm has no name for, as one of open_clip's own."""
    if not isinstance(config.vision, ViTConfig) or _timm_name(config.vision):
        return config, dict(params)
    config, params = patch_bias_into_positions(config, params)
    vision = dataclasses.replace(config.vision, name="open_clip_vision")
    return dataclasses.replace(config, vision=vision), params


def config_to(config: CLIPConfig, inputs: Inputs = UNKNOWN) -> dict[str, Any]:
    """Settings with which open_clip builds the same model (``open_clip_config.json``).

    Args:
      config: of the model.
      inputs: how images and texts are prepared. A BERT needs ``text_id``: open_clip asks the hub
        for its settings.

    Raises:
      WeightsError: open_clip has no such model.
    """
    vision, text = config.vision, config.text
    quick = vision.activation == "quick_gelu" if isinstance(vision, ViTConfig) else False
    quick = quick or (not open_clip.is_bert(text) and text.activation == "quick_gelu")
    activation = "quick_gelu" if quick else "gelu"
    vision_cfg, expressible_vision = _vision_to(vision, activation)
    to_text = _bert_to if open_clip.is_bert(text) else _text_to
    text_cfg, expressible_text = to_text(config, inputs, activation)
    plain = ProjectionConfig(kind="linear", bias=False)
    mlp = ProjectionConfig(kind=config.text_proj.kind, activation="gelu", bias=False)
    expressible = CLIPConfig(
        vision=expressible_vision,
        text=expressible_text,
        embed_dim=config.embed_dim,
        vision_proj=plain,
        text_proj=mlp if open_clip.is_bert(text) else plain,
        logit_bias=config.logit_bias,
    )
    settings.expect_same(config, expressible, "open_clip")
    model: dict[str, Any] = {"embed_dim": config.embed_dim, "quick_gelu": quick}
    if config.logit_bias is not None:
        model["init_logit_bias"] = config.logit_bias
    if open_clip.is_bert(text):
        model["custom_text"] = True
    model |= {"vision_cfg": vision_cfg, "text_cfg": text_cfg}
    preprocess = open_clip_preprocess(inputs, vision.image_size)
    return {"model_cfg": model, "preprocess_cfg": preprocess}


def _vision_to(vision: VisionConfig, activation: Any) -> tuple[dict[str, Any], VisionConfig]:
    """The settings of a vision tower, and the tower that they describe."""
    if open_clip.has_trunk(vision):
        if vision.channels != 3:
            raise _cannot("its vision tower takes grey images")
        name = _timm_name(vision)
        if not name:
            raise _cannot("its vision tower has no name in timm, by which open_clip would build it")
        settings_ = {
            "timm_model_name": name,
            "timm_model_pretrained": False,
            "timm_pool": "" if isinstance(vision, ViTConfig) else "avg",
            "timm_proj": "linear",
            "image_size": vision.image_size,
        }
        return settings_, vision
    assert isinstance(vision, ViTConfig)
    settings_ = {
        "image_size": vision.image_size,
        "patch_size": vision.patch,
        "width": vision.width,
        "layers": vision.depth,
        "head_width": vision.width // vision.heads,
        "mlp_ratio": vision.mlp_width / vision.width,
    }
    if not vision.norm_pre:
        settings_["no_ln_pre"] = True
    return settings_ | _norms_to(vision.eps), open_clip.vit_from(
        settings_ | _norms_to(vision.eps), activation
    )


def _norms_to(eps: float) -> dict[str, Any]:
    return {} if eps == 1e-5 else {"norm_kwargs": {"eps": eps}}


def _text_to(
    config: CLIPConfig, inputs: Inputs, activation: Any
) -> tuple[dict[str, Any], TextConfig]:
    """The settings of a text tower of CLIP, and the tower that they describe."""
    text = config.text
    found: dict[str, Any] = {
        "context_length": text.max_length,
        "vocab_size": text.vocab,
        "width": text.width,
        "heads": text.heads,
        "layers": text.depth,
        "mlp_ratio": text.mlp_width / text.width,
        **_norms_to(text.eps),
    }
    if inputs.end not in (None, LARGEST, text.vocab - 1):
        found |= {"pool_type": "eos", "eos_id": inputs.end}
    return found | _tokenizer_to(inputs), open_clip.text_from(found, activation)


#: What ``hf_tokenizer_name`` says of a tokenizer that lies beside the weights: open_clip reads that
#: of a ``local-dir:`` itself and only asks that there be a name.
BESIDE = "tokenizer-of-this-folder"


def _tokenizer_to(inputs: Inputs) -> dict[str, Any]:
    if inputs.tokenizer_id:
        return {"hf_tokenizer_name": inputs.tokenizer_id}
    return {} if inputs.tokenizer is None else {"hf_tokenizer_name": BESIDE}


def _bert_to(
    config: CLIPConfig, inputs: Inputs, activation: Any
) -> tuple[dict[str, Any], TextConfig]:
    """The settings of a BERT, whose sizes open_clip takes from the hub."""
    del activation
    text = config.text
    poolers = {ours: word for word, ours in open_clip.POOLERS.items()}
    if text.pool not in poolers:
        raise _cannot(f"pool={text.pool!r}")
    bert.config_to(text)  # refuses what is no BERT
    if not inputs.text_id:
        raise _cannot(
            "open_clip asks the hub for the sizes of a BERT, and this one's are published nowhere"
        )
    if inputs.length > text.max_length:
        raise _cannot(f"texts of {inputs.length} tokens for {text.max_length} positions")
    found = {
        "hf_model_name": inputs.text_id,
        "hf_tokenizer_name": inputs.text_id,
        "hf_model_pretrained": False,
        "hf_pooler_type": poolers[text.pool],
        "hf_proj_type": None if config.text_proj.kind == "none" else config.text_proj.kind,
        "context_length": inputs.length or text.max_length,
    }
    return found | _tokenizer_to(inputs), text


def _cannot(why: str) -> WeightsError:
    return WeightsError(f"the open_clip layout cannot hold this model: {why}")


#: Plain ViTs of timm by (width, depth, heads): name, and the patches and sides that it has.
_TIMM_VITS: dict[tuple[int, int, int], tuple[str, set[tuple[int, int]]]] = {
    (192, 12, 3): ("tiny", {(16, 224), (16, 384)}),
    (384, 12, 6): ("small", {(8, 224), (16, 224), (16, 384), (32, 224), (32, 384)}),
    (768, 12, 12): ("base", {(8, 224), (16, 224), (16, 384), (32, 224), (32, 384)}),
    (1024, 24, 16): ("large", {(14, 224), (16, 224), (16, 384), (32, 224), (32, 384)}),
}


def _timm_name(config: VisionConfig) -> str:
    """The name by which timm builds this tower; empty where there is none."""
    if isinstance(config, DenseNetConfig):
        return densenet.config_to(config)["architecture"]
    if isinstance(config, ResNetConfig):
        resnet.expect_plain(config, "open_clip")
        if config.width != 64:
            return ""
        return open_clip.TIMM_RESNETS.get((config.block, config.stage_sizes), "")
    size, sides = _TIMM_VITS.get((config.width, config.depth, config.heads), ("", set()))
    if not size or (config.patch, config.image_size) not in sides:
        return ""
    try:
        timm_vit.config_to(config)  # refuses what is no plain ViT of timm
    except WeightsError:
        return ""
    plain = config.mlp_width == 4 * config.width
    return f"vit_{size}_patch{config.patch}_{config.image_size}" if plain else ""
