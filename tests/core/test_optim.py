"""Optimizer mathematics against numpy and optax, and which parameter is treated how."""

import core_toy as toy
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from medvlp_jax.core.config import ConfigError, parse
from medvlp_jax.core.optim import OptimConfig, average, make_optimizer, make_schedule
from medvlp_jax.core.state import flatten, path_str

PARAMS = {
    "w": jnp.arange(6.0).reshape(2, 3) / 5,
    "b": jnp.array([0.5, -1.0, 2.0]),
}
AXES = {"w": ("embed", "mlp"), "b": ("norm",)}


def grads_of(step):
    rng = np.random.default_rng([1, step])
    return {k: jnp.asarray(rng.normal(size=v.shape), jnp.float32) for k, v in PARAMS.items()}


def train(config, steps=5, total=10, grads=grads_of):
    optimizer = make_optimizer(config, PARAMS, AXES, total)
    update = jax.jit(optimizer.update)
    params, state, infos = PARAMS, optimizer.init(PARAMS), []
    for i in range(steps):
        params, state, info = update(grads(i), state, params, jnp.int32(i))
        infos.append(info)
    return params, state, infos


def test_adamw_equals_numpy():
    config = OptimConfig(lr=0.1, schedule="constant", weight_decay=0.3, clip_norm=1.0, eps=1e-6)
    got, _, infos = train(config)
    for name, decay in (("w", 0.3), ("b", 0.0)):
        p = np.asarray(PARAMS[name], np.float64)
        m, v = np.zeros_like(p), np.zeros_like(p)
        for i in range(5):
            grads = {k: np.asarray(g, np.float64) for k, g in grads_of(i).items()}
            norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
            g = grads[name] / max(norm, 1.0)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            mhat, vhat = m / (1 - 0.9 ** (i + 1)), v / (1 - 0.999 ** (i + 1))
            p = p - 0.1 * (mhat / (np.sqrt(vhat) + 1e-6) + decay * p)
            np.testing.assert_allclose(infos[i].grad_norm, norm, rtol=1e-6)
        np.testing.assert_allclose(got[name], p, atol=1e-5)  # fp32 1 - b2^t: 6e-5 relative


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_coupled_decay_equals_optax(name):
    config = OptimConfig(
        name=name, lr=0.1, schedule="constant", weight_decay=0.3, clip_norm=None, momentum=0.8
    )
    core = optax.adam(0.1) if name == "adam" else optax.sgd(0.1, momentum=0.8)
    reference = optax.chain(optax.add_decayed_weights(0.3, {"w": True, "b": False}), core)
    params, state = PARAMS, reference.init(PARAMS)
    for i in range(5):
        updates, state = reference.update(grads_of(i), state, params)
        params = optax.apply_updates(params, updates)
    got, _, _ = train(config)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), got, params)


def test_bfloat16_first_moment():
    _, state, _ = train(OptimConfig(mu_dtype="bfloat16"))
    adam = optax.tree.get(state.chain, "mu"), optax.tree.get(state.chain, "nu")
    assert {x.dtype for x in jax.tree.leaves(adam[0])} == {jnp.dtype("bfloat16")}
    assert {x.dtype for x in jax.tree.leaves(adam[1])} == {jnp.dtype("float32")}


def test_schedules():
    def at(steps, **options):
        schedule = make_schedule(OptimConfig(lr=2.0, **options), 100)
        return [float(schedule(jnp.int32(s))) for s in steps]

    cosine = at([0, 9, 10, 55, 100], schedule="cosine", warmup_steps=10, final_lr_fraction=0.1)
    np.testing.assert_allclose(cosine, [0.2, 2.0, 2.0, 1.1, 0.2], rtol=1e-5)
    np.testing.assert_allclose(at([0, 4, 99], schedule="constant", warmup_steps=5), [0.4, 2, 2])
    cooldown = at([0, 80, 90, 99, 100], schedule="cooldown", cooldown_steps=20)
    np.testing.assert_allclose(cooldown, [2, 2, 1, 0.1, 0], atol=1e-6)
    rsqrt = at([0, 30, 100], schedule="rsqrt", rsqrt_timescale=10)
    np.testing.assert_allclose(rsqrt, [2, 1, 2 / 11**0.5], rtol=1e-5)


