"""The stored cases as folders: ``write("dinov2", folder)``."""

import collections
import json
import pathlib

import drawn
import numpy as np
from safetensors.numpy import save_file

STORED = pathlib.Path(__file__).parent / "outputs.npz"


def _stored():
    """``{case: (files, {side: {output: array}})}``"""
    files, outputs = {}, collections.defaultdict(lambda: collections.defaultdict(dict))
    with np.load(STORED) as f:
        for key in f.files:
            case, _, rest = key.partition("/")
            if rest == "files":
                files[case] = json.loads(str(f[key]))
            else:
                side, _, name = rest.partition("/")
                outputs[case][int(side)][name] = f[key]
    return {case: (files[case], outputs[case]) for case in files}


CASES = _stored()


def write(case, folder, rename=lambda name: name):
    """A folder as the origin library saved it; returns the tensors in it."""
    files, _ = CASES[case]
    tensors = {rename(n): drawn.tensor(n, tuple(s)) for n, s in files["shapes"].items()}
    for name, text in files["texts"].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / files["weights"], {"format": "pt"})
    return tensors


def change(file, **settings):
    """Changes keys of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
