"""A run as two small files: what is written is read again, and nothing else is taken for it."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from configs import common
from medvlp_jax.core.errors import UserError
from medvlp_jax.run.build import Run
from medvlp_jax.run.conversion.compact import CARD, WEIGHTS, is_compact, open_model, write


@pytest.fixture(scope="module")
def experiment():
    config = common.base()
    config.name = "small"
    config.model = {
        "vision": {"name": "resnet_narrow", "width": 4, "stage_sizes": (1, 1)},
        "dtype": "float32",
    }
    config.task = {"name": "supervised"}
    config.data.labels = ("a", "b", "c")
    config.data.image = {"size": 16, "channels": 3}
    config.data.batch_size = 8
    config.data.sources[0].path = "/somewhere/of/one/machine"
    return Run(config)


@pytest.fixture(scope="module")
def arrays(experiment):
    params, buffers = experiment.model_def.init(jax.random.key(0))
    kernel = np.random.default_rng(0).normal(size=params["head"]["kernel"].shape)
    params["head"]["kernel"] = jax.numpy.asarray(kernel, "float32")
    return params, buffers


@pytest.fixture
def folder(tmp_path, experiment, arrays):
    write(tmp_path / "small", experiment, *arrays, {"seed": 0})
    return tmp_path / "small"


def test_what_is_read_predicts_what_was_written(folder, experiment, arrays):
    opened = open_model(folder, devices=jax.devices()[:1])
    image = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    wanted = Run(experiment.resolved | {"mesh": {}}, jax.devices()[:1]).predictor()
    wanted = wanted.with_arrays(*jax.device_put(arrays, jax.devices()[0]))
    got = opened.predict("logits", {"image": image})
    np.testing.assert_allclose(got, wanted("logits", {"image": image}), rtol=0.02, atol=0.02)
    assert np.abs(got).max() > 0.1
    assert opened.about == {"seed": 0}
    assert opened.run.config.data.labels == ("a", "b", "c")


def test_weights_are_half_as_long_and_name_no_folder(folder):
    assert is_compact(folder)
    assert {x.dtype for x in load_file(folder / WEIGHTS).values()} == {np.dtype("float16")}
    assert "somewhere" not in (folder / CARD).read_text()


@pytest.mark.parametrize("what", ["missing", "shape", "more"])
def test_files_that_do_not_belong_together_are_refused(folder, what):
    found = load_file(folder / WEIGHTS)
    name = next(n for n in found if n.endswith("head/kernel"))
    if what == "missing":
        del found[name]
    elif what == "shape":
        found[name] = found[name][:, :1].copy()
    else:
        found["params/other"] = found[name]
    save_file(found, folder / WEIGHTS)
    with pytest.raises(UserError, match=r"belong together|another model") as error:
        open_model(folder, devices=jax.devices()[:1])
    assert ("other" if what == "more" else name) in str(error.value)


@pytest.mark.parametrize("text", ["", "{}", "[1]", json.dumps({"config": {}, "about": {}})])
def test_a_broken_card_is_one_line(folder, text):
    (folder / CARD).write_text(text)
    with pytest.raises(UserError, match=CARD.replace(".", r"\.")) as error:
        open_model(folder)
    assert "\n" not in str(error.value)
