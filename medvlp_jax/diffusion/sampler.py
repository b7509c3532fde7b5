"""Samplers: from noise to an image in a few evaluations of the network.

DDPM, DDIM, Euler and DPM-Solver++ 2M are one loop with different numbers in it. Each step is

    x ← a x + b x̂_0 + c ε̂ + d x̂_0(previous) + e noise

where ``x̂_0`` and ``ε̂`` come from the network's output; :func:`plan` computes the numbers of every
step in float64, and :func:`sample` runs the loop as one ``lax.scan``. The rules for the steps to
visit are those of diffusers' schedulers, so that the same noise gives the same image.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from medvlp_jax.core.fields import AtLeastOne, Count, Fraction, NonNegative, Positive, Size
from medvlp_jax.core.sharding import constrain
from medvlp_jax.diffusion.schedule import (
    Level,
    Prediction,
    ScheduleConfig,
    alphas_bar,
    parts,
    per_image_noise,
)

Method = Literal["ddpm", "ddim", "euler", "dpmpp_2m"]
Spacing = Literal["leading", "linspace", "trailing"]

#: α² of pure noise in the solvers that divide by α: the smallest 16-bit float, as diffusers has it.
_ALMOST_NO_SIGNAL = 2.0**-24

Predict = Callable[[Float[Array, "b ..."], Float[Array, ""]], Float[Array, "b ..."]]
Denoise = Callable[[Float[Array, "b ..."], Float[Array, ""], Array], Float[Array, "b ..."]]


@dataclasses.dataclass(frozen=True)
class SamplerConfig:
    """How to sample.

    Attributes:
      method: ``ddpm`` (Ho et al. 2020), ``ddim`` (Song et al. 2021), ``euler`` (Karras et al. 2022,
        algorithm 1 without churn), ``dpmpp_2m`` (Lu et al. 2022, multistep of second order,
        midpoint).
      steps: evaluations of the network.
      spacing: which steps of training are visited (Lin et al. 2023, table 2).
      offset: added to the steps of ``leading``.
      final: where DDIM's last step ends: at the noise of training's ``first`` step, or ``clean``.
      eta: of DDIM; 0 adds no noise, 1 as much as DDPM.
      clip: bound of ``x̂_0`` for images in [-bound, bound]; latents have none.
      guidance: weight of the text (Ho & Salimans 2022); 1 samples without guidance.
      rescale: share of the guided prediction that is brought back to the spread of the unguided one
        (Lin et al. 2023, eq. 15 and 16).
    """

    method: Method = "dpmpp_2m"
    steps: Size = 20
    spacing: Spacing = "leading"
    offset: Count = 1
    final: Literal["first", "clean"] = "first"
    eta: NonNegative = 0.0
    clip: Positive | None = None
    guidance: AtLeastOne = 4.0
    rescale: Fraction = 0.0

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("method", self.method, get_args(Method)),
            ("spacing", self.spacing, get_args(Spacing)),
            ("final", self.final, ("first", "clean")),
        ):
            if value not in allowed:
                raise ValueError(f"{name}={value!r} must be one of {', '.join(allowed)}")
        if self.steps < 1:
            raise ValueError(f"steps={self.steps} must be at least 1")
        if self.eta and self.method != "ddim":
            raise ValueError(f"eta={self.eta} is DDIM's alone, not of {self.method}")
        if self.guidance < 1:
            raise ValueError(f"guidance={self.guidance} must be at least 1, which is none")
        if not 0 <= self.rescale <= 1:
            raise ValueError(f"rescale={self.rescale} must lie in [0, 1]")


class Plan(NamedTuple):
    """The numbers of every step, float32 [steps] (numpy, or JAX within the loop); see the module.

    Attributes:
      t: step of training that the network is told; a fraction is possible.
      alpha, sigma: signal and noise of the image that the network sees.
      x, x0, epsilon, previous, noise: the factors ``a`` to ``e``.
    """

    t: Any
    alpha: Any
    sigma: Any
    x: Any
    x0: Any
    epsilon: Any
    previous: Any
    noise: Any

    @property
    def draws(self) -> bool:
        """Whether any step adds noise."""
        return bool(np.any(self.noise))


def timesteps(config: SamplerConfig, train_steps: int) -> Float[np.ndarray, " steps"]:
    """The steps of training that are visited, falling.

    Raises:
      ValueError: there are more of them than steps of training.
    """
    c, n = config, config.steps
    if n > train_steps:
        raise ValueError(f"steps={n}: the network was trained with {train_steps}")
    # DPM-Solver++ counts one more step, whose place the end without noise takes.
    points = n + 1 if c.method == "dpmpp_2m" else n
    if c.spacing == "leading":
        t = np.arange(points) * (train_steps // points) + c.offset
        t = t[::-1][:n].astype(np.float64)
    elif c.spacing == "linspace":
        t = np.linspace(0, train_steps - 1, points)[::-1][:n]
        t = t if c.method == "euler" else np.round(t)
    else:
        t = np.round(train_steps - np.arange(n) * (train_steps / n)) - 1
    if t[0] > train_steps - 1:
        raise ValueError(f"steps={n} with offset={c.offset} reach beyond training's {train_steps}")
    return t


def plan(schedule: ScheduleConfig, config: SamplerConfig) -> Plan:
    """The numbers of every step.

    Raises:
      ValueError: more steps than the network was trained with.
    """
    t = timesteps(config, schedule.steps)
    bar = alphas_bar(schedule)
    if config.method in ("euler", "dpmpp_2m"):
        if schedule.zero_terminal_snr:
            bar = np.append(bar[:-1], _ALMOST_NO_SIGNAL)
        return (_euler if config.method == "euler" else _dpmpp_2m)(t, bar)
    here = bar[t.astype(int)]
    if config.method == "ddpm":
        return _ddpm(t, here, np.append(here[1:], 1.0))
    # diffusers goes down by the mean distance here, whatever the spacing.
    below = t.astype(int) - schedule.steps // config.steps
    end = bar[0] if config.final == "first" else 1.0
    return _ddim(t, here, np.where(below >= 0, bar[np.maximum(below, 0)], end), config.eta)


def _pack(t: np.ndarray, alpha: np.ndarray, sigma: np.ndarray, **factors: np.ndarray) -> Plan:
    none = np.zeros_like(t)
    rest = {name: factors.get(name, none) for name in Plan._fields[3:]}
    fields = {"t": t, "alpha": alpha, "sigma": sigma, **rest}
    return Plan(**{name: np.asarray(x, np.float32) for name, x in fields.items()})


def _ddim(t: np.ndarray, bar: np.ndarray, to: np.ndarray, eta: float) -> Plan:
    """Song et al. 2021, eq. 12 and 16."""
    noise = eta * np.sqrt((1 - to) / (1 - bar) * (1 - bar / to))
    epsilon = np.sqrt(np.maximum(1 - to - noise**2, 0))
    return _pack(t, np.sqrt(bar), np.sqrt(1 - bar), x0=np.sqrt(to), epsilon=epsilon, noise=noise)


def _ddpm(t: np.ndarray, bar: np.ndarray, to: np.ndarray) -> Plan:
    """Ho et al. 2020, eq. 7, with the smaller of the two variances."""
    beta = 1 - bar / to
    x0 = np.sqrt(to) * beta / (1 - bar)
    x = np.sqrt(bar / to) * (1 - to) / (1 - bar)
    noise = np.where(t > 0, np.sqrt(np.maximum((1 - to) / (1 - bar) * beta, 1e-20)), 0.0)
    return _pack(t, np.sqrt(bar), np.sqrt(1 - bar), x=x, x0=x0, noise=noise)


def _euler(t: np.ndarray, bar: np.ndarray) -> Plan:
    """Karras et al. 2022: a straight line in the image divided by α, to no noise at all."""
    ratio = np.interp(t, np.arange(len(bar)), np.sqrt((1 - bar) / bar))
    alpha = 1 / np.sqrt(ratio**2 + 1)
    sigma = ratio * alpha
    return _pack(t, alpha, sigma, x0=np.append(alpha[1:], 1.0), epsilon=np.append(sigma[1:], 0.0))


def _dpmpp_2m(t: np.ndarray, bar: np.ndarray) -> Plan:
    """Lu et al. 2022 (arXiv:2211.01095), algorithm 2; first order at both ends."""
    alpha, sigma = np.sqrt(bar[t.astype(int)]), np.sqrt(1 - bar[t.astype(int)])
    alpha_to, sigma_to = np.append(alpha[1:], 1.0), np.append(sigma[1:], 0.0)
    with np.errstate(divide="ignore"):  # the last step goes to infinity in log(α/σ)
        h = np.log(alpha_to / sigma_to) - np.log(alpha / sigma)
    first = -alpha_to * np.expm1(-h)
    ratio = np.zeros_like(t)  # h over the h before it, 0 where the step is of first order
    ratio[1:-1] = h[1:-1] / h[:-2]
    second = 0.5 * first * ratio
    return _pack(t, alpha, sigma, x=sigma_to / sigma, x0=first + second, previous=-second)


def start_scale(plan: Plan, config: SamplerConfig) -> float:
    """Standard deviation of the noise that sampling starts from."""
    if config.method == "euler" and config.spacing != "leading":
        return float(plan.sigma[0])
    return 1.0


def guided(
    denoise: Denoise,
    context: Float[Array, "b s e"],
    unconditional: Float[Array, "#b s e"],
    config: SamplerConfig,
) -> Predict:
    """The network with classifier-free guidance, both contexts in one batch.

    Args:
      denoise: ``(x, t, context) -> prediction``.
      context: of each image.
      unconditional: of the empty (or a negative) prompt, one or one per image.
    """
    if config.guidance == 1:
        return lambda x, t: denoise(x, t, context)
    # Each image's two rows lie side by side, hence on the same device.
    both = jnp.stack([jnp.broadcast_to(unconditional, context.shape), context], axis=1)
    both = constrain(both.reshape(-1, *context.shape[1:]), "batch", None, None)

    def predict(x: Array, t: Array) -> Array:
        pairs = constrain(jnp.repeat(x, 2, axis=0), "batch")
        out = denoise(pairs, t, both).reshape(x.shape[0], 2, *x.shape[1:])
        without, with_ = out[:, 0], out[:, 1]
        mixed = without + config.guidance * (with_ - without)
        if config.rescale == 0:
            return mixed
        axes = tuple(range(1, x.ndim))
        spread = jnp.std(with_, axis=axes, keepdims=True) / jnp.std(mixed, axis=axes, keepdims=True)
        return config.rescale * mixed * spread + (1 - config.rescale) * mixed

    return predict


def sample(
    predict: Predict,
    schedule: ScheduleConfig,
    config: SamplerConfig,
    noise: Float[Array, "b ..."],
    keys: jax.Array | None = None,
) -> Float[Array, "b ..."]:
    """Runs the loop; pure, meant to be part of a jitted function.

    Args:
      predict: ``(x, t) -> prediction`` of the kind ``schedule.prediction``; ``t`` is a scalar.
      schedule: what the network was trained with.
      config: the sampler.
      noise: standard normal, one row per image.
      keys: one key per image, for the samplers that draw (``ddpm``, ``ddim`` with ``eta``).

    Returns:
      The images (or latents), float32.

    Raises:
      ValueError: a sampler that draws without ``keys``, or more steps than in training.
    """
    steps = plan(schedule, config)
    if steps.draws and keys is None:
        raise ValueError(f"the sampler {config.method} draws noise: it needs a key per image")
    prediction: Prediction = schedule.prediction

    def body(carry: tuple[Array, Array], scanned: tuple[Plan, Array]):
        x, previous = carry
        step, index = scanned
        out = predict(x, step.t).astype(jnp.float32)
        x0, epsilon = parts(prediction, x, out, Level(step.alpha, step.sigma))
        if config.clip is not None:
            x0 = jnp.clip(x0, -config.clip, config.clip)
        new = step.x * x + step.x0 * x0 + step.epsilon * epsilon + step.previous * previous
        if steps.draws:
            assert keys is not None
            new = new + step.noise * per_image_noise(keys, x.shape[1:], 1 + index)
        return (constrain(new, "batch"), x0), None

    start = constrain(noise.astype(jnp.float32) * start_scale(steps, config), "batch")
    scanned = (Plan(*map(jnp.asarray, steps)), jnp.arange(config.steps))
    (x, _), _ = jax.lax.scan(body, (start, jnp.zeros_like(start)), scanned)
    return x
