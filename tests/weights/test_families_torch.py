"""Every family both ways, against the library it comes from, live."""

import importlib.util

import drawn
import numpy as np
import pytest
from compare import check, ours

from medvlp_jax.core.state import ModelDef
from medvlp_jax.weights.export import export
from medvlp_jax.weights.families import build
from medvlp_jax.weights.inputs import Inputs
from medvlp_jax.weights.source import open_source

for library in ("open_clip", "timm"):  # importing them needs a stand-in for torchvision
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed", allow_module_level=True)
torch_models = pytest.importorskip("torch_models", reason="needs the torch extra")
pytestmark = pytest.mark.torch

NAMES = (
    "bert",
    "clip_quick_gelu",
    "clip_gelu",
    "clip_vision",
    "clip_text",
    "siglip",
    "siglip_vision",
    "dinov2",
    "vit",
    "resnet",
    "torchvision_resnet",
    "timm_vit",
    "open_clip",
    "open_clip_bert",
    "open_clip_biomedclip",
)


@pytest.mark.parametrize("name", NAMES)
def test_both_ways(name, tmp_path):
    case = torch_models.cases(tmp_path / "bert")[name]
    theirs = case.make()
    case.save(theirs, tmp_path / "origin")
    source = open_source(tmp_path / "origin")
    model = ModelDef.of(build(source.config))
    params, buffers = source.load(model.abstract_params, model.abstract_buffers)
    # open_clip asks the hub for a BERT's settings; here a folder stands for it.
    known = Inputs(text_id=str(tmp_path / "bert"), length=16)
    export(tmp_path / "exported", source.family.name, source.config, params, buffers, inputs=known)
    again = case.reload(tmp_path / "exported")
    for side in case.sides:
        wanted = case.run(theirs, torch_models.inputs(side))
        check(ours(model, params, buffers, drawn.inputs(side)), wanted)
        reloaded = case.run(again, torch_models.inputs(side))
        for key, value in wanted.items():
            np.testing.assert_array_equal(reloaded[key], value, err_msg=key)
