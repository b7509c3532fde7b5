"""Popular image-text files in their published layouts: each equals its own library, or is refused.

    pytest -s tests/weights/test_published.py

prints the table. Rows without torch compare with stored outputs (``published.npz``, written by
``make_published.py``).
"""

import pathlib

import drawn
import numpy as np
import publications
import pytest
from publications import FILES
from safetensors.numpy import save_file

from medvlp_jax import comparison
from medvlp_jax.core.state import ModelDef
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.families import build
from medvlp_jax.weights.source import open_source

STORED = pathlib.Path(__file__).parent / "published.npz"
ROWS = [(name, side) for name, bare in FILES.items() for side in bare.towers]


def opened(file, name, side):
    found = open_source(file, FILES[name].family)
    return found if side == "clip" else found.tower(side)


@pytest.mark.parametrize(("name", "side"), ROWS)
def test_without_torch(name, side, tmp_path):
    save_file(publications.tensors(FILES[name]), tmp_path / "model.safetensors")
    with np.load(STORED) as stored:
        prefix = f"{name}/{side}/"
        wanted = {k.removeprefix(prefix): stored[k] for k in stored if k.startswith(prefix)}
    side_of_image = int(wanted.pop("side"))
    source = opened(tmp_path / "model.safetensors", name, side)
    model = ModelDef.of(build(source.config))
    arrays = source.load(model.abstract_params, model.abstract_buffers)
    x = drawn.inputs(side_of_image)
    found = comparison.forward(model.merge(*arrays), x)
    assert wanted
    for key, value in wanted.items():
        ours = np.asarray(found[key])
        if key == "tokens":
            ours = ours * x["mask"][..., None]
        assert 0.05 < np.abs(value).max() < 100, key
        np.testing.assert_allclose(ours, value, rtol=0, atol=1e-4 * max(1, np.abs(value).max()))
