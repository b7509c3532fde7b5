"""BLIP as transformers saves it (for retrieval, or for captions) and as its authors did.

The authors' ``.pth`` files hold the two branches, the momentum encoder and the queue under names of
their own; what encoder and decoder share is in there twice. A fine-tuned file has one branch.
Names are those of ``BlipForImageTextRetrieval`` and ``BlipForConditionalGeneration``, and of
``models/med.py`` and ``models/blip_pretrain.py`` of salesforce/BLIP.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from medvlp_jax.models.blip.blip import EXTRA_TOKENS, BlipConfig
from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.weights import settings
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.inputs import UNKNOWN, Inputs
from medvlp_jax.weights.rows import Row, under
from medvlp_jax.weights.tables import timm_vit
from medvlp_jax.weights.tables.common import convolution, dense, norm
from medvlp_jax.weights.transforms import Transform, identity, leading, linear, split

Shapes = Mapping[str, tuple[int, ...]]
#: Heads of the text side are this wide where no settings say it.
HEAD_WIDTH = 64

_QKV = ("attn/q", "attn/k", "attn/v")
_VISION = (
    Row("embeddings.class_embedding", "class_token", leading(2)),
    Row("embeddings.position_embedding", "positions", leading(1)),
    *convolution("embeddings.patch_embedding", "embed"),
    *under(
        (
            *norm("layer_norm1", "norm1"),
            Row("self_attn.qkv.weight", tuple(f"{p}/kernel" for p in _QKV), split(3, linear)),
            Row("self_attn.qkv.bias", tuple(f"{p}/bias" for p in _QKV), split(3, identity)),
            *dense("self_attn.projection", "attn/out"),
            *norm("layer_norm2", "norm2"),
            *dense("mlp.fc1", "mlp/up"),
            *dense("mlp.fc2", "mlp/down"),
        ),
        "encoder.layers.{i}.",
        "blocks/",
    ),
    *norm("post_layernorm", "norm_post"),
)
#: What the two branches share, and what each has for itself.
_SHARED = (
    Row("embeddings.word_embeddings.weight", "embed/words/table"),
    Row("embeddings.position_embeddings.weight", "embed/positions"),
    *norm("embeddings.LayerNorm", "embed/norm"),
    *under(
        (
            *dense("crossattention.self.query", "cross/attn/q"),
            *dense("crossattention.self.key", "cross/attn/k"),
            *dense("crossattention.self.value", "cross/attn/v"),
            *dense("crossattention.output.dense", "cross/attn/out"),
            *norm("crossattention.output.LayerNorm", "cross/norm"),
            *dense("intermediate.dense", "ff/mlp/up"),
            *dense("output.dense", "ff/mlp/down"),
            *norm("output.LayerNorm", "ff/norm"),
        ),
        "encoder.layer.{i}.",
    ),
)
_OWN = under(
    (
        *dense("attention.self.query", "attn/q"),
        *dense("attention.self.key", "attn/k"),
        *dense("attention.self.value", "attn/v"),
        *dense("attention.output.dense", "attn/out"),
        *norm("attention.output.LayerNorm", "norm"),
    ),
    "encoder.layer.{i}.",
)
_HEADS = (
    *dense("vision_proj", "vision_proj"),
    *dense("text_proj", "text_proj"),
    *dense("itm_head", "itm"),
)
_WORDS = (
    *dense("transform.dense", "lm/transform"),
    *norm("transform.LayerNorm", "lm/norm"),
)
_ENCODER, _DECODER = "text_encoder.", "text_decoder.bert."
_PREDICTIONS = "text_decoder.cls.predictions."


def tied(count: int, then: Transform = identity) -> Transform:
    """One array of ours that the origin keeps under several names.

    Raises:
      WeightsError: while loading, where they differ: the checkpoint does not share them.
    """

    def load(*tensors: np.ndarray) -> Any:
        if any(not np.array_equal(tensors[0], other) for other in tensors[1:]):
            raise WeightsError(
                "encoder and decoder of this file differ in what BLIP shares between them "
                "(embeddings, cross-attention, MLP); give a file that was trained as one model"
            )
        return then.load(tensors[0])

    def save(x: np.ndarray) -> tuple[np.ndarray, ...]:
        return (np.asarray(then.save(x)),) * count

    return Transform(f"tied({count}, {then.name})", load, save)


def _text(config: BlipConfig, *, repeated: bool) -> tuple[Row, ...]:
    """Rows of the text side and of its heads; ``repeated``: the head of words repeats the word
    table and its bias."""
    found = {"encoder": _ENCODER, "decoder": _DECODER}
    sources = [found[b] for b in ("encoder", "decoder") if b in config.branches]
    reads, writes = ("encoder" in config.branches), ("decoder" in config.branches)
    rows: list[Row] = []
    for row in _SHARED:
        names = [f"{s}{row.source}" for s in sources]
        if row.target == "embed/words/table" and writes and repeated:
            names.append(f"{_PREDICTIONS}decoder.weight")
        rows.append(_under_all(names, row))
    rows = list(under(rows, "", "text/"))
    if reads:
        rows += [*under(_OWN, _ENCODER, "text/encoder/"), *_HEADS]
    if writes:
        biases = [f"{_PREDICTIONS}bias"]
        biases += [f"{_PREDICTIONS}decoder.bias"] if repeated else []
        rows += [*under(_OWN, _DECODER, "text/decoder/"), *under(_WORDS, _PREDICTIONS)]
        rows.append(_under_all(biases, Row("", "lm/bias")))
        # The same arrays once more, where files repeat them.
        rows.append(Row(f"{_PREDICTIONS}decoder.*", None))
    return tuple(rows)


def _under_all(names: list[str], row: Row) -> Row:
    """The row for a tensor that is kept under all these names."""
    if len(names) == 1:
        return dataclasses.replace(row, source=names[0])
    return dataclasses.replace(row, source=tuple(names), transform=tied(len(names), row.transform))


def table(config: BlipConfig) -> tuple[Row, ...]:
    """Rows of a ``BlipForImageTextRetrieval`` or a ``BlipForConditionalGeneration``."""
    return (
        *under(_VISION, "vision_model.", "vision/"),
        *_text(config, repeated=False),
        Row("text_encoder.embeddings.position_ids", None),
        Row("text_decoder.bert.embeddings.position_ids", None),
        Row("text_encoder.pooler.*", None),
    )


def authors_table(config: BlipConfig) -> tuple[Row, ...]:
    """Rows of the authors' files."""
    return (
        *under(timm_vit.table(config.vision), "visual_encoder.", "vision/"),
        *_text(config, repeated=True),
        Row("temp", "temperature"),
        # The momentum encoder starts anew from the weights, the queue from nothing.
        *(
            Row(name, None)
            for name in (
                *("visual_encoder_m.*", "text_encoder_m.*", "vision_proj_m.*", "text_proj_m.*"),
                *("image_queue", "text_queue", "idx_queue", "queue_ptr", "ptr_queue"),
                *("text_encoder.embeddings.position_ids", "text_encoder.pooler.*"),
                "text_decoder.bert.embeddings.position_ids",
            )
        ),
    )


