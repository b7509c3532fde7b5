"""Writes ``outputs.npz``: what tiny models of the origin libraries make of the drawn inputs.

    python tests/weights/make_outputs.py

Needs the ``torch`` extra; the tests read the file without it. Keys: ``CASE/SIDE/NAME`` outputs,
and ``CASE/files`` a JSON of the tensors' shapes and the folder's settings files.
"""

import json
import pathlib
import sys
import tempfile

import numpy as np

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "parity"), str(HERE.parents[1])]

import torch_models  # noqa: E402
from safetensors import safe_open  # noqa: E402


def main() -> None:
    found: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as temporary:
        scratch = pathlib.Path(temporary)
        for name, case in torch_models.cases(scratch / "bert").items():
            model, folder = case.make(), scratch / name
            case.save(model, folder)
            found[f"{name}/files"] = np.array(json.dumps(_files(folder, scratch)))
            for side in case.sides:
                for key, value in case.run(model, torch_models.inputs(side)).items():
                    found[f"{name}/{side}/{key}"] = value
    np.savez_compressed(HERE / "outputs.npz", **found)


def _files(folder: pathlib.Path, scratch: pathlib.Path) -> dict[str, object]:
    (weights,) = folder.glob("*.safetensors")
    with safe_open(weights, "np") as f:
        shapes = {
            name: f.get_slice(name).get_shape()
            for name in f.keys()  # noqa: SIM118
            if not name.endswith("num_batches_tracked")
        }
    texts = {}
    for file in folder.glob("*.json"):
        # The BERT's settings lie where an export of ours would put them.
        texts[file.name] = file.read_text().replace(str(scratch / "bert"), "text_config")
    if ((scratch / "bert").is_dir() and "bert" in folder.name) or "biomed" in folder.name:
        texts["text_config/config.json"] = (scratch / "bert" / "config.json").read_text()
    return {"weights": weights.name, "shapes": shapes, "texts": texts}


if __name__ == "__main__":
    main()
