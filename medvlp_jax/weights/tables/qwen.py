"""Qwen2 and Qwen2.5 (biases on q, k, v) and Qwen3 (norms on q and k): Llama's names, two more."""

from collections.abc import Mapping
from typing import Any

from medvlp_jax.core.errors import UserError
from medvlp_jax.models.lm import LMConfig
from medvlp_jax.weights.convert import Row
from medvlp_jax.weights.tables import llama


def table(config: LMConfig) -> tuple[Row, ...]:
    """Rows of ``model.safetensors``."""
    return llama.table(config)


def config_from(folder_config: Mapping[str, Any]) -> LMConfig:
    """The model that a ``config.json`` with ``model_type`` "qwen2" or "qwen3" describes.

    Raises:
      UserError: another type, or something that the decoder does not build; the key is named.
    """
    kind = folder_config.get("model_type")
    if kind == "qwen2":
        return llama.decoder_config(folder_config, qkv_bias=True)
    if kind == "qwen3":
        bias = bool(folder_config.get("attention_bias", False))
        # Qwen3's heads are 128 wide unless the file says otherwise, whatever the width.
        with_width = {"head_dim": 128, **folder_config}
        return llama.decoder_config(with_width, qkv_bias=bias, out_bias=bias, qk_norm=True)
    raise UserError(f"config.json: model_type {kind!r} is neither qwen2 nor qwen3")


def config_to(config: LMConfig) -> dict[str, Any]:
    """The ``config.json`` of a Qwen2 or, where q and k have norms, of a Qwen3.

    Raises:
      UserError: Qwen has no such model.
    """
    c = config
    if c.qk_norm:
        if c.mlp_bias or c.qkv_bias != c.out_bias:
            raise UserError(f"{c.name} is no Qwen3: it has biases that Qwen3 does not know")
        own = {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "attention_bias": c.qkv_bias,
        }
    else:
        if c.mlp_bias or c.out_bias or not c.qkv_bias:
            raise UserError(f"{c.name} is no Qwen2, which has biases on q, k and v alone")
        if c.head_dim * c.heads != c.width:
            raise UserError(f"{c.name} is no Qwen2, whose heads together are as wide as the model")
        own = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}
    return {**own, "use_sliding_window": False, **llama.decoder_dict(c)}
