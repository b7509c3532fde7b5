"""Writes ``fixtures/lm_*.npz``: tiny random language models of transformers, logits and text.

Run it again after changing a case here, in an environment with the ``torch`` extra::

    python tests/parity/make_lm_fixtures.py

Keys: ``config`` (JSON of the model's own config), ``w/...`` tensors under their published names
(float16 holds them exactly), ``in/ids`` and ``in/mask`` padded on the right with ``out/logits``,
``in/lengths`` and ``out/greedy``: 64 tokens generated from each row of ``in/ids``, as a batch that
is padded on the left.
"""

import json
import pathlib
from typing import Any

import numpy as np
import torch
import transformers

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}
LENGTHS = (12, 1, 7, 3, 10, 5, 2, 9)
NEW_TOKENS = 64

CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "lm_llama2": (
        transformers.LlamaConfig,
        {"num_key_value_heads": 4, "attention_bias": True, "mlp_bias": True},
    ),
    "lm_llama3": (
        transformers.LlamaConfig,
        {
            "tie_word_embeddings": True,
            "rope_parameters": {
                "rope_theta": 500.0,
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        },
    ),
    "lm_qwen2": (transformers.Qwen2Config, {"tie_word_embeddings": True}),
    "lm_qwen3": (transformers.Qwen3Config, {"head_dim": 16}),
}
#: Scalings whose frequencies are compared, with the length at which ``dynamic`` is asked.
ROPES = {
    "default": ({"rope_type": "default"}, 64),
    "linear": ({"rope_type": "linear", "factor": 4.0}, 64),
    "dynamic": ({"rope_type": "dynamic", "factor": 4.0}, 300),
    "dynamic_short": ({"rope_type": "dynamic", "factor": 4.0}, 100),
    "llama3": (
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        64,
    ),
}


def randomise(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Weights of order 1/sqrt(fan-in), biases and norms off their defaults, all float16-exact."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, x in model.named_parameters():
            noise = torch.randn(x.shape, generator=g)
            if x.ndim == 2:
                x.copy_(noise * (0.5 if "embed" in name else 1.4 * x.shape[1] ** -0.5))
            else:
                x.add_(0.2 * noise)
            x.copy_(x.half().float())
    return model.eval()


def case(seed: int, kind: Any, options: dict[str, Any]) -> dict[str, np.ndarray]:
    config = kind(**{**SIZES, **options})
    model = randomise(transformers.AutoModelForCausalLM.from_config(config), seed)
    g = torch.Generator().manual_seed(seed)
    length = max(LENGTHS)
    lengths = torch.tensor(LENGTHS)
    ids = torch.randint(1, 64, (len(LENGTHS), length), generator=g)
    mask = torch.arange(length) < lengths[:, None]
    ids = ids * mask
    left, left_mask = (
        torch.stack([torch.roll(row, length - n) for row, n in zip(x, LENGTHS, strict=True)])
        for x in (ids, mask)
    )
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask).logits
        text = model.generate(
            input_ids=left,
            attention_mask=left_mask,
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
        )
    out = {
        "config": np.array(json.dumps(json.loads(config.to_json_string(use_diff=False)))),
        "in/ids": ids.numpy(),
        "in/mask": mask.numpy(),
        "in/lengths": lengths.numpy(),
        "out/logits": logits.numpy(),
        "out/greedy": text[:, length:].numpy(),
    }
    for name, x in model.state_dict().items():
        if not (name == "lm_head.weight" and config.tie_word_embeddings):
            out[f"w/{name}"] = x.half().numpy()
    return out


def ropes() -> dict[str, np.ndarray]:
    """Inverse frequencies for a head of 16 channels."""
    out = {}
    for name, (parameters, length) in ROPES.items():
        config = transformers.LlamaConfig(
            **{**SIZES, "hidden_size": 64}, rope_parameters={"rope_theta": 10000.0, **parameters}
        )
        rotary = transformers.models.llama.modeling_llama.LlamaRotaryEmbedding(config)
        rotary(torch.zeros(1), torch.arange(length)[None])
        out[name] = rotary.inv_freq.numpy()
    return out


def main() -> None:
    for seed, (name, (kind, options)) in enumerate(CASES.items()):
        np.savez_compressed(FIXTURES / f"{name}.npz", **case(seed, kind, options))
    np.savez_compressed(FIXTURES / "lm_ropes.npz", **ropes())


if __name__ == "__main__":
    main()
