"""Files of weights: headers are read at once, tensors one at a time.

Safetensors are written and read; PyTorch's own files are read where there is nothing else.

Tensors are read into memory of their own instead of being mapped: pages of a mapped file count as
the process's memory as long as they are around, and loading would appear to need twice the size.
Format: https://github.com/huggingface/safetensors (8 bytes of header length, little endian, a JSON
header, the data).
"""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, Protocol

import jax.numpy as jnp
import ml_dtypes
import numpy as np

from medvlp_jax.core.errors import one_net, reason
from medvlp_jax.core.files.opening import open_regular
from medvlp_jax.weights.faults import Faults, WeightsError
from medvlp_jax.weights.files import pickled
from medvlp_jax.weights.settings import read_json

#: The format's words for number types.
DTYPES: dict[str, np.dtype] = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U64": np.dtype(np.uint64),
    "U32": np.dtype(np.uint32),
    "U16": np.dtype(np.uint16),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
WORDS = {dtype: word for word, dtype in DTYPES.items()}
#: Files that a folder may hold side by side, best first; others are taken if they are alone.
NAMES = (
    "model.safetensors",
    "diffusion_pytorch_model.safetensors",
    "open_clip_model.safetensors",
    "model.fp16.safetensors",
    "diffusion_pytorch_model.fp16.safetensors",
)
INDEX = ".safetensors.index.json"
#: The same for files of PyTorch.
PICKLED = ("pytorch_model.bin", "open_clip_pytorch_model.bin")
#: A header above this is no header (the format's own limit).
MAX_HEADER = 100_000_000
_MAX_AXES = 32
#: What training programs put before every name when they wrap a model.
_WRAPPERS = ("module.", "_orig_mod.")


class Tensor(Protocol):
    """What a checkpoint knows of a tensor before it is read."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...
    def read(self) -> np.ndarray:
        """The values, in memory of their own."""
        ...


@dataclasses.dataclass(frozen=True)
class StoredTensor:
    """A tensor in a safetensors file; ``start`` counts from the start of the file."""

    file: pathlib.Path
    dtype: np.dtype
    shape: tuple[int, ...]
    start: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self) -> np.ndarray:
        """Reads the values.

        Raises:
          WeightsError: the file ends early.
        """
        raw = np.fromfile(self.file, np.uint8, self.nbytes, offset=self.start)
        if raw.size != self.nbytes:
            raise WeightsError(f"{self.file} ends early: copy or download it again")
        return raw.view(self.dtype).reshape(self.shape)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The tensors of a folder.

    Attributes:
      where: the folder or file, for messages.
      tensors: by the origin's names.
      unknown: names that lie in files whose header cannot be read; None if there is such a file
        and nobody knows what it holds.
    """

    where: pathlib.Path
    tensors: Mapping[str, Tensor]
    unknown: frozenset[str] | None = frozenset()


def open_checkpoint(path: str | os.PathLike[str], faults: Faults) -> Checkpoint:
    """Reads the headers of a file, or of a folder's file or sharded files.

    Files of PyTorch are read where a folder has no safetensors.

    Damaged files are noted in ``faults``, and what can be known of the rest is returned. A prefix
    of a wrapper that every name has (``module.``) is left out.

    Raises:
      WeightsError: there is no such folder, nothing to read in it, or no telling which file.
    """
    path = pathlib.Path(path)
    with one_net(path, "copy or download it again", WeightsError):
        return _unwrapped(_open(path, faults))


def _unwrapped(found: Checkpoint) -> Checkpoint:
    names = [*found.tensors, *(found.unknown or ())]
    for prefix in _WRAPPERS:
        if names and all(name.startswith(prefix) for name in names):
            short = {name.removeprefix(prefix): x for name, x in found.tensors.items()}
            rest = found.unknown and frozenset(n.removeprefix(prefix) for n in found.unknown)
            return _unwrapped(dataclasses.replace(found, tensors=short, unknown=rest))
    return found


