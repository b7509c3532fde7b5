"""Noise schedules against published numbers, identities, and diffusers' tables."""

import jax.numpy as jnp
import numpy as np
import pytest

from medvlp_jax.core.errors import UserError
from medvlp_jax.diffusion.schedule import (
    ScheduleConfig,
    add_noise,
    alphas_bar,
    level,
    parts,
    snr,
    target,
)
from medvlp_jax.diffusion.scheduler_config import sampler_from, schedule_from, scheduler_config_to

#: What the published folders of 1.x hold.
PUBLISHED = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "trained_betas": None,
}

BETAS = ("linear", "scaled_linear", "cosine")


@pytest.mark.parametrize("betas", BETAS)
def test_falls_from_signal_to_noise(betas):
    ends = {"beta_start": 1e-4, "beta_end": 0.02} if betas == "linear" else {}
    bar = alphas_bar(ScheduleConfig(betas=betas, **ends))
    assert bar.shape == (1000,)
    assert np.all(np.diff(bar) < 0)
    assert bar[0] > 0.999
    assert 0 < bar[-1] < 5e-3


@pytest.mark.torch
@pytest.mark.parametrize("betas", BETAS)
@pytest.mark.parametrize("zero", [False, True])
def test_tables_of_diffusers(betas, zero):
    pytest.importorskip("torch")
    diffusers = pytest.importorskip("diffusers")
    schedule = ScheduleConfig(betas=betas, prediction="v", zero_terminal_snr=zero)
    theirs = diffusers.DDIMScheduler(
        **{k: v for k, v in scheduler_config_to(schedule).items() if not k.startswith("_")}
    )
    np.testing.assert_allclose(alphas_bar(schedule), theirs.alphas_cumprod, rtol=0, atol=2e-6)


def test_zero_terminal_snr():
    plain = ScheduleConfig(prediction="v")
    bar = alphas_bar(ScheduleConfig(prediction="v", zero_terminal_snr=True))
    assert bar[-1] == 0
    assert bar[0] == pytest.approx(alphas_bar(plain)[0], rel=1e-12)
    assert np.all(np.diff(bar) < 0)


@pytest.mark.parametrize("prediction", ["epsilon", "v", "x0"])
def test_parts_undo_noise(prediction):
    rng = np.random.default_rng(0)
    x0, noise = (jnp.asarray(rng.normal(size=(5, 3, 3, 2)), jnp.float32) for _ in range(2))
    at = level(ScheduleConfig(), jnp.array([0, 10, 300, 700, 999]))
    x = add_noise(x0, noise, at)
    found = parts(prediction, x, target(prediction, x0, noise, at), at)
    # At the first step there is hardly any noise to be found again, at the last hardly any signal.
    np.testing.assert_allclose(found.x0, x0, atol=2e-5)
    np.testing.assert_allclose(found.epsilon, noise, atol=2e-4)
    np.testing.assert_allclose(at.alpha**2 + at.sigma**2, 1.0, rtol=1e-6)


def test_snr():
    t = jnp.array([0, 500, 999])
    bar = alphas_bar(ScheduleConfig())[np.asarray(t)]
    np.testing.assert_allclose(snr(ScheduleConfig(), t), bar / (1 - bar), rtol=1e-5)


def test_refused():
    with pytest.raises(ValueError, match="zero_terminal_snr"):
        ScheduleConfig(zero_terminal_snr=True)
    with pytest.raises(ValueError, match="beta_start"):
        ScheduleConfig(beta_start=0.1, beta_end=0.01)


class TestSchedulerFile:
    def test_published_file(self):
        assert schedule_from(PUBLISHED) == ScheduleConfig()
        ddim = sampler_from(PUBLISHED, "ddim", steps=50)
        assert (ddim.spacing, ddim.offset, ddim.final) == ("leading", 1, "first")
        # The file says nothing of the spacing: the solver's own is taken.
        assert sampler_from(PUBLISHED, "dpmpp_2m").spacing == "linspace"

    def test_round_trip(self):
        for schedule in (
            ScheduleConfig(),
            ScheduleConfig(betas="cosine", prediction="v", zero_terminal_snr=True),
        ):
            assert schedule_from(scheduler_config_to(schedule)) == schedule

    def test_all_faults_in_one_error(self):
        bad = {**PUBLISHED, "beta_schedule": "sigmoid", "use_karras_sigmas": True}
        with pytest.raises(UserError, match="use_karras_sigmas=True, beta_schedule=sigmoid"):
            schedule_from(bad)
