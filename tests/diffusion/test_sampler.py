"""Samplers: diffusers' schedulers step by step, guidance, and noise per image."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sampler_cases as cases

from medvlp_jax.core.sharding import MeshConfig, batch_sharding, make_mesh, use_mesh
from medvlp_jax.diffusion import sampler as samplers
from medvlp_jax.diffusion.sampler import SamplerConfig, guided, plan, sample, timesteps
from medvlp_jax.diffusion.schedule import ScheduleConfig, per_image_noise
from medvlp_jax.diffusion.scheduler_config import sampler_from, schedule_from


def setup(method, steps, settings):
    more = {"eta": cases.ETA} if method == "ddim_eta" else {}
    config = sampler_from(settings, method.removesuffix("_eta"), steps=steps, **more)
    return schedule_from(settings), config


def run_plan(schedule, config):
    """The loop in numpy: the plan's numbers without the compilation."""
    p = plan(schedule, config)
    x = cases.START.astype(np.float64) * samplers.start_scale(p, config)
    previous = np.zeros_like(x)
    for i in range(config.steps):
        out = cases.network(x, p.t[i], np.tanh)
        if schedule.prediction == "epsilon":
            x0, eps = (x - p.sigma[i] * out) / p.alpha[i], out
        elif schedule.prediction == "x0":
            x0, eps = out, (x - p.alpha[i] * out) / p.sigma[i]
        else:
            x0 = p.alpha[i] * x - p.sigma[i] * out
            eps = p.alpha[i] * out + p.sigma[i] * x
        x = p.x[i] * x + p.x0[i] * x0 + p.epsilon[i] * eps + p.previous[i] * previous
        x = x + p.noise[i] * cases.NOISE[i]
        previous = x0
    return x


def test_every_scheduler_of_diffusers():
    with np.load(cases.FIXTURE) as file:
        wanted = {name: file[name] for name in file.files}
    for case in cases.cases():
        name = cases.name(*case)
        theirs = wanted.pop(name)
        ours = run_plan(*setup(*case))
        # diffusers multiplies its α up in float32, which loses digits where next to nothing is
        # left of the signal: at the end of the cosine and of the zero-SNR schedule.
        exact = name.split("/")[3] in ("scaled_linear", "linear")
        tolerance = (2e-5 if exact else 5e-4) * np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance, err_msg=name)
    assert not wanted


