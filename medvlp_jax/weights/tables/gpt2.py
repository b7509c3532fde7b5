"""GPT-2 as transformers saves it (BioMedLM): kernels as [in, out], q, k and v in one tensor."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from medvlp_jax.core.errors import UserError
from medvlp_jax.models.lm.config import LMConfig
from medvlp_jax.weights import settings
from medvlp_jax.weights.rows import Row
from medvlp_jax.weights.tables.common import norm
from medvlp_jax.weights.transforms import Transform, identity, linear, split

#: The first files, and those of the bare model, have no prefix.
RENAME = ((r"^(?!transformer\.|lm_head\.)", "transformer."),)
_BLOCK = "transformer.h.{i}."


def table(config: LMConfig) -> tuple[Row, ...]:
    """Rows of ``model.safetensors``."""
    block = "blocks" if config.stacked else "blocks/{i}"
    kernel = identity if config.kernel_layout == "in_out" else linear
    parts = [f"{block}/attn/{name}" for name in "qkv"]
    rows = [
        Row("transformer.wte.weight", "embed/table"),
        Row("transformer.wpe.weight", "positions"),
        *norm("transformer.ln_f", "norm_final"),
        *norm(_BLOCK + "ln_1", f"{block}/norm1"),
        *norm(_BLOCK + "ln_2", f"{block}/norm2"),
        Row(_BLOCK + "attn.c_attn.weight", tuple(f"{p}/kernel" for p in parts), _columns(kernel)),
        Row(_BLOCK + "attn.c_attn.bias", tuple(f"{p}/bias" for p in parts), split(3)),
        Row(_BLOCK + "attn.bias", None),  # the causal mask
        Row(_BLOCK + "attn.masked_bias", None),
        Row("lm_head.weight", None if config.tie_embeddings else "head/kernel", linear),
    ]
    names = {"attn.c_proj": "attn/out", "mlp.c_fc": "mlp/up", "mlp.c_proj": "mlp/down"}
    for theirs, ours in names.items():
        rows.append(Row(f"{_BLOCK}{theirs}.weight", f"{block}/{ours}/kernel", kernel))
        rows.append(Row(f"{_BLOCK}{theirs}.bias", f"{block}/{ours}/bias"))
    return tuple(rows)


def _columns(kernel: Transform) -> Transform:
    """[in, 3 out] -> three kernels."""

    def load(x: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(np.asarray(kernel.load(part)) for part in np.split(x, 3, axis=1))

    def save(*arrays: np.ndarray) -> np.ndarray:
        return np.concatenate([np.asarray(kernel.save(a)) for a in arrays], axis=1)

    return Transform(f"columns({kernel.name})", load, save)


def config_from(folder_config: Mapping[str, Any]) -> LMConfig:
    """The model that a ``config.json`` with ``model_type`` "gpt2" describes.

    Raises:
      UserError: it asks for something that the decoder does not build; the key is named.
    """
    d = folder_config
    word = d.get("activation_function", "gelu_new")
    if word not in settings.DECODER_ACTIVATIONS:
        raise UserError(f"config.json: activation_function {word!r} is not built")
    settings.expect(d, {"scale_attn_weights": True, "add_cross_attention": False})
    width, heads = d.get("n_embd", 768), d.get("n_head", 12)
    return LMConfig(
        name=d.get("_name_or_path") or "gpt2",
        vocab=d.get("vocab_size", 50257),
        width=width,
        depth=d.get("n_layer", 12),
        heads=heads,
        kv_heads=heads,
        head_dim=width // heads,
        mlp_width=d.get("n_inner") or 4 * width,
        max_length=d.get("n_positions", 1024),
        eps=d.get("layer_norm_epsilon", 1e-5),
        tie_embeddings=bool(d.get("tie_word_embeddings", True)),
        init_std=d.get("initializer_range", 0.02),
        depth_scaled=bool(d.get("scale_attn_by_inverse_layer_idx", False)),
        activation=settings.DECODER_ACTIVATIONS[word],
        **OPTIONS,
    )


#: What GPT-2 and BioGPT share.
OPTIONS: dict[str, Any] = {
    "norm": "layer",
    "mlp": "plain",
    "positions": "learned",
    "qkv_bias": True,
    "out_bias": True,
    "mlp_bias": True,
}


def config_to(config: LMConfig) -> dict[str, Any]:
    """The ``config.json`` of a GPT-2; inverse of :func:`config_from`."""
    c = config
    words = settings.DECODER_ACTIVATIONS
    word = "gelu_new" if c.activation == "gelu_tanh" else c.activation
    assert words[word] == c.activation
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": c.vocab,
        "n_embd": c.width,
        "n_layer": c.depth,
        "n_head": c.heads,
        "n_inner": c.mlp_width,
        "n_positions": c.max_length,
        "activation_function": word,
        "layer_norm_epsilon": c.eps,
        "initializer_range": c.init_std,
        "scale_attn_by_inverse_layer_idx": c.depth_scaled,
        "tie_word_embeddings": c.tie_embeddings,
    }