def _open(path: pathlib.Path, faults: Faults) -> Checkpoint:
    if path.is_file():
        if path.suffix in pickled.SUFFIXES:
            return Checkpoint(path, pickled.read_tensors(path))
        return _from_files(path, [path], faults)
    if not path.is_dir():
        open_regular(path).close()  # says what it is
    indexes = sorted(path.glob("*" + INDEX))
    if len(indexes) == 1:
        return _from_index(path, indexes[0], faults)
    present = sorted(path.glob("*.safetensors"))
    best = next((path / name for name in NAMES if path / name in present), None)
    if best is None and len(present) == 1:
        best = present[0]
    if best is not None:
        return _from_files(path, [best], faults)
    if present or indexes:
        names = ", ".join(p.name for p in [*indexes, *present])
        raise WeightsError(f"{path} holds {names}: give the path of the one to read")
    return _from_pickles(path)


def _from_pickles(folder: pathlib.Path) -> Checkpoint:
    index = folder / "pytorch_model.bin.index.json"
    if index.is_file():
        files = sorted(set(_places(index).values()))
    else:
        present = [p.name for p in sorted(folder.iterdir()) if p.suffix in pickled.SUFFIXES]
        best = [name for name in PICKLED if name in present]
        files = best[:1] or present
        if len(files) > 1:
            raise WeightsError(
                f"{folder} holds {', '.join(files)}: give the path of the one to read"
            )
    if not files:
        raise WeightsError(f"{folder} holds no safetensors file and none of PyTorch")
    tensors: dict[str, Tensor] = {}
    for file in files:
        if not (folder / file).is_file():
            raise WeightsError(f"{folder / file} is missing, which {index.name} lists")
        found = pickled.read_tensors(folder / file)
        _check_new(tensors, found, folder / file)
        tensors.update(found)
    return Checkpoint(folder, tensors)


def _check_new(known: Mapping[str, Tensor], found: Iterable[str], file: pathlib.Path) -> None:
    """Refuses a tensor that another file of the same index holds: which one counts is a guess."""
    twice = sorted(known.keys() & set(found))
    if twice:
        more = f" and {len(twice) - 1} more" * (len(twice) > 1)
        raise WeightsError(
            f"{file} holds {twice[0][:80]}{more}, which another file of its index holds too; copy "
            "or download the folder again"
        )


def _places(index: pathlib.Path) -> dict[str, str]:
    """Tensor -> file, as an index says; the files lie in the index's own folder."""
    with one_net(index, "copy or download it again", WeightsError, "is no index of weights files"):
        places = read_json(index)["weight_map"]
        for name, file in places.items():
            if not isinstance(file, str) or not _is_plain(file):
                raise WeightsError(
                    f"{index} places {name[:80]} in {file!r:.80}, which is no file of its folder"
                )
        return dict(places)


def _is_plain(name: str) -> bool:
    return name == pathlib.PurePath(name).name and name not in ("", ".", "..") and "\0" not in name


def _from_files(where: pathlib.Path, files: Iterable[pathlib.Path], faults: Faults) -> Checkpoint:
    tensors: dict[str, Tensor] = {}
    readable = True
    for file in files:
        found = read_header(file, faults)
        readable &= found is not None
        tensors.update(found or {})
    return Checkpoint(where, tensors, frozenset() if readable else None)


def _from_index(folder: pathlib.Path, index: pathlib.Path, faults: Faults) -> Checkpoint:
    by_file: dict[str, set[str]] = {}
    for name, file in _places(index).items():
        by_file.setdefault(file, set()).add(name)
    tensors: dict[str, Tensor] = {}
    unknown: set[str] = set()
    for file, names in sorted(by_file.items()):
        if not (folder / file).is_file():
            faults.add("missing files", f"{file}, which {index.name} lists")
            unknown |= names
            continue
        found = read_header(folder / file, faults)
        if found is None:
            unknown |= names
            continue
        for name in sorted(names - found.keys()):
            faults.add("tensors that the index places wrongly", f"{name} is not in {file}")
        unknown |= names - found.keys()
        _check_new(tensors, found, folder / file)
        tensors.update(found)
    return Checkpoint(folder, tensors, frozenset(unknown))


