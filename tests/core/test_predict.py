"""Prediction for evaluators: any mesh, any batch size, raw or averaged parameters."""

import core_toy as toy
import jax
import numpy as np
import pytest

from medvlp_jax.core.optim import OptimConfig, make_optimizer
from medvlp_jax.core.predict import Predictor
from medvlp_jax.core.sharding import MeshConfig, make_mesh
from medvlp_jax.core.step import abstract_state

CONFIG = OptimConfig(ema_decay=0.9, freeze=("text",))


@pytest.fixture(scope="module")
def model():
    """(state on 8 devices, predictor without a state)."""
    mesh = make_mesh(MeshConfig(2, 2, 2))
    model_def = toy.model_def()
    optimizer = make_optimizer(CONFIG, model_def.abstract_params, model_def.logical_axes, 10)
    state = toy.initial_state(optimizer, abstract_state(model_def, optimizer, mesh))
    return state, Predictor(model_def, toy.CONTRASTIVE.predict, mesh)


def expected(state, batch):
    module = toy.model_def().merge(*jax.device_get((state.model_params(), state.buffers)))
    return np.asarray(module.vision(batch["image"]))


@pytest.mark.multidevice
@pytest.mark.parametrize("rows", [16, 5, 1])
def test_rows_on_a_mesh(model, rows):
    """A batch that the mesh does not divide is computed on every device, not padded."""
    state, predictor = model
    batch = toy.batch_of(0, rows)
    got = predictor.with_state(state)("image_embed", batch)
    assert isinstance(got, np.ndarray)
    np.testing.assert_allclose(got, expected(state, batch), atol=1e-6)


def test_averaged_parameters_are_used_if_there_are_any(model):
    state, predictor = model
    batch = toy.batch_of(0, 4)
    ema = jax.tree.map(lambda x: x * 2.0, state.ema)
    averaged = jax.tree.map(lambda x: x, state)
    averaged.ema = ema
    raw = predictor.with_state(averaged, use_ema=False)("image_embed", batch)
    mean = predictor.with_state(averaged)("image_embed", batch)
    np.testing.assert_allclose(raw, expected(state, batch), atol=1e-6)
    assert np.abs(raw - mean).max() > 1e-2


def test_compiled_once_per_name_and_shape(model):
    state, _ = model
    traced = []

    def counted(module, batch):
        traced.append(batch["image"].shape)
        return module.vision(batch["image"])

    predictor = Predictor(toy.model_def(), {"image_embed": counted}, make_mesh(MeshConfig(8)))
    for rows in (8, 8, 16, 8):
        bound = predictor.with_state(state)  # as before every evaluation
        bound("image_embed", {"image": toy.batch_of(0, rows)["image"]})
    assert [s[0] for s in traced] == [8, 16]


def test_errors(model):
    state, predictor = model
    with pytest.raises(ValueError, match="no state yet"):
        predictor("image_embed", toy.batch_of(0, 4))
    with pytest.raises(KeyError, match="image_embed, text_embed"):
        predictor.with_state(state)("imgae_embed", toy.batch_of(0, 4))


@pytest.mark.multidevice
@pytest.mark.parametrize("rows", [8, 3])
def test_what_all_rows_share_is_whole_on_every_device(model, rows):
    state, _ = model
    mesh = make_mesh(MeshConfig(8))
    predictor = Predictor(
        toy.model_def(), {"scores": lambda m, b: m.vision(b["image"]) @ b["text_embed"].T}, mesh
    )
    batch = {"image": toy.batch_of(0, rows)["image"]}
    images = expected(state, batch)
    shared = np.random.default_rng(0).normal(size=(5, images.shape[1])).astype(np.float32)
    got = predictor.with_state(state)("scores", batch, {"text_embed": shared})
    np.testing.assert_allclose(got, images @ shared.T, rtol=1e-4, atol=1e-5)
