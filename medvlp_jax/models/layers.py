"""Small building blocks. Parameters are float32 and carry the logical names of their axes; each
module computes in its ``dtype`` except for statistics, which are float32.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Bool, Float, Int

from medvlp_jax.core.vectors import l2_normalize

Initializer = Callable[[jax.Array, tuple[int, ...], jnp.dtype], jax.Array]
Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "relu"]


def param(
    init: Initializer, rngs: nnx.Rngs, shape: Sequence[int], axes: tuple[str | None, ...]
) -> nnx.Param:
    """A float32 parameter whose dimensions carry the names ``axes`` of ``core.sharding.RULES``."""
    return nnx.Param(init(rngs.params(), tuple(shape), jnp.dtype("float32")), logical_axes=axes)


def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x·Φ(x), exact (Hendrycks & Gimpel 2016). ``erf`` compiles to less work than ``erfc``."""
    return 0.5 * x * (1.0 + jax.lax.erf(x * math.sqrt(0.5)))


def quick_gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x·σ(1.702 x), the approximation that OpenAI's CLIP was trained with."""
    return x * jax.nn.sigmoid(1.702 * x)


def gelu_tanh(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The tanh approximation of GELU, as SigLIP uses it."""
    return jax.nn.gelu(x, approximate=True)


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
    "relu": jax.nn.relu,
}


def dropout(x: Float[Array, "..."], rate: float, rng: jax.Array | None) -> Float[Array, "..."]:
    """Zeroes entries with probability ``rate`` and scales the rest by 1/(1-rate).

    Without a key, or with rate 0, ``x`` is returned as it is.
    """
    if rng is None or rate == 0.0:
        return x
    keep = jax.random.bernoulli(rng, 1.0 - rate, x.shape)
    return jnp.where(keep, x / (1.0 - rate), jnp.zeros_like(x))


def subkey(rng: jax.Array | None, index: int) -> jax.Array | None:
    """``fold_in`` that passes None (randomness off) through."""
    return None if rng is None else jax.random.fold_in(rng, index)


def unit_rows(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
    """Initialiser: directions drawn uniformly, as unit vectors along the last axis."""
    return l2_normalize(jax.random.normal(key, shape, jnp.float32)).astype(dtype)


def rowwise(
    x: Float[Array, "... i"], kernel: Float[Array, "i o"], out_dtype: jnp.dtype
) -> Float[Array, "... o"]:
    """``x @ kernel``, accumulated and returned in ``out_dtype``.

    As one matrix, so that the kernel's gradient contracts a single axis. XLA:CPU writes transposed
    copies for several: it takes 4 to 9 % longer for the axes of tokens, twice as long for those of
    feature maps (8 x 75 x 75 x 64 by 256).
    """
    y = jnp.matmul(x.reshape(-1, x.shape[-1]), kernel, preferred_element_type=out_dtype)
    return y.reshape(*x.shape[:-1], -1)


class Linear(nnx.Module):
    """``x @ kernel + bias`` over the last axis; ``kernel`` is [in, out]."""

    def __init__(
        self,
        features_in: int,
        features_out: int,
        *,
        axes: tuple[str | None, str | None],
        bias: bool = True,
        init: Initializer | None = None,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        self.dtype = jnp.dtype(dtype)
        init = initializers.truncated_normal(0.02) if init is None else init
        self.kernel = param(init, rngs, (features_in, features_out), axes)
        # A bias over the model width is too small to be worth splitting; one over the heads or
        # the hidden width lies where its activations lie.
        bias_axis = "norm" if axes[1] in ("embed", "conv_out") else axes[1]
        self.bias = param(initializers.zeros, rngs, (features_out,), (bias_axis,)) if bias else None

    def __call__(
        self, x: Float[Array, "... i"], *, out_dtype: jnp.dtype | None = None
    ) -> Float[Array, "... o"]:
        """The product in the compute dtype, accumulated and returned in ``out_dtype``."""
        out_dtype = self.dtype if out_dtype is None else out_dtype
        y = rowwise(x.astype(self.dtype), self.kernel[...].astype(self.dtype), out_dtype)
        return y if self.bias is None else y + self.bias[...].astype(out_dtype)


class LayerNorm(nnx.Module):
    """Normalises the last axis in float32 (biased variance), then scale and bias."""

    def __init__(self, features: int, *, eps: float = 1e-6, dtype: str = "float32", rngs: nnx.Rngs):
        self.eps = eps
        self.dtype = jnp.dtype(dtype)
        self.scale = param(initializers.ones, rngs, (features,), ("norm",))
        self.bias = param(initializers.zeros, rngs, (features,), ("norm",))

    def __call__(self, x: Float[Array, "... d"]) -> Float[Array, "... d"]:
        x = x.astype(jnp.float32)
        centred = x - jnp.mean(x, axis=-1, keepdims=True)
        variance = jnp.mean(centred * centred, axis=-1, keepdims=True)
        y = centred * jax.lax.rsqrt(variance + self.eps) * self.scale[...] + self.bias[...]
        return y.astype(self.dtype)


class Mlp(nnx.Module):
    """``down(activation(up(x)))``."""

    def __init__(
        self,
        width: int,
        hidden: int,
        *,
        activation: Activation = "gelu",
        bias: bool = True,
        init: Initializer | None = None,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        self.activation = activation
        self.up = Linear(
            width, hidden, axes=("embed", "mlp"), bias=bias, init=init, dtype=dtype, rngs=rngs
        )
        self.down = Linear(
            hidden, width, axes=("mlp", "embed"), bias=bias, init=init, dtype=dtype, rngs=rngs
        )

    def __call__(self, x: Float[Array, "... d"]) -> Float[Array, "... d"]:
        return self.down(ACTIVATIONS[self.activation](self.up(x)))


class GatedMlp(nnx.Module):
    """``down(silu(gate(x)) * up(x))`` (Shazeer 2020, arXiv:2002.05202), as DINOv2-giant has it."""

    def __init__(
        self,
        width: int,
        hidden: int,
        *,
        bias: bool = True,
        init: Initializer | None = None,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        def linear(i: int, o: int, axes: tuple[str, str]) -> Linear:
            return Linear(i, o, axes=axes, bias=bias, init=init, dtype=dtype, rngs=rngs)

        self.gate = linear(width, hidden, ("embed", "mlp"))
        self.up = linear(width, hidden, ("embed", "mlp"))
        self.down = linear(hidden, width, ("mlp", "embed"))

    def __call__(self, x: Float[Array, "... d"]) -> Float[Array, "... d"]:
        return self.down(jax.nn.silu(self.gate(x)) * self.up(x))


class Embedding(nnx.Module):
    """A table [vocabulary, width] looked up by integer ids; rows are multiplied by ``scale``.

    Ids must lie in range: JAX clamps what lies outside, it does not raise.
    """

    def __init__(
        self,
        vocab: int,
        width: int,
        *,
        init: Initializer | None = None,
        scale: float = 1.0,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        self.dtype = jnp.dtype(dtype)
        self.scale = scale
        init = initializers.truncated_normal(0.02) if init is None else init
        self.table = param(init, rngs, (vocab, width), ("vocab", "embed"))

    def __call__(self, ids: Int[Array, "..."]) -> Float[Array, "... d"]:
        x = jnp.take(self.table[...], ids, axis=0).astype(self.dtype)
        return x if self.scale == 1.0 else x * jnp.asarray(self.scale, self.dtype)


class Conv(nnx.Module):
    """2-D convolution, NHWC, kernel [k, k, in, out], zero padding ``(k-1)//2`` on every side.

    A 1×1 kernel is a matrix product over the channels.
    """

    def __init__(
        self,
        features_in: int,
        features_out: int,
        size: int,
        *,
        stride: int = 1,
        bias: bool = False,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        self.stride = stride
        self.dtype = jnp.dtype(dtype)
        # He et al. 2015 for ReLU networks, by fan-out.
        init = initializers.variance_scaling(2.0, "fan_out", "normal")
        self.kernel = param(
            init, rngs, (size, size, features_in, features_out), (None, None, "conv_in", "conv_out")
        )
        self.bias = param(initializers.zeros, rngs, (features_out,), ("norm",)) if bias else None

    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b h2 w2 o"]:
        x = x.astype(self.dtype)
        kernel = self.kernel[...].astype(self.dtype)
        size, stride = kernel.shape[0], self.stride
        if size == 1:
            y = rowwise(x[:, ::stride, ::stride], kernel[0, 0], self.dtype)
        else:
            pad = (size - 1) // 2
            y = jax.lax.conv_general_dilated(
                x,
                kernel,
                (stride, stride),
                ((pad, pad), (pad, pad)),
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
        return y if self.bias is None else y + self.bias[...].astype(self.dtype)


class BatchNorm(nnx.Module):
    """Batch normalisation over all axes but the last, statistics in float32.

    In training the statistics are those of the whole array, which on a mesh is the global batch
    (or the micro-batch that the step hands over). The running values move by ``momentum`` towards
    the batch's: ``running = (1 - momentum)·running + momentum·batch``, the variance with
    Bessel's correction, as PyTorch does. They are ``nnx.BatchStat`` and are updated in place.
    Without ``affine`` there is no scale and no bias.
    """

    def __init__(
        self,
        features: int,
        *,
        momentum: float = 0.1,
        eps: float = 1e-5,
        scale_init: float = 1.0,
        affine: bool = True,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        self.momentum = momentum
        self.eps = eps
        self.dtype = jnp.dtype(dtype)
        self.scale = (
            param(initializers.constant(scale_init), rngs, (features,), ("norm",))
            if affine
            else None
        )
        self.bias = param(initializers.zeros, rngs, (features,), ("norm",)) if affine else None
        self.mean = nnx.BatchStat(jnp.zeros((features,), jnp.float32), logical_axes=("norm",))
        self.var = nnx.BatchStat(jnp.ones((features,), jnp.float32), logical_axes=("norm",))

    def __call__(
        self,
        x: Float[Array, "... c"],
        *,
        train: bool,
        where: Bool[Array, "..."] | None = None,
    ) -> Float[Array, "... c"]:
        """Normalises ``x``; the statistics are taken where ``where`` holds, None: everywhere."""
        if train:
            full = x.astype(jnp.float32)
            axes = tuple(range(x.ndim - 1))
            if where is None:
                mean = jnp.mean(full, axis=axes)
                var = jnp.mean(jnp.square(full - mean), axis=axes)
                count = x.size // x.shape[-1]
                self._update(mean, var, count / max(count - 1, 1))
            else:
                keep = where[..., None].astype(jnp.float32)
                count = jnp.maximum(jnp.sum(keep), 1.0)
                mean = jnp.sum(full * keep, axis=axes) / count
                var = jnp.sum(jnp.square(full - mean) * keep, axis=axes) / count
                self._update(mean, var, count / jnp.maximum(count - 1.0, 1.0))
        else:
            mean, var = self.mean[...], self.var[...]
        gain = jax.lax.rsqrt(var + self.eps)
        if self.scale is not None:
            gain = self.scale[...] * gain
        y = (x.astype(jnp.float32) - mean) * gain
        if self.bias is not None:
            y = y + self.bias[...]
        return y.astype(self.dtype)

    def _update(self, mean: Array, var: Array, bessel: float | Array) -> None:
        m = self.momentum
        unbiased = jax.lax.stop_gradient(var) * bessel
        self.mean.set_value((1 - m) * self.mean[...] + m * jax.lax.stop_gradient(mean))
        self.var.set_value((1 - m) * self.var[...] + m * unbiased)


def largest(x: Float[Array, "b n d"]) -> Float[Array, "b d"]:
    """The maximum over the middle axis; of equal ones the first gets the gradient.

    The gradient of ``jnp.max`` divides by the number of entries that equal the maximum. Where the
    entries are computed anew for the backward pass, in another rounding, there may be none: 0 / 0.
    """
    where = jnp.argmax(x, axis=1, keepdims=True)
    return jnp.take_along_axis(x, where, axis=1)[:, 0]
