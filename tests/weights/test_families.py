"""Every family against stored outputs of the library it comes from, and back to its names."""

import drawn
import numpy as np
import pytest
from compare import check, ours
from folders import CASES, write
from safetensors.numpy import load_file

from medvlp_jax.core.state import ModelDef
from medvlp_jax.weights.export import export
from medvlp_jax.weights.families import build
from medvlp_jax.weights.inputs import Inputs
from medvlp_jax.weights.source import open_source


@pytest.mark.parametrize("name", CASES)
def test_both_ways(name, tmp_path):
    tensors = write(name, tmp_path / "origin")
    source = open_source(tmp_path / "origin")
    model = ModelDef.of(build(source.config))
    params, buffers = source.load(model.abstract_params, model.abstract_buffers)
    for side, wanted in CASES[name][1].items():
        check(ours(model, params, buffers, drawn.inputs(side)), wanted)

    # open_clip asks the hub for a BERT's settings; here a folder stands for it.
    known = Inputs(text_id="text_config", length=16)
    export(tmp_path / "exported", source.family.name, source.config, params, buffers, inputs=known)
    written = load_file(tmp_path / "exported" / source.family.weights)
    assert written.keys() == tensors.keys()
    for key, value in tensors.items():
        np.testing.assert_array_equal(written[key], value, err_msg=key)
    assert open_source(tmp_path / "exported").config == source.config
