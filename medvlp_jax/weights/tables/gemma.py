"""Gemma 1, 2 and 3 (MedGemma's text part): Llama's names, and norms behind the branches."""

from collections.abc import Mapping
from typing import Any

from medvlp_jax.core.errors import UserError
from medvlp_jax.models.lm.config import LMConfig
from medvlp_jax.models.lm.rope import RopeConfig
from medvlp_jax.weights import settings
from medvlp_jax.weights.rows import Row
from medvlp_jax.weights.tables import llama

#: Models that read images hold the language model inside; before and since transformers 4.52.
RENAME = (
    (r"^language_model\.model\.", "model."),
    (r"^language_model\.lm_head\.", "lm_head."),
    (r"^model\.language_model\.", "model."),
    (r"^(model\.)?(vision_tower|multi_modal_projector)\.", "images."),
)
_BLOCK = "model.layers.{i}."
#: What transformers' configs stand for where they leave something out.
_SHARED = {
    "head_dim": 256,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "gemma": {
        **_SHARED,
        "vocab_size": 256000,
        "hidden_size": 3072,
        "intermediate_size": 24576,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
    },
    "gemma2": {
        **_SHARED,
        "vocab_size": 256000,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    },
}
_DEFAULTS["gemma3_text"] = {
    **_DEFAULTS["gemma2"],
    "vocab_size": 262208,
    "max_position_embeddings": 131072,
    "attn_logit_softcapping": None,
    "final_logit_softcapping": None,
}
#: Every so many layers one sees the whole text.
_GLOBAL_EVERY = {"gemma2": 2, "gemma3_text": 6}


def table(config: LMConfig) -> tuple[Row, ...]:
    """Rows of ``model.safetensors``."""
    block = "blocks" if config.stacked else "blocks/{i}"
    rows = list(llama.table(config))
    if config.branch_norms:
        norms = {
            "input_layernorm": "norm1",
            "post_attention_layernorm": "norm1_out",
            "pre_feedforward_layernorm": "norm2",
            "post_feedforward_layernorm": "norm2_out",
        }
        names = {f"{_BLOCK}{theirs}.weight" for theirs in norms}
        rows = [row for row in rows if row.source not in names]
        rows += [Row(f"{_BLOCK}{t}.weight", f"{block}/{o}/scale") for t, o in norms.items()]
    return (*rows, Row("images.*", None))


def config_from(folder_config: Mapping[str, Any]) -> LMConfig:
    """The model that a ``config.json`` of a Gemma describes; of one with images its text part.

    Raises:
      UserError: it asks for something that the decoder does not build; the key is named.
    """
    given = dict(folder_config)
    if given.get("model_type") == "gemma3":
        # What the text part leaves out are its own defaults, not the whole model's settings.
        given = {"model_type": "gemma3_text", **given.get("text_config", {})}
    kind = given.get("model_type", "")
    if kind not in _DEFAULTS:
        raise UserError(f"config.json: model_type {kind!r} is not one of {', '.join(_DEFAULTS)}")
    d = {**_DEFAULTS[kind], **given}
    if d.get("use_bidirectional_attention"):
        raise UserError("config.json: use_bidirectional_attention is not built")
    word = d.get("hidden_activation") or d.get("hidden_act") or "gelu_pytorch_tanh"
    if word not in ("gelu_pytorch_tanh", "gelu", "gelu_new"):
        raise UserError(f"config.json: hidden_activation {word!r} is not built, only GELU's tanh")
    bias = bool(d.get("attention_bias", False))
    options: dict[str, Any] = {
        "norm": "rms_unit",
        # Gemma 1 says "gelu" and means its approximation.
        "activation": "gelu_tanh" if kind == "gemma" or word != "gelu" else "gelu",
        "embed_scaled": True,
        "qkv_bias": bias,
        "out_bias": bias,
    }
    if kind != "gemma":
        factor = d["query_pre_attn_scalar"] ** -0.5
        options |= {
            "branch_norms": True,
            "qk_norm": kind == "gemma3_text",
            "query_scale": 0.0 if factor == d["head_dim"] ** -0.5 else factor,
            "score_cap": d["attn_logit_softcapping"] or 0.0,
            "logit_cap": d["final_logit_softcapping"] or 0.0,
            "windows": llama.windows_from(d, d.get("layer_types") or _types(d, kind)),
        }
    if kind == "gemma3_text":
        options |= _ropes(d)
    return llama.decoder_config(d, **options)


def _types(d: Mapping[str, Any], kind: str) -> list[str]:
    every = d.get("sliding_window_pattern") or _GLOBAL_EVERY[kind]
    whole = [(i + 1) % every == 0 for i in range(d["num_hidden_layers"])]
    return ["full_attention" if w else "sliding_attention" for w in whole]


def _ropes(d: Mapping[str, Any]) -> dict[str, RopeConfig]:
    """Both rotations: one entry a kind of layer (transformers 5), or keys of their own."""
    said = d.get("rope_parameters") or {}
    whole = said.get("full_attention") or {
        "rope_theta": d.get("rope_theta", 1e6),
        **(d.get("rope_scaling") or {}),
    }
    local = said.get("sliding_attention") or {"rope_theta": d.get("rope_local_base_freq", 1e4)}
    length = d["max_position_embeddings"]
    return {
        "rope": llama.rope_from({"rope_parameters": {"rope_theta": 1e6, **whole}}, length),
        "rope_local": llama.rope_from({"rope_parameters": {"rope_theta": 1e4, **local}}, length),
    }


def config_to(config: LMConfig) -> dict[str, Any]:
    """The ``config.json`` of the Gemma that has these options; inverse of :func:`config_from`."""
    c = config
    kind = "gemma3_text" if c.qk_norm else "gemma2" if c.branch_norms else "gemma"
    cls = {"gemma": "Gemma", "gemma2": "Gemma2", "gemma3_text": "Gemma3"}[kind]
    word = next(w for w, ours in settings.DECODER_ACTIVATIONS.items() if ours == c.activation)
    found = {
        **llama.decoder_dict(c),
        "architectures": [f"{cls}ForCausalLM"],
        "model_type": kind,
        "attention_bias": c.qkv_bias,
        "hidden_act": word,
    }
    if kind == "gemma":
        return found
    types = ["sliding_attention" if w else "full_attention" for w in c.windows]
    found |= {
        "hidden_activation": word,
        "query_pre_attn_scalar": _scalar(c),
        "attn_logit_softcapping": c.score_cap or None,
        "final_logit_softcapping": c.logit_cap or None,
        "sliding_window": max(c.windows, default=0) or None,
        "layer_types": types or ["full_attention"] * c.depth,
    }
    if kind == "gemma3_text":
        local = c.rope_local or c.rope
        found |= {
            "rope_local_base_freq": local.theta,
            "rope_parameters": {
                "full_attention": llama.rope_to(c.rope)["rope_parameters"],
                "sliding_attention": llama.rope_to(local)["rope_parameters"],
            },
        }
    return found


def _scalar(c: LMConfig) -> int:
    return round(c.query_scale**-2) if c.query_scale else c.head_dim
