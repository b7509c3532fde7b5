"""Published checkpoints in: one engine, driven by the table of an architecture.

It is strict: every tensor of the checkpoint and every parameter of the model must be accounted
for, and all faults come in one :class:`~medvlp_jax.weights.faults.WeightsError`, before anything is
read. Tensors go one at a time from the disk to the devices that hold them, so a model may be larger
than the memory of the host.
"""

import functools
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec, Sharding

from medvlp_jax.core.state import flatten, path_str, unflatten
from medvlp_jax.weights.faults import Faults, WeightsError
from medvlp_jax.weights.files.tensors import (
    Checkpoint,
    Tensor,
    all_finite,
    open_checkpoint,
)
from medvlp_jax.weights.rows import Rename, Row, Step, _pattern, as_tuple, new_name, plan


def load(
    folder: str | os.PathLike[str],
    rows: Sequence[Row],
    abstract_params: Mapping[str, Any],
    abstract_buffers: Mapping[str, Any] | None = None,
    *,
    dtype: str | None = None,
    rename: Rename = (),
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads a checkpoint into the arrays of a model.

    Args:
      folder: a folder with safetensors files (sharded or not), or one file.
      rows: the architecture's table.
      abstract_params: nested dict of ``jax.ShapeDtypeStruct``; a leaf's sharding, if it has one, is
        where its array will lie (``core.step.abstract_model`` makes such trees).
      abstract_buffers: the same for what is no parameter.
      dtype: of all floating arrays; None: that of each abstract leaf.
      rename: applied to the checkpoint's names before the table sees them.

    Returns:
      ``(params, buffers)`` with the structure of the abstract trees.

    Raises:
      WeightsError: there is nothing to read, or files and model do not fit; all faults are listed.
    """
    faults = Faults()
    checkpoint = open_checkpoint(folder, faults)
    trees = (flatten(abstract_params), flatten(abstract_buffers or {}))
    wanted = {path_str(path): leaf for tree in trees for path, leaf in tree.items()}
    _check_total(checkpoint, wanted)
    steps = plan(rows, wanted)
    tensors = _renamed(checkpoint.tensors, rename, faults)
    _compare(rows, steps, wanted, tensors, _unknown(checkpoint, rename), faults)
    faults.stop(checkpoint.where)
    arrays = _read(steps, wanted, tensors, dtype, faults)
    faults.stop(checkpoint.where)
    params, buffers = (unflatten({p: arrays[path_str(p)] for p in tree}) for tree in trees)
    return params, buffers


def _check_total(checkpoint: Checkpoint, wanted: Mapping[str, Any]) -> None:
    """Settings that describe a far larger model are wrong; to compare all of it takes too long."""
    described = sum(math.prod(leaf.shape) for leaf in wanted.values())
    held = sum(math.prod(tensor.shape) for tensor in checkpoint.tensors.values())
    if checkpoint.unknown == frozenset() and described > _MAX_EXCESS * held + 10**6:
        raise WeightsError(
            f"{checkpoint.where} holds {held:,} numbers, and its settings describe a model of "
            f"{described:,}"
        )


#: Where settings describe more than so many times what a file holds, they are not compared.
_MAX_EXCESS = 20


def _renamed(tensors: Mapping[str, Tensor], rename: Rename, faults: Faults) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        ours = new_name(name, rename)
        if ours in found:
            faults.add("tensors stored twice", f"{name} is the same as {ours}")
        found[ours] = tensor
    return found


def _unknown(checkpoint: Checkpoint, rename: Rename) -> set[str] | None:
    if checkpoint.unknown is None:
        return None
    return {new_name(name, rename) for name in checkpoint.unknown}


def _compare(
    rows: Sequence[Row],
    steps: Sequence[Step],
    wanted: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    unknown: set[str] | None,
    faults: Faults,
) -> None:
    """Notes what is missing, misshapen, of the wrong type, or unexpected."""
    used: set[str] = set()
    for step in steps:
        kind = np.dtype(wanted[step.targets[0]].dtype)
        for name, shape in zip(step.sources, step.source_shapes(wanted), strict=True):
            used.add(name)
            if name not in tensors:
                if unknown is not None and name not in unknown:
                    faults.add("missing tensors", f"{name} {shape}, for {_goal(step)}")
                continue
            tensor = tensors[name]
            if tuple(tensor.shape) != shape:
                turned = len(shape) > 1 and tuple(tensor.shape) == shape[::-1]
                hint = " (transposed?)" if turned else ""
                faults.add(
                    "tensors of another shape",
                    f"{name} is {tuple(tensor.shape)} and must be {shape}{hint}",
                )
            if not _fits(tensor.dtype, kind):
                faults.add(
                    "tensors of the wrong type",
                    f"{name} is {tensor.dtype.name} and must be {_family(kind)}",
                )
    ignored = [_pattern(s) for row in rows if row.target is None for s in row.sources]
    for name, tensor in tensors.items():
        if name not in used and not any(p.fullmatch(name) for p in ignored):
            faults.add("unexpected tensors", f"{name} {tuple(tensor.shape)}")


def _goal(step: Step) -> str:
    layer = "" if step.layer is None else f" (layer {step.layer})"
    return ", ".join(step.targets) + layer


def _family(dtype: np.dtype) -> str:
    return "a floating type" if jnp.issubdtype(dtype, jnp.floating) else dtype.name


def _fits(stored: np.dtype, wanted: np.dtype) -> bool:
    if jnp.issubdtype(wanted, jnp.floating):
        # Eight bits come with scales of their own, which a plain cast would drop.
        return bool(jnp.issubdtype(stored, jnp.floating)) and stored.itemsize > 1
    return stored == wanted


def _read(
    steps: Sequence[Step],
    wanted: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    dtype: str | None,
    faults: Faults,
) -> dict[str, jax.Array]:
    arrays: dict[str, jax.Array] = {}
    for step in steps:
        _read_step(step, wanted, tensors, dtype, arrays, faults)
        # Waiting keeps no more than one step's tensors on their way.
        jax.block_until_ready([arrays[path] for path in step.targets])
    return arrays


def _read_step(
    step: Step,
    wanted: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    dtype: str | None,
    arrays: dict[str, jax.Array],
    faults: Faults,
) -> None:
    values = [tensors[name].read() for name in step.sources]
    for name, value in zip(step.sources, values, strict=True):
        _check_values(name, value, wanted[step.targets[0]], dtype, faults)
    pieces = as_tuple(step.transform.load(*values))
    for path, piece in zip(step.targets, pieces, strict=True):
        leaf = wanted[path]
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        to = jnp.dtype(dtype if dtype is not None and floating else leaf.dtype)
        place = _sharding(leaf)
        if step.layer is None:
            arrays[path] = _put(piece, to, place)
            continue
        if path not in arrays:
            arrays[path] = _make_zeros(tuple(leaf.shape), to, place)()
        layer = _put(piece, to, _one_layer(place))
        arrays[path] = _set_layer(place)(arrays[path], layer, step.layer)


def _check_values(
    name: str, values: np.ndarray, leaf: Any, dtype: str | None, faults: Faults
) -> None:
    if not all_finite(values):
        faults.add("tensors with values that are no numbers", f"{name} (NaN or infinite)")
        return
    to = np.dtype(jnp.dtype(dtype or leaf.dtype))
    if to == np.float16 and values.dtype != to and not _fits_half(values):
        faults.add("tensors with values that float16 cannot hold", f"{name}; use bfloat16")


def _fits_half(values: np.ndarray) -> bool:
    with np.errstate(over="ignore"):
        return all_finite(values.astype(np.float16))


def _sharding(leaf: Any) -> Sharding:
    place = getattr(leaf, "sharding", None)
    return jax.sharding.SingleDeviceSharding(jax.devices()[0]) if place is None else place


def _one_layer(place: Sharding) -> Sharding:
    """The sharding of one layer of a stacked array."""
    if isinstance(place, NamedSharding):
        return NamedSharding(place.mesh, PartitionSpec(*place.spec[1:]))
    return place


def _put(piece: np.ndarray, dtype: jnp.dtype, place: Sharding) -> jax.Array:
    # Each device's part is cut out, cast and made contiguous by itself.
    with np.errstate(over="ignore"):  # noted as a fault
        return jax.make_array_from_callback(
            piece.shape, place, lambda index: np.asarray(piece[index], dtype, order="C")
        )


@functools.cache
def _make_zeros(shape: tuple[int, ...], dtype: jnp.dtype, place: Sharding) -> Any:
    return jax.jit(lambda: jnp.zeros(shape, dtype), out_shardings=place)


@functools.cache
def _set_layer(place: Sharding) -> Any:
    def update(stack: jax.Array, layer: jax.Array, index: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_index_in_dim(stack, layer, index, 0)

    return jax.jit(update, donate_argnums=0, out_shardings=place)
