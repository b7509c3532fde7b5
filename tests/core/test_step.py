"""The step: micro-batches, meshes, sharding, donation, buffers, randomness, compilation."""

import warnings

import core_toy as toy
import jax
import numpy as np
import pytest

from medvlp_jax.core import sharding
from medvlp_jax.core.optim import OptimConfig, make_optimizer
from medvlp_jax.core.processes import distributed
from medvlp_jax.core.sharding import MeshConfig, make_mesh
from medvlp_jax.core.step import abstract_state, init_state, make_train_step

pytestmark = pytest.mark.usefixtures("all_compile_quickly")

ONE = MeshConfig(1, 1, 1)
# eps far above rounding: Adam divides a gradient by its own size, so that with a tiny eps an
# element whose gradient is nearly zero turns a rounding error into a step of full length.
CONFIG = OptimConfig(lr=1e-3, eps=1e-5, weight_decay=0.1, warmup_steps=2, ema_decay=0.9)
#: Without moments and clipping, so that parameters differ by what gradients differ.
SGD = OptimConfig(name="sgd", lr=0.1, clip_norm=None)

_compiled = {}  # programs are shared by all tests


def build(devices, mesh_config, *, task=toy.CONTRASTIVE, config=CONFIG, micro_batches=1):
    """(step, fresh state on the mesh)."""
    model_def = toy.model_def()
    optimizer = make_optimizer(config, model_def.abstract_params, model_def.logical_axes, 10)
    known = (tuple(devices), mesh_config, task, repr(config), micro_batches)
    if known not in _compiled:
        mesh = make_mesh(mesh_config, devices)
        _compiled[known] = make_train_step(
            model_def, task, optimizer, mesh, micro_batches=micro_batches
        )
    step = _compiled[known]
    return step, toy.initial_state(optimizer, step.abstract)


def run(step, state, steps=4, batch_of=toy.batch_of):
    """Trains; returns (metrics of every step, state)."""
    key = jax.device_put(jax.random.key(1), sharding.replicated(step.mesh))
    history = []
    for i in range(steps):
        batch = distributed.make_global_batch(batch_of(i), sharding.batch_sharding(step.mesh))
        state, metrics = step(state, batch, key)
        history.append({k: float(v) for k, v in metrics.items()})
    return history, state


def assert_close(a, b, atol=1e-5):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(np.asarray(x), np.asarray(y), atol=atol, rtol=0),
        a,
        b,
    )


@pytest.fixture(scope="module")
def one_device():
    """Four steps on one device, with noise from the random key."""
    step, state = build(jax.devices()[:1], ONE, task=toy.NOISY)
    return run(step, state)


def test_learns_and_reports(devices):
    step, state = build(devices[:1], ONE, config=SGD)
    history, state = run(step, state, steps=6, batch_of=lambda i: toy.batch_of(0))
    losses = [h["loss"] for h in history]
    assert losses == sorted(losses, reverse=True)
    assert int(state.step) == 6
    expected = {"loss", "lr", "grad_norm", "update_norm", "param_norm", "top1"}
    assert set(history[0]) == expected


@pytest.mark.multidevice
@pytest.mark.parametrize("shape", [(8, 1, 1), (1, 8, 1), (2, 2, 2)], ids=str)
def test_one_device_equals_eight(devices, shape, one_device):
    step, state = build(devices, MeshConfig(*shape), task=toy.NOISY)
    history, state = run(step, state)
    expected_history, expected = one_device
    for name in ("loss", "grad_norm"):
        np.testing.assert_allclose(
            [h[name] for h in history], [h[name] for h in expected_history], atol=1e-5
        )
    assert_close(
        (state.params, state.ema, state.buffers), (expected.params, expected.ema, expected.buffers)
    )


@pytest.mark.multidevice
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 2, 2)], ids=str)
def test_gradcache_equals_the_whole_batch(devices, shape):
    results = []
    for pieces in (1, 4):
        step, state = build(
            devices[: np.prod(shape)], MeshConfig(*shape), config=SGD, micro_batches=pieces
        )
        results.append(run(step, state, steps=2))
    (whole, a), (cut, b) = results
    for name in ("loss", "top1", "grad_norm"):
        np.testing.assert_allclose([h[name] for h in whole], [h[name] for h in cut], atol=1e-5)
    assert_close(a.params, b.params)
    assert whole[0]["loss"] != whole[1]["loss"]


def test_buffers_pass_through_the_micro_batches(devices):
    step, state = build(devices[:1], ONE, micro_batches=2)
    vision = jax.tree.map(np.array, state.params["vision"])  # copies: the state is donated
    image = toy.batch_of(0)["image"]
    _, state = run(step, state, steps=1)
    mean = np.zeros(toy.WIDTH)
    for rows in (image[0::2], image[1::2]):
        mean = 0.9 * mean + 0.1 * (rows @ vision["embed"] + vision["position"]).mean(0)
    np.testing.assert_allclose(state.buffers["vision"]["mean"], mean, atol=1e-6)


def test_additive_task_averages_micro_batches(devices):
    results = []
    for pieces in (1, 4):
        step, state = build(
            devices[:1],
            ONE,
            task=toy.REGRESSION,
            config=SGD,
            micro_batches=pieces,
        )
        results.append(run(step, state, steps=2))
    (whole, a), (cut, b) = results
    np.testing.assert_allclose([h["loss"] for h in whole], [h["loss"] for h in cut], atol=1e-6)
    assert_close(a.params, b.params)


