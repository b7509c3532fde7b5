"""open_clip's own layout: ``CLIP``, and ``CustomTextCLIP`` with a BERT (BiomedCLIP, UniMed-CLIP).

Which names a model has follows from its config: the vision tower is open_clip's ViT (no bias on the
patches, a norm before the blocks) or timm's; the text tower is CLIP's own, at the top level of the
names, or a BERT of transformers under ``text.transformer``.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from medvlp_jax.models.clip import CLIPConfig, ProjectionConfig
from medvlp_jax.models.heads import VisionConfig
from medvlp_jax.models.resnet import ResNetConfig
from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.weights import settings
from medvlp_jax.weights.convert import Row, under
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.tables import bert, densenet, resnet, timm_vit
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
POOLERS = {
    "cls_last_hidden_state_pooler": "class",
    "mean_pooler": "mean",
}
#: ResNets of timm by block and stages.
TIMM_RESNETS: dict[tuple[str, tuple[int, ...]], str] = {
    ("basic", (2, 2, 2, 2)): "resnet18",
    ("basic", (3, 4, 6, 3)): "resnet34",
    ("bottleneck", (3, 4, 6, 3)): "resnet50",
    ("bottleneck", (3, 4, 23, 3)): "resnet101",
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
    if has_trunk(config.vision):
        rows += under(_trunk_rows(config.vision), "visual.trunk.", "vision/")
        rows.append(Row("visual.head.proj.weight", "vision_proj/out/kernel", linear))
    else:
        rows += under(_VISION, "visual.", "vision/")
        rows.append(Row("visual.proj", "vision_proj/out/kernel"))
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


def _trunk_rows(vision: VisionConfig) -> tuple[Row, ...]:
    if isinstance(vision, ViTConfig):
        return timm_vit.table(vision)
    return resnet.table(vision) if isinstance(vision, ResNetConfig) else densenet.table(vision)


def has_trunk(vision: VisionConfig) -> bool:
    """Whether a vision tower is written as a model of timm; open_clip's own ViT has no bias on its
    patches."""
    if not isinstance(vision, ViTConfig):
        return True
    return vision.patch_bias or vision.name == "timm_vit"


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
        text_config, text_proj = text_from(text, activation), linear_
    return CLIPConfig(
        vision=_timm(vision, shapes)
        if vision.get("timm_model_name")
        else vit_from(vision, activation),
        text=text_config,
        embed_dim=model["embed_dim"],
        vision_proj=linear_,
        text_proj=text_proj,
        logit_bias=model.get("init_logit_bias"),
    )


def vit_from(given: Mapping[str, Any], activation: Any) -> ViTConfig:
    """Open_clip's own ViT from ``vision_cfg``."""
    settings.expect(
        given,
        {
            "pool_type": "tok",
            "attentional_pool": False,
            "pos_embed_type": "learnable",
            "final_ln_after_pool": False,
            "ls_init_value": None,
            "block_type": "default",
            "qk_norm": False,
            "act_kwargs": {},
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
        norm_pre=not given.get("no_ln_pre"),
        activation=activation,
        eps=_eps(given),
    )


def _eps(given: Mapping[str, Any]) -> float:
    norms = given.get("norm_kwargs") or {}
    if norms.keys() - {"eps"}:
        raise WeightsError(f"norm_kwargs={norms} is not supported, only eps")
    return norms.get("eps", 1e-5)


def _timm(
    given: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> ViTConfig | ResNetConfig:
    name = given["timm_model_name"]
    if name in TIMM_RESNETS.values():
        return _timm_resnet(given, _trunk(shapes))
    if not name.startswith("vit_"):
        raise WeightsError(f"timm_model_name={name!r} is not supported, only plain ViTs")
    if given.get("timm_pool", "avg") not in ("", "token"):
        raise WeightsError(f"timm_pool={given.get('timm_pool', 'avg')!r} is not supported, only ''")
    settings.expect(given, {"timm_proj": "linear", "timm_proj_bias": False})
    return timm_vit.config_from({}, _trunk(shapes))


def _trunk(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    trunk = "visual.trunk."
    return {n.removeprefix(trunk): s for n, s in shapes.items() if n.startswith(trunk)}


def _timm_resnet(given: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> ResNetConfig:
    if given.get("timm_pool", "avg") not in ("", "avg"):
        raise WeightsError(f"timm_pool={given['timm_pool']!r} is not supported, only 'avg'")
    settings.expect(given, {"timm_proj": "linear", "timm_proj_bias": False})
    found = resnet.config_from({}, shapes)
    return dataclasses.replace(found, image_size=settings.side(given.get("image_size", 224)))


def text_from(given: Mapping[str, Any], activation: Any) -> TextConfig:
    """CLIP's text tower from ``text_cfg``."""
    settings.expect(
        given,
        {
            "embed_cls": False,
            "no_causal_mask": False,
            "final_ln_after_pool": False,
            "proj_bias": False,
            "proj_type": "linear",
            "ls_init_value": None,
            "block_type": "default",
            "qk_norm": False,
            "act_kwargs": {},
        },
    )
    if given.get("pool_type", "argmax") not in ("argmax", "eos"):
        raise WeightsError(
            f"pool_type={given['pool_type']!r} is not supported, only 'argmax' and 'eos'"
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
        eps=_eps(given),
    )


def _bert(
    given: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    own: Mapping[str, Any] | None,
) -> tuple[TextConfig, ProjectionConfig]:
    pooler = given.get("hf_pooler_type", "mean_pooler")
    if pooler not in POOLERS:
        raise WeightsError(f"hf_pooler_type={pooler!r} is not one of {', '.join(POOLERS)}")
    config = bert.config_from(_bert_sizes(shapes) if own is None else own)
    kind = given.get("hf_proj_type", "mlp") or "none"
    projection = ProjectionConfig(kind=kind, activation="gelu", bias=False)
    return dataclasses.replace(config, pool=POOLERS[pooler]), projection


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