def test_schedule_is_a_function_of_the_stored_step():
    """An update at step 7 uses the rate of step 7, whatever the optimizer did before."""
    config = OptimConfig(lr=1.0, warmup_steps=10)
    optimizer = make_optimizer(config, PARAMS, AXES, 20)
    _, _, info = optimizer.update(grads_of(0), optimizer.init(PARAMS), PARAMS, jnp.int32(7))
    assert float(info.lr) == pytest.approx(0.8)


def test_decay_mask_sees_one_layer():
    model = toy.model_def()
    optimizer = make_optimizer(
        OptimConfig(lr=1.0, schedule="constant", weight_decay=1.0),
        model.abstract_params,
        model.logical_axes,
        10,
    )
    params = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), model.abstract_params)
    zeros = jax.tree.map(np.zeros_like, params)
    new, _, _ = jax.jit(optimizer.update)(zeros, optimizer.init(params), params, np.int32(0))
    decayed = {path_str(p) for p, x in flatten(new).items() if float(jnp.max(x)) < 1}
    towers = ("vision", "text")
    # blocks/norm and blocks/bias are [layers, width]: two axes, but vectors of a layer.
    weights = ("embed", "head", "blocks/up", "blocks/down")
    assert decayed == {f"{t}/{w}" for t in towers for w in weights}


def test_no_decay_patterns_and_missing_axes():
    model = toy.model_def()
    with pytest.raises(ValueError, match=r"no_decay.*'visoin'.*no parameter"):
        make_optimizer(
            OptimConfig(no_decay=("visoin",)), model.abstract_params, model.logical_axes, 10
        )
    with pytest.raises(ValueError, match=r"'w' of shape .* has no logical_axes"):
        make_optimizer(OptimConfig(), PARAMS, {"w": (), "b": ("norm",)}, 10)


def test_layer_decay_and_multipliers():
    model = toy.model_def()
    optimizer = make_optimizer(
        OptimConfig(layer_decay=0.5, lr_multipliers={"text": 3.0, "text/head": 7.0}),
        model.abstract_params,
        model.logical_axes,
        10,
    )
    factor = {path_str(p): np.asarray(m) for p, m in flatten(optimizer.multipliers).items()}
    assert toy.LAYERS == 3
    for name in ("up", "norm"):
        got = factor[f"vision/blocks/{name}"]
        np.testing.assert_allclose(got.ravel(), [0.125, 0.25, 0.5])
        assert got.shape[0] == 3  # along the layer axis
    assert factor["vision/embed"] == factor["vision/position"] == 0.5**4
    assert factor["vision/head"] == factor["logit_scale"] == 1
    assert factor["text/head"] == 3  # the first pattern wins
    np.testing.assert_allclose(factor["text/blocks/up"].ravel(), [0.375, 0.75, 1.5])


def test_layer_decay_scales_the_update_of_each_layer():
    model = toy.model_def()
    config = OptimConfig(lr=1.0, schedule="constant", layer_decay=0.5, clip_norm=None)
    optimizer = make_optimizer(config, model.abstract_params, model.logical_axes, 10)
    params = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), model.abstract_params)
    new, _, _ = jax.jit(optimizer.update)(params, optimizer.init(params), params, np.int32(0))
    moved = (params["vision"]["blocks"]["up"] - new["vision"]["blocks"]["up"])[:, 0, 0]
    np.testing.assert_allclose(moved, [0.125, 0.25, 0.5], rtol=1e-4)


def test_layer_decay_needs_stacked_blocks():
    with pytest.raises(ValueError, match="needs stacked blocks"):
        make_optimizer(OptimConfig(layer_decay=0.5), PARAMS, AXES, 10)


def test_freeze_leaves_no_moments():
    model = toy.model_def()
    optimizer = make_optimizer(
        OptimConfig(freeze=("vision",)), model.abstract_params, model.logical_axes, 10
    )
    trained, frozen = optimizer.split(model.abstract_params)
    assert set(trained) == {"text", "logit_scale"}
    assert set(frozen) == {"vision"}
    state = jax.eval_shape(optimizer.init, trained)
    paths = [str(p) for p, _ in jax.tree_util.tree_flatten_with_path(state)[0]]
    assert not any("vision" in p for p in paths)
    with pytest.raises(ValueError, match="nothing is left to train"):
        make_optimizer(OptimConfig(freeze=(".*",)), model.abstract_params, model.logical_axes, 10)


