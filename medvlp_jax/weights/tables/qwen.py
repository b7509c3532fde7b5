"""Qwen2 and Qwen2.5 (biases on q, k, v) and Qwen3 (norms on q and k): Llama's names, two more."""

from collections.abc import Mapping
from typing import Any

from medvlp_jax.core.errors import UserError
from medvlp_jax.models.lm.config import LMConfig
from medvlp_jax.weights.rows import Row
from medvlp_jax.weights.tables import llama


def table(config: LMConfig) -> tuple[Row, ...]:
    """Rows of ``model.safetensors``."""
    return llama.table(config)


#: Other names of the same tensors; none.
RENAME = ()


def config_from(folder_config: Mapping[str, Any]) -> LMConfig:
    """The model that a ``config.json`` with ``model_type`` "qwen2" or "qwen3" describes.

    Raises:
      UserError: another type, or something that the decoder does not build; the key is named.
    """
    kind, windows = folder_config.get("model_type"), _windows(folder_config)
    if kind == "qwen2":
        return llama.decoder_config(folder_config, qkv_bias=True, windows=windows)
    if kind == "qwen3":
        bias = bool(folder_config.get("attention_bias", False))
        # Qwen3's heads are 128 wide unless the file says otherwise, whatever the width.
        with_width = {"head_dim": 128, **folder_config}
        return llama.decoder_config(
            with_width, qkv_bias=bias, out_bias=bias, qk_norm=True, windows=windows
        )
    raise UserError(f"config.json: model_type {kind!r} is neither qwen2 nor qwen3")


def _windows(d: Mapping[str, Any]) -> tuple[int, ...]:
    if not d.get("use_sliding_window", False):
        return ()
    first, depth = d.get("max_window_layers", 28), d.get("num_hidden_layers", 0)
    types = ["sliding_attention" if i >= first else "full_attention" for i in range(depth)]
    return llama.windows_from({"sliding_window": 4096, **d}, d.get("layer_types") or types)


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
    windows: dict[str, Any] = {"use_sliding_window": bool(c.windows)}
    if c.windows:
        types = ["sliding_attention" if w else "full_attention" for w in c.windows]
        windows |= {"sliding_window": max(c.windows), "layer_types": types}
    return {**own, **windows, **llama.decoder_dict(c)}
