"""The step: micro-batches, meshes, sharding, donation, buffers, randomness."""

import core_toy as toy
import jax
import numpy as np
import pytest

from medvlp_jax.core import distributed, sharding
from medvlp_jax.core.optim import OptimConfig, make_optimizer
from medvlp_jax.core.sharding import MeshConfig, make_mesh
from medvlp_jax.core.step import init_state, make_train_step

ADAMW = OptimConfig(lr=1e-2, weight_decay=0.1, warmup_steps=2)


def run(devices, mesh_config, *, task=None, config=ADAMW, steps=4, micro_batches=1):
    """Trains the toy; returns (losses, state)."""
    mesh = make_mesh(mesh_config, devices)
    model_def = toy.model_def()
    optimizer = make_optimizer(config, model_def.abstract_params, model_def.logical_axes, 10)
    state = init_state(model_def, optimizer, jax.random.key(0), mesh)
    step = make_train_step(
        model_def, task or toy.Contrastive(), optimizer, mesh, micro_batches=micro_batches
    )
    key = jax.device_put(jax.random.key(1), sharding.replicated(mesh))
    losses = []
    for i in range(steps):
        batch = distributed.make_global_batch(toy.batch_of(i), mesh)
        state, metrics = step(state, batch, key)
        losses.append(float(metrics["loss"]))
    assert step.traces == 1
    return losses, state


def assert_close(a, b, atol=1e-5):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(np.asarray(x), np.asarray(y), atol=atol, rtol=0),
        a,
        b,
    )


@pytest.mark.multidevice
@pytest.mark.parametrize("shape", [(8, 1, 1), (1, 8, 1), (1, 1, 8), (2, 2, 2), (1, 4, 2)], ids=str)
def test_one_device_equals_eight(devices, shape):
    config = OptimConfig(lr=1e-2, weight_decay=0.1, warmup_steps=2, ema_decay=0.9)
    task = toy.Contrastive(noise=0.1)
    one, a = run(devices[:1], MeshConfig(1), config=config, task=task)
    eight, b = run(devices, MeshConfig(*shape), config=config, task=task)
    np.testing.assert_allclose(one, eight, atol=1e-5)
    assert one[-1] < one[0]
    assert_close((a.params, a.ema, a.buffers), (b.params, b.ema, b.buffers))