def test_spike_and_nan_are_skipped_and_counted():
    def grads(step):
        factor = {6: 100.0, 8: jnp.nan}.get(step, 1.0)
        return jax.tree.map(lambda g: g * factor, grads_of(step))

    config = OptimConfig(skip_factor=5.0, skip_window=8)
    _, state, infos = train(config, steps=10, grads=grads)
    assert [i for i, info in enumerate(infos) if bool(info.skip)] == [6, 8]
    assert int(state.skip.skipped) == 2
    assert float(infos[6].update_norm) == 0
    # The same run without the two bad steps ends at the same moments: they left no trace.
    assert np.isfinite(np.asarray(jax.tree.leaves(state.chain)[1])).all()


def test_skip_keeps_every_bit():
    config = OptimConfig(skip_factor=5.0)
    optimizer = make_optimizer(config, PARAMS, AXES, 10)
    state = optimizer.init(PARAMS)
    bad = jax.tree.map(lambda p: jnp.full_like(p, jnp.inf), PARAMS)
    params, new, info = optimizer.update(bad, state, PARAMS, jnp.int32(0))
    assert bool(info.skip)
    jax.tree.map(np.testing.assert_array_equal, params, PARAMS)
    jax.tree.map(np.testing.assert_array_equal, new.chain, state.chain)


def test_lasting_change_of_scale_is_accepted():
    """Skipped norms are remembered too, so a new level of the gradient does not skip for ever."""

    def grads(step):
        return jax.tree.map(lambda g: g * (100.0 if step >= 10 else 1.0), grads_of(step))

    config = OptimConfig(skip_factor=5.0, skip_window=8)
    _, _, infos = train(config, steps=20, total=20, grads=grads)
    skipped = [i for i, info in enumerate(infos) if bool(info.skip)]
    assert skipped
    assert skipped[0] == 10
    assert skipped[-1] < 16


def test_average_warms_up():
    ema = {"x": jnp.array(0.0)}
    for t in range(3):
        ema = average(ema, {"x": jnp.array(1.0)}, 0.999, jnp.int32(t))
    expected = 1 - (1 / 10) * (2 / 11) * (3 / 12)
    assert float(ema["x"]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer_decay": 0.0}, "layer_decay"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"skip_factor": 0.5}, "skip_factor"),
        ({"clip_norm": 0.0}, "clip_norm"),
        ({"schedule": "cooldown"}, "cooldown_steps"),
        ({"warmup_steps": -1}, "warmup_steps"),
    ],
)
def test_bad_values(options, message):
    with pytest.raises(ConfigError, match=message):
        parse(OptimConfig, options)


def test_schedule_longer_than_the_run():
    with pytest.raises(ConfigError, match="more than the 10 steps"):
        make_schedule(OptimConfig(warmup_steps=11), 10)


def test_what_is_held_does_not_move_and_starts_smoothly():
    free = OptimConfig(lr=0.1, schedule="constant", clip_norm=None)
    held = OptimConfig(lr=0.1, schedule="constant", clip_norm=None, hold={"w": 3})
    for steps in (1, 3):
        params, _, _ = train(held, steps)
        np.testing.assert_array_equal(params["w"], PARAMS["w"])
        np.testing.assert_array_equal(params["b"], train(free, steps)[0]["b"])
    # The fourth update is that of the moments gathered meanwhile, not the jump of fresh ones.
    step = train(held, 4)[0]["w"] - PARAMS["w"]
    expected = train(free, 4)[0]["w"] - train(free, 3)[0]["w"]
    np.testing.assert_allclose(step, expected, atol=1e-6)


def test_rows_are_scaled_back_to_length_one():
    config = OptimConfig(lr=0.1, schedule="constant", unit_norm=("w",), hold={"b": 99})
    params, _, _ = train(config, 2)
    np.testing.assert_allclose(np.linalg.norm(params["w"], axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(params["b"], PARAMS["b"])
    both = OptimConfig(lr=0.1, schedule="constant", unit_norm=("w",), hold={"w": 99})
    np.testing.assert_array_equal(train(both, 2)[0]["w"], PARAMS["w"])


@pytest.mark.parametrize("key", [{"hold": {"wrong": 1}}, {"unit_norm": ("wrong",)}])
def test_a_pattern_of_these_that_matches_nothing_is_an_error(key):
    with pytest.raises(ValueError, match="pattern 'wrong' matches no parameter"):
        make_optimizer(OptimConfig(**key), PARAMS, AXES, 10)
