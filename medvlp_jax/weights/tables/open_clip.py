"""open_clip's own layout: ``CLIP``, and ``CustomTextCLIP`` with a BERT (BiomedCLIP, UniMed-CLIP).

Which names a model has follows from its config: the vision tower is open_clip's ViT (no bias on the
patches, a norm before the blocks) or timm's; the text tower is CLIP's own, at the top level of the
names, or a BERT of transformers under ``text.transformer``.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from medvlp_jax.models.clip import CLIPConfig, ProjectionConfig
from medvlp_jax.models.resnet import ResNetConfig
from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.weights import settings
from medvlp_jax.weights.convert import Row, under
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.tables import bert, timm_vit
from medvlp_jax.weights.tables.common import dense, fused_attention, norm
from medvlp_jax.weights.transforms import conv, linear

#: Wrapped for training; ``CustomTextCLIP`` with CLIP's own text tower; old names inside BERT.
RENAME = (
    (r"^module\.", ""),
    (r"^text\.(transformer\.resblocks|token_embedding|positional_embedding|ln_final)", r"\1"),
    (r"^text\.text_projection", "text_projection"),
)
_LAYER = (
    *norm("ln_1", "norm1"),
    *fused_attention("attn", "attn"),
    *norm("ln_2", "norm2"),
    *dense("mlp.c_fc", "mlp/up"),
    *dense("mlp.c_proj", "mlp/down"),
)
_VISION = (
    Row("class_embedding", "class_token"),
    Row("positional_embedding", "positions"),
    Row("conv1.weight", "embed/kernel", conv),
    *norm("ln_pre", "norm_pre"),
    *under(_LAYER, "transformer.resblocks.{i}.", "blocks/"),
    *norm("ln_post", "norm_post"),
)
_TEXT = (
    Row("token_embedding.weight", "embed/words/table"),
    Row("positional_embedding", "embed/positions"),
    *under(_LAYER, "transformer.resblocks.{i}.", "blocks/"),
    *norm("ln_final", "norm_final"),
)
_POOLERS = {
    "cls_last_hidden_state_pooler": "class",
    "mean_pooler": "mean",
}
#: Heads of BERTs are this wide; open_clip's settings name the BERT and do not give its sizes.
HEAD_WIDTH = 64


def table(config: CLIPConfig) -> tuple[Row, ...]:
    """Rows of a model that :func:`config_from` describes."""
    rows: list[Row] = [
        Row("logit_scale", "logit_scale"),
        Row("logit_bias", "logit_bias"),
        Row("attn_mask", None),
    ]
    if _is_native(config.vision):
        rows += under(_VISION, "visual.", "vision/")
        rows.append(Row("visual.proj", "vision_proj/out/kernel"))
    else:
        rows += under(timm_vit.table(ViTConfig()), "visual.trunk.", "vision/")
        rows.append(Row("visual.head.proj.weight", "vision_proj/out/kernel", linear))
    if is_bert(config.text):
        rows += under(bert.table(config.text), "text.transformer.", "text/")
        if config.text_proj.kind == "mlp":
            rows.append(Row("text.proj.0.weight", "text_proj/hidden/kernel", linear))
            rows.append(Row("text.proj.2.weight", "text_proj/out/kernel", linear))
        else:
            rows.append(Row("text.proj.weight", "text_proj/out/kernel", linear))
    else:
        rows += under(_TEXT, "", "text/")
        rows.append(Row("text_projection", "text_proj/out/kernel"))
    return tuple(rows)


def _is_native(vision: ViTConfig | ResNetConfig) -> bool:
    return isinstance(vision, ViTConfig) and vision.norm_pre


def is_bert(text: TextConfig) -> bool:
    """Whether a text tower is written as a BERT of transformers."""
    return text.norm == "post"


def config_from(
    given: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    text_settings: Mapping[str, Any] | None = None,
) -> CLIPConfig:
    """Our config from ``open_clip_config.json``.

    Args:
      given: the file's contents; settings that it leaves out have open_clip's defaults.
      shapes: of the tensors by name, for what settings only name: a BERT, a ViT of timm.
      text_settings: the BERT's own ``config.json``, if there is one.

    Raises:
      WeightsError: a variant that we do not have.
    """
    model = given.get("model_cfg", given)
    activation = "quick_gelu" if model.get("quick_gelu") else "gelu"
    vision, text = model["vision_cfg"], model["text_cfg"]
    settings.expect(model, {"nonscalar_logit_scale": False})
    linear_ = ProjectionConfig(kind="linear", bias=False)
    if text.get("hf_model_name"):
        text_config, text_proj = _bert(text, shapes, text_settings)
    else:
        text_config, text_proj = _text(text, activation), linear_
    return CLIPConfig(
        vision=_timm(vision, shapes) if vision.get("timm_model_name") else _vit(vision, activation),
        text=text_config,
        embed_dim=model["embed_dim"],
        vision_proj=linear_,
        text_proj=text_proj,
        logit_bias=model.get("init_logit_bias"),
    )


def _vit(given: Mapping[str, Any], activation: Any) -> ViTConfig:
    settings.expect(
        given,
        {
            "pool_type": "tok",
            "attentional_pool": False,
            "no_ln_pre": False,
            "pos_embed_type": "learnable",
            "final_ln_after_pool": False,
            "ls_init_value": None,
            "block_type": "default",
            "qk_norm": False,
            "act_kwargs": {},
            "norm_kwargs": {},
        },
    )
    if not isinstance(given.get("layers", 12), int):
        raise WeightsError("open_clip's modified ResNet is not supported, only its ViTs")
    width = given.get("width", 768)
    return ViTConfig(
        name="open_clip_vision",
        image_size=settings.whole_patches(
            given.get("image_size", 224), given.get("patch_size", 16)
        ),
        patch=settings.side(given.get("patch_size", 16)),
        width=width,
        depth=given.get("layers", 12),
        heads=width // given.get("head_width", 64),
        mlp_width=int(width * given.get("mlp_ratio", 4.0)),
        patch_bias=False,
        norm_pre=True,
        activation=activation,
        eps=1e-5,
    )


def _timm(given: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> ViTConfig:
    name = given["timm_model_name"]
    if not name.startswith("vit_"):
        raise WeightsError(f"timm_model_name={name!r} is not supported, only plain ViTs")
    if given.get("timm_pool", "avg") not in ("", "token"):
        raise WeightsError(f"timm_pool={given.get('timm_pool', 'avg')!r} is not supported, only ''")
    settings.expect(given, {"timm_proj": "linear", "timm_proj_bias": False})
    trunk = "visual.trunk."
    inner = {n.removeprefix(trunk): s for n, s in shapes.items() if n.startswith(trunk)}
    return timm_vit.config_from({}, inner)


def _text(given: Mapping[str, Any], activation: Any) -> TextConfig:
    settings.expect(
        given,
        {
            "embed_cls": False,
            "no_causal_mask": False,
            "final_ln_after_pool": False,
            "pool_type": "argmax",
            "proj_bias": False,
            "proj_type": "linear",
            "ls_init_value": None,
            "block_type": "default",
            "qk_norm": False,
            "act_kwargs": {},
            "norm_kwargs": {},
        },
    )
    width = given.get("width", 512)
    return TextConfig(
        name="open_clip_text",
        vocab=given.get("vocab_size", 49408),
        max_length=given.get("context_length", 77),
        types=0,
        width=width,
        depth=given.get("layers", 12),
        heads=given.get("heads", 8),
        mlp_width=int(width * given.get("mlp_ratio", 4.0)),
        norm="pre",
        norm_embed=False,
        norm_final=True,
        causal=True,
        pool="last",
        activation=activation,
        eps=1e-5,
    )


def _bert(
    given: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    own: Mapping[str, Any] | None,
) -> tuple[TextConfig, ProjectionConfig]:
    pooler = given.get("hf_pooler_type", "mean_pooler")
    if pooler not in _POOLERS:
        raise WeightsError(f"hf_pooler_type={pooler!r} is not one of {', '.join(_POOLERS)}")
    config = bert.config_from(_bert_sizes(shapes) if own is None else own)
    kind = given.get("hf_proj_type", "mlp") or "none"
    projection = ProjectionConfig(kind=kind, activation="gelu", bias=False)
    return dataclasses.replace(config, pool=_POOLERS[pooler]), projection


def _bert_sizes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    prefix = "text.transformer."
    inner = {n.removeprefix(prefix): s for n, s in shapes.items() if n.startswith(prefix)}
    try:
        vocab, width = inner["embeddings.word_embeddings.weight"]
        if width % HEAD_WIDTH:
            raise WeightsError(
                f"the BERT is {width} wide and its settings are not here, so the number of its "
                "heads is unknown; put its config.json into text_config/ of this folder"
            )
        layers = {n.split(".")[2] for n in inner if n.startswith("encoder.layer.")}
        return {
            "vocab_size": vocab,
            "hidden_size": width,
            "max_position_embeddings": inner["embeddings.position_embeddings.weight"][0],
            "type_vocab_size": inner["embeddings.token_type_embeddings.weight"][0],
            "num_hidden_layers": len(layers),
            "num_attention_heads": width // HEAD_WIDTH,
            "intermediate_size": inner["encoder.layer.0.intermediate.dense.weight"][0],
        }
    except KeyError as error:
        raise WeightsError(f"the text tower is no BERT: it has no tensor {error}") from error


def config_to(config: CLIPConfig, bert_name: str = "") -> dict[str, Any]:
    """Settings with which open_clip builds the same model (``open_clip_config.json``).

    Args:
      config: of the model.
      bert_name: what open_clip shall ask transformers for where the text tower is a BERT: a hub id
        or a folder with its ``config.json``.

    Raises:
      WeightsError: open_clip has no such model.
    """
    vision, text = config.vision, config.text
    if not isinstance(vision, ViTConfig):
        raise WeightsError(
            "the open_clip layout cannot hold this model: its vision tower is no ViT"
        )
    quick = vision.activation == "quick_gelu"
    if _is_native(vision):
        vision_cfg: dict[str, Any] = {
            "image_size": vision.image_size,
            "patch_size": vision.patch,
            "width": vision.width,
            "layers": vision.depth,
            "head_width": vision.width // vision.heads,
            "mlp_ratio": vision.mlp_width / vision.width,
        }
        expressible_vision = _vit(vision_cfg, vision.activation)
    else:
        vision_cfg = {
            "timm_model_name": _timm_name(vision),
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": vision.image_size,
        }
        expressible_vision = vision
    if is_bert(text):
        poolers = {ours: word for word, ours in _POOLERS.items()}
        if text.pool not in poolers:
            raise WeightsError(f"the open_clip layout cannot hold this model: pool={text.pool!r}")
        text_cfg: dict[str, Any] = {
            "hf_model_name": bert_name,
            "hf_tokenizer_name": bert_name,
            "hf_model_pretrained": False,
            "hf_pooler_type": poolers[text.pool],
            "hf_proj_type": None if config.text_proj.kind == "none" else config.text_proj.kind,
            "context_length": text.max_length,
        }
        bert.config_to(text)  # refuses what is no BERT
        expressible_text = text
    else:
        text_cfg = {
            "context_length": text.max_length,
            "vocab_size": text.vocab,
            "width": text.width,
            "heads": text.heads,
            "layers": text.depth,
            "mlp_ratio": text.mlp_width / text.width,
        }
        # One switch chooses the activation of both towers.
        expressible_text = _text(text_cfg, "quick_gelu" if quick else "gelu")
    plain = ProjectionConfig(kind="linear", bias=False)
    mlp = ProjectionConfig(kind=config.text_proj.kind, activation="gelu", bias=False)
    expressible = dataclasses.replace(
        config,
        vision=expressible_vision,
        text=expressible_text,
        vision_proj=plain,
        text_proj=mlp if is_bert(text) else plain,
    )
    settings.expect_same(config, expressible, "open_clip")
    model: dict[str, Any] = {"embed_dim": config.embed_dim, "quick_gelu": quick}
    if config.logit_bias is not None:
        model["init_logit_bias"] = config.logit_bias
    if is_bert(text):
        model["custom_text"] = True
    model |= {"vision_cfg": vision_cfg, "text_cfg": text_cfg}
    return {"model_cfg": model, "preprocess_cfg": {}}


def _timm_name(config: ViTConfig) -> str:
    timm_vit.config_to(config)  # refuses what is no plain ViT of timm
    sizes = {192: "tiny", 384: "small", 768: "base", 1024: "large"}
    layers = {192: 12, 384: 12, 768: 12, 1024: 24}
    size = sizes.get(config.width)
    if size is None or config.depth != layers[config.width] or config.mlp_width != 4 * config.width:
        raise WeightsError("the open_clip layout cannot hold this model: timm has no such ViT")
    return f"vit_{size}_patch{config.patch}_{config.image_size}"
