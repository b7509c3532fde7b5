"""From the bytes of a batch to what a tower eats; on the device, so that bytes cross the bus."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, UInt8

from medvlp_jax.core.fields import Channels, ExtentOrNone, Finite, Positive


def normalise(
    image: UInt8[Array, "b y x c"], mean: Sequence[float], std: Sequence[float]
) -> Float[Array, "b y x c"]:
    """``(image / 255 - mean) / std`` in fp32.

    Args:
      image: grey (c = 1) or colour (c = 3) images in 0..255.
      mean: one value, or one a channel, on the scale 0..1.
      std: the same, > 0.

    Raises:
      ValueError: the number of values is neither 1 nor the number of channels.
    """
    channels = image.shape[-1]
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            raise ValueError(f"{name} {tuple(values)} does not fit images of {channels} channels")
    factor = 1.0 / (255.0 * jnp.asarray(std, jnp.float32))
    return image.astype(jnp.float32) * factor - 255.0 * jnp.asarray(mean, jnp.float32) * factor


def standardise(image: UInt8[Array, "b y x c"]) -> Float[Array, "b y x c"]:
    """Every image to mean 0 and standard deviation 1 over its own pixels and channels, in fp32.

    Exposure and windowing differ from film to film and say nothing about a patient; removed here,
    a tower need not learn to ignore them. A constant image becomes 0.

    Args:
      image: grey (c = 1) or colour (c = 3) images in 0..255.
    """
    x = image.astype(jnp.float32)
    x = x - jnp.mean(x, axis=(1, 2, 3), keepdims=True)
    variance = jnp.mean(x * x, axis=(1, 2, 3), keepdims=True)
    # Half a grey level: the noise of a constant film is not blown up to contrast.
    return x / jnp.sqrt(variance + 0.25)


@dataclasses.dataclass(frozen=True)
class PixelConfig:
    """The part of ``config.task`` that says what a tower's pixels are.

    Attributes:
      channels: of the images, 1 or 3.
      pixels: ``fixed`` subtracts ``mean`` and divides by ``std``, as published weights expect;
        ``image`` gives every image mean 0 and deviation 1, against differences of exposure.
      mean: of the pixels on the scale 0..1; one value or one a channel.
      std: the same.
      upsample: side to which the device resizes the images (bilinear, corners aligned) before the
        tower, as GLoRIA does with 224 to 299; 0: not at all.
    """

    channels: Channels = 1
    pixels: Literal["fixed", "image"] = "fixed"
    mean: tuple[Finite, ...] = (0.5,)
    std: tuple[Positive, ...] = (0.25,)
    upsample: ExtentOrNone = 0

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise ValueError(f"channels={self.channels} must be 1 or 3")
        if self.upsample < 0 or self.upsample == 1:
            raise ValueError(f"upsample={self.upsample} must be 0 or a side of two pixels or more")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.channels):
                raise ValueError(f"{name}={values} must have 1 or {self.channels} values")
        if min(self.std) <= 0:
            raise ValueError(f"std={self.std} must be positive")

    def prepare(self, image: UInt8[Array, "b y x c"]) -> Float[Array, "b y x c"]:
        """What the tower eats."""
        x = standardise(image) if self.pixels == "image" else normalise(image, self.mean, self.std)
        return resize_corners(x, self.upsample) if self.upsample else x


def resize_corners(image: Float[Array, "b y x c"], side: int) -> Float[Array, "b s s c"]:
    """Bilinear resizing to ``side`` x ``side`` with the corner pixels' centres in place.

    What PyTorch calls ``align_corners=True``. For enlarging: nothing is smoothed beforehand.

    Raises:
      ValueError: an image or the result is narrower than two pixels.
    """
    if min(*image.shape[1:3], side) < 2:
        raise ValueError(f"images of {image.shape[1:3]} cannot be resized to {side} by corners")
    rows, columns = (_between(size, side) for size in image.shape[1:3])
    exact = lax.Precision.HIGHEST
    image = jnp.einsum("iy,byxc->bixc", rows, image, precision=exact)
    return jnp.einsum("jx,bixc->bijc", columns, image, precision=exact)


def _between(size: int, side: int) -> np.ndarray:
    """[side, size] weights of linear interpolation."""
    at = np.arange(side) * ((size - 1) / (side - 1))
    distance = np.abs(at[:, None] - np.arange(size)[None])
    return np.maximum(1.0 - distance, 0.0).astype(np.float32)
