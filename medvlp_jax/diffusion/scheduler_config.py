"""``scheduler_config.json`` of a diffusers folder, to our schedule and sampler."""

from collections.abc import Mapping
from typing import Any, Literal, cast

from medvlp_jax.core.errors import UserError
from medvlp_jax.diffusion.sampler import Method, SamplerConfig, Spacing
from medvlp_jax.diffusion.schedule import Prediction, ScheduleConfig

_BETAS = {"linear": "linear", "scaled_linear": "scaled_linear", "squaredcos_cap_v2": "cosine"}
_PREDICTIONS: dict[str, Prediction] = {"epsilon": "epsilon", "v_prediction": "v", "sample": "x0"}
#: What a scheduler of diffusers does where the file does not say.
_SPACING: dict[Method, Spacing] = {
    "ddpm": "leading",
    "ddim": "leading",
    "euler": "linspace",
    "dpmpp_2m": "linspace",
}
#: Keys that change the arithmetic, with the only value that is supported.
_FIXED: dict[str, Any] = {
    "thresholding": False,
    "trained_betas": None,
    "use_beta_sigmas": False,
    "use_exponential_sigmas": False,
    "use_flow_sigmas": False,
    "use_karras_sigmas": False,
    "use_lu_lambdas": False,
}


def schedule_from(config: Mapping[str, Any]) -> ScheduleConfig:
    """The noise schedule of a ``scheduler_config.json``.

    Raises:
      UserError: the file asks for a schedule that is not implemented.
    """
    faults = [f"{k}={config[k]}" for k, v in _FIXED.items() if k in config and config[k] != v]
    betas = config.get("beta_schedule", "linear")
    prediction = config.get("prediction_type", "epsilon")
    faults += [f"beta_schedule={betas}"] if betas not in _BETAS else []
    faults += [f"prediction_type={prediction}"] if prediction not in _PREDICTIONS else []
    if faults:
        raise UserError(
            f"scheduler_config.json asks for what is not implemented: {', '.join(faults)}"
        )
    try:
        return ScheduleConfig(
            betas=cast(Literal["linear", "scaled_linear", "cosine"], _BETAS[betas]),
            beta_start=config.get("beta_start", 1e-4),
            beta_end=config.get("beta_end", 0.02),
            steps=config.get("num_train_timesteps", 1000),
            prediction=_PREDICTIONS[prediction],
            zero_terminal_snr=bool(config.get("rescale_betas_zero_snr", False)),
        )
    except ValueError as error:
        raise UserError(f"scheduler_config.json: {error}") from error


def sampler_from(config: Mapping[str, Any], method: Method, **changes: Any) -> SamplerConfig:
    """The sampler that diffusers makes by ``from_config`` on a folder's scheduler, for latents.

    Whatever scheduler the file names, ``method`` is used with the file's spacing and offset. As in
    diffusers' pipeline ``x̂_0`` of latents is not clipped, even if the file says so.

    Args:
      config: the file's content.
      method: the sampler.
      changes: fields of :class:`SamplerConfig` that the caller sets.
    """
    spacing: Spacing = config.get("timestep_spacing", _SPACING[method])
    fields: dict[str, Any] = {
        "spacing": spacing,
        "offset": config.get("steps_offset", 0),
        "final": "clean" if config.get("set_alpha_to_one", True) else "first",
    }
    return SamplerConfig(method=method, **(fields | changes))


def scheduler_config_to(schedule: ScheduleConfig) -> dict[str, Any]:
    """A ``scheduler_config.json`` for diffusers, of a DDIM scheduler over latents."""
    s = schedule
    return {
        "_class_name": "DDIMScheduler",
        "num_train_timesteps": s.steps,
        "beta_start": s.beta_start,
        "beta_end": s.beta_end,
        "beta_schedule": {ours: theirs for theirs, ours in _BETAS.items()}[s.betas],
        "prediction_type": {o: t for t, o in _PREDICTIONS.items()}[s.prediction],
        "rescale_betas_zero_snr": s.zero_terminal_snr,
        "clip_sample": False,
        "set_alpha_to_one": False,
        "steps_offset": 1,
        "timestep_spacing": "trailing" if s.zero_terminal_snr else "leading",
    }
