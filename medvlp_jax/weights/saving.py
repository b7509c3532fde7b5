"""Models out, as checkpoints of others: the same tables, the other way.

It is as strict as :mod:`.loading`: no parameter is left behind. Tensors go one at a time from the
devices to the disk.
"""

import itertools
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from medvlp_jax.core.processes import distributed
from medvlp_jax.core.state import flatten, path_str
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.files.tensors import (
    WORDS,
    Announced,
    Writer,
)
from medvlp_jax.weights.rows import Row, Step, as_tuple, plan

#: A file of an export is closed when the next tensor would take it beyond this many bytes.
MAX_FILE_BYTES = 5 * 10**9


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
        return as_tuple(step.transform.save(*map(_host, ours)))

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
