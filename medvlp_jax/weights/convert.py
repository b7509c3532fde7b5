"""Published checkpoints in and out: one engine, driven by a table of rows per architecture.

A table is a sequence of :class:`Row`, written once and used in both directions. It is strict both
ways: every tensor of the checkpoint and every parameter of the model must be accounted for, and
all faults come in one :class:`~medvlp_jax.weights.faults.WeightsError`, before anything is read.
Tensors go one at a time from the disk to the devices that hold them, so a model may be larger than
the memory of the host.
"""

import dataclasses
import functools
import itertools
import json
import math
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec, Sharding

from medvlp_jax.core.processes import distributed
from medvlp_jax.core.state import flatten, path_str, unflatten
from medvlp_jax.weights.faults import Faults, WeightsError
from medvlp_jax.weights.files.tensors import (
    WORDS,
    Announced,
    Checkpoint,
    Tensor,
    Writer,
    all_finite,
    open_checkpoint,
)
from medvlp_jax.weights.transforms import Transform, identity

#: A file of an export is closed when the next tensor would take it beyond this many bytes.
MAX_FILE_BYTES = 5 * 10**9


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table.

    Names may contain ``{i}`` and ``{j}`` for numbers. A number that the target lacks is the layer
    of a stacked parameter: the sources fill its first axis in order. A row whose target the model
    does not have is not used, so that one table can serve the variants of an architecture.

    Attributes:
      source: name of the tensor in the checkpoint; a tuple where several make one array.
      target: path of our parameter or buffer, ``a/b/c``; a tuple where one tensor makes several
        arrays; None: the tensor is known and not needed (it may be absent, and is not exported);
        ``*`` in its name then stands for anything.
      transform: from the origin's layout to ours and back.
    """

    source: str | tuple[str, ...]
    target: str | tuple[str, ...] | None
    transform: Transform = identity

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,) if isinstance(self.source, str) else self.source

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,) if isinstance(self.target, str) else self.target or ()


#: (pattern, replacement) for ``re.sub``: other names under which a tensor is known.
Rename = Sequence[tuple[str, str]]


def under(rows: Iterable[Row], source: str = "", target: str = "") -> tuple[Row, ...]:
    """The same table for a model that sits inside another one: both prefixes are put in front."""
    return tuple(
        dataclasses.replace(
            row,
            source=_prefixed(source, row.source),
            target=None if row.target is None else _prefixed(target, row.target),
        )
        for row in rows
    )


def _prefixed(prefix: str, names: str | tuple[str, ...]) -> Any:
    return prefix + names if isinstance(names, str) else tuple(prefix + n for n in names)


@dataclasses.dataclass(frozen=True)
class Step:
    """One application of a row: these tensors are these arrays (or this layer of them)."""

    transform: Transform
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    layer: int | None

    def source_shapes(self, wanted: Mapping[str, Any]) -> list[tuple[int, ...]]:
        """The shapes that the tensors must have, found by sending shapes without memory back."""
        probes = (
            np.broadcast_to(np.zeros((), np.int8), self.target_shape(wanted[t]))
            for t in self.targets
        )
        return [x.shape for x in _tuple(self.transform.save(*probes))]

    def target_shape(self, leaf: Any) -> tuple[int, ...]:
        """Shape of what one application gives."""
        return tuple(leaf.shape if self.layer is None else leaf.shape[1:])


def plan(rows: Sequence[Row], wanted: Mapping[str, Any]) -> list[Step]:
    """The steps that fill ``wanted`` (path -> abstract array), in the order of the table.

    Raises:
      ValueError: a defect of the table: a parameter that no row fills, or two rows do.
    """
    steps: list[Step] = []
    filled: set[str] = set()
    for row in rows:
        if not row.targets:
            continue
        pattern = _pattern(row.targets[0])
        for path in wanted:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            numbers = match.groupdict()
            targets = tuple(t.format(**numbers) for t in row.targets)
            for target in targets:
                if target in filled:
                    raise ValueError(f"two rows fill {target}")
                filled.add(target)
            for layer, all_numbers in _layers(row, numbers, wanted[path].shape):
                sources = tuple(s.format(**all_numbers) for s in row.sources)
                steps.append(Step(row.transform, sources, targets, layer))
    missing = [path for path in wanted if path not in filled]
    if missing:
        raise ValueError(f"no row of the table fills {', '.join(missing)}")
    return steps


def _pattern(name: str, digits: str = r"\d+") -> re.Pattern[str]:
    """A regular expression for a name with ``{i}``, ``{j}`` and ``*``."""
    parts = re.split(r"\{(\w+)\}", name)
    seen: set[str] = set()
    text = ""
    for n, part in enumerate(parts):
        if n % 2 == 0:
            text += ".*".join(re.escape(piece) for piece in part.split("*"))
        else:
            text += f"(?P={part})" if part in seen else f"(?P<{part}>{digits})"
            seen.add(part)
    return re.compile(text)


def _layers(
    row: Row, numbers: dict[str, str], shape: Sequence[int]
) -> Iterator[tuple[int | None, dict[str, Any]]]:
    extra = {n for s in row.sources for n in re.findall(r"\{(\w+)\}", s)} - numbers.keys()
    if not extra:
        yield None, numbers
        return
    if len(extra) > 1:
        raise ValueError(f"{row.source} has the numbers {sorted(extra)} that {row.target} lacks")
    name = extra.pop()
    for layer in range(shape[0]):
        yield layer, {**numbers, name: layer}


def _tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, tuple | list) else (x,)


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


def new_name(name: str, rename: Rename) -> str:
    """The name of a tensor as a table spells it."""
    for pattern, replacement in rename:
        name = re.sub(pattern, replacement, name)
    return name


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
    pieces = _tuple(step.transform.load(*values))
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


def save(
    folder: str | os.PathLike[str],
    rows: Sequence[Row],
    params: Mapping[str, Any],
    buffers: Mapping[str, Any] | None = None,
    *,
    configs: Mapping[str, Mapping[str, Any]] | None = None,
    dtype: str | None = None,
    name: str = "model.safetensors",
    max_file_bytes: int = MAX_FILE_BYTES,
) -> None:
    """Writes arrays of a model as the checkpoint that ``rows`` describes.

    Every process of a run must call it; the first one writes.

    Args:
      folder: is made if need be; files of these names in it are replaced.
      rows: the architecture's table.
      params: nested dict of arrays, on any sharding.
      buffers: the same for what is no parameter.
      configs: file name -> contents of the JSON files beside the weights (``config.json``).
      dtype: of all floating tensors; None: that of each array.
      name: of the file; a second part makes numbered files and an index of them.

    Raises:
      WeightsError: the folder cannot be written.
    """
    folder = pathlib.Path(folder)
    trees = (flatten(params), flatten(buffers or {}))
    arrays = {path_str(path): leaf for tree in trees for path, leaf in tree.items()}
    steps = plan(rows, arrays)
    announced = {step: list(_announce(step, arrays, dtype)) for step in steps}
    files = _files(announced, max_file_bytes)
    names = _file_names(name, len(files))
    main = distributed.is_main()
    try:
        if main:
            folder.mkdir(parents=True, exist_ok=True)
        for file, part in zip(names, files, strict=True):
            _write(folder / file if main else None, part, announced, arrays)
        if main:
            _write_index(folder, name, names, files, announced)
            for file, content in (configs or {}).items():
                (folder / file).parent.mkdir(exist_ok=True)
                (folder / file).write_text(json.dumps(content, indent=2) + "\n")
    except (FileNotFoundError, NotADirectoryError, PermissionError, FileExistsError) as error:
        raise WeightsError(f"{folder} cannot be written: {error}") from error
    distributed.barrier("weights")


def _announce(step: Step, arrays: Mapping[str, Any], dtype: str | None) -> Iterator[Announced]:
    own = np.dtype(arrays[step.targets[0]].dtype)
    floating = jnp.issubdtype(own, jnp.floating)
    to = np.dtype(jnp.dtype(dtype)) if dtype is not None and floating else own
    if to not in WORDS:
        raise ValueError(f"safetensors has no type for {to}")
    for name, shape in zip(step.sources, step.source_shapes(arrays), strict=True):
        yield Announced(name, to, shape)


def _files(announced: Mapping[Step, list[Announced]], limit: int) -> list[list[Step]]:
    files: list[list[Step]] = [[]]
    size = 0
    for step, tensors in announced.items():
        more = sum(t.nbytes for t in tensors)
        if files[-1] and size + more > limit:
            files.append([])
            size = 0
        files[-1].append(step)
        size += more
    return files


def _file_names(name: str, count: int) -> list[str]:
    stem = name.removesuffix(".safetensors")
    if count == 1:
        return [name]
    return [f"{stem}-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)]


def _write(
    path: pathlib.Path | None,
    steps: Sequence[Step],
    announced: Mapping[Step, list[Announced]],
    arrays: Mapping[str, Any],
) -> None:
    def values(step: Step) -> tuple[np.ndarray, ...]:
        whole = (arrays[target] for target in step.targets)
        ours = whole if step.layer is None else (_layer(x, step.layer) for x in whole)
        return _tuple(step.transform.save(*map(_host, ours)))

    if path is None:
        for step in steps:
            values(step)  # its part in gathering the arrays
        return
    with Writer(path, itertools.chain.from_iterable(announced[s] for s in steps)) as writer:
        for step in steps:
            for name, x in zip(step.sources, values(step), strict=True):
                writer.write(name, x)


def _layer(x: Any, index: int) -> Any:
    return _take_layer(x, index) if isinstance(x, jax.Array) else x[index]


@jax.jit
def _take_layer(x: jax.Array, index: jax.Array) -> jax.Array:
    return jax.lax.dynamic_index_in_dim(x, index, keepdims=False)


def _host(x: Any) -> np.ndarray:
    if isinstance(x, jax.Array) and not x.is_fully_addressable:
        return np.asarray(multihost_utils.process_allgather(x, tiled=True))
    return np.asarray(x)


def _write_index(
    folder: pathlib.Path,
    name: str,
    names: Sequence[str],
    files: Sequence[Sequence[Step]],
    announced: Mapping[Step, list[Announced]],
) -> None:
    index = folder / f"{name}.index.json"
    if len(files) == 1:
        # One of an earlier export would hide this file.
        index.unlink(missing_ok=True)
        return
    (folder / name).unlink(missing_ok=True)
    weight_map = {
        tensor.name: file
        for file, part in zip(names, files, strict=True)
        for step in part
        for tensor in announced[step]
    }
    total = sum(t.nbytes for tensors in announced.values() for t in tensors)
    content = {"metadata": {"total_size": total}, "weight_map": weight_map}
    index.write_text(json.dumps(content, indent=2) + "\n")
