"""States of random numbers for the tests that write and read checkpoints of the toy model."""

import core_toy as toy
import jax
import numpy as np

from medvlp_jax.core.optim import OptimConfig, make_optimizer
from medvlp_jax.core.sharding import MeshConfig, make_mesh
from medvlp_jax.core.step import abstract_state, shardings_of

ALONE = MeshConfig(1, 1, 1)
OPTIM = OptimConfig(ema_decay=0.9, skip_factor=5.0, mu_dtype="bfloat16", freeze=("text/embed",))
RUN = {"optim": {"lr": 0.1}, "mesh": {"data": 1}, "loop": {"save_every": 5}}


def optimizer_of(config=OPTIM):
    model_def = toy.model_def()
    return make_optimizer(config, model_def.abstract_params, model_def.logical_axes, 100)


def abstract_on(devices, mesh_config=ALONE, config=OPTIM):
    mesh = make_mesh(mesh_config, devices)
    return abstract_state(toy.model_def(), optimizer_of(config), mesh)


def fill(abstract, seed=0):
    """A state of random numbers: cheaper than training, and no two leaves are alike."""
    rng = np.random.default_rng(seed)
    values = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(x.dtype), abstract)
    return jax.device_put(values, shardings_of(abstract))


def assert_equal(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(np.asarray(x), np.asarray(y)), a, b)
