"""Every family both ways, against the library it comes from, live."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from medvlp_jax.core.state import ModelDef
from medvlp_jax.models.clip import CLIP
from medvlp_jax.models.text_encoder import TextEncoder
from medvlp_jax.weights.families import build
from medvlp_jax.weights.source import export, open_source

for library in ("open_clip", "timm"):  # importing them needs a stand-in for torchvision
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed", allow_module_level=True)
torch_models = pytest.importorskip("torch_models", reason="needs the torch extra")
pytestmark = pytest.mark.torch

TOLERANCE = 2e-5
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


def ours(model, params, buffers, x):
    """Our outputs on one set of inputs, under the names that the cases use."""

    def run(params, image, ids, mask):
        module = model.merge(params, buffers)
        real = mask[..., None]
        if isinstance(module, TextEncoder):
            out = module(ids, mask, hidden=2)
            return {
                "pooled": out.pooled,
                "tokens": out.tokens * real,
                "hidden": out.hidden * real,
            }
        if not isinstance(module, CLIP):
            out = module(image)
            return {"pooled": out.pooled, "patches": out.patches}
        a, b = module.image_embed(image), module.text_embed(ids, mask)
        logits = jnp.exp(module.logit_scale[...]) * a @ b.T
        if module.logit_bias is not None:
            logits = logits + module.logit_bias[...]
        patches = module.encode_image(image).patches
        return {"image_embed": a, "text_embed": b, "logits": logits, "patches": patches}

    image = x["image"].permute(0, 2, 3, 1).numpy()
    return jax.jit(run)(params, image, x["ids"].numpy(), x["mask"].numpy())


@pytest.mark.parametrize("name", NAMES)
def test_both_ways(name, tmp_path):
    case = torch_models.cases(tmp_path / "bert")[name]
    theirs = case.make()
    case.save(theirs, tmp_path / "origin")
    source = open_source(tmp_path / "origin")
    model = ModelDef.of(build(source.config))
    params, buffers = source.load(model.abstract_params, model.abstract_buffers)
    export(tmp_path / "exported", source.family.name, source.config, params, buffers)
    again = case.reload(tmp_path / "exported")
    for side in case.sides:
        x = torch_models.inputs(side)
        wanted, found = case.run(theirs, x), ours(model, params, buffers, x)
        reloaded = case.run(again, x)
        for key, value in wanted.items():
            # The reference has to have some size, or the bound would say nothing.
            assert 0.1 < np.abs(value).max() < 50, key
            np.testing.assert_allclose(found[key], value, rtol=0, atol=TOLERANCE, err_msg=key)
            np.testing.assert_array_equal(reloaded[key], value, err_msg=key)

    file = source.family.weights
    before, after = (load_file(tmp_path / d / file) for d in ("origin", "exported"))
    for key, value in after.items():
        np.testing.assert_array_equal(value, before[key], err_msg=key)
    assert {
        k for k in before.keys() - after.keys() if not k.endswith("num_batches_tracked")
    } == set()
    # What was exported is recognised again, with the same config.
    assert open_source(tmp_path / "exported").config == source.config
