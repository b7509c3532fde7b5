"""RoBERTa and XLM-RoBERTa as transformers saves them: RadBERT-RoBERTa, BioMed-RoBERTa and kin.

A BERT in all but one thing: positions count from behind the padding's id, 1, so that the first two
rows of the position table serve no real token. They are left out here, and zero in an export.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.weights import settings
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.inputs import UNKNOWN, Inputs
from medvlp_jax.weights.rows import Row
from medvlp_jax.weights.tables import bert
from medvlp_jax.weights.transforms import behind

RENAME = ((r"^roberta\.", ""), *bert.RENAME)
#: Id of padding, which all published RoBERTas share.
PAD = 1
#: Rows of the position table in front of the first token's.
OFFSET = PAD + 1

_POSITIONS = "embeddings.position_embeddings.weight"


def table(config: TextConfig) -> tuple[Row, ...]:
    """Rows of a text tower that :func:`config_from` describes."""
    rows = (
        dataclasses.replace(row, transform=behind(OFFSET)) if row.source == _POSITIONS else row
        for row in bert.table(config)
    )
    return (*rows, Row("lm_head.*", None))


def config_from(given: Mapping[str, Any]) -> TextConfig:
    """Our config from ``config.json``; RoBERTa's own defaults stand in for what it leaves out.

    Raises:
      WeightsError: a variant that we do not have.
    """
    settings.expect(given, {"pad_token_id": PAD})
    vocab = 50265 if given.get("model_type", "roberta") == "roberta" else 30522
    found = bert.config_from({"model_type": "roberta", "vocab_size": vocab, **given})
    if found.max_length <= OFFSET:
        raise WeightsError(f"max_position_embeddings={found.max_length} leave no place for a token")
    return dataclasses.replace(found, max_length=found.max_length - OFFSET)


def config_to(config: TextConfig, inputs: Inputs = UNKNOWN) -> dict[str, Any]:
    """Settings with which transformers builds the same encoder.

    Raises:
      WeightsError: the config is none of a RoBERTa, or the tokenizer pads with another id.
    """
    if inputs.pad not in (None, PAD):
        raise WeightsError(
            f"the RoBERTa layout cannot hold this model: its tokenizer pads with {inputs.pad}, not "
            f"{PAD}; the bert layout can"
        )
    return bert.config_to(config) | {
        "architectures": ["RobertaModel"],
        "model_type": "roberta",
        "max_position_embeddings": config.max_length + OFFSET,
        "pad_token_id": PAD,
        "bos_token_id": 0 if inputs.start is None else inputs.start,
        "eos_token_id": 2 if inputs.end is None else inputs.end,
    }