def config_from(given: Mapping[str, Any], shapes: Shapes) -> BlipConfig:
    """Our config from a BLIP's ``config.json`` and the names of its tensors.

    Raises:
      WeightsError: a variant that we do not have.
    """
    text = settings.group(given, "text_config")
    vision = settings.group(given, "vision_config")
    patch = settings.side(vision.get("patch_size", 16))
    return BlipConfig(
        vision=ViTConfig(
            name="blip_vision",
            image_size=settings.whole_patches(vision.get("image_size", 384), patch),
            patch=patch,
            width=vision.get("hidden_size", 768),
            depth=vision.get("num_hidden_layers", 12),
            heads=vision.get("num_attention_heads", 12),
            mlp_width=vision.get("intermediate_size", 3072),
            activation=settings.activation_from(vision.get("hidden_act", "gelu")),
            eps=vision.get("layer_norm_eps", 1e-5),
        ),
        text=TextConfig(
            name="blip_text",
            vocab=text.get("vocab_size", 30524) - EXTRA_TOKENS,
            max_length=text.get("max_position_embeddings", 512),
            types=0,
            width=text.get("hidden_size", 768),
            depth=text.get("num_hidden_layers", 12),
            heads=text.get("num_attention_heads", 8),
            mlp_width=text.get("intermediate_size", 3072),
            activation=settings.activation_from(text.get("hidden_act", "gelu")),
            eps=text.get("layer_norm_eps", 1e-12),
        ),
        branches=branches_of(shapes),
        embed_dim=given.get("image_text_hidden_size", 256),
        temperature=None,
        queue=0,
    )


def branches_of(shapes: Shapes) -> tuple[Any, ...]:
    """Which branches the tensors of a file make.

    Raises:
      WeightsError: neither retrieval nor captions: BlipModel and question answering are no part of
        ours.
    """
    reads, writes = "itm_head.weight" in shapes, f"{_PREDICTIONS}bias" in shapes
    # A decoder behind an encoder without a match answers questions.
    other = not reads and any(name.startswith(_ENCODER) for name in shapes)
    found = [
        branch for branch, there in (("encoder", reads), ("decoder", writes and not other)) if there
    ]
    if not found:
        raise WeightsError(
            "this BLIP neither matches nor captions: weights for pre-training, retrieval "
            "(BlipForImageTextRetrieval) or captions (BlipForConditionalGeneration) are read"
        )
    return tuple(found)


