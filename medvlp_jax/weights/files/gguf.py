"""GGUF files (llama.cpp) to the folder that the rest of the package reads.

The quantised tensors are multiplied out and written as safetensors under the names of
``transformers``, with ``config.json``, the tokenizer and its chat template beside them. Reading the
file needs the ``gguf`` package (extra ``gguf``).
"""

import json
import os
import pathlib
import re
from typing import Any

import numpy as np

from medvlp_jax.core.errors import UserError
from medvlp_jax.weights.files.tensors import Announced, Writer

#: ``general.architecture`` -> whether its converter reordered the rows of q and k, so that the
#: two channels that rotate together stand side by side.
_REORDERED = {"llama": True, "qwen2": False, "qwen3": False}
_TOP = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_IN_BLOCK = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
#: ``tokenizer.ggml.pre`` -> how text is cut before byte pairs are merged; None: GPT-2's rule.
_SPLITS: dict[str, str | None] = {
    "gpt-2": None,
    "default": None,
    "smollm": r"\p{N}",
    "llama-bpe": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "qwen2": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
#: Token types of the format: those that are never cut up.
_CONTROL, _USER_DEFINED = 3, 4


def to_folder(
    path: str | os.PathLike[str], folder: str | os.PathLike[str], dtype: str = "float32"
) -> pathlib.Path:
    """Writes the model of a GGUF file as a folder for :func:`medvlp_jax.weights.lm.load`.

    Args:
      path: the file, of a Llama, Qwen2 or Qwen3 in any quantisation that ``gguf`` can multiply out.
      folder: is made if need be.
      dtype: of the stored tensors; float32 holds every quantisation exactly.

    Returns:
      The folder.

    Raises:
      UserError: no such file, no ``gguf`` package, or a model or tokenizer that is not understood.
    """
    try:
        import gguf
    except ImportError as error:
        raise UserError("reading GGUF needs the package gguf: pip install gguf") from error
    if not pathlib.Path(path).is_file():
        raise UserError(f"{path} does not exist: give a .gguf file")
    try:
        reader = gguf.GGUFReader(path)  # pyright: ignore[reportAttributeAccessIssue]
    except ValueError as error:
        raise UserError(f"{path} is no GGUF file: {error}") from error
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    names = {t.name for t in reader.tensors}
    config = _config(fields, names, path)
    _write_tensors(reader, config, folder / "model.safetensors", np.dtype(dtype), gguf, path)
    (folder / "config.json").write_text(json.dumps({**config, "dtype": dtype}, indent=2) + "\n")
    _write_tokenizer(fields, folder, path)
    return folder


def _config(fields: dict[str, Any], names: set[str], path: Any) -> dict[str, Any]:
    arch = fields.get("general.architecture")
    if arch not in _REORDERED:
        raise UserError(f"{path} holds a {arch!r}; there are {', '.join(_REORDERED)}")
    scaled = fields.get(f"{arch}.rope.scaling.type", "none")
    if scaled != "none" or "rope_freqs.weight" in names:
        raise UserError(f"{path}: scaled rotary positions cannot be read from GGUF; use the folder")

    def get(key: str, default: Any = None) -> Any:
        value = fields.get(f"{arch}.{key}", default)
        if value is None:
            raise UserError(f"{path} lacks the key {arch}.{key}: it is damaged, copy it again")
        return value

    width, heads = get("embedding_length"), get("attention.head_count")
    return {
        "architectures": [f"{arch.capitalize()}ForCausalLM"],
        "model_type": arch,
        "hidden_act": "silu",
        "vocab_size": get("vocab_size", len(fields["tokenizer.ggml.tokens"])),
        "hidden_size": width,
        "intermediate_size": get("feed_forward_length"),
        "num_hidden_layers": get("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": get("attention.head_count_kv", heads),
        "head_dim": get("attention.key_length", width // heads),
        "max_position_embeddings": get("context_length"),
        # Stored in float32, where 1e-05 reads 9.99999974e-06.
        "rms_norm_eps": float(f"{get('attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_theta": float(get("rope.freq_base", 10000.0)),
        "tie_word_embeddings": "output.weight" not in names,
        "attention_bias": arch == "llama" and "blk.0.attn_q.bias" in names,
        "bos_token_id": fields.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": fields.get("tokenizer.ggml.eos_token_id"),
        "pad_token_id": fields.get("tokenizer.ggml.padding_token_id"),
    }


def _write_tensors(
    reader: Any, config: dict[str, Any], file: pathlib.Path, dtype: np.dtype, gguf: Any, path: Any
) -> None:
    # The format counts axes from the innermost one.
    announced = [
        Announced(_published_name(t.name, path), dtype, tuple(int(n) for n in reversed(t.shape)))
        for t in reader.tensors
    ]
    heads = {
        "self_attn.q_proj": config["num_attention_heads"],
        "self_attn.k_proj": config["num_key_value_heads"],
    }
    with Writer(file, announced) as writer:
        for tensor, told in zip(reader.tensors, announced, strict=True):
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(told.shape)
            count = next((n for layer, n in heads.items() if layer in told.name), 0)
            if count and _REORDERED[config["model_type"]]:
                values = _halves(values, count)
            writer.write(told.name, values)


def _published_name(name: str, path: Any) -> str:
    if name in _TOP:
        return _TOP[name]
    match = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name)
    if match is None or match[2] not in _IN_BLOCK:
        raise UserError(f"{path} has the tensor {name}, which no decoder of ours has")
    return f"model.layers.{match[1]}.{_IN_BLOCK[match[2]]}.{match[3]}"


def _halves(values: np.ndarray, heads: int) -> np.ndarray:
    """Per head, rows 0, 1, 2, 3 ... (pairs side by side) to 0, 2, ... 1, 3, ... (halves)."""
    pairs = values.reshape(heads, -1, 2, *values.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(values.shape)


def _write_tokenizer(fields: dict[str, Any], folder: pathlib.Path, path: Any) -> None:
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    def get(key: str) -> Any:
        return fields.get(f"tokenizer.ggml.{key}")

    cut = get("pre") or "default"
    if get("model") != "gpt2" or cut not in _SPLITS:
        raise UserError(
            f"{path} has a tokenizer of kind {get('model')}/{cut}; known are gpt2 with "
            f"{', '.join(_SPLITS)}. Put the tokenizer's own files into {folder}"
        )
    tokens = get("tokens")
    merges = [tuple(merge.split(" ", 1)) for merge in get("merges")]
    vocab = {token: i for i, token in enumerate(tokens)}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=merges))
    pattern = _SPLITS[cut]
    steps: list[Any] = []
    if pattern is not None:
        steps.append(pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated"))
    # The rules of Llama and Qwen replace GPT-2's; SmolLM's comes before it.
    steps.append(
        pre_tokenizers.ByteLevel(
            add_prefix_space=False, use_regex=cut in ("gpt-2", "default", "smollm")
        )
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(steps)
    backend.decoder = decoders.ByteLevel()
    special = [
        tokens[i]
        for i, kind in enumerate(get("token_type") or [])
        if kind in (_CONTROL, _USER_DEFINED)
    ]
    named = {"bos": get("bos_token_id"), "eos": get("eos_token_id"), "unk": get("unknown_token_id")}
    named["pad"] = get("padding_token_id")
    fast = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        additional_special_tokens=special,
        **{f"{key}_token": tokens[i] for key, i in named.items() if i is not None},
    )
    fast.chat_template = fields.get("tokenizer.chat_template")
    fast.save_pretrained(folder)
