"""The decoder's linear layer: float or int8 weights, with or without a low-rank update.

The int8 weights are made and used here and not by ``qwix``: its ``quantize_model`` (0.1.8) stops on
these modules, stacked or not, with flax's TraceContextError.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Float

from medvlp_jax.core.fields import Extent, Positive
from medvlp_jax.core.state import flatten, unflatten
from medvlp_jax.models.layers import Linear, param

Storage = Literal["float", "int8"]
KernelLayout = Literal["in_out", "out_in"]
Target = Literal["q", "k", "v", "out", "gate", "up", "down"]

#: Up to so many rows a product with an [out, in] kernel is taken kernel first.
FEW_ROWS = 16

#: For ``core.state.partition``: matches every parameter but the low-rank ones, so that
#: ``partition(params, [FREEZE_ALL_BUT_LORA])`` gives (what trains, what is frozen).
FREEZE_ALL_BUT_LORA = r"(?!.*/lora_[ab]$)"


@dataclasses.dataclass(frozen=True)
class LoraConfig:
    """Low-rank updates ``x A B · alpha / rank`` (Hu et al. 2021); B starts at zero.

    Attributes:
      rank: columns of A.
      alpha: the update is multiplied by ``alpha / rank``.
      targets: layers of a block that get one.
    """

    rank: Extent = 16
    alpha: Positive = 32.0
    targets: tuple[Target, ...] = ("q", "k", "v", "out")

    def __post_init__(self) -> None:
        if self.rank < 1 or not self.targets:
            raise ValueError("lora.rank must be at least 1 and lora.targets must name a layer")

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


class DecoderLinear(Linear):
    """:class:`Linear` whose kernel may be int8, and that may carry a low-rank update.

    An int8 kernel holds whole numbers of -127..127 and comes with ``kernel_scale``, one float32
    per output channel. The product is taken in the compute dtype and scaled after it, which is
    exact because a scale belongs to a whole output channel.

    With ``layout="out_in"`` the kernel is [out, in]; see :func:`out_in_product`.
    """

    def __init__(
        self,
        features_in: int,
        features_out: int,
        *,
        axes: tuple[str | None, str | None],
        bias: bool = False,
        init: Any = None,
        dtype: str = "float32",
        storage: Storage = "float",
        lora: LoraConfig | None = None,
        layout: KernelLayout = "in_out",
        rngs: nnx.Rngs,
    ):
        super().__init__(
            features_in, features_out, axes=axes, bias=bias, init=init, dtype=dtype, rngs=rngs
        )
        self.layout: KernelLayout = layout
        if layout == "out_in":
            self.kernel = nnx.Param(self.kernel[...].T, logical_axes=axes[::-1])
        int8 = storage == "int8"
        if int8:
            self.kernel = nnx.Param(
                jnp.zeros((features_in, features_out), jnp.int8), logical_axes=axes
            )
        self.kernel_scale = (
            param(initializers.ones, rngs, (features_out,), axes[1:]) if int8 else None
        )
        rank = 0 if lora is None else lora.rank
        self.lora_scale = 0.0 if lora is None else lora.scale
        a = initializers.normal(features_in**-0.5)
        self.lora_a = param(a, rngs, (features_in, rank), (axes[0], None)) if rank else None
        self.lora_b = (
            param(initializers.zeros, rngs, (rank, features_out), (None, axes[1])) if rank else None
        )

    def __call__(
        self, x: Float[Array, "... i"], *, out_dtype: jnp.dtype | None = None
    ) -> Float[Array, "... o"]:
        """The product in the compute dtype, accumulated and returned in ``out_dtype``."""
        out_dtype = self.dtype if out_dtype is None else out_dtype
        x = x.astype(self.dtype)
        kernel = self.kernel[...].astype(self.dtype)
        y = (
            jnp.matmul(x, kernel, preferred_element_type=out_dtype)
            if self.layout == "in_out"
            else out_in_product(x, kernel, out_dtype)
        )
        if self.kernel_scale is not None:
            y = y * self.kernel_scale[...].astype(out_dtype)
        if self.lora_a is not None and self.lora_b is not None:
            low = x @ self.lora_a[...].astype(self.dtype)
            update = jnp.matmul(
                low, self.lora_b[...].astype(self.dtype), preferred_element_type=out_dtype
            )
            y = y + update * jnp.asarray(self.lora_scale, out_dtype)
        return y if self.bias is None else y + self.bias[...].astype(out_dtype)


def out_in_product(
    x: Float[Array, "... i"], kernel: Float[Array, "o i"], out_dtype: jnp.dtype
) -> Float[Array, "... o"]:
    """``x @ kernel.T``, for few rows as ``(kernel @ x.T).T``.

    XLA's library for CPUs packs the right factor of every product into another layout. With eight
    rows that costs more than the product; kernel first, the rows are packed instead.
    """
    rows = x.reshape(-1, x.shape[-1])
    if rows.shape[0] > FEW_ROWS:
        y = jnp.einsum("bi,oi->bo", rows, kernel, preferred_element_type=out_dtype)
    else:
        # The barrier keeps XLA from turning the product round again.
        y = jnp.einsum("oi,bi->ob", kernel, rows, preferred_element_type=out_dtype)
        y = jax.lax.optimization_barrier(y).T
    return y.reshape(*x.shape[:-1], -1)


def quantize(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a model with ``storage="int8"`` from those of the float model.

    Every kernel of a block and of the head becomes int8, symmetric per output channel: the
    channel's largest weight is 127 steps. Embeddings, norms, biases and low-rank updates stay.
    Traceable, so that ``jax.jit(quantize, out_shardings=...)`` works on sharded parameters.
    """
    flat: dict[tuple[str, ...], Any] = {}
    for path, leaf in flatten(params).items():
        if path[-1] != "kernel":
            flat[path] = leaf
            continue
        kernel = jnp.asarray(leaf, jnp.float32)
        largest = jnp.max(jnp.abs(kernel), axis=-2, keepdims=True)
        scale = jnp.where(largest > 0, largest, 1.0) / 127.0
        flat[path] = jnp.round(kernel / scale).astype(jnp.int8)
        flat[(*path[:-1], "kernel_scale")] = jnp.squeeze(scale, -2)
    return unflatten(flat)


