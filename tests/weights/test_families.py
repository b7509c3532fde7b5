"""Every family against stored outputs of the library it comes from, and back to its names."""

import collections
import json
import pathlib

import drawn
import numpy as np
import pytest
from compare import check, ours
from safetensors.numpy import load_file, save_file

from medvlp_jax.core.state import ModelDef
from medvlp_jax.weights.families import build
from medvlp_jax.weights.source import export, open_source

STORED = pathlib.Path(__file__).parent / "outputs.npz"


def stored():
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


CASES = stored()


def write(files, folder):
    """A folder as the origin library saved it; returns the tensors in it."""
    tensors = {name: drawn.tensor(name, tuple(s)) for name, s in files["shapes"].items()}
    for name, text in files["texts"].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    save_file(tensors, folder / files["weights"])
    return tensors


@pytest.mark.parametrize("name", CASES)
def test_both_ways(name, tmp_path):
    files, outputs = CASES[name]
    (tmp_path / "origin").mkdir()
    tensors = write(files, tmp_path / "origin")
    source = open_source(tmp_path / "origin")
    model = ModelDef.of(build(source.config))
    params, buffers = source.load(model.abstract_params, model.abstract_buffers)
    for side, wanted in outputs.items():
        check(ours(model, params, buffers, drawn.inputs(side)), wanted)

    export(tmp_path / "exported", source.family.name, source.config, params, buffers)
    written = load_file(tmp_path / "exported" / source.family.weights)
    assert written.keys() == tensors.keys()
    for key, value in tensors.items():
        np.testing.assert_array_equal(written[key], value, err_msg=key)
    assert open_source(tmp_path / "exported").config == source.config
