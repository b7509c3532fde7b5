"""Schedulers of diffusers driven by an analytic network: what samplers must give.

python tests/diffusion/sampler_cases.py      # writes fixtures/samplers.npz
"""

# pyright: reportMissingImports=false
import itertools
import pathlib
from unittest import mock

import numpy as np

FIXTURE = pathlib.Path(__file__).parent / "fixtures" / "samplers.npz"
SHAPE = (2, 3, 4)
STEPS = (3, 10, 20, 50)
BETAS = ("scaled_linear", "linear", "squaredcos_cap_v2")
PREDICTIONS = ("epsilon", "v_prediction", "sample")
SPACINGS = ("leading", "linspace", "trailing")
METHODS = ("ddpm", "ddim", "ddim_eta", "euler", "dpmpp_2m")
ETA = 0.7
WEIGHTS = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32) * 0.4
START = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
NOISE = np.random.default_rng(2).normal(size=(max(STEPS), *SHAPE)).astype(np.float32)


def network(x, t, tanh):
    """A smooth function in place of a network; ``tanh`` is numpy's or JAX's."""
    return tanh(x @ WEIGHTS) * (0.5 + t / 2000.0) + 0.1 * x


def cases():
    """``(method, steps, settings of the scheduler)``: every spacing, prediction and schedule."""
    for method, spacing, prediction in itertools.product(METHODS, SPACINGS, PREDICTIONS):
        for betas, zero in itertools.product(BETAS, (False, True)):
            if zero and (prediction == "epsilon" or spacing != "trailing"):
                continue  # without any signal there is nothing to divide by
            if betas != "scaled_linear" and (zero or spacing == "leading"):
                continue
            settings = {
                "beta_schedule": betas,
                "beta_start": 0.00085,
                "beta_end": 0.012,
                "prediction_type": prediction,
                "timestep_spacing": spacing,
                "steps_offset": int(spacing == "leading"),
                "rescale_betas_zero_snr": zero,
            }
            if method.startswith("dd"):
                settings["clip_sample"] = False
            if method.startswith("ddim"):
                settings["set_alpha_to_one"] = spacing == "trailing"
            for steps in STEPS if betas == "scaled_linear" else STEPS[2:3]:
                yield method, steps, settings


def name(method, steps, settings):
    """Key of a case in the fixture."""
    zero = "_zero" if settings["rescale_betas_zero_snr"] else ""
    words = (method, settings["timestep_spacing"], settings["prediction_type"])
    return "/".join((*words, settings["beta_schedule"] + zero, str(steps)))


def reference(method, steps, settings):
    """What diffusers gives."""
    import diffusers
    import torch
    from diffusers.schedulers import scheduling_ddpm

    classes = {
        "ddpm": diffusers.DDPMScheduler,
        "ddim": diffusers.DDIMScheduler,
        "ddim_eta": diffusers.DDIMScheduler,
        "euler": diffusers.EulerDiscreteScheduler,
        "dpmpp_2m": diffusers.DPMSolverMultistepScheduler,
    }
    scheduler = classes[method](**settings)
    scheduler.set_timesteps(steps)
    x = torch.from_numpy(START.copy()) * scheduler.init_noise_sigma
    for i, t in enumerate(scheduler.timesteps):
        seen = scheduler.scale_model_input(x, t).numpy()
        out = torch.from_numpy(network(seen, float(t), np.tanh))
        noise = torch.from_numpy(NOISE[i])
        with mock.patch.object(scheduling_ddpm, "randn_tensor", lambda *a, n=noise, **k: n):
            more = {"eta": ETA, "variance_noise": noise} if method == "ddim_eta" else {}
            x = scheduler.step(out, t, x, **more).prev_sample
    return x.numpy()


def main():
    arrays = {name(*case): reference(*case) for case in cases()}
    FIXTURE.parent.mkdir(exist_ok=True)
    np.savez_compressed(FIXTURE, **arrays)
    print(f"{len(arrays)} cases, {FIXTURE.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
