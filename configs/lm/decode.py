"""Text generation by a language model of a published size, to be compiled without its weights.

.venv/bin/python launch/compile.py --config=configs/lm/decode.py:llama3.1_70b --topology=v6e:2x4
    [--config.storage=int8 --config.generation.rows=64 --config.mesh.tensor=8 ...]
"""

import ml_collections

from configs import common
from medvlp_jax.models.lm.config import PRESETS


def get_config(model: str = "llama3.1_8b") -> ml_collections.ConfigDict:
    """``model``: a name of ``medvlp_jax.models.lm.config.PRESETS``."""
    common.choose("lm/decode.py", model, PRESETS)
    return ml_collections.ConfigDict(
        {
            "program": "decode",
            "model": model,
            "storage": "float",  # or int8: kernels with a scale per output channel
            "dtype": "bfloat16",
            "prompt_len": 512,  # tokens of the prompt whose reading is compiled too
            # tensor splits heads and hidden units: at most the key-value heads (8 for Llama 3)
            "mesh": {"data": 1, "fsdp": 1, "tensor": -1},
            "generation": {
                "rows": 64,  # texts side by side
                "capacity": 4096,  # tokens of prompt and text together
                "max_new_tokens": 512,
                "sampling": {"temperature": 0.7, "top_k": 50, "top_p": 0.95},
            },
        }
    )