@pytest.mark.torch
@pytest.mark.parametrize("method", cases.METHODS)
def test_fixture_is_what_diffusers_gives(method):
    pytest.importorskip("torch")
    pytest.importorskip("diffusers")
    with np.load(cases.FIXTURE) as file:
        case = next(c for c in cases.cases() if c[0] == method and c[1] == 20)
        np.testing.assert_allclose(
            cases.reference(*case), file[cases.name(*case)], rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("method", cases.METHODS)
def test_scan_follows_the_plan(method, monkeypatch):
    case = next(c for c in cases.cases() if c[0] == method and c[1] == 10)
    schedule, config = setup(*case)
    noise = jnp.asarray(cases.NOISE)
    monkeypatch.setattr(samplers, "per_image_noise", lambda keys, shape, step: noise[step - 1])
    keys = jax.random.split(jax.random.key(0), cases.SHAPE[0])
    run = jax.jit(
        lambda x: sample(lambda x, t: cases.network(x, t, jnp.tanh), schedule, config, x, keys=keys)
    )
    theirs = run_plan(schedule, config)
    np.testing.assert_allclose(
        run(jnp.asarray(cases.START)), theirs, rtol=0, atol=2e-5 * np.abs(theirs).max()
    )


def test_first_and_last_steps_of_stable_diffusion():
    ddim = timesteps(SamplerConfig(method="ddim", steps=50), 1000)
    assert (ddim[0], ddim[-1], len(ddim)) == (981, 1, 50)
    solver = timesteps(SamplerConfig(method="dpmpp_2m", steps=20), 1000)
    assert (solver[0], len(solver)) == (941, 20)
    wide = timesteps(SamplerConfig(method="dpmpp_2m", steps=20, spacing="linspace"), 1000)
    assert wide[0] == 999
    assert np.all(np.diff(wide) < 0)


def test_clipping_bounds_the_image():
    config = SamplerConfig(method="ddim", steps=5, clip=0.5, final="clean", guidance=1)
    x = sample(
        lambda x, t: 100.0 * x, ScheduleConfig(prediction="x0"), config, jnp.asarray(cases.START)
    )
    assert float(jnp.abs(x).max()) <= 0.5 + 1e-6


class TestGuidance:
    schedule = ScheduleConfig()
    context = jnp.asarray(np.random.default_rng(5).normal(size=(2, 3, 5)), jnp.float32)
    nothing = context[:1] * 0 + 0.3

    @staticmethod
    def denoise(x, t, context):
        return x * jnp.mean(context, axis=(1, 2))[:, None, None] + jnp.cos(t)

    def test_one_batch_of_pairs_equals_two_calls(self):
        x = jnp.asarray(cases.START)
        config = SamplerConfig(guidance=3.0)
        got = guided(self.denoise, self.context, self.nothing, config)(x, jnp.float32(10))
        without = self.denoise(x, 10.0, jnp.broadcast_to(self.nothing, self.context.shape))
        with_ = self.denoise(x, 10.0, self.context)
        np.testing.assert_allclose(got, without + 3.0 * (with_ - without), rtol=1e-5, atol=1e-5)

    def test_rescale_as_published(self):
        x = jnp.asarray(cases.START)
        with_ = self.denoise(x, 10.0, self.context)
        mixed = guided(self.denoise, self.context, self.nothing, SamplerConfig(guidance=7.0))
        mixed = mixed(x, jnp.float32(10))
        config = SamplerConfig(guidance=7.0, rescale=0.7)
        got = guided(self.denoise, self.context, self.nothing, config)(x, jnp.float32(10))
        for i in range(2):
            spread = float(np.std(with_[i]) / np.std(mixed[i]))
            want = 0.7 * mixed[i] * spread + 0.3 * mixed[i]
            np.testing.assert_allclose(got[i], want, rtol=1e-5, atol=1e-5)

    def test_none_at_one(self):
        calls = []

        def denoise(x, t, context):
            calls.append(x.shape[0])
            return x

        guided(denoise, self.context, self.nothing, SamplerConfig(guidance=1))(
            jnp.asarray(cases.START), jnp.float32(1)
        )
        assert calls == [2]


class TestNoisePerImage:
    def test_depends_on_key_and_step_alone(self):
        keys = jax.vmap(jax.random.key)(jnp.array([3, 7, 9], jnp.uint32))
        three = per_image_noise(keys, (4, 2), 5)
        np.testing.assert_array_equal(per_image_noise(keys[1:2], (4, 2), 5)[0], three[1])
        assert not np.array_equal(three, per_image_noise(keys, (4, 2), 6))
        assert not np.array_equal(three[0], three[1])

    @pytest.mark.multidevice
    @pytest.mark.parametrize("method", ["ddpm", "dpmpp_2m"])
    def test_same_on_a_mesh(self, method, devices):
        config = SamplerConfig(method=method, steps=4, guidance=1)
        keys = jax.vmap(jax.random.key)(jnp.arange(8, dtype=jnp.uint32))

        def run(keys):
            noise = per_image_noise(keys, cases.SHAPE[1:], 0)
            network = lambda x, t: cases.network(x, t, jnp.tanh)  # noqa: E731
            return sample(network, ScheduleConfig(), config, noise, keys)

        alone = np.asarray(jax.jit(run)(keys))
        mesh = make_mesh(MeshConfig(data=4, fsdp=2), devices)
        place = batch_sharding(mesh)
        with use_mesh(mesh):
            spread = jax.jit(run, in_shardings=place, out_shardings=place)(keys)
        assert spread.sharding.shard_shape(spread.shape)[0] == 1
        np.testing.assert_allclose(spread, alone, atol=1e-5)


class TestErrors:
    @pytest.mark.parametrize(
        "field",
        [
            {"method": "heun"},
            {"steps": 0},
            {"eta": 0.5, "method": "euler"},
            {"guidance": 0.5},
            {"rescale": 2.0},
            {"spacing": "even"},
        ],
    )
    def test_config(self, field):
        with pytest.raises(ValueError, match=next(iter(field))):
            SamplerConfig(**field)

    def test_more_steps_than_training(self):
        with pytest.raises(ValueError, match="1000"):
            plan(ScheduleConfig(), SamplerConfig(steps=1001))
        with pytest.raises(ValueError, match="offset=1"):
            plan(ScheduleConfig(), SamplerConfig(method="ddim", steps=1000))

    def test_drawing_needs_keys(self):
        with pytest.raises(ValueError, match="key per image"):
            sample(lambda x, t: x, ScheduleConfig(), SamplerConfig(method="ddpm"),
                   jnp.asarray(cases.START))  # fmt: skip

    def test_configs_are_frozen(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            SamplerConfig().steps = 3  # type: ignore[misc]
