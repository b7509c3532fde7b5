"""BioGPT as transformers saves it: a GPT-2 with scaled embeddings and fairseq's names."""

from collections.abc import Mapping
from typing import Any

from medvlp_jax.core.errors import UserError
from medvlp_jax.models.lm.config import LMConfig
from medvlp_jax.weights import settings
from medvlp_jax.weights.rows import Row
from medvlp_jax.weights.tables.common import norm
from medvlp_jax.weights.tables.gpt2 import OPTIONS
from medvlp_jax.weights.transforms import behind, identity, linear

#: Files of the bare model have no prefix.
RENAME = ((r"^(?!biogpt\.|output_projection\.)", "biogpt."),)
_BLOCK = "biogpt.layers.{i}."
#: Rows of the position table in front of the first token's.
_OFFSET = 2
#: Of the LayerNorms, whatever ``layer_norm_eps`` says: the library does not read it.
_EPS = 1e-5


def table(config: LMConfig) -> tuple[Row, ...]:
    """Rows of ``model.safetensors``."""
    block = "blocks" if config.stacked else "blocks/{i}"
    kernel = linear if config.kernel_layout == "in_out" else identity
    head = None if config.tie_embeddings else "head/kernel"
    rows = [
        Row("biogpt.embed_tokens.weight", "embed/table"),
        Row("biogpt.embed_positions.weight", "positions", behind(_OFFSET)),
        *norm("biogpt.layer_norm", "norm_final"),
        *norm(_BLOCK + "self_attn_layer_norm", f"{block}/norm1"),
        *norm(_BLOCK + "final_layer_norm", f"{block}/norm2"),
        Row("output_projection.weight", head, kernel),
    ]
    names = {f"self_attn.{name}_proj": f"attn/{name}" for name in ("q", "k", "v", "out")}
    for theirs, ours in {**names, "fc1": "mlp/up", "fc2": "mlp/down"}.items():
        rows.append(Row(f"{_BLOCK}{theirs}.weight", f"{block}/{ours}/kernel", kernel))
        rows.append(Row(f"{_BLOCK}{theirs}.bias", f"{block}/{ours}/bias"))
    return tuple(rows)


def config_from(folder_config: Mapping[str, Any]) -> LMConfig:
    """The model that a ``config.json`` with ``model_type`` "biogpt" describes.

    Raises:
      UserError: it asks for something that the decoder does not build; the key is named.
    """
    d = folder_config
    word = d.get("hidden_act", "gelu")
    if word not in settings.DECODER_ACTIVATIONS:
        raise UserError(f"config.json: hidden_act {word!r} is not built")
    width, heads = d.get("hidden_size", 1024), d.get("num_attention_heads", 16)
    return LMConfig(
        name=d.get("_name_or_path") or "biogpt",
        vocab=d.get("vocab_size", 42384),
        width=width,
        depth=d.get("num_hidden_layers", 24),
        heads=heads,
        kv_heads=heads,
        head_dim=width // heads,
        mlp_width=d.get("intermediate_size", 4096),
        max_length=d.get("max_position_embeddings", 1024),
        eps=_EPS,
        tie_embeddings=bool(d.get("tie_word_embeddings", True)),
        init_std=d.get("initializer_range", 0.02),
        embed_scaled=bool(d.get("scale_embedding", True)),
        activation=settings.DECODER_ACTIVATIONS[word],
        **OPTIONS,
    )


def config_to(config: LMConfig) -> dict[str, Any]:
    """The ``config.json`` of a BioGPT; inverse of :func:`config_from`."""
    c = config
    words = settings.DECODER_ACTIVATIONS.items()
    return {
        "architectures": ["BioGptForCausalLM"],
        "model_type": "biogpt",
        "vocab_size": c.vocab,
        "hidden_size": c.width,
        "num_hidden_layers": c.depth,
        "num_attention_heads": c.heads,
        "intermediate_size": c.mlp_width,
        "max_position_embeddings": c.max_length,
        "hidden_act": next(word for word, ours in words if ours == c.activation),
        "layer_norm_eps": c.eps,
        "initializer_range": c.init_std,
        "scale_embedding": c.embed_scaled,
        "tie_word_embeddings": c.tie_embeddings,
    }
