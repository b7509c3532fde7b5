"""Maps of a picture in JAX: sums of Gaussian spots, soft steps, blur and noise."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from data_gen.phantom.chest_xray.picture.film import gaussian_noise, hash_bits, noise_map

__all__ = ["blur", "gaussian_noise", "hash_bits", "noise_map", "ramp", "splat"]

Map = Float[Array, "h w"]


def splat(
    x: Float[Array, " k"],
    y: Float[Array, " k"],
    sigma: Float[Array, " k"],
    peak: Float[Array, " k"],
    size: int,
) -> Map:
    """Sum of round Gaussian spots; positions and ``sigma`` in pixels.

    Both axes are exponentials of their own, so the sum is one matrix product.
    """
    at = jnp.arange(size, dtype=jnp.float32) + 0.5
    width = 1.0 / sigma
    across = jnp.exp(-0.5 * ((at[:, None] - x) * width) ** 2)
    down = peak * jnp.exp(-0.5 * ((at[:, None] - y) * width) ** 2)
    return down @ across.T


def ramp(value: Array, low: float | Array, high: float | Array) -> Array:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = jnp.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def blur(image: Float[Array, "h w c"], sigma: Array) -> Float[Array, "h w c"]:
    """Gaussian blur of a square picture by ``sigma`` pixels, edges renormalised."""
    at = np.arange(image.shape[0], dtype=np.float32)
    square = jnp.asarray((at[:, None] - at[None, :]) ** 2)
    kernel = jnp.exp(-0.5 * square / jnp.maximum(sigma, 0.1) ** 2)
    kernel = kernel / kernel.sum(1, keepdims=True)
    return jnp.einsum("ij,jkc,lk->ilc", kernel, image, kernel)
