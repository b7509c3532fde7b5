"""Writes a folder of so many megabytes, loads it, and prints how far the memory grew meanwhile.

    python tests/weights/load_memory.py FOLDER MEGABYTES

The model is a BERT with as many layers as fit. Linux only (``/proc``).
"""

import json
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from medvlp_jax.core.state import ModelDef
from medvlp_jax.models.text_encoder import TextConfig, TextEncoder
from medvlp_jax.weights import loading, saving
from medvlp_jax.weights.tables import bert


def memory(key: str) -> int:
    """Bytes of this process: ``VmRSS`` now, ``VmHWM`` the most so far."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def main(folder: str, megabytes: int) -> None:
    width = 512 if megabytes < 500 else 1024
    layer = 4 * 12 * width * width / 1e6
    depth = max(1, round((megabytes - 4 * 8000 * width / 1e6) / layer))
    config = TextConfig(vocab=8000, width=width, depth=depth, heads=8, mlp_width=4 * width)
    model = ModelDef.of(lambda rngs: TextEncoder(config, rngs=rngs))
    file = pathlib.Path(folder) / "model.safetensors"
    if not file.exists():
        ones = jax.tree.map(lambda s: np.ones(s.shape, s.dtype), model.abstract_params)
        saving.save(folder, bert.table(config), ones)
        del ones
    jax.block_until_ready(jnp.zeros(8))
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the most so far := now
    before, start = memory("VmRSS"), time.perf_counter()
    params, _ = loading.load(folder, bert.table(config), model.abstract_params)
    jax.block_until_ready(params)
    seconds = time.perf_counter() - start
    found = {
        "bytes": file.stat().st_size,
        "before": before,
        "peak": memory("VmHWM"),
        "grown": memory("VmHWM") - before,
        "ratio": round((memory("VmHWM") - before) / file.stat().st_size, 3),
        "seconds": round(seconds, 2),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