def merge_lora(params: Mapping[str, Any], config: LoraConfig) -> dict[str, Any]:
    """Parameters of the model without LoRA that computes the same: kernel + A B · alpha / rank.

    Raises:
      ValueError: a kernel is int8, which has no room for the update: merge before quantising.
    """
    return _add_update(params, config, 1.0)[0]


def unmerge_lora(
    params: Mapping[str, Any], lora: Mapping[str, Any], config: LoraConfig
) -> dict[str, Any]:
    """Inverse of :func:`merge_lora`: takes the update out again and puts A and B beside.

    Args:
      params: what ``merge_lora`` gave.
      lora: the tree of ``lora_a`` and ``lora_b`` alone, as ``core.state.partition`` gives it.
      config: of the update.
    """
    flat, low = flatten(params), flatten(lora)
    restored, updates = _add_update(unflatten({**flat, **low}), config, -1.0)
    return unflatten({**flatten(restored), **updates})


def _add_update(
    params: Mapping[str, Any], config: LoraConfig, sign: float
) -> tuple[dict[str, Any], dict[tuple[str, ...], Any]]:
    flat = flatten(params)
    updates = {p: v for p, v in flat.items() if re.fullmatch("lora_[ab]", p[-1])}
    out = {p: v for p, v in flat.items() if p not in updates}
    for path in updates:
        if path[-1] != "lora_a":
            continue
        kernel_path = (*path[:-1], "kernel")
        kernel = out[kernel_path]
        if jnp.issubdtype(kernel.dtype, jnp.integer):
            raise ValueError(
                f"{'/'.join(kernel_path)} is {kernel.dtype}: merge the update into the float "
                "parameters, then quantize"
            )
        a, b = flat[path], flat[(*path[:-1], "lora_b")]
        with jax.default_matmul_precision("float32"):
            update = jnp.matmul(a.astype(jnp.float32), b.astype(jnp.float32)) * config.scale
        out[kernel_path] = (kernel.astype(jnp.float32) + sign * update).astype(kernel.dtype)
    return unflatten(out), updates
