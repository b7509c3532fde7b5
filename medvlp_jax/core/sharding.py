"""Mesh, the one table from logical axis names to mesh axes, and the sharding of any tree.

Axis types are spelled out as Auto: ``jax.make_mesh`` would otherwise build an Explicit mesh, in
which a contraction over a sharded dimension is an error.
"""

import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.fields import CountOrAuto
from medvlp_jax.core.state import flatten

MESH_AXES = ("data", "fsdp", "tensor")
#: A batch is split over every axis that does not hold a piece of one layer's arithmetic.
BATCH_AXES = ("data", "fsdp")

#: logical name -> mesh axis (or axes) that shards it. ``None`` replicates.
RULES: dict[str, Any] = {
    # parameters
    "embed": "fsdp",  # model width, the axis ZeRO-3 splits
    "mlp": "tensor",  # hidden width of an MLP
    "heads": "tensor",  # attention heads x head width, flattened
    "vocab": "tensor",
    "joint": None,  # the contrastive space
    "conv_in": None,
    "conv_out": "fsdp",
    "layers": None,  # stacked layers
    "position": None,
    "norm": None,  # vectors: too small to split
    "queue": "fsdp",  # remembered vectors, one a row
    # activations
    "batch": BATCH_AXES,
}


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Devices per mesh axis; one of them may be -1, meaning all devices that are left.

    Attributes:
      data: devices that hold whole copies of the model and see different rows.
      fsdp: devices that divide parameters and optimizer state, and see different rows too.
      tensor: devices that divide each matrix product.
    """

    data: CountOrAuto = -1
    fsdp: CountOrAuto = 1
    tensor: CountOrAuto = 1


def make_mesh(config: MeshConfig, devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh with the axes ``data``, ``fsdp``, ``tensor`` over all (or the given) devices."""
    devices = list(jax.devices() if devices is None else devices)
    shape = [config.data, config.fsdp, config.tensor]
    asked = ", ".join(f"{name}={size}" for name, size in zip(MESH_AXES, shape, strict=True))
    if shape.count(-1) > 1 or any(s == 0 or s < -1 for s in shape):
        raise ConfigError(f"config.mesh {asked}: sizes are positive, and at most one is -1")
    known = math.prod(s for s in shape if s != -1)
    if -1 in shape:
        shape[shape.index(-1)] = max(len(devices) // known, 1)
    if math.prod(shape) != len(devices):
        raise ConfigError(f"config.mesh {asked} does not fit: {_what_fits(config, len(devices))}")
    # An axis may take part of a physical axis of the slice (16 of an 8x8 torus), which
    # jax.make_mesh refuses.
    grid = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    return Mesh(grid, MESH_AXES, axis_types=(AxisType.Auto,) * 3)


def _what_fits(config: MeshConfig, count: int) -> str:
    """How many devices there are, and the flags of meshes that they can make."""
    divisors = [str(d) for d in range(1, count + 1) if count % d == 0]
    split = [axis for axis in ("fsdp", "tensor") if getattr(config, axis) not in (1, -1)]
    auto = "" if config.data == -1 else "--config.mesh.data=-1 "
    sizes = " ".join(f"--config.mesh.{axis}={' or '.join(divisors)}" for axis in split)
    there = "there is 1 device" if count == 1 else f"there are {count} devices"
    product = f" (their product must divide {count})" if len(split) > 1 and count > 1 else ""
    return f"{there}; {(auto + sizes).strip()} would{product}"


def spec(axes: Sequence[str | None], shape: Sequence[int], mesh: Mesh) -> PartitionSpec:
    """PartitionSpec of an array whose trailing dimensions carry the names ``axes``.

    Leading dimensions without a name (stacked layers) and dimensions that the mesh axis does not
    divide are replicated; ``bytes_per_device`` shows what that costs.
    """
    if len(axes) > len(shape):
        raise ValueError(f"{len(axes)} axis names {tuple(axes)} for an array of shape {shape}")
    names = [None] * (len(shape) - len(axes)) + list(axes)
    used: set[str] = set()
    out: list[Any] = []
    for name, size in zip(names, shape, strict=True):
        if name is not None and name not in RULES:
            raise KeyError(f"logical axis {name!r} is not in core/sharding.py RULES")
        mapped = RULES[name] if name is not None else None
        wanted = () if mapped is None else (mapped,) if isinstance(mapped, str) else mapped
        mesh_axes: list[str] = [a for a in wanted if mesh.shape[a] > 1 and a not in used]
        if mesh_axes and size % math.prod(mesh.shape[a] for a in mesh_axes) == 0:
            used.update(mesh_axes)
            out.append(tuple(mesh_axes) if len(mesh_axes) > 1 else mesh_axes[0])
        else:
            out.append(None)
    while out and out[-1] is None:
        out.pop()
    return PartitionSpec(*out)


def tree_shardings(abstract: Any, logical_axes: dict[str, Any], mesh: Mesh) -> Any:
    """Shardings for a tree of parameters, or of anything that mirrors them.

    A leaf is matched by the longest suffix of its path that names a parameter (so Adam's
    ``0/mu/vision/...`` follows ``vision/...``); what matches none (counters) is replicated.
    """
    axes = flatten(logical_axes)

    def of(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        names = tuple(_key(k) for k in path)
        for start in range(len(names)):
            if names[start:] in axes:
                return NamedSharding(mesh, spec(axes[names[start:]], leaf.shape, mesh))
        return NamedSharding(mesh, PartitionSpec())

    return jax.tree_util.tree_map_with_path(of, abstract)


def _key(k: Any) -> str:
    for attr in ("key", "name", "idx"):
        if hasattr(k, attr):
            return str(getattr(k, attr))
    raise TypeError(f"unknown pytree key {k!r}")


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The first dimension of every batch array is split over ``BATCH_AXES``."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def batch_shards(mesh: Mesh) -> int:
    """Into how many pieces a batch is split; the global batch must be a multiple of it."""
    return math.prod(mesh.shape[a] for a in BATCH_AXES)


_mesh: contextvars.ContextVar[Mesh | None] = contextvars.ContextVar("mesh", default=None)


@contextlib.contextmanager
def use_mesh(mesh: Mesh) -> Iterator[Mesh]:
    """Makes ``mesh`` the one that :func:`constrain` and sharded losses see while tracing."""
    token = _mesh.set(mesh)
    try:
        yield mesh
    finally:
        _mesh.reset(token)


def current_mesh() -> Mesh | None:
    return _mesh.get()


def constrain(x: jax.Array, *axes: str | None) -> jax.Array:
    """Pins an activation to its logical axes; a no-op without a mesh (unit tests, notebooks)."""
    mesh = current_mesh()
    if mesh is None or mesh.size == 1:
        return x
    names = list(axes) + [None] * (x.ndim - len(axes))
    return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, spec(names, x.shape, mesh)))


def bytes_per_device(abstract: Any, shardings: Any) -> int:
    """Bytes that one device holds of a tree under the given shardings."""
    total = 0
    for leaf, sharding in zip(jax.tree.leaves(abstract), jax.tree.leaves(shardings), strict=True):
        shape = sharding.shard_shape(tuple(leaf.shape))
        total += math.prod(shape) * np.dtype(leaf.dtype).itemsize
    return total


def describe(abstract: Any, shardings: Any) -> dict[str, str]:
    """``{path: "shape dtype P(mesh axes)"}``, the form of the golden files."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(abstract)
    return {
        "/".join(_key(k) for k in path): f"{tuple(leaf.shape)} {leaf.dtype} P{tuple(sharding.spec)}"
        for (path, leaf), sharding in zip(leaves, jax.tree.leaves(shardings), strict=True)
    }
