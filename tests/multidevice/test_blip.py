"""One device equals eight: a step of BLIP, its losses, gradients, averages and queue."""

import functools

import jax
import numpy as np
import pytest

from medvlp_jax.core import sharding
from medvlp_jax.core.sharding import MeshConfig, batch_sharding, make_mesh
from medvlp_jax.core.step import abstract_model, shardings_of
from medvlp_jax.tasks.registry import make_task

from ..tasks.test_blip import TASK, batch_of, model_def

pytestmark = [pytest.mark.multidevice, pytest.mark.usefixtures("quick_compiles")]
MESHES = {"8x1x1": MeshConfig(8, 1, 1), "2x2x2": MeshConfig(2, 2, 2)}


def differentiate(mesh):
    task = make_task(model_def(), TASK)
    arrays = jax.jit(model_def().init)(jax.random.key(0))
    batch = batch_of()
    if mesh.size > 1:
        arrays = jax.device_put(arrays, shardings_of(abstract_model(model_def(), mesh)))
        batch = jax.device_put(batch, batch_sharding(mesh))

    def loss(params, buffers, batch):
        with sharding.use_mesh(mesh):
            model = model_def().merge(params, buffers)
            total, metrics = task.loss(model, None, batch, jax.random.key(3))
            return total, (metrics, model_def().buffers_of(model))

    return jax.jit(jax.value_and_grad(loss, has_aux=True))(*arrays, batch)


@functools.cache
def alone():
    return differentiate(make_mesh(MeshConfig(), jax.devices()[:1]))


@pytest.mark.parametrize("mesh", [pytest.param("8x1x1", marks=pytest.mark.slow), "2x2x2"])
def test_value_metrics_gradients_and_memory(mesh, devices):
    got = differentiate(make_mesh(MESHES[mesh], devices))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6), got, alone())


def test_the_memory_is_divided(devices):
    """Averages lie as their parameters do, the queue over the devices that divide the model."""
    _, buffers = abstract_model(model_def(), make_mesh(MeshConfig(1, 8, 1), devices))
    assert tuple(buffers["queue"]["image"].sharding.spec) == ("fsdp",)
    params, buffers = abstract_model(model_def(), make_mesh(MeshConfig(2, 2, 2), devices))
    for side in ("vision", "text"):
        jax.tree.map(
            lambda average, own: (
                None if average.sharding == own.sharding else pytest.fail(str(own))
            ),
            buffers["momentum"][side]["embed"],
            params[side]["embed"],
        )