def test_batch_that_cannot_be_cut(devices):
    step, state = build(devices[:1], ONE, micro_batches=3)
    with pytest.raises(ValueError, match="16 rows cannot be cut into 3"):
        run(step, state, steps=1)


@pytest.mark.multidevice
def test_fsdp_divides_parameters_and_moments(devices):
    def bytes_of(fsdp):
        _, state = build(devices, MeshConfig(8 // fsdp, fsdp, 1), task=toy.NOISY)
        for part in (state.params, state.ema, state.opt_state):
            leaves = [x for x in jax.tree.leaves(part) if x.size >= 256]
            held = sum(x.addressable_shards[0].data.nbytes for x in leaves)
            yield held, sum(x.nbytes for x in leaves)

    for held, whole in bytes_of(1):
        assert held == whole
    for held, whole in bytes_of(8):
        assert held == whole / 8


@pytest.mark.multidevice
def test_shardings_stay_and_nothing_recompiles(devices):
    step, state = build(devices, MeshConfig(2, 2, 2), task=toy.NOISY)
    before = jax.tree.map(lambda x: x.sharding, state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # "Some donated buffers were not usable"
        _, state = run(step, state, steps=3)
    assert jax.tree.map(lambda x: x.sharding, state) == before
    assert step.traces == 1, "compiled once, for every test of this mesh together"


def test_state_is_donated(devices):
    step, state = build(devices[:1], ONE)
    shapes = {
        k: jax.ShapeDtypeStruct(v.shape, v.dtype) for k, v in toy.batch_of(0).items() if k != "id"
    }
    memory = step.lower(shapes).compile().memory_analysis()
    nbytes = sum(x.nbytes for x in jax.tree.leaves(state))
    assert memory.alias_size_in_bytes >= nbytes
    run(step, state, steps=1)
    assert all(x.is_deleted() for x in jax.tree.leaves(state.params))


def test_randomness_is_of_the_step_and_the_key(devices):
    """The same step draws the same noise; another step draws another."""
    config = OptimConfig(lr=0.0)  # parameters stay, so only noise can change the loss
    step, state = build(devices[:1], ONE, task=toy.NOISY, config=config)
    history, _ = run(step, state, steps=3, batch_of=lambda i: toy.batch_of(0))
    losses = [h["loss"] for h in history]
    assert len(set(losses)) == 3
    step, state = build(devices[:1], ONE, task=toy.NOISY, config=config)
    again, _ = run(step, state, steps=3, batch_of=lambda i: toy.batch_of(0))
    assert losses == [h["loss"] for h in again]


def test_frozen_parameters_stay(devices):
    config = OptimConfig(lr=0.1, weight_decay=0.1, freeze=("vision",))
    step, state = build(devices[:1], ONE, config=config)
    assert set(state.frozen) == {"vision"}
    assert "vision" not in state.params
    vision, text = jax.tree.map(np.array, (state.frozen["vision"], state.params["text"]))
    _, state = run(step, state, steps=2)
    jax.tree.map(np.testing.assert_array_equal, state.frozen["vision"], vision)
    assert not np.array_equal(state.params["text"]["embed"], text["embed"])


def test_skipped_step_changes_nothing_but_the_counters(devices):
    config = OptimConfig(lr=0.1, skip_factor=10.0, ema_decay=0.9)
    step, state = build(devices[:1], ONE, config=config)
    before = jax.tree.map(np.array, (state.params, state.ema, state.buffers))

    def broken(i):
        batch = toy.batch_of(i)
        return batch | {"image": np.full_like(batch["image"], np.nan)}

    history, state = run(step, state, steps=1, batch_of=broken)
    assert np.isnan(history[0]["loss"])
    assert history[0]["skipped"] == 1
    jax.tree.map(np.testing.assert_array_equal, (state.params, state.ema, state.buffers), before)
    assert int(state.step) == 1


@pytest.mark.multidevice
def test_fresh_state_is_the_same_on_every_mesh(devices):
    model_def = toy.model_def()
    optimizer = make_optimizer(CONFIG, model_def.abstract_params, model_def.logical_axes, 10)
    states = []
    for mesh in (make_mesh(ONE, devices[:1]), make_mesh(MeshConfig(2, 2, 2), devices)):
        state = init_state(model_def, optimizer, jax.random.key(0), mesh)
        abstract = abstract_state(model_def, optimizer, mesh)
        same = jax.tree.map(
            lambda a, x: (a.shape, a.dtype, a.sharding) == (x.shape, x.dtype, x.sharding),
            abstract,
            state,
        )
        assert all(jax.tree.leaves(same))
        assert state.ema["text"]["head"] is not state.params["text"]["head"]
        states.append(state)
    assert_close(*states, atol=1e-6)
    assert np.std(states[0].params["vision"]["blocks"]["up"]) > 0.1


@pytest.mark.slow
def test_micro_batches_save_memory(devices):
    """What they are for: temporaries shrink with the piece that is embedded at a time."""
    shapes = {
        "image": jax.ShapeDtypeStruct((512, toy.PIXELS), np.float32),
        "text": jax.ShapeDtypeStruct((512,), np.int32),
    }
    bytes_of = {}
    for pieces in (1, 16):
        step, _ = build(devices[:1], ONE, task=toy.REGRESSION, config=SGD, micro_batches=pieces)
        bytes_of[pieces] = step.lower(shapes).compile().memory_analysis().temp_size_in_bytes
    assert bytes_of[16] < bytes_of[1] / 4
