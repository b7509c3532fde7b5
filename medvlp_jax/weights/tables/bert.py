"""BERT as transformers' ``BertModel`` saves it: BiomedBERT, BioClinicalBERT, CXR-BERT and kin.

Checkpoints of models with heads (``BertForMaskedLM``, ``BertForPreTraining``) put ``bert.`` before
the encoder's names; old ones call the norms' parameters ``gamma`` and ``beta``. Heads and the
pooler (a layer trained on next-sentence prediction) are no part of our text tower and are left out.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.weights import settings
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.inputs import UNKNOWN, Inputs
from medvlp_jax.weights.rows import Row, under
from medvlp_jax.weights.tables.common import dense, norm

#: Heads of published BERTs are this wide.
HEAD_WIDTH = 64
RENAME = (
    (r"^bert\.", ""),
    (r"LayerNorm\.gamma$", "LayerNorm.weight"),
    (r"LayerNorm\.beta$", "LayerNorm.bias"),
)

_EMBEDDINGS = (
    Row("word_embeddings.weight", "words/table"),
    Row("position_embeddings.weight", "positions"),
    Row("token_type_embeddings.weight", "types"),
    *norm("LayerNorm", "norm"),
)
_LAYER = (
    *dense("attention.self.query", "attn/q"),
    *dense("attention.self.key", "attn/k"),
    *dense("attention.self.value", "attn/v"),
    *dense("attention.output.dense", "attn/out"),
    *norm("attention.output.LayerNorm", "norm1"),
    *dense("intermediate.dense", "mlp/up"),
    *dense("output.dense", "mlp/down"),
    *norm("output.LayerNorm", "norm2"),
)


def table(config: TextConfig) -> tuple[Row, ...]:
    """Rows of a text tower that :func:`config_from` describes."""
    del config
    return (
        *under(_EMBEDDINGS, "embeddings.", "embed/"),
        *under(_LAYER, "encoder.layer.{i}.", "blocks/"),
        Row("embeddings.position_ids", None),
        Row("pooler.*", None),
        Row("cls.*", None),  # masked words, next sentence
        Row("cls_projection_head.*", None),  # CXR-BERT
        Row("classifier.*", None),
    )


def config_from(given: Mapping[str, Any]) -> TextConfig:
    """Our config from ``config.json``; BERT's own defaults stand in for what it leaves out.

    Raises:
      WeightsError: a variant of BERT that we do not have.
    """
    settings.expect(
        given,
        {
            "position_embedding_type": "absolute",
            "is_decoder": False,
            "add_cross_attention": False,
        },
    )
    return TextConfig(
        name=given.get("model_type", "bert"),
        vocab=given.get("vocab_size", 30522),
        max_length=given.get("max_position_embeddings", 512),
        types=given.get("type_vocab_size", 2),
        width=given.get("hidden_size", 768),
        depth=given.get("num_hidden_layers", 12),
        heads=given.get("num_attention_heads", 12),
        mlp_width=given.get("intermediate_size", 3072),
        activation=settings.activation_from(given.get("hidden_act", "gelu")),
        eps=given.get("layer_norm_eps", 1e-12),
    )


def sizes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """The settings of a BERT that has none beside it, from the shapes of its tensors.

    Raises:
      WeightsError: the tensors are none of a BERT, or do not say how many heads it has.
    """
    for name in ("embeddings.word_embeddings.weight", "encoder.layer.0.intermediate.dense.weight"):
        if name not in shapes:
            raise WeightsError(f"the text tower is no BERT: it has no tensor {name}")
    vocab, width = shapes["embeddings.word_embeddings.weight"]
    if width % HEAD_WIDTH:
        raise WeightsError(
            f"the BERT is {width} wide and its settings are not here, so the number of its "
            "heads is unknown; put its config.json into text_config/ of this folder"
        )
    return {
        "vocab_size": vocab,
        "hidden_size": width,
        "max_position_embeddings": shapes["embeddings.position_embeddings.weight"][0],
        "type_vocab_size": shapes["embeddings.token_type_embeddings.weight"][0],
        "num_hidden_layers": len({n.split(".")[2] for n in shapes if n.startswith("encoder.l")}),
        "num_attention_heads": width // HEAD_WIDTH,
        "intermediate_size": shapes["encoder.layer.0.intermediate.dense.weight"][0],
    }


def config_to(config: TextConfig, inputs: Inputs = UNKNOWN) -> dict[str, Any]:
    """Settings with which transformers builds the same encoder; ``inputs`` says what pads.

    Raises:
      WeightsError: the config is none of a BERT.
    """
    found = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": config.vocab,
        "max_position_embeddings": config.max_length,
        "type_vocab_size": config.types,
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.mlp_width,
        "hidden_act": settings.activation_to(config.activation),
        "layer_norm_eps": config.eps,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": 0.0,
        "pad_token_id": inputs.pad or 0,
    }
    # How a text is pooled is said outside of a BERT's settings.
    pooled = dataclasses.replace(config_from(found), pool=config.pool)
    settings.expect_same(config, pooled, "BERT")
    return found