def read_header(file: pathlib.Path, faults: Faults) -> dict[str, StoredTensor] | None:
    """The tensors that a file announces, or None if that cannot be read.

    A file that is shorter or longer than it announces is noted in ``faults``.
    """
    kind = "damaged files"
    with open_regular(file) as f:
        size = os.fstat(f.fileno()).st_size
        first = f.read(8)
        length = int.from_bytes(first, "little")
        if len(first) < 8 or length > min(MAX_HEADER, size - 8):
            faults.add(kind, f"{file.name} is truncated or no safetensors file ({size} bytes)")
            return None
        try:
            header = json.loads(f.read(length), object_pairs_hook=_once)
            header.pop("__metadata__", None)
            tensors = {name: _stored(file, 8 + length, entry) for name, entry in header.items()}
        except Exception as error:  # JSON of any shape and depth
            faults.add(kind, f"{file.name} has a broken header: {reason(error)}")
            return None
    end = 8 + length
    for tensor in sorted(tensors.values(), key=lambda t: (t.start, t.nbytes)):
        if tensor.start != end:
            faults.add(kind, f"{file.name} has tensors that overlap or gaps between them")
            return None
        end += tensor.nbytes
    if end > size:
        faults.add(kind, f"{file.name} is truncated: {size} of {end} bytes; copy it again")
    elif end < size:
        faults.add(kind, f"{file.name} has {size - end} bytes behind its last tensor")
    return tensors


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in it twice")
    return found


def _stored(file: pathlib.Path, offset: int, entry: dict[str, Any]) -> StoredTensor:
    start, stop = entry["data_offsets"]
    shape = entry["shape"]
    if entry["dtype"] not in DTYPES:
        raise ValueError(f"unknown dtype {entry['dtype']}")
    if not isinstance(shape, list) or len(shape) > _MAX_AXES:
        raise ValueError("a shape that is none")
    for number in (start, stop, *shape):
        if type(number) is not int or not 0 <= number < 2**62:
            raise ValueError("a size or offset that is none")
    tensor = StoredTensor(file, DTYPES[entry["dtype"]], tuple(shape), offset + start)
    if stop - start != tensor.nbytes:
        raise ValueError(f"{stop - start} bytes for {entry['dtype']} {shape}")
    return tensor


def as_finite(name: str, values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The values as a contiguous array of another type.

    Raises:
      WeightsError: one is no number, or too large for the type.
    """
    with np.errstate(over="ignore"):
        cast = np.ascontiguousarray(values, dtype)
    if all_finite(cast):
        return cast
    if all_finite(values):
        raise WeightsError(
            f"{name} has values that {cast.dtype.name} cannot hold; use --dtype=bfloat16 or float32"
        )
    raise WeightsError(f"{name} has values that are no numbers (NaN or infinite)")


def all_finite(values: np.ndarray) -> bool:
    """Whether every value is a number; whole numbers are."""
    if not jnp.issubdtype(values.dtype, jnp.floating):
        return True
    # A part at a time: the answers to all at once would take a quarter of the tensor's memory.
    rows = values.reshape(1) if values.ndim == 0 else values
    step = max(1, _CHUNK // max(1, rows[0].size)) if len(rows) else 1
    return all(bool(np.isfinite(rows[i : i + step]).all()) for i in range(0, len(rows), step))


#: Values that are looked at together.
_CHUNK = 2**22


@dataclasses.dataclass(frozen=True)
class Announced:
    """A tensor to be written."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class Writer:
    """Writes one safetensors file, tensor by tensor in the announced order.

    The file appears under its name when it is complete.
    """

    def __init__(self, path: pathlib.Path, tensors: Iterable[Announced]):
        self.path = path
        self._left = list(tensors)
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}")
        # Readers of the transformers library look for this mark.
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        at = 0
        for t in self._left:
            header[t.name] = {
                "dtype": WORDS[t.dtype],
                "shape": list(t.shape),
                "data_offsets": [at, at + t.nbytes],
            }
            at += t.nbytes
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self._file: BinaryIO = self._temporary.open("wb")
        self._file.write(len(text).to_bytes(8, "little") + text)

    def write(self, name: str, values: np.ndarray) -> None:
        """Appends the next tensor, cast to its announced type."""
        wanted = self._left.pop(0)
        if (name, values.shape) != (wanted.name, wanted.shape):
            raise ValueError(f"{name} {values.shape} where {wanted.name} {wanted.shape} is next")
        values = as_finite(name, values, wanted.dtype)
        self._file.write(values.reshape(-1).view(np.uint8).data)

    def close(self) -> None:
        """Completes the file."""
        self._file.close()
        if self._left:
            self._temporary.unlink()
            raise ValueError(f"{self.path} was closed before {self._left[0].name} was written")
        self._temporary.replace(self.path)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()
            self._temporary.unlink()
