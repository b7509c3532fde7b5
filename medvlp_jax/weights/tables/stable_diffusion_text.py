"""Text tower of Stable Diffusion: ``text_encoder/`` of a folder, CLIP's ``CLIPTextModel``.

Up to transformers 5.5 every name starts with ``text_model.``; later files leave it out.
"""

from collections.abc import Mapping
from typing import Any

from medvlp_jax.models.layers import Activation
from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.weights.convert import Row, under
from medvlp_jax.weights.tables.common import dense, norm
from medvlp_jax.weights.tables.stable_diffusion import differ, refuse, required

RENAME = ((r"^text_model\.", ""),)

_ACTIVATIONS: dict[str, Activation] = {"gelu": "gelu", "quick_gelu": "quick_gelu"}
_FIXED: dict[str, Any] = {"use_attention_mask": False}

LAYER = (
    *(row for part in "qkv" for row in dense(f"self_attn.{part}_proj", f"attn/{part}")),
    *dense("self_attn.out_proj", "attn/out"),
    *norm("layer_norm1", "norm1"),
    *norm("layer_norm2", "norm2"),
    *dense("mlp.fc1", "mlp/up"),
    *dense("mlp.fc2", "mlp/down"),
)


def table(config: TextConfig) -> tuple[Row, ...]:
    """Rows of ``text_encoder/model.safetensors``."""
    del config
    return (
        Row("embeddings.token_embedding.weight", "embed/words/table"),
        Row("embeddings.position_embedding.weight", "embed/positions"),
        *under(LAYER, "encoder.layers.{i}.", "blocks/"),
        *norm("final_layer_norm", "norm_final"),
        Row("embeddings.position_ids", None),
    )


def config_from(config: Mapping[str, Any], name: str = "clip_text") -> TextConfig:
    """Our config of a ``text_encoder/config.json``.

    Raises:
      UserError: the file asks for arithmetic that this tower does not have.
    """
    activation = config.get("hidden_act", "quick_gelu")
    faults = differ(config, _FIXED)
    faults += [f"hidden_act={activation}"] if activation not in _ACTIVATIONS else []
    refuse("text_encoder/config.json", faults)
    return TextConfig(
        name=name,
        vocab=config.get("vocab_size", 49408),
        max_length=config.get("max_position_embeddings", 77),
        types=0,
        width=required(config, "hidden_size"),
        depth=required(config, "num_hidden_layers"),
        heads=required(config, "num_attention_heads"),
        mlp_width=required(config, "intermediate_size"),
        norm="pre",
        norm_embed=False,
        norm_final=True,
        causal=True,
        pool="last",
        activation=_ACTIVATIONS[activation],
        eps=config.get("layer_norm_eps", 1e-5),
    )


def config_to(config: TextConfig) -> dict[str, Any]:
    """The ``text_encoder/config.json`` that transformers builds the same tower from."""
    c = config
    return {
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        "vocab_size": c.vocab,
        "max_position_embeddings": c.max_length,
        "hidden_size": c.width,
        "num_hidden_layers": c.depth,
        "num_attention_heads": c.heads,
        "intermediate_size": c.mlp_width,
        "hidden_act": c.activation,
        "layer_norm_eps": c.eps,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
    }
