"""Writes ``published.npz``: what the origins' own modules make of the files of ``publications``.

    python tests/weights/make_published.py

Needs the ``torch`` extra; the test reads the file without it. Keys: ``NAME/TOWER/OUTPUT``.
"""

import pathlib
import sys
import tempfile

import numpy as np

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import drawn  # noqa: E402
import publications  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402

from medvlp_jax.models.resnet import ResNetConfig  # noqa: E402
from medvlp_jax.weights.origin import state as origin_state  # noqa: E402
from medvlp_jax.weights.source import open_source  # noqa: E402


def main() -> None:
    found: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, bare in publications.FILES.items():
            file = pathlib.Path(folder) / "model.safetensors"
            save_file(publications.tensors(bare), file)
            for side in bare.towers:
                source = open_source(file, bare.family)
                source = source if side == "clip" else source.tower(side)  # type: ignore[arg-type]
                size = 64 if isinstance(source.config, ResNetConfig) else 32
                x = drawn.inputs(size)
                theirs = origin_state.outputs(source, {**x, "ids": x["ids"]})
                found[f"{name}/{side}/side"] = np.array(size)
                for key, value in theirs.items():
                    real = x["mask"][..., None] if key == "tokens" else 1
                    found[f"{name}/{side}/{key}"] = (value * real).astype(np.float32)
    np.savez_compressed(HERE / "published.npz", **found)


if __name__ == "__main__":
    main()
