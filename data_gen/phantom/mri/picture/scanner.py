"""From signal to picture: coil, k-space, noise and window; the same for every part of the body."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from data_gen.phantom.fields import Map, Params, hash_noise

MATRIX = 256
"""Pixels a side of the reconstructed picture, whatever size is asked for: the noise is the
scanner's, so one study at two sizes is one acquisition."""


def acquire(a: Params, signal: Map) -> Float[Array, "h w"]:
    """The magnitude picture, 0 to 1: bias of the coil, k-space that ends, complex noise.

    What is cut from k-space rings at edges (Gibbs), and the magnitude of complex noise is Rician;
    both happen here as they do on a scanner.
    """
    frac = (jnp.arange(MATRIX) + 0.5) / MATRIX - 0.5
    x, y = frac[None, :], frac[:, None]
    c = a["coil"]
    bias = 1.0 + c[0] * x + c[1] * y + c[2] * (x * x + y * y) + c[3] * x * y
    near = jnp.exp(-((x - c[5]) ** 2 + (y - c[6]) ** 2) / 0.12)
    bias = jnp.maximum(bias + c[4] * near, 0.15)
    f = jnp.asarray(np.abs(np.fft.fftfreq(MATRIX) * 2.0), jnp.float32)
    # An almost sharp end of k-space; the taper is the filter that consoles apply.
    taper_x = jnp.clip((a["matrix_x"] - f) / a["taper"] + 0.5, 0.0, 1.0)[None, :]
    taper_y = jnp.clip((a["matrix_y"] - f) / a["taper"] + 0.5, 0.0, 1.0)[:, None]
    kept = taper_x * taper_y
    shape = (MATRIX, MATRIX)
    noise = hash_noise(a["noise_seed"], shape, 17) + 1j * hash_noise(a["noise_seed"], shape, 91)
    moved = _ghost(a, signal * bias)
    measured = jnp.fft.fft2(moved + a["noise"] * noise) * kept
    return jnp.abs(jnp.fft.ifft2(measured))


def _ghost(a: Params, image: Map) -> Map:
    """A faint copy along the phase direction: the patient moved a little, or blood pulsed."""
    shift = jnp.roll(image, MATRIX // 2, axis=0) + 0.5 * jnp.roll(image, MATRIX // 3, axis=0)
    return image + a["ghost"] * (shift - image)


def expose(a: Params, magnitude: Map) -> Map:
    """Window and gamma; 0 to 255."""
    t = jnp.clip((magnitude - a["black"]) / (a["bright"] - a["black"]), 0.0, 1.0)
    return 255.0 * t ** a["gamma"]
