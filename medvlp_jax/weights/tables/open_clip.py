"""open_clip's own layout: ``CLIP``, and ``CustomTextCLIP`` with a BERT (BiomedCLIP, UniMed-CLIP).

Which names a model has follows from its config: the vision tower is open_clip's ViT (no bias on the
patches, a norm before the blocks) or timm's; the text tower is CLIP's own, at the top level of the
names, or a BERT of transformers under ``text.transformer``.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from medvlp_jax.models.clip import CLIPConfig, ProjectionConfig
from medvlp_jax.models.resnet import ResNetConfig
from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.models.towers import VisionConfig
from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.weights import settings
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.rows import Row, under
from medvlp_jax.weights.tables import bert, densenet, resnet, roberta, timm_vit
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
_ROBERTAS = ("roberta", "xlm-roberta")
#: Settings that are understood, are checked, or change nothing of the function.
_MODEL_KEYS = (
    *("embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "custom_text", "init_logit_scale"),
    *("init_logit_bias", "nonscalar_logit_scale", "cast_dtype", "output_dict", "preprocess_cfg"),
)
_TOWER_KEYS = (
    *("width", "layers", "mlp_ratio", "ls_init_value", "act_kwargs", "norm_kwargs", "qk_norm"),
    *("output_tokens", "block_type", "pool_type", "final_ln_after_pool"),
)
_VISION_KEYS = (
    *_TOWER_KEYS,
    *("head_width", "patch_size", "image_size", "patch_dropout", "attentional_pool", "no_ln_pre"),
    *("attn_pooler_queries", "attn_pooler_heads", "pos_embed_type", "timm_model_name"),
    *("timm_model_pretrained", "timm_pool", "timm_proj", "timm_proj_bias", "timm_drop"),
    "timm_drop_path",
)
_TEXT_KEYS = (
    *_TOWER_KEYS,
    *("context_length", "vocab_size", "hf_tokenizer_name", "tokenizer_mode", "tokenizer_kwargs"),
    *("heads", "embed_cls", "pad_id", "eos_id", "no_causal_mask", "proj_bias", "proj_type"),
    *("hf_model_name", "hf_model_pretrained", "hf_proj_type", "hf_pooler_type"),
    *("hf_model_config", "text_mask"),
)


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
        encoder = roberta if config.text.name in _ROBERTAS else bert
        rows += under(encoder.table(config.text), "text.transformer.", "text/")
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
    model = settings.group(given, "model_cfg") or given
    activation = "quick_gelu" if model.get("quick_gelu") else "gelu"
    vision, text = (settings.group(model, name) for name in ("vision_cfg", "text_cfg"))
    settings.only(model, _MODEL_KEYS, "model_cfg")
    settings.only(vision, _VISION_KEYS, "vision_cfg")
    settings.only(text, _TEXT_KEYS, "text_cfg")
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


def config_of(shapes: Mapping[str, tuple[int, ...]], activation: Any) -> CLIPConfig:
    """Our config of a file without settings: CLIP's ViT beside its own text tower or a BERT.

    Args:
      shapes: of the tensors by name.
      activation: of both towers (of the vision tower beside a BERT); tensors do not say it.

    Raises:
      WeightsError: the tensors are none of such a model.
    """
    for name in ("visual.conv1.weight", "visual.positional_embedding", "visual.proj"):
        if name not in shapes:
            raise WeightsError(f"no CLIP with a ViT: it has no tensor {name}")
    width, _, patch, _ = shapes["visual.conv1.weight"]
    if width > 1024 or width % 64:
        raise WeightsError(f"a ViT of width {width}, whose number of heads is not said")
    vision = {
        "width": width,
        "layers": _depth(shapes, "visual.transformer.resblocks."),
        "patch_size": patch,
        "image_size": math.isqrt(shapes["visual.positional_embedding"][0] - 1) * patch,
        "mlp_ratio": shapes["visual.transformer.resblocks.0.mlp.c_fc.weight"][0] / width,
    }
    linear_ = ProjectionConfig(kind="linear", bias=False)
    if "token_embedding.weight" in shapes:
        vocab, text_width = shapes["token_embedding.weight"]
        text = {
            "vocab_size": vocab,
            "context_length": shapes["positional_embedding"][0],
            "width": text_width,
            "heads": text_width // 64,
            "layers": _depth(shapes, "transformer.resblocks."),
            "mlp_ratio": shapes["transformer.resblocks.0.mlp.c_fc.weight"][0] / text_width,
        }
        text_config, projection = text_from(text, activation), linear_
    else:
        text = {"hf_model_name": "BERT", "hf_pooler_type": "cls_last_hidden_state_pooler"}
        text_config, projection = _bert(text, shapes, None)
    return CLIPConfig(
        vision=vit_from(vision, activation),
        text=text_config,
        embed_dim=shapes["visual.proj"][1],
        vision_proj=linear_,
        text_proj=projection,
    )


def _depth(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> int:
    inner = (name.removeprefix(prefix) for name in shapes if name.startswith(prefix))
    return len({name.split(".")[0] for name in inner})


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
    return timm_vit.config_from({"architecture": name}, _trunk(shapes))


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
    prefix = "text.transformer."
    inner = {n.removeprefix(prefix): s for n, s in shapes.items() if n.startswith(prefix)}
    sizes = bert.sizes(inner) if own is None else own
    _check_bert(given, sizes)
    encoder = roberta if sizes.get("model_type") in _ROBERTAS else bert
    config = encoder.config_from(sizes)
    kind = given.get("hf_proj_type", "mlp") or "none"
    projection = ProjectionConfig(kind=kind, activation="gelu", bias=False)
    return dataclasses.replace(config, pool=POOLERS[pooler]), projection


def _check_bert(given: Mapping[str, Any], sizes: Mapping[str, Any]) -> None:
    """Refuses other encoders whose tensors have BERT's names.

    Raises:
      WeightsError: naming the setting or tensor that tells.
    """
    name, kind = given["hf_model_name"], sizes.get("model_type")
    if kind not in (None, "bert", "cxr-bert", *_ROBERTAS):
        raise WeightsError(f"hf_model_name={name!r:.80} is a {kind!r:.40} and not a BERT")
    if kind is None and ("roberta" in str(name).lower() or sizes["type_vocab_size"] == 1):
        # RoBERTa counts positions from behind the id of its padding.
        raise WeightsError(
            f"hf_model_name={name!r:.80} is a RoBERTa (one row of token types) and its settings "
            "are not here; put its config.json into text_config/ of this folder"
        )
