"""Llama 2 and 3 (and what has their layout: SmolLM2, Yi, TinyLlama), and Mistral (BioMistral)."""

from collections.abc import Mapping, Sequence
from typing import Any

from medvlp_jax.core.errors import UserError
from medvlp_jax.models.lm.config import LMConfig
from medvlp_jax.models.lm.rope import RopeConfig, Scaling
from medvlp_jax.weights.rows import Row
from medvlp_jax.weights.transforms import identity, linear

_BLOCK = "model.layers.{i}."
#: Our name in a block -> theirs.
_LINEARS = {
    "attn/q": "self_attn.q_proj",
    "attn/k": "self_attn.k_proj",
    "attn/v": "self_attn.v_proj",
    "attn/out": "self_attn.o_proj",
    "mlp/gate": "mlp.gate_proj",
    "mlp/up": "mlp.up_proj",
    "mlp/down": "mlp.down_proj",
}
#: Their word for a scaling -> ours.
_SCALINGS: dict[str, Scaling] = {
    "default": "none",
    "linear": "linear",
    "dynamic": "dynamic",
    "llama3": "llama3",
}


def table(config: LMConfig) -> tuple[Row, ...]:
    """Rows of ``model.safetensors`` for every option of :class:`LMConfig` but int8 and LoRA.

    A model with tied embeddings may store its head a second time; that copy is not read.
    """
    block = "blocks" if config.stacked else "blocks/{i}"
    kernel = linear if config.kernel_layout == "in_out" else identity
    rows = [
        Row("model.embed_tokens.weight", "embed/table"),
        Row("model.norm.weight", "norm_final/scale"),
        Row(_BLOCK + "input_layernorm.weight", f"{block}/norm1/scale"),
        Row(_BLOCK + "post_attention_layernorm.weight", f"{block}/norm2/scale"),
        Row(_BLOCK + "self_attn.q_norm.weight", f"{block}/attn/q_norm/scale"),
        Row(_BLOCK + "self_attn.k_norm.weight", f"{block}/attn/k_norm/scale"),
        Row(_BLOCK + "self_attn.rotary_emb.inv_freq", None),  # early exports of Llama 2
        Row("lm_head.weight", None if config.tie_embeddings else "head/kernel", kernel),
    ]
    for ours, theirs in _LINEARS.items():
        rows.append(Row(f"{_BLOCK}{theirs}.weight", f"{block}/{ours}/kernel", kernel))
        rows.append(Row(f"{_BLOCK}{theirs}.bias", f"{block}/{ours}/bias"))
    return tuple(rows)


#: Other names of the same tensors; none.
RENAME = ()


def config_from(folder_config: Mapping[str, Any]) -> LMConfig:
    """The model that a ``config.json`` with ``model_type`` "llama" or "mistral" describes.

    Raises:
      UserError: it asks for something that the decoder does not build; the key is named.
    """
    if folder_config.get("model_type") == "mistral":
        given = {"num_key_value_heads": 8, "sliding_window": 4096, **folder_config}
        window = given["sliding_window"] or 0
        depth = given.get("num_hidden_layers", 0)
        return decoder_config(given, windows=(window,) * depth if window else ())
    bias = bool(folder_config.get("attention_bias", False))
    return decoder_config(
        folder_config,
        qkv_bias=bias,
        out_bias=bias,
        mlp_bias=bool(folder_config.get("mlp_bias", False)),
    )


def config_to(config: LMConfig) -> dict[str, Any]:
    """The ``config.json`` of a Llama or, with a window, of a Mistral; inverse of
    :func:`config_from`.

    Raises:
      UserError: Llama has no such model (norms on q and k, biases on some projections alone).
    """
    c = config
    if c.windows:
        return {
            "architectures": ["MistralForCausalLM"],
            "model_type": "mistral",
            "sliding_window": c.windows[0],
            **decoder_dict(c),
        }
    if c.qk_norm or c.qkv_bias != c.out_bias:
        raise UserError(f"{c.name} is no Llama (biases or norms on q and k): export it as Qwen")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": c.qkv_bias,
        "mlp_bias": c.mlp_bias,
        **decoder_dict(c),
    }