def authors_config(shapes: Shapes) -> BlipConfig:
    """Our config of one of the authors' files, which say nothing but shapes.

    Raises:
      WeightsError: the tensors are none of a BLIP, or do not say how many heads it has.
    """
    inside = "visual_encoder."
    own = {n.removeprefix(inside): s for n, s in shapes.items() if n.startswith(inside)}
    vision = timm_vit.config_from({}, own)
    branches = branches_of(shapes)
    prefix = _ENCODER if "encoder" in branches else _DECODER
    words = f"{prefix}embeddings.word_embeddings.weight"
    if words not in shapes:
        raise WeightsError(f"no BLIP: it has no tensor {words}")
    rows, width = shapes[words]
    if width % HEAD_WIDTH:
        raise WeightsError(
            f"the text side is {width} wide, and the number of its heads is unknown; convert the "
            "file to transformers' layout, whose settings say it"
        )
    layers = [n for n in shapes if n.startswith(prefix) and n.endswith("intermediate.dense.weight")]
    return BlipConfig(
        vision=dataclasses.replace(vision, name="blip_vision"),
        text=TextConfig(
            name="blip_text",
            vocab=rows - EXTRA_TOKENS,
            max_length=shapes[f"{prefix}embeddings.position_embeddings.weight"][0],
            types=0,
            width=width,
            depth=len(layers),
            heads=width // HEAD_WIDTH,
            mlp_width=shapes[f"{prefix}encoder.layer.0.intermediate.dense.weight"][0],
        ),
        branches=branches,
        embed_dim=shapes["vision_proj.weight"][0] if "encoder" in branches else 256,
        temperature=0.07 if "temp" in shapes else None,
        queue=0,
    )


def config_to(config: BlipConfig, inputs: Inputs = UNKNOWN) -> dict[str, Any]:
    """Settings with which transformers builds the same model of one branch.

    Raises:
      WeightsError: the model is none of BLIP's, or has two branches.
    """
    if len(config.branches) != 1:
        raise WeightsError(
            "transformers has no class for a BLIP of two branches; give --layout=blip_retrieval, "
            "blip_captions or blip_authors"
        )
    reads = config.branches == ("encoder",)
    text, vision = config.text, config.vision
    found = {
        "architectures": ["BlipForImageTextRetrieval" if reads else "BlipForConditionalGeneration"],
        "model_type": "blip",
        "image_text_hidden_size": config.embed_dim,
        "text_config": {
            "model_type": "blip_text_model",
            "vocab_size": config.rows,
            "hidden_size": text.width,
            "encoder_hidden_size": vision.width,
            "intermediate_size": text.mlp_width,
            "num_hidden_layers": text.depth,
            "num_attention_heads": text.heads,
            "max_position_embeddings": text.max_length,
            "hidden_act": settings.activation_to(text.activation),
            "layer_norm_eps": text.eps,
            "hidden_dropout_prob": text.dropout,
            "attention_probs_dropout_prob": 0.0,
            "bos_token_id": config.dec_id,
            "pad_token_id": inputs.pad or 0,
            **({} if inputs.end is None else {"sep_token_id": inputs.end}),
        },
        "vision_config": {
            "model_type": "blip_vision_model",
            "hidden_size": vision.width,
            "intermediate_size": vision.mlp_width,
            "num_hidden_layers": vision.depth,
            "num_attention_heads": vision.heads,
            "image_size": vision.image_size,
            "patch_size": vision.patch,
            "hidden_act": settings.activation_to(vision.activation),
            "layer_norm_eps": vision.eps,
        },
    }
    head = "itm_head.weight" if reads else f"{_PREDICTIONS}bias"
    settings.expect_same(config, config_from(found, {head: ()}), "BLIP")
    return found


def authors_config_to(config: BlipConfig, inputs: Inputs = UNKNOWN) -> dict[str, Any]:
    """The authors' files have no settings.

    Raises:
      WeightsError: their program would build another model.
    """
    del inputs
    text, vision = config.text, config.vision
    side = math.isqrt(vision.grid[0] * vision.grid[1])
    plain = dataclasses.replace(
        config,
        vision=ViTConfig(
            image_size=side * vision.patch,
            patch=vision.patch,
            width=vision.width,
            depth=vision.depth,
            heads=vision.width // HEAD_WIDTH,
            mlp_width=vision.mlp_width,
        ),
        text=TextConfig(
            vocab=text.vocab,
            max_length=text.max_length,
            types=0,
            width=text.width,
            depth=text.depth,
            heads=text.width // HEAD_WIDTH,
            mlp_width=text.mlp_width,
        ),
    )
    settings.expect_same(config, plain, "BLIP authors'")
    return {}


def without_training(config: BlipConfig, params: Mapping[str, Any]) -> tuple[BlipConfig, Any]:
    """The model without what training alone needs."""
    return dataclasses.replace(config, queue=0), dict(params)


def without_temperature(config: BlipConfig, params: Mapping[str, Any]) -> tuple[BlipConfig, Any]:
    """The model for the layouts that have no temperature."""
    rest = {key: value for key, value in params.items() if key != "temperature"}
    return dataclasses.replace(config, temperature=None), rest


def only(branch: str) -> Any:
    """The model with this branch alone."""

    def fold(config: BlipConfig, params: Mapping[str, Any]) -> tuple[BlipConfig, Any]:
        if branch not in config.branches:
            raise WeightsError(f"this BLIP has no {branch}; give another --layout")
        other = "decoder" if branch == "encoder" else "encoder"
        heads = ("lm",) if branch == "encoder" else ("vision_proj", "text_proj", "itm")
        rest = {key: value for key, value in params.items() if key not in heads}
        rest["text"] = {key: value for key, value in params["text"].items() if key != other}
        return dataclasses.replace(config, branches=(branch,)), rest

    return fold
