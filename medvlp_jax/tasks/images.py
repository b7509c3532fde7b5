"""From the bytes of a batch to what a tower eats; on the device, so that bytes cross the bus."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8


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
