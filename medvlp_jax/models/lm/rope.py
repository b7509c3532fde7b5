"""Rotary position embeddings (Su et al. 2021) and the ways in which models stretch them."""

import dataclasses
import math
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from medvlp_jax.core.fields import Count, Positive

Scaling = Literal["none", "linear", "dynamic", "llama3"]


@dataclasses.dataclass(frozen=True)
class RopeConfig:
    """Frequencies of the rotation.

    Attributes:
      theta: base of the geometric series of wavelengths.
      scaling: ``none``; ``linear`` divides every frequency by ``factor`` (Chen et al. 2023);
        ``dynamic`` raises the base for texts longer than ``original_length`` (NTK-aware);
        ``llama3`` divides only the low frequencies, as Llama 3.1 does.
      factor: how much longer texts become.
      low_freq_factor, high_freq_factor: of ``llama3``: wavelengths above ``original_length`` /
        low are divided, those below ``original_length`` / high kept, those between interpolated.
      original_length: positions that the model was trained on before it was stretched.
    """

    theta: Positive = 10000.0
    scaling: Scaling = "none"
    factor: Positive = 1.0
    low_freq_factor: Positive = 1.0
    high_freq_factor: Positive = 4.0
    original_length: Count = 0

    def __post_init__(self) -> None:
        if self.theta <= 0 or self.factor <= 0:
            raise ValueError(f"rope theta {self.theta} and factor {self.factor} must be positive")
        if self.scaling in ("dynamic", "llama3") and self.original_length < 1:
            raise ValueError(f"rope scaling {self.scaling!r} needs original_length")
        if self.scaling == "llama3" and self.high_freq_factor <= self.low_freq_factor:
            raise ValueError("rope high_freq_factor must be greater than low_freq_factor")


def frequencies(config: RopeConfig, head_dim: int, length: int) -> np.ndarray:
    """Radians per position of each pair of channels: float32 [head_dim / 2].

    Args:
      config: the series and its scaling.
      head_dim: channels of a head, even.
      length: positions that the program may use; only ``dynamic`` depends on it. A cache of a
        fixed capacity thus rotates all its keys alike, whatever has been written so far.
    """
    theta = config.theta
    if config.scaling == "dynamic":
        stretch = config.factor * max(length, config.original_length) / config.original_length
        theta *= (stretch - (config.factor - 1)) ** (head_dim / (head_dim - 2))
    exponent = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    freq = 1.0 / np.power(np.float32(theta), exponent, dtype=np.float32)
    if config.scaling == "linear":
        freq = freq / config.factor
    if config.scaling == "llama3":
        low, high = config.low_freq_factor, config.high_freq_factor
        cycles = config.original_length * freq / (2 * math.pi)
        keep = np.clip((cycles - low) / (high - low), 0.0, 1.0)
        freq = keep * freq + (1 - keep) * freq / config.factor
    return freq.astype(np.float32)


def angles(freq: np.ndarray, positions: Int[Array, "b t"]) -> tuple[Array, Array]:
    """Cosines and sines, float32 [b, t, 1, head_dim / 2], of every position."""
    turn = positions[..., None].astype(jnp.float32) * freq
    return jnp.cos(turn)[:, :, None], jnp.sin(turn)[:, :, None]


def rotate(
    x: Float[Array, "b t h d"],
    cos: Float[Array, "b t 1 d2"],
    sin: Float[Array, "b t 1 d2"],
) -> Float[Array, "b t h d"]:
    """Turns channel ``i`` and ``i + d/2`` of every head by their angle, in float32."""
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return turned.astype(x.dtype)
