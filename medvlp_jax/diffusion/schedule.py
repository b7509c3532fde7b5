"""How noise grows over the steps of training, and what a network is asked to predict.

A noisy image is ``x_t = α_t x_0 + σ_t ε`` with ``α_t² + σ_t² = 1`` (variance preserving). Tables
are computed in float64 on the host; a step is an index into them, 0 the least noisy.
"""

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from medvlp_jax.core.fields import Positive, Size

Prediction = Literal["epsilon", "v", "x0"]

_BETA_MAX = 0.999  # of the cosine schedule, whose last α would be zero


@dataclasses.dataclass(frozen=True)
class ScheduleConfig:
    """A noise schedule. The defaults are those of Stable Diffusion 1.x and 2.x.

    Attributes:
      betas: ``linear`` in β (Ho et al. 2020), ``scaled_linear`` in √β (Rombach et al. 2022), or
        ``cosine`` (Nichol & Dhariwal 2021, eq. 17), which takes neither end of β.
      beta_start, beta_end: β of the first and the last step.
      steps: of training.
      prediction: what the network gives: the noise ``epsilon``, the clean image ``x0``, or the
        velocity ``v = α ε - σ x_0`` (Salimans & Ho 2022).
      zero_terminal_snr: shift and stretch α so that the last step is pure noise (Lin et al. 2023,
        arXiv:2305.08891, algorithm 1). Predicting the noise there says nothing: use ``v``, ``x0``.
    """

    betas: Literal["linear", "scaled_linear", "cosine"] = "scaled_linear"
    beta_start: Positive = 0.00085
    beta_end: Positive = 0.012
    steps: Size = 1000
    prediction: Prediction = "epsilon"
    zero_terminal_snr: bool = False

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise ValueError(f"steps={self.steps} of a noise schedule must be at least 2")
        if not 0 < self.beta_start < self.beta_end < 1:
            raise ValueError(
                f"beta_start={self.beta_start} and beta_end={self.beta_end} must rise within (0, 1)"
            )
        if self.zero_terminal_snr and self.prediction == "epsilon":
            raise ValueError(
                "zero_terminal_snr leaves nothing to predict the image from at the last step when "
                "the network predicts the noise; use prediction='v' or 'x0'"
            )


def alphas_bar(config: ScheduleConfig) -> Float[np.ndarray, " steps"]:
    """``α_t²`` of every step, falling, in float64; the last is 0 with ``zero_terminal_snr``."""
    c = config
    if c.betas == "linear":
        betas = np.linspace(c.beta_start, c.beta_end, c.steps)
    elif c.betas == "scaled_linear":
        betas = np.linspace(c.beta_start**0.5, c.beta_end**0.5, c.steps) ** 2
    else:
        angle = (np.arange(c.steps + 1) / c.steps + 0.008) / 1.008 * np.pi / 2
        bar = np.cos(angle) ** 2
        betas = np.minimum(1 - bar[1:] / bar[:-1], _BETA_MAX)
    bar = np.cumprod(1 - betas)
    if c.zero_terminal_snr:
        alpha = np.sqrt(bar)
        alpha = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
        bar = alpha**2
    return bar


class Level(NamedTuple):
    """Signal and noise of one or several steps; they broadcast against a batch of images."""

    alpha: Array
    sigma: Array


def level(config: ScheduleConfig, t: Int[Array, " b"], ndim: int = 4) -> Level:
    """``α`` and ``σ`` of the steps ``t``, shaped [b, 1, ...] for images of ``ndim`` axes."""
    bar = alphas_bar(config)
    alpha, sigma = (jnp.asarray(x, jnp.float32)[t] for x in (np.sqrt(bar), np.sqrt(1 - bar)))
    shape = (*t.shape, *(1,) * (ndim - t.ndim))
    return Level(alpha.reshape(shape), sigma.reshape(shape))


def add_noise(x0: Float[Array, "b ..."], noise: Float[Array, "b ..."], at: Level) -> Array:
    """``x_t``, the input of the network in training."""
    return at.alpha * x0 + at.sigma * noise


def target(
    prediction: Prediction, x0: Float[Array, "b ..."], noise: Float[Array, "b ..."], at: Level
) -> Array:
    """What the network should give for ``x_t``."""
    if prediction == "epsilon":
        return noise
    if prediction == "x0":
        return x0
    return at.alpha * noise - at.sigma * x0


class Parts(NamedTuple):
    """What a noisy image is thought to consist of."""

    x0: Array
    epsilon: Array


def parts(
    prediction: Prediction, x: Float[Array, "b ..."], output: Float[Array, "b ..."], at: Level
) -> Parts:
    """Clean image and noise that the network's ``output`` for ``x`` amounts to."""
    if prediction == "epsilon":
        return Parts((x - at.sigma * output) / at.alpha, output)
    if prediction == "x0":
        return Parts(output, (x - at.alpha * output) / at.sigma)
    return Parts(at.alpha * x - at.sigma * output, at.alpha * output + at.sigma * x)


def snr(config: ScheduleConfig, t: Int[Array, " b"]) -> Float[Array, " b"]:
    """Signal-to-noise ratio ``α²/σ²`` of the steps ``t``, by which losses are weighted."""
    bar = alphas_bar(config)
    return jnp.asarray(bar / (1 - bar), jnp.float32)[t]


def per_image_noise(
    keys: jax.Array, shape: tuple[int, ...], step: int | jax.Array
) -> Float[Array, "b ..."]:
    """Standard normal noise [b, *shape] that for an image depends on its key and ``step`` only.

    Args:
      keys: one typed key per image.
      shape: of one image.
      step: 0 for the noise that sampling starts from, ``1 + i`` for its i-th step.
    """
    return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, step), shape))(keys)
