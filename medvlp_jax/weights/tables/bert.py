"""BERT as Hugging Face's ``BertModel`` saves it: BiomedBERT, BioClinicalBERT, CXR-BERT and kin.

Checkpoints of models with heads (``BertForMaskedLM``, ``BertForPreTraining``) put ``bert.`` before
the encoder's names; old ones call the norms' parameters ``gamma`` and ``beta``. Heads and the
pooler (a layer trained on next-sentence prediction) are no part of our text tower and are left out.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.weights.convert import Row, under
from medvlp_jax.weights.tables.common import dense, norm

RENAME = (
    (r"^bert\.", ""),
    (r"LayerNorm\.gamma$", "LayerNorm.weight"),
    (r"LayerNorm\.beta$", "LayerNorm.bias"),
)

EMBEDDINGS = (
    Row("word_embeddings.weight", "words/table"),
    Row("position_embeddings.weight", "positions"),
    Row("token_type_embeddings.weight", "types"),
    *norm("LayerNorm", "norm"),
)
LAYER = (
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
    """Rows for a text tower with the options of :func:`config_from`."""
    del config
    return (
        *under(EMBEDDINGS, "embeddings.", "embed/"),
        *under(LAYER, "encoder.layer.{i}.", "blocks/"),
        Row("embeddings.position_ids", None),
        Row("pooler.dense.weight", None),
        Row("pooler.dense.bias", None),
    )