def decoder_config(d: Mapping[str, Any], **options: Any) -> LMConfig:
    """What all families say alike in their ``config.json``, with the family's own options."""
    kind = d.get("model_type", "model")
    try:
        width, heads = d["hidden_size"], d["num_attention_heads"]
        sizes = {
            "vocab": d["vocab_size"],
            "width": width,
            "depth": d["num_hidden_layers"],
            "heads": heads,
            "mlp_width": d["intermediate_size"],
        }
    except KeyError as e:
        raise UserError(f"config.json of this {kind} lacks {e}") from e
    max_length = d.get("max_position_embeddings", 2048)
    fields = {
        "name": d.get("_name_or_path") or kind,
        **sizes,
        "kv_heads": d.get("num_key_value_heads") or heads,
        "head_dim": d.get("head_dim") or width // heads,
        "max_length": max_length,
        "eps": d.get("rms_norm_eps", 1e-6),
        "tie_embeddings": bool(d.get("tie_word_embeddings", False)),
        "init_std": d.get("initializer_range", 0.02),
        **options,
    }
    if "rope" not in fields:
        fields["rope"] = rope_from(d, max_length)
    if "activation" not in fields and d.get("hidden_act", "silu") != "silu":
        raise UserError(f"config.json: hidden_act {d['hidden_act']!r} is not built, only silu is")
    return LMConfig(**fields)


def windows_from(d: Mapping[str, Any], types: Sequence[str]) -> tuple[int, ...]:
    """The windows of layers whose types are words of transformers.

    Raises:
      UserError: a type that is not built.
    """
    known = {"full_attention": 0, "sliding_attention": d.get("sliding_window") or 0}
    other = sorted(set(types) - known.keys())
    if other:
        raise UserError(f"config.json: layer_types {', '.join(other)} are not built")
    windows = tuple(known[word] for word in types)
    return windows if any(windows) else ()


def decoder_dict(config: LMConfig) -> dict[str, Any]:
    """Inverse of :func:`decoder_config`, readable by transformers 4 and 5."""
    c = config
    return {
        "hidden_act": "silu",
        "vocab_size": c.vocab,
        "hidden_size": c.width,
        "intermediate_size": c.mlp_width,
        "num_hidden_layers": c.depth,
        "num_attention_heads": c.heads,
        "num_key_value_heads": c.kv_heads,
        "head_dim": c.head_dim,
        "max_position_embeddings": c.max_length,
        "rms_norm_eps": c.eps,
        "initializer_range": c.init_std,
        "tie_word_embeddings": c.tie_embeddings,
        **rope_to(c.rope),
    }


def rope_from(d: Mapping[str, Any], max_length: int) -> RopeConfig:
    """Reads ``rope_parameters`` (transformers 5), or ``rope_theta`` and ``rope_scaling``."""
    r = {**(d.get("rope_scaling") or {}), **(d.get("rope_parameters") or {})}
    word = r.get("rope_type", r.get("type", "default"))
    if word not in _SCALINGS:
        raise UserError(
            f"config.json: rope_type {word!r} is not built; there are {', '.join(_SCALINGS)}"
        )
    scaling = _SCALINGS[word]
    original = r.get("original_max_position_embeddings", max_length)
    return RopeConfig(
        theta=float(r.get("rope_theta", d.get("rope_theta", 10000.0))),
        scaling=scaling,
        factor=float(r.get("factor", 1.0)),
        low_freq_factor=float(r.get("low_freq_factor", 1.0)),
        high_freq_factor=float(r.get("high_freq_factor", 4.0)),
        # NTK scaling sets in where the model's own length ends, whatever else is written there.
        original_length={"dynamic": max_length, "llama3": original}.get(scaling, 0),
    )


def rope_to(rope: RopeConfig) -> dict[str, Any]:
    """Inverse of :func:`rope_from`."""
    word = next(k for k, v in _SCALINGS.items() if v == rope.scaling)
    parameters: dict[str, Any] = {"rope_type": word}
    if rope.scaling != "none":
        parameters["factor"] = rope.factor
    if rope.scaling == "llama3":
        parameters["low_freq_factor"] = rope.low_freq_factor
        parameters["high_freq_factor"] = rope.high_freq_factor
        parameters["original_max_position_embeddings"] = rope.original_length
    return {
        "rope_theta": rope.theta,
        "rope_scaling": parameters if rope.scaling != "none" else None,
        "rope_parameters": {"rope_theta": rope.theta, **parameters},
    }
